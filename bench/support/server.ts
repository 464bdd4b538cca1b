import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { admin } from './cast.ts';
import { startProgram, type Program } from './program.ts';
import type { ServerCalls } from './server-program.ts';

export interface BenchServer {
  readonly url: string;
  readonly mqttPort: number;
  readonly pid: number;
  readonly dataDir: string;
  /** From the start of its process until it was ready. */
  readonly readyMs: number;
  readonly call: Program<ServerCalls>['call'];
  stop(): Promise<void>;
}

export interface BenchServerOptions {
  readonly environ?: Readonly<Record<string, string>>;
  /** Kept after the stop. Default: a new one, gone after the stop. */
  readonly dataDir?: string;
}

/** All roles in a process of its own, with a data folder of its own. */
export async function startBenchServer({ environ = {}, dataDir: given }: BenchServerOptions = {}): Promise<BenchServer> {
  const dataDir = given ?? mkdtempSync(join(tmpdir(), 'loqey-bench-'));
  chmodSync(dataDir, 0o755); // PostgreSQL runs as another user where this runs as root
  const began = performance.now();
  const program = await startProgram<ServerCalls>('server-program', settingsFor(dataDir, environ));
  const readyMs = performance.now() - began;
  const { http, mqtt } = await program.call.addresses();
  return {
    url: http,
    mqttPort: Number(new URL(environ['MQTT_URL'] ?? mqtt ?? 'mqtt://none').port),
    pid: program.pid,
    dataDir,
    readyMs,
    call: program.call,
    async stop() {
      await program.stop();
      if (given === undefined) rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

export function settingsFor(dataDir: string, environ: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return {
    PORT: '0',
    MQTT_BROKER_PORT: '0',
    DATA_DIR: dataDir,
    RATE_LIMIT_ENABLED: 'false',
    ADMIN_EMAIL: admin.email,
    ADMIN_PASSWORD: admin.password,
    LOG_LEVEL: 'WARN',
    ...environ,
  };
}
