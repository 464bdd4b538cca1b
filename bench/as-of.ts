/**
 * States of the past: `npx node bench/as-of.ts [--events 100000] [--quick]` (quick: 10,000 events).
 * An embedded PostgreSQL with its ordinary settings, and one box whose stream has so many events. Prints p50, p95 and the
 * worst of reads at random places beside the limit of 50 ms, and beside the least that any could cost (the events of one
 * block, read); then how many links a second are made with nobody looking back, with somebody who does so ten times a
 * second, and with as many as may at once, in slices that take turns.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { migrations } from '../migrations/index.ts';
import { differenceOf } from '../src/audit/history/diff.ts';
import { BLOCK, createHistory, type Until } from '../src/audit/history/history.ts';
import { createMilestoneStore } from '../src/audit/history/milestones.ts';
import { shownState } from '../src/audit/history/states.ts';
import { whyOpening } from '../src/audit/history/why.ts';
import { createCommandBus } from '../src/commands/handle.ts';
import { localTimeIn } from '../src/commands/local-time.ts';
import { createSnapshots } from '../src/commands/snapshots.ts';
import type { DeviceEvent } from '../src/domain/device/events.ts';
import { pause } from '../src/platform/backoff.ts';
import { instant, systemClock } from '../src/platform/clock.ts';
import type { EventToAppend, JsonObject } from '../src/platform/event-store/port.ts';
import { createPostgresEventStore } from '../src/platform/event-store/postgres.ts';
import { newId } from '../src/platform/ids.ts';
import { silentLogger as logger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createDatabase } from '../src/platform/postgres/db.ts';
import { createEmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';
import { median, quantile } from './support/statistics.ts';

const { values: given } = parseArgs({ options: { events: { type: 'string' }, quick: { type: 'boolean', default: false } } });
const EVENTS = Number(given.events ?? (given.quick ? 10_000 : 100_000));
const ROUNDS = given.quick ? 40 : 300;
const SLICES = given.quick ? 2 : 6;
const SLICE_MS = given.quick ? 500 : 3_000;
const WRITERS = 16;
const LIMIT_MS = 50;
const say = (text: string) => process.stdout.write(`${text}\n`);

const folder = mkdtempSync(join(tmpdir(), 'loqey-bench-'));
chmodSync(folder, 0o755);
const postgres = createEmbeddedPostgres({ dataDir: folder, logger });
const metrics = new Metrics();

const sealed = (sub: string) => ({ $s: 1, sub, k: newId(), n: 'AAAAAAAAAAAAAAAA', c: 'x'.repeat(80) }) as const;
const owner = newId();
let clock = Date.parse('2026-01-01T00:00:00.000Z');

function stored({ type, data }: DeviceEvent): EventToAppend {
  const commandId = newId();
  clock += 20_000;
  const metadata = { schemaVersion: 1, commandId, correlationId: commandId, causationId: commandId, actor: { kind: 'system', id: 'bench' }, source: 'system', occurredAt: instant(clock) } as const;
  return { eventId: newId(), type, data: data as unknown as JsonObject, metadata };
}

function birth(deviceId: string, assignmentId: string): EventToAppend[] {
  return [
    stored({ type: 'DeviceRegistered', data: { deviceId, serialNumber: deviceId.toUpperCase(), model: 'LoqeyBox-V1', profile: 'loqey', keyVersion: 1, pin: sealed(`device:${deviceId}`), pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } }),
    stored({ type: 'DeviceAssigned', data: { assignmentId, userId: owner, name: sealed(`user:${owner}`) } }),
    stored({ type: 'DeviceProtocolPinned', data: { level: 1 } }),
  ];
}

/** One delivery after the other, each with its link, and what the box says. */
function delivery(assignmentId: string, n: number): EventToAppend[] {
  const [linkId, unlockId] = [newId(), newId()];
  links.push(linkId);
  return [
    stored({ type: 'LinkCreated', data: { linkId, assignmentId, tokenHash: 'x'.repeat(64), token: sealed(`user:${owner}`), expiresAt: instant(clock + 86_400_000), maxUses: 1, requireIdentity: false } }),
    stored({ type: 'UnlockRequested', data: { unlockId, cause: { kind: 'link', id: linkId }, assignmentId, issuedAt: instant(clock), expiresAt: instant(clock + 30_000) } }),
    stored({ type: 'UnlockDispatched', data: { unlockId, level: 1, seq: n, keyVersion: 1, journalId: '5f0c9a1b2c3d4e5f', reportSeq: n } }),
    stored({ type: 'UnlockPublished', data: { unlockId } }),
    stored({ type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor', durationMs: 412 } }),
    stored({ type: 'LockStateReported', data: { lockStatus: 'unlocked', cause: 'command', commandId: unlockId, evidence: 'signed', reportSeq: n } }),
    stored({ type: 'LockStateReported', data: { lockStatus: 'locked', cause: 'auto', evidence: 'signed', reportSeq: n } }),
    stored({ type: 'BatteryLevelChanged', data: { level: 100 - (n % 100), evidence: 'signed' } }),
    ...(n % 97 === 0 ? [stored({ type: 'MaintenanceStarted', data: {} }), stored({ type: 'MaintenanceEnded', data: {} })] : []),
    stored({ type: 'LinkExpired', data: { linkId } }),
  ];
}
const links: string[] = [];

try {
  const url = await postgres.start();
  await migrate({ url, migrations, programVersion: '0.0.0-bench', logger });
  const store = createPostgresEventStore({ url, logger, metrics });
  await store.start();
  const pool = createDatabase({ url, max: 2, applicationName: 'bench-history', logger, metrics });
  const own = createDatabase({ url, max: 4, applicationName: 'bench', logger, metrics });

  const [deviceId, assignmentId] = [newId(), newId()];
  const stream = `device-${deviceId}`;
  let count = 0;
  let batch = birth(deviceId, assignmentId);
  for (let n = 1; count < EVENTS; n++) {
    batch.push(...delivery(assignmentId, n));
    if (batch.length < 400 && count + batch.length < EVENTS) continue;
    await store.append(stream, count === 0 ? 'no_stream' : BigInt(count - 1), batch);
    count += batch.length;
    batch = [];
  }
  const firstAt = Date.parse('2026-01-01T00:00:20.000Z');
  say(`${count.toLocaleString('en')} events of one box with ${links.length.toLocaleString('en')} links`);

  const history = createHistory({ store, milestones: createMilestoneStore(pool.pool), logger, metrics });
  const since = performance.now();
  await history.at('device', deviceId, { kind: 'revision', revision: 0n });
  say(`read for the first time, with ${Math.floor(count / BLOCK)} milestones made: ${((performance.now() - since) / 1_000).toFixed(2)} s`);
  const { rows } = await own.pool.query<{ bytes: string }>(`SELECT pg_total_relation_size('work.milestones') + pg_total_relation_size('work.milestone_links') AS bytes`);
  const log = await own.pool.query<{ bytes: string }>(`SELECT pg_total_relation_size('log.events') AS bytes`);
  say(`milestones take ${(Number(rows[0]!.bytes) / 2 ** 20).toFixed(1)} MB beside ${(Number(log.rows[0]!.bytes) / 2 ** 20).toFixed(1)} MB of the log`);

  const random = (below: number) => Math.floor(Math.random() * below);
  const anyInstant = (): Until => ({ kind: 'instant', at: instant(firstAt + random(clock - firstAt)) });
  const anyLink = () => links[random(links.length)]!;
  const at = async (until: Until, wanted: readonly string[] = []) => {
    const past = await history.at('device', deviceId, until, wanted);
    if (past.kind !== 'state') throw new Error(past.kind);
    return past;
  };
  const kinds: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['the events of one block (the least)', async () => { for await (const _ of store.readStream(stream, { from: BigInt(random(count - BLOCK)), limit: BLOCK })); }],
    ['a box as of an instant', () => at(anyInstant())],
    ['a box as of a revision', () => at({ kind: 'revision', revision: BigInt(random(count)) })],
    ['a link as of an instant', () => at(anyInstant(), [anyLink()])],
    ['the difference of two instants', async () => { const [from, to] = [await at(anyInstant()), await at(anyInstant())]; return differenceOf(shownState('device', from.fold.state), shownState('device', to.fold.state)); }],
    ['why a link opens or not', async () => { const link = anyLink(); const { fold, end } = await at(anyInstant(), [link]); return whyOpening(history, fold, { deviceId, cause: { kind: 'link', id: link }, now: end.occurredAt, level0Deliveries: false, localTime: localTimeIn }); }],
  ];
  const times = new Map(kinds.map(([name]) => [name, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, run] of kinds) {
      const started = performance.now();
      await run();
      times.get(name)!.push(performance.now() - started);
    }
  }
  say(`\n${'read'.padEnd(38)}${'p50 ms'.padStart(10)}${'p95 ms'.padStart(10)}${'worst'.padStart(10)}${`  of ${LIMIT_MS} ms`}`);
  for (const [name, all] of times) {
    const p95 = quantile(all, 0.95);
    say(`${name.padEnd(38)}${quantile(all, 0.5).toFixed(1).padStart(10)}${p95.toFixed(1).padStart(10)}${quantile(all, 1).toFixed(1).padStart(10)}  ${(p95 / LIMIT_MS).toFixed(2)}`);
  }

  // Writes: commands as the API sends them, each writer a box of its own, whose streams grow beyond blocks.
  const snapshots = createSnapshots({ pool: own.pool, logger, metrics });
  await snapshots.start();
  const bus = createCommandBus({ store, sealer: { seal: async (subject) => sealed(subject) }, refusals: { record: () => undefined }, snapshots, clock: systemClock, metrics });
  const unwire = bus.onAppended((events) => { for (const event of events) history.grown(event.stream, event.revision); });
  const boxes = Array.from({ length: WRITERS }, () => ({ deviceId: newId(), assignmentId: newId() }));
  for (const box of boxes) await store.append(`device-${box.deviceId}`, 'no_stream', birth(box.deviceId, box.assignmentId));
  const write = async (ms: number): Promise<number> => {
    const until = performance.now() + ms;
    let made = 0;
    const writer = async ({ deviceId: box }: (typeof boxes)[number]) => {
      while (performance.now() < until) {
        const commandId = newId();
        await bus.execute(
          { type: 'CreateLink', data: { deviceId: box, linkId: newId(), userId: owner, token: 'token', tokenHash: commandId, expiresAt: instant(Date.now() + 3_600_000), latestExpiry: instant(Date.now() + 7_200_000), maxUses: 1, requireIdentity: false } },
          { commandId, correlationId: commandId, actor: { kind: 'user', id: owner }, source: 'mobile_app' },
        );
        made += 1;
      }
    };
    const began = performance.now();
    await Promise.all(boxes.map(writer));
    return made / ((performance.now() - began) / 1_000);
  };
  const reading = async (ms: number, everyMs: number, readers: number): Promise<readonly [number, number]> => {
    let done = false;
    let reads = 0;
    const reader = async () => {
      while (!done) {
        await at(anyInstant(), [anyLink()]);
        reads += 1;
        if (everyMs > 0) await pause(everyMs);
      }
    };
    const all = Array.from({ length: readers }, reader);
    const rate = await write(ms);
    done = true;
    await Promise.all(all);
    return [rate, reads / (ms / 1_000)];
  };
  await write(SLICE_MS);
  const rates = { alone: [] as number[], slider: [] as number[], crowd: [] as number[], sliderReads: [] as number[], crowdReads: [] as number[] };
  for (let slice = 0; slice < SLICES; slice++) {
    const order = slice % 2 === 0 ? [0, 1, 2] : [2, 1, 0];
    for (const kind of order) {
      if (kind === 0) rates.alone.push(await write(SLICE_MS));
      else {
        const [rate, reads] = kind === 1 ? await reading(SLICE_MS, 100, 1) : await reading(SLICE_MS, 0, 4);
        rates[kind === 1 ? 'slider' : 'crowd'].push(rate);
        rates[kind === 1 ? 'sliderReads' : 'crowdReads'].push(reads);
      }
    }
  }
  say(`\n${'links made by 16 writers'.padEnd(46)}${'/s'.padStart(8)}${'ratio'.padStart(8)}${'reads/s'.padStart(10)}`);
  const line = (name: string, all: readonly number[], reads?: readonly number[]) =>
    say(`${name.padEnd(46)}${Math.round(median(all)).toLocaleString('en').padStart(8)}${median(all.map((each, i) => each / rates.alone[i]!)).toFixed(2).padStart(8)}${reads === undefined ? '' : median(reads).toFixed(1).padStart(10)}`);
  line('nobody looks back', rates.alone);
  line('somebody does, ten times a second', rates.slider, rates.sliderReads);
  line('as many as may, without a pause', rates.crowd, rates.crowdReads);

  unwire();
  await history.settled();
  await snapshots.stop();
  await history.stop();
  await store.stop();
  await Promise.all([pool.stop(), own.stop()]);
} finally {
  await postgres.stop();
  rmSync(folder, { recursive: true, force: true });
}
