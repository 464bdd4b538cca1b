import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { freePort } from './free-port.ts';

export interface EventStoreDbServer {
  readonly host: string;
  readonly port: number;
  readonly url: string;
  /** SIGKILL, as a crash; undefined where the server is not ours. */
  readonly kill: (() => Promise<void>) | undefined;
  /** Brings it back on the same port, with what was on its disk. */
  readonly start: (() => Promise<void>) | undefined;
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

/**
 * The server of TEST_EVENTSTORE_URL (without TLS), else one of this test's own on free loopback ports: in memory, or in a
 * folder of its own where it is to be killed and started again.
 */
export async function startEventStoreDb({ onDisk = false }: { readonly onDisk?: boolean } = {}): Promise<EventStoreDbServer> {
  const external = process.env['TEST_EVENTSTORE_URL'];
  if (external !== undefined) {
    const { hostname: host, port } = new URL(external);
    return { host, port: Number(port === '' ? 2113 : port), url: external, kill: undefined, start: undefined, stop: () => Promise.resolve() };
  }
  const executable = binary();
  if (executable === undefined) throw new Error(`EventStoreDB cannot be started here: ${eventStoreDbMissing()}`);
  const [port, replicationPort] = [await freePort(), await freePort()];
  const folder = onDisk ? mkdtempSync(join(tmpdir(), 'loqey-eventstoredb-')) : undefined;
  let child: ChildProcess | undefined;
  let output = '';
  async function start(): Promise<void> {
    const running = spawn(
      executable!,
      [
        '--insecure', '--run-projections=None', '--stats-storage=None',
        ...(folder === undefined ? ['--mem-db'] : ['--db', join(folder, 'db'), '--log', join(folder, 'log')]),
        '--node-port', `${port}`, '--replication-port', `${replicationPort}`,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    child = running;
    const collect = (chunk: Buffer) => void (output = (output + chunk.toString()).slice(-20_000));
    running.stdout.on('data', collect);
    running.stderr.on('data', collect);
    const deadline = Date.now() + 120_000;
    while (!(await isReady(port))) {
      if (running.exitCode !== null || Date.now() > deadline) {
        running.kill('SIGKILL');
        throw new Error(`EventStoreDB did not start:\n${output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  async function kill(): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child!.once('exit', resolve));
    child.kill('SIGKILL'); // it takes seconds to say goodbye
    await exited;
  }
  const removeFolder = () => folder !== undefined && rmSync(folder, { recursive: true, force: true });
  // A test process that ends in the middle takes its server along.
  const onExit = () => {
    child?.kill('SIGKILL');
    removeFolder();
  };
  process.once('exit', onExit);
  await start();
  return {
    host: '127.0.0.1',
    port,
    url: `esdb://127.0.0.1:${port}?tls=false`,
    kill,
    start,
    async stop() {
      process.removeListener('exit', onExit);
      await kill();
      removeFolder();
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
