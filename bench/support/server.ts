import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface BenchServer {
  readonly url: string;
  readonly mqtt: string;
  readonly pid: number;
  readonly dataDir: string;
  readonly readyMs: number;
  readonly admin: { readonly email: string; readonly password: string };
  stop(): Promise<void>;
}

export interface BenchServerOptions {
  readonly environ?: Readonly<Record<string, string>>;
  /** Kept after the stop, for a second start. */
  readonly dataDir?: string;
}

const READY_MS = 60_000;

/** The server as a user starts it, in a process of its own with a data folder of its own. */
export async function startBenchServer({ environ = {}, dataDir: given }: BenchServerOptions = {}): Promise<BenchServer> {
  const dataDir = given ?? mkdtempSync(join(tmpdir(), 'loqey-bench-'));
  chmodSync(dataDir, 0o755);
  const admin = { email: 'admin@example.com', password: 'bench password 1' };
  const began = performance.now();
  const child = spawn(process.execPath, ['src/main.ts', 'start', '--json'], {
    env: {
      ...process.env,
      PORT: '0',
      MQTT_BROKER_PORT: '0',
      DATA_DIR: dataDir,
      RATE_LIMIT_ENABLED: 'false',
      ADMIN_EMAIL: admin.email,
      ADMIN_PASSWORD: admin.password,
      LOG_LEVEL: 'WARN',
      ...environ,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ready = await untilReady(child);
  return {
    url: ready.http,
    mqtt: ready.mqtt,
    pid: child.pid ?? 0,
    dataDir,
    readyMs: performance.now() - began,
    admin,
    async stop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await exited;
      if (given === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

function untilReady(child: ChildProcess): Promise<{ readonly http: string; readonly mqtt: string }> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('The server was not ready in time')), READY_MS);
    child.once('exit', (code) => reject(new Error(`The server ended with exit code ${code}`)));
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const event = JSON.parse(line) as { event: string; http: string; mqtt: string };
      if (event.event !== 'ready') return;
      clearTimeout(timer);
      resolve(event);
    });
  });
}
