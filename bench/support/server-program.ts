import { Session } from 'node:inspector/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Profiler } from 'node:inspector';
import { enableCompileCache } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { fileURLToPath } from 'node:url';
import { runInNewContext } from 'node:vm';
import { serve } from './program.ts';

/**
 * The server as `npm start` composes it, with two things more: no limit to what one box may send in a second, and a look
 * inside for whoever measures. Settings come from the environment.
 */
const began = performance.now();
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/loqey', import.meta.url)));
const { compose } = await import('../../src/compose.ts');
const { loadConfig, secretsOf } = await import('../../src/platform/config.ts');
const { loadSecrets } = await import('../../src/platform/data-dir/secrets.ts');
const { createLogger } = await import('../../src/platform/logger.ts');

const config = loadConfig(process.env);
const { secretKey, dataKeyMaster, auditSigningKey } = config;
const secrets = await loadSecrets({ dataDir: config.dataDir, given: { secretKey, dataKeyMaster, auditSigningKey }, needed: secretsOf(config.roles), mayMake: true });
const app = await compose({ config, secrets, version: '0.0.0-bench', logger: createLogger({ level: 'error', destination: process.stderr }), brokerLimits: { messagesPerSecond: Infinity } });
const readyMs = performance.now() - began;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
let profiling: Session | undefined;
let watching: ReturnType<typeof monitorEventLoopDelay> | undefined;

const calls = {
  addresses: () => ({ ...app.addresses, readyMs }),
  /** Bytes, garbage taken out: of the process, and what it holds of objects and buffers. */
  memory() {
    collect();
    const { rss, heapUsed, external } = process.memoryUsage();
    return { rss, held: heapUsed + external };
  },
  async metric(name: string): Promise<number> {
    const found = app.metrics.registry.getSingleMetric(name);
    return ((await found?.get())?.values ?? []).reduce((sum, { value }) => sum + value, 0);
  },
  watchLoop(): void {
    watching = monitorEventLoopDelay({ resolution: 1 });
    watching.enable();
  },
  /** Milliseconds that its event loop was late since then, of a hundred looks the second latest; a look waits 1 ms itself. */
  loopDelay(): number {
    watching?.disable();
    return Math.max(0, (watching?.percentile(99) ?? Number.NaN) / 1e6 - 1);
  },
  async profileStart(): Promise<void> {
    profiling = new Session();
    profiling.connect();
    await profiling.post('Profiler.enable');
    await profiling.post('Profiler.setSamplingInterval', { interval: 250 });
    await profiling.post('Profiler.start');
  },
  async profileStop(): Promise<Profiler.Profile> {
    const { profile } = await profiling!.post('Profiler.stop');
    profiling?.disconnect();
    profiling = undefined;
    return profile;
  },
};
export type ServerCalls = typeof calls;

serve(calls, () => app.stop());
