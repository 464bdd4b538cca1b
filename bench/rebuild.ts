/**
 * Rebuild rates: `npx node bench/rebuild.ts [events]` (default 200,000; the figures that are asked for hold at 1,000,000).
 * An embedded PostgreSQL with its ordinary, durable settings; a past of boxes, links, deliveries and reports, sealed as in
 * production. Prints each read model alone and all in one pass, indexes included, beside the raw read of the same log.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrations } from '../migrations/index.ts';
import type { DomainEvent } from '../src/domain/events.ts';
import type { Sealed } from '../src/domain/kernel.ts';
import { schemaVersionOf } from '../src/domain/registry.ts';
import { instant, systemClock } from '../src/platform/clock.ts';
import type { EventStore, EventToAppend, JsonObject } from '../src/platform/event-store/port.ts';
import { createPostgresEventStore } from '../src/platform/event-store/postgres.ts';
import { silentLogger as logger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createDatabase } from '../src/platform/postgres/db.ts';
import { createEmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';
import { createNotifications } from '../src/platform/postgres/notifications.ts';
import { createMasterKey } from '../src/platform/vault/master-key.ts';
import { createSealer } from '../src/platform/vault/sealer.ts';
import { ensureLogIdentity } from '../src/projections/log-identity.ts';
import { rebuild } from '../src/projections/rebuild.ts';
import { projections } from '../src/projections/registry.ts';

const wanted = Number(process.argv[2] ?? 200_000);
const BOXES = 1_000;
/** Deliveries whose courier said who it was, in 100. */
const NAMED_COURIERS = 20;
const targets: Readonly<Record<string, number>> = { audit: 12_000, all: 8_000 };
const ORDINARY = 40_000;

type Seal = (subject: string, type: string, path: string, value: string | JsonObject) => Promise<Sealed>;

let time = Date.parse('2026-01-01T00:00:00.000Z');

function stored({ type, data }: DomainEvent, actor: EventToAppend['metadata']['actor']): EventToAppend {
  const commandId = randomUUID();
  const metadata = {
    schemaVersion: schemaVersionOf(type),
    commandId,
    correlationId: commandId,
    causationId: commandId,
    actor,
    source: 'mqtt_device',
    occurredAt: instant((time += 20)),
  } as const;
  return { eventId: randomUUID(), type, data: data as unknown as JsonObject, metadata };
}

/** What happens at one box: registered and assigned first, then again and again a link, a delivery and reports. */
async function* life(seal: Seal): AsyncGenerator<{ readonly stream: string; readonly events: EventToAppend[] }> {
  const [deviceId, userId, assignmentId] = [randomUUID(), randomUUID(), randomUUID()];
  const [stream, owner, device, system] = [`device-${deviceId}`, `user:${userId}`, { kind: 'device', id: deviceId } as const, { kind: 'system', id: 'dispatcher' } as const];
  const user = { kind: 'user', id: userId } as const;
  const profile = await seal(owner, 'UserRegistered', 'profile', { email: `${userId}@example.com`, firstName: 'Ada', lastName: 'Berg', residentState: 'CA' });
  yield { stream: `user-${userId}`, events: [stored({ type: 'UserRegistered', data: { userId, profile } }, user)] };
  const pin = await seal(`device:${deviceId}`, 'DeviceRegistered', 'pin', '123456');
  const name = await seal(owner, 'DeviceAssigned', 'name', 'Front door');
  yield {
    stream,
    events: [
      stored({ type: 'DeviceRegistered', data: { deviceId, serialNumber: deviceId, model: 'LoqeyBox-V1', profile: 'loqey', keyVersion: 1, pin, pinTag: 'tag', pinExpiresAt: '2027-01-01T00:00:00.000Z' } }, system),
      stored({ type: 'DeviceAssigned', data: { assignmentId, userId, name } }, user),
    ],
  };
  for (let n = 0; ; n++) {
    const [linkId, unlockId] = [randomUUID(), randomUUID()];
    const courierKnown = n % 100 < NAMED_COURIERS;
    const [token, linkName, courier] = await Promise.all([
      seal(owner, 'LinkCreated', 'token', 'x'.repeat(32)),
      seal(owner, 'LinkCreated', 'name', 'Parcel'),
      courierKnown ? seal(`delivery:${unlockId}`, 'UnlockRequested', 'courier', { name: 'Kim', company: 'Quick' }) : undefined,
    ]);
    const at = instant(time);
    const courierActor = { kind: 'courier', id: linkId } as const;
    yield {
      stream,
      events: [
        stored({ type: 'LinkCreated', data: { linkId, assignmentId, tokenHash: randomBytes(32).toString('hex'), token, name: linkName, expiresAt: '2026-12-01T00:00:00.000Z', maxUses: 1, requireIdentity: false } }, user),
        stored({ type: 'UnlockRequested', data: { unlockId, cause: { kind: 'link', id: linkId }, assignmentId, issuedAt: at, expiresAt: instant(time + 30_000), ...(courier === undefined ? {} : { courier }) } }, courierActor),
        stored({ type: 'UnlockDispatched', data: { unlockId, level: 1, seq: n, keyVersion: 1, journalId: '5f0c9a1b2c3d4e5f', reportSeq: n } }, system),
        stored({ type: 'UnlockPublished', data: { unlockId } }, system),
        stored({ type: 'UnlockAcknowledged', data: { unlockId } }, device),
        stored({ type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor', durationMs: 412 } }, device),
        stored({ type: 'LockStateReported', data: { lockStatus: 'unlocked', cause: 'command', commandId: unlockId, evidence: 'signed', reportSeq: n } }, device),
        stored({ type: 'LockStateReported', data: { lockStatus: 'locked', cause: 'auto', evidence: 'signed', reportSeq: n } }, device),
        stored({ type: 'BatteryLevelChanged', data: { level: 100 - (n % 100), evidence: 'signed' } }, device),
        stored({ type: 'LinkExpired', data: { linkId } }, system),
      ],
    };
  }
}

async function fill(store: EventStore, seal: Seal): Promise<number> {
  let written = 0;
  const boxes = Array.from({ length: BOXES }, () => life(seal));
  const writer = async (first: number) => {
    for (let i = first; written < wanted; i = (i + 32) % BOXES) {
      const next = await boxes[i]?.next();
      if (next?.done !== false) continue;
      written += next.value.events.length;
      await store.append(next.value.stream, 'any', next.value.events);
    }
  };
  await Promise.all(Array.from({ length: 32 }, (_, i) => writer(i)));
  return written;
}

async function readRate(store: EventStore): Promise<number> {
  const ended = new AbortController();
  const began = performance.now();
  let read = 0;
  for await (const batch of store.subscribeAll({ after: undefined, maxBatch: 5_000, signal: ended.signal })) {
    read += batch.events.length;
    if (batch.live) break;
  }
  ended.abort();
  return read / ((performance.now() - began) / 1_000);
}

const folder = mkdtempSync(join(tmpdir(), 'loqey-bench-rebuild-'));
chmodSync(folder, 0o755); // the server runs as another user where this runs as root
const server = createEmbeddedPostgres({ dataDir: folder, logger });
try {
  const url = await server.start();
  await migrate({ url, migrations, programVersion: 'bench', logger });
  const metrics = new Metrics();
  const db = createDatabase({ url, max: 6, applicationName: 'bench', logger, metrics });
  const notifications = createNotifications({ url, applicationName: 'bench-listen', logger });
  const sealer = createSealer({ db, notifications, master: createMasterKey(randomBytes(32)), logger, metrics, inAdvance: ['delivery'] });
  const store = createPostgresEventStore({ url, logger, metrics });
  await sealer.start();
  await notifications.start();
  await store.start();
  const logId = await ensureLogIdentity(store, 'bench', () => instant(Date.now()));

  const began = performance.now();
  const events = await fill(store, async (...seal) => sealer.seal(...seal));
  console.log(`${events.toLocaleString('en')} events of ${BOXES} boxes written in ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  await db.pool.query('ANALYZE log.events');

  const all = projections({ sealer });
  const rows: { what: string; seconds: number | undefined; rate: number; target: number | undefined }[] = [];
  rows.push({ what: 'raw read', seconds: undefined, rate: await readRate(store), target: undefined });
  for (const names of [...all.map(({ name }) => [name]), all.map(({ name }) => name)]) {
    const what = names.length === 1 ? (names[0] ?? '') : 'all';
    const start = performance.now();
    const [result] = await rebuild({ db, store, projections: all, logId, clock: systemClock, logger, names });
    if (result === undefined || result.failure !== undefined) throw result?.failure ?? new Error(`${what} was not rebuilt`);
    const seconds = (performance.now() - start) / 1_000;
    rows.push({ what, seconds, rate: result.events / seconds, target: targets[what] ?? ORDINARY });
  }
  console.log(`\n${'read model'.padEnd(22)}${'seconds'.padStart(9)}${'events/s'.padStart(12)}${'at least'.padStart(12)}`);
  for (const { what, seconds, rate, target } of rows) {
    const name = what === 'all' ? 'all in one pass' : what;
    const limit = target === undefined ? '' : `${target.toLocaleString('en')}${rate < target ? ' !' : '  '}`;
    console.log(`${name.padEnd(22)}${(seconds?.toFixed(1) ?? '').padStart(9)}${Math.round(rate).toLocaleString('en').padStart(12)}${limit.padStart(13)}`);
  }
  await store.stop();
  await notifications.stop();
  await sealer.stop();
  await db.stop();
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
