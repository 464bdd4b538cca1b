/**
 * Where the time of an opening goes, without HTTP and MQTT: `npx node bench/unlock-path.ts [--rounds 1500]`. One box after
 * another is asked, an embedded PostgreSQL with its ordinary, durable settings; the box answers as soon as it is told.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { migrations } from '../migrations/index.ts';
import { silentLogger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createDatabase } from '../src/platform/postgres/db.ts';
import { createEmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';
import { ada, asSystem, startBackend } from '../test/support/backend.ts';

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '1500' } } });
const rounds = Number(values.rounds);

const dataDir = mkdtempSync(join(tmpdir(), 'loqey-bench-'));
chmodSync(dataDir, 0o755);
const postgres = createEmbeddedPostgres({ dataDir, logger: silentLogger });
const url = await postgres.start();
await migrate({ url, migrations, programVersion: '0.0.0-bench', logger: silentLogger });
const backend = await startBackend({ connect: (to) => createDatabase({ url: to, max: 8, applicationName: 'loqey-bench', logger: silentLogger, metrics: new Metrics() }) }, { url });
const times: Record<string, number[]> = {};
const note = (what: string, ms: number) => (times[what] ??= []).push(ms);
try {
  const boxes = await Promise.all(Array.from({ length: 20 }, () => backend.box()));
  for (const box of boxes) await box.hello();

  for (let n = 0; n < rounds; n++) {
    const { deviceId } = boxes[n % boxes.length]!;
    const begun = performance.now();
    await backend.bus.execute({ type: n % 40 < 20 ? 'StartMaintenance' : 'EndMaintenance', data: { deviceId } }, asSystem());
    note('bus.execute, one append', performance.now() - begun);
  }
  for (const { deviceId } of boxes) await backend.execute({ type: 'EndMaintenance', data: { deviceId } });
  const empty = { commandId: '', correlationId: '', actor: { kind: 'system', id: 'bench' }, source: 'system' } as const;
  for (let n = 0; n < rounds; n++) {
    const begun = performance.now();
    await backend.store.append(`bench-${n % 20}`, 'any', [{ eventId: asSystem().commandId, type: 'Bench', data: {}, metadata: { ...empty, schemaVersion: 1, causationId: '', occurredAt: new Date().toISOString() } }], { lane: 'urgent' });
    note('store.append alone', performance.now() - begun);
  }

  for (let n = 0; n < rounds; n++) {
    const box = boxes[n % boxes.length]!;
    let accepted = 0;
    let claimed = 0;
    let atBroker = 0;
    const stop = backend.bus.onAppended(([first]) => {
      if (first?.type === 'UnlockRequested') accepted = performance.now();
      if (first?.type === 'UnlockDispatched') claimed = performance.now();
    });
    backend.downlink.answer = (topic, payload) => {
      if (topic.endsWith('unlock')) {
        atBroker = performance.now();
        const command = JSON.parse(payload.toString()) as Record<string, unknown>;
        setImmediate(() => void box.opens(command));
      }
      return { delivered: true };
    };
    const begun = performance.now();
    const reply = await backend.unlocks.request({ deviceId: box.deviceId, cause: { kind: 'owner', id: ada } }, asSystem(), 'outcome');
    const done = performance.now();
    stop();
    if (reply.kind !== 'progress' || reply.unlock.state !== 'opened') throw new Error(JSON.stringify(reply));
    note('request → accepted', accepted - begun);
    note('accepted → claimed', claimed - accepted);
    note('claimed → broker', atBroker - claimed);
    note('request → broker', atBroker - begun);
    note('broker → confirmed', done - atBroker);
    note('request → confirmed', done - begun);
    backend.downlink.published.length = 0;
  }
} finally {
  await backend.stop();
  await postgres.stop();
  rmSync(dataDir, { recursive: true, force: true });
}
const at = (sorted: readonly number[], q: number) => `${(sorted[Math.floor(q * (sorted.length - 1))] ?? 0).toFixed(2)} ms`;
console.table(
  Object.fromEntries(
    Object.entries(times).map(([what, all]) => {
      const sorted = all.slice(Math.floor(all.length / 5)).toSorted((a, b) => a - b); // the first fifth warms up
      return [what, { p50: at(sorted, 0.5), p99: at(sorted, 0.99) }];
    }),
  ),
);
