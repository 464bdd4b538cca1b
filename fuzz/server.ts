import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { dataFolder, finish, startServerProcess, type Settings } from '../test/support/server-process.ts';
import type { Target } from './target.ts';

export interface FuzzServer extends Target {
  readonly folder: string;
  /** Whether it still runs; else how it ended. */
  readonly ended: () => string | undefined;
  /** Stops it and answers how its read models differ from what a rebuild makes of the log; undefined where none does. */
  foldsAgain(): Promise<string | undefined>;
  stop(): Promise<void>;
}

const MOST = '1000000';
const limits = ['ANONYMOUS_PER_MINUTE', 'ANONYMOUS_PER_DAY', 'ACCOUNT_PER_MINUTE', 'ACCOUNT_PER_DAY', 'LOGIN_PER_MINUTE', 'REGISTER_PER_MINUTE', 'REGISTER_PER_DAY', 'REFRESH_PER_MINUTE', 'PIN_PER_MINUTE', 'UNLOCK_PER_MINUTE', 'BAD_LINK_PER_MINUTE'];

/** The program as `npm start` runs it, in a process and a folder of its own. Limits are on, and too high to be what is tried. */
export async function startFuzzServer(settings: Settings = {}): Promise<FuzzServer> {
  const folder = await dataFolder();
  const admin = { email: 'admin@example.com', password: randomBytes(18).toString('base64url') };
  const environ: Settings = {
    DATA_DIR: folder,
    PORT: '0',
    MQTT_BROKER_PORT: '0',
    ADMIN_EMAIL: admin.email,
    ADMIN_PASSWORD: admin.password,
    RATE_LIMIT_ENABLED: 'true',
    ACCESS_TOKEN_EXPIRE_MINUTES: '1440',
    LOG_LEVEL: 'WARN',
    ...Object.fromEntries(limits.map((name) => [`RATE_LIMIT_${name}`, MOST])),
    ...settings,
  };
  const program = await startServerProcess(environ);
  let ended: string | undefined;
  void program.exited.then(({ code, signal }) => (ended = `the server ended: ${code ?? signal}\n${program.stderr.slice(-2_000)}`));
  const stood = watchStandstill();
  const log = join(folder, 'logs', 'loqey.log');
  let read = 0;
  const stop = async (): Promise<void> => {
    if (ended !== undefined) return;
    program.signal('SIGTERM');
    await program.exited;
  };
  return {
    url: program.url,
    mqtt: settings['MQTT_URL'] ?? program.mqtt,
    admin,
    folder,
    secrets: [admin.password, ...secretsIn(folder)],
    memory: () => memoryOf(program.pid),
    ended: () => ended,
    errors() {
      if (ended !== undefined) return [ended];
      if (!existsSync(log)) return [];
      // It may have begun a new file: what was at its end is then in the one before, and lost here.
      if (statSync(log).size < read) read = 0;
      const text = readFileSync(log).subarray(read);
      const end = text.lastIndexOf('\n') + 1;
      read += end;
      const lines = text.subarray(0, end).toString().split('\n').filter((line) => /"level":(?:50|60|"error"|"fatal")/.test(line));
      return stood() ? [] : lines;
    },
    async foldsAgain() {
      await stop();
      const { stdout: listed } = await finish(['projections', 'status', '--json'], environ);
      const names = listed.split('\n').filter((line) => line !== '').map((line) => (JSON.parse(line) as { readonly name?: string }).name).filter((name) => name !== undefined);
      if (names.length === 0) return `no read model is listed: ${listed}`;
      for (const name of names) {
        // What an administrator of the run asked for may wait still; where nothing does, there is nothing to take back.
        await finish(['projections', 'cancel', name], environ);
        const { code, stdout, stderr } = await finish(['projections', 'compare', name], environ);
        if (code !== 0) return `${stdout}\n${stderr}`;
      }
      return undefined;
    },
    stop,
  };
}

const STOOD_MS = 3_000;
const REMEMBERED_MS = 60_000;

/** Whether the machine stood still lately: connections time out then, and that is no fault of the server's. */
function watchStandstill(): () => boolean {
  let last = performance.now();
  let stoodAt = -Infinity;
  setInterval(() => {
    const now = performance.now();
    if (now - last > STOOD_MS) stoodAt = now;
    last = now;
  }, 500).unref();
  return () => performance.now() - Math.max(stoodAt, performance.now() - last > STOOD_MS ? performance.now() : -Infinity) < REMEMBERED_MS;
}

function secretsIn(folder: string): string[] {
  const secrets = join(folder, 'secrets');
  return existsSync(secrets) ? readdirSync(secrets).map((name) => readFileSync(join(secrets, name), 'utf8').trim()).filter((text) => text.length >= 16) : [];
}

function memoryOf(pid: number): number | undefined {
  try {
    return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1_024;
  } catch {
    return undefined;
  }
}
