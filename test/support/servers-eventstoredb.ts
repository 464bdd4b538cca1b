import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { freePort } from './free-port.ts';

export interface EventStoreDbServer {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  stop(): Promise<void>;
}

/** Why there is no EventStoreDB here, or nothing. */
export function eventStoreDbMissing(): string | undefined {
  if (process.env['TEST_EVENTSTORE_URL'] !== undefined || binary() !== undefined) return undefined;
  return 'no TEST_EVENTSTORE_URL, and no eventstored on the PATH';
}

function binary(): string | undefined {
  return (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'eventstored')).find(existsSync);
}

/** The server of TEST_EVENTSTORE_URL (without TLS), else one of this test's own, in memory, on free loopback ports. */
export async function startEventStoreDb(): Promise<EventStoreDbServer> {
  const external = process.env['TEST_EVENTSTORE_URL'];
  if (external !== undefined) {
    const { hostname: host, port } = new URL(external);
    return { host, port: Number(port === '' ? 2113 : port), url: external, stop: () => Promise.resolve() };
  }
  const executable = binary();
  if (executable === undefined) throw new Error(`EventStoreDB cannot be started here: ${eventStoreDbMissing()}`);
  const [port, replicationPort] = [await freePort(), await freePort()];
  const child = spawn(
    executable,
    [
      '--insecure', '--mem-db', '--run-projections=None', '--stats-storage=None',
      '--node-port', `${port}`, '--replication-port', `${replicationPort}`,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  const collect = (chunk: Buffer) => void (output = (output + chunk.toString()).slice(-20_000));
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  // A test process that ends in the middle takes its server along.
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);

  const deadline = Date.now() + 120_000;
  while (!(await isReady(port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      onExit();
      throw new Error(`EventStoreDB did not start:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    host: '127.0.0.1',
    port,
    url: `esdb://127.0.0.1:${port}?tls=false`,
    async stop() {
      process.removeListener('exit', onExit);
      child.kill('SIGKILL'); // it holds nothing but test data, and takes seconds to say goodbye
      await exited;
    },
  };
}

/** Alive is not enough: it takes appends once it has elected itself. */
async function isReady(port: number): Promise<boolean> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/gossip`, { signal: AbortSignal.timeout(1_000) });
    const { members } = (await answer.json()) as { readonly members: readonly { readonly state: string }[] };
    return members.some(({ state }) => state === 'Leader');
  } catch {
    return false;
  }
}
