/**
 * The audit log at size: `npx node bench/audit.ts [--rows 1000000] [--quick]` (quick: 50,000 rows).
 * An embedded PostgreSQL with its ordinary settings, filled through the audit log's own projection with what happens in a
 * fleet of 10,000 boxes. Prints the p50 and p95 of searches, of pages far down the list and of the tail's question, beside
 * the limit of 200 ms and beside the least that any of them could cost (one page by the primary key), and what the searched
 * words cost when they are written; then what exports give in rows a second, and the memory that they take.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { migrations } from '../migrations/index.ts';
import { auditExport } from '../src/api/audit-export.ts';
import { positionTokens } from '../src/api/position.ts';
import type { DomainEvent } from '../src/domain/events.ts';
import type { Actor, Source } from '../src/domain/kernel.ts';
import { instant } from '../src/platform/clock.ts';
import type { JsonObject, RecordedEvent } from '../src/platform/event-store/port.ts';
import { silentLogger as logger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createDatabase, type Database } from '../src/platform/postgres/db.ts';
import { createEmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';
import { auditProjection } from '../src/projections/audit/projection.ts';
import { createAuditQueries } from '../src/projections/audit/queries.ts';
import { createIndexes, createTables, schemaOf, type AnyProjection, type Tables } from '../src/projections/projection.ts';
import type { AuditFilter } from '../src/projections/read-models.ts';
import { projections } from '../src/projections/registry.ts';
import { TableRows } from '../src/projections/rows.ts';
import { createReader } from '../src/projections/schemas.ts';

const { values: given } = parseArgs({ options: { rows: { type: 'string' }, quick: { type: 'boolean', default: false } } });
const ROWS = Number(given.rows ?? (given.quick ? 50_000 : 1_000_000));
const BOXES = Math.min(10_000, Math.ceil(ROWS / 50));
const ROUNDS = given.quick ? 10 : 30;
const LIMIT_MS = 200;
const LOG_ID = '11111111-1111-4111-8111-111111111111';
const BATCH = 1_000;

/** The same ids in every run. */
const id = (kind: number, n: number): string => {
  const hex = `${((n * 2_654_435_761) >>> 0).toString(16).padStart(8, '0')}${kind.toString(16).padStart(4, '0')}4000a000${n.toString(16).padStart(12, '0')}`;
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
};
const ids = { device: (n: number) => id(1, n), user: (n: number) => id(2, n), assignment: (n: number) => id(3, n), link: (n: number) => id(4, n), unlock: (n: number) => id(5, n), command: (n: number) => id(6, n), event: (n: number) => id(7, n) };
const FIRST = ['Ada', 'Kim', 'Noor', 'Jo', 'Sam', 'Ines', 'Emre', 'Lin', 'Ola', 'Rui'];
const LAST = ['Berg', 'Yilmaz', 'Okafor', 'Smith', 'Novak', 'Costa', 'Haas', 'Ito', 'Duarte', 'Mendez'];
const STREETS = ['Mill Lane', 'High Street', 'Station Road', 'Harbour Way', 'Elm Close'];
const serialOf = (n: number) => `LB-${String(n).padStart(6, '0')}`;
const SYSTEM: Actor = { kind: 'system', id: 'dispatcher' };

interface Made {
  readonly stream: string;
  readonly event: DomainEvent;
  readonly actor: Actor;
  readonly source: Source;
  readonly correlation: number;
  readonly ip?: string;
}

/** One delivery after the other, each at another box, with what else happens in between. */
function* life(): Generator<Made> {
  for (let n = 0; ; n++) {
    const box = (n * 7_919) % BOXES;
    const [deviceId, userId, linkId, unlockId, assignmentId] = [ids.device(box), ids.user(box), ids.link(n), ids.unlock(n), ids.assignment(box)];
    const [stream, device, owner, courier] = [`device-${deviceId}`, { kind: 'device', id: deviceId } as Actor, { kind: 'user', id: userId } as Actor, { kind: 'courier', id: linkId } as Actor];
    const admin: Actor = { kind: 'admin', id: ids.user(n % 5) };
    const at = '2026-06-01T10:00:00.000Z';
    const make = (event: DomainEvent, actor: Actor, source: Source, ip?: string): Made => ({ stream, event, actor, source, correlation: n, ...(ip === undefined ? {} : { ip }) });
    const address = `198.51.${n % 100}.${n % 250}`;
    yield make({ type: 'LinkCreated', data: { linkId, assignmentId, tokenHash: 'x', token: '', expiresAt: at, maxUses: 1, requireIdentity: false } }, owner, 'mobile_app', address);
    yield make({ type: 'UnlockRequested', data: { unlockId, cause: { kind: 'link', id: linkId }, assignmentId, issuedAt: at, expiresAt: at } }, courier, 'delivery_link', address);
    yield make({ type: 'UnlockDispatched', data: { unlockId, level: 1, seq: n, keyVersion: 1, journalId: '5f0c9a1b2c3d4e5f', reportSeq: n } }, SYSTEM, 'system');
    yield make({ type: 'UnlockPublished', data: { unlockId } }, SYSTEM, 'system');
    yield make({ type: 'UnlockAcknowledged', data: { unlockId } }, device, 'mqtt_device');
    if (n % 50 === 7) yield make({ type: 'UnlockFailed', data: { unlockId, reason: 'jammed', executed: true, useReturned: true } }, device, 'mqtt_device');
    else yield make({ type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor', durationMs: 412 } }, device, 'mqtt_device');
    yield make({ type: 'LockStateReported', data: { lockStatus: 'unlocked', cause: 'command', commandId: unlockId, evidence: 'signed', reportSeq: n } }, device, 'mqtt_device');
    yield make({ type: 'LockStateReported', data: { lockStatus: 'locked', cause: 'auto', evidence: 'signed', reportSeq: n } }, device, 'mqtt_device');
    yield make({ type: 'BatteryLevelChanged', data: { level: 100 - (n % 100), evidence: 'signed' } }, device, 'mqtt_device');
    yield make({ type: 'LinkExpired', data: { linkId } }, SYSTEM, 'system');
    if (n % 3 === 0) yield { ...make({ type: 'CommandRefused', data: { command: 'RequestUnlock', target: { kind: 'link', id: linkId }, reason: 'link_used' } }, courier, 'delivery_link', address), stream: 'refusal-20260601-1' };
    if (n % 40 === 0) yield make({ type: 'FirmwareReported', data: { version: `1.4.${n % 9}`, evidence: 'signed' } }, device, 'mqtt_device');
    if (n % 900 === 3) yield make({ type: 'MaintenanceStarted', data: { reason: n % 9_000 === 3 ? 'new hinge for the door' : 'firmware by hand' } }, admin, 'web_dashboard', '192.0.2.9');
    if (n % 700 === 5) yield { ...make({ type: 'LoginRefused', data: { reason: 'password' } }, owner, 'mobile_app', address), stream: `user-${userId}` };
    if (n === 4_001) yield make({ type: 'DeviceDecommissioned', data: { reason: 'stolen, said the kestrel watcher' } }, admin, 'web_dashboard', '192.0.2.9');
  }
}

function recorded(made: Made, n: number): RecordedEvent {
  const occurredAt = instant(Date.parse('2026-01-01T00:00:00.000Z') + n * 20_000);
  const commandId = ids.command(n);
  return {
    eventId: ids.event(n),
    stream: made.stream,
    revision: BigInt(n),
    position: BigInt(n),
    type: made.event.type,
    data: made.event.data as unknown as JsonObject,
    metadata: { schemaVersion: 1, commandId, correlationId: ids.command(1_000_000_000 + made.correlation), causationId: commandId, actor: made.actor, source: made.source, occurredAt },
    recordedAt: occurredAt,
  } as unknown as RecordedEvent;
}

const all = projections({ sealer: { open: async () => undefined, openMany: async (items) => items.map(() => undefined) } });
const schemas = Object.fromEntries(all.map(({ name, version }) => [name, schemaOf(name, version, 1)]));

async function fill(db: Database): Promise<{ readonly seconds: number; readonly words: number }> {
  const client = await db.pool.connect();
  await client.query('SET statement_timeout = 0'); // indexes take their time
  const query = (text: string, values: unknown[] = []) => client.query(text, values);
  for (const projection of all) {
    for (const statement of createTables(projection, schemas[projection.name] ?? '')) await query(statement);
    await query(`INSERT INTO work.projections (name, version, generation, position, log_id, state) VALUES ($1, $2, 1, $3, $4, 'running')`, [projection.name, projection.version, ROWS, LOG_ID]);
  }
  const people: unknown[] = [];
  for (let n = 0; n < BOXES; n++) {
    const [first, last] = [FIRST[n % 10] ?? '', LAST[Math.floor(n / 10) % 10] ?? ''];
    const fields = { email: `${first}.${last}.${n}@example.com`.toLowerCase(), firstName: first, lastName: last, residentState: 'Izmir' };
    people.push({ ref: ids.user(n), kind: 'user', fields, words: `${fields.email} ${first} ${last}`.toLowerCase() });
    const place = { name: n % 3 === 0 ? 'Front door' : 'Garage', address: `${n % 200} ${STREETS[n % 5] ?? ''}` };
    people.push({ ref: ids.assignment(n), kind: 'box', fields: place, words: `${place.name} ${place.address}`.toLowerCase() });
  }
  const tables = Object.fromEntries(Object.entries<Tables[string]>(auditProjection.tables).map(([name, table]) => [name, new TableRows(schemas['audit'] ?? '', table, 1)]));
  const [events, took] = [life(), { words: 0 }];
  const leaves: unknown[] = [];
  const began = performance.now();
  const flush = async () => {
    for (const [name, table] of Object.entries(tables)) {
      const since = performance.now();
      for (const { text, values } of table.writing()) await query(text, [...values]);
      if (name === 'words') took.words += performance.now() - since;
      table.discard();
    }
    const putPeople = JSON.stringify(people.splice(0));
    await query(`INSERT INTO ${schemas['people']}.people SELECT ref, kind, 'x', fields, words, coalesce(since, now()) FROM json_to_recordset($1) AS r (ref uuid, kind text, fields jsonb, words text, since timestamptz)`, [putPeople]);
    await query(`INSERT INTO ${schemas['proof']}.leaves SELECT i, i, e, '\\x00' FROM json_to_recordset($1) AS r (i bigint, e uuid)`, [JSON.stringify(leaves.splice(0))]);
  };
  for (let n = 0; n < ROWS; n++) {
    const made = events.next().value as Made;
    const event = recorded(made, n);
    auditProjection.every?.(event, tables as never);
    leaves.push({ i: n, e: event.eventId });
    if (made.ip !== undefined) people.push({ ref: event.eventId, kind: 'origin', fields: { ip: made.ip, userAgent: 'bench', position: String(n) }, words: null, since: event.recordedAt });
    if (made.event.type === 'LinkCreated') people.push({ ref: made.event.data.linkId, kind: 'link', fields: { name: 'Parcel' }, words: null, since: event.recordedAt });
    if (made.event.type === 'UnlockRequested') people.push({ ref: made.event.data.unlockId, kind: 'courier', fields: { name: FIRST[n % 10], company: 'Quick' }, words: null, since: event.recordedAt });
    if ((n + 1) % BATCH === 0) await flush();
  }
  await flush();
  await query(
    `INSERT INTO ${schemas['devices']}.devices (device_id, serial_number, owner_id, assignment_id, maintenance, decommissioned, seen, view)
     SELECT d, s, u, a, false, false, true, '{}' FROM json_to_recordset($1) AS r (d uuid, s text, u uuid, a uuid)`,
    [JSON.stringify(Array.from({ length: BOXES }, (_, n) => ({ d: ids.device(n), s: serialOf(n), u: ids.user(n), a: ids.assignment(n) })))],
  );
  await query(
    `INSERT INTO ${schemas['devices']}.fleet (device_id, registered_at, owner_id, assignment_id, lifecycle, online, unlink_requested, model, words)
     SELECT device_id, now(), owner_id, assignment_id, 'active', true, false, 'LoqeyBox-V1', lower(serial_number) || ' ' || device_id FROM ${schemas['devices']}.devices`,
  );
  await query(`INSERT INTO ${schemas['users']}.users (user_id, registered_at, email_verified, suspended, erased, permissions, access_version) SELECT ref, now(), true, false, false, '{}', 0 FROM ${schemas['people']}.people WHERE kind = 'user'`);
  await query(
    `INSERT INTO ${schemas['unlocks']}.unlocks (unlock_id, device_id, cause_kind, cause_id, state, use_returned, requested_at, expires_at, correlation_id)
     SELECT unlock_id, device_id, 'link', link_id, 'opened', false, occurred_at, occurred_at, correlation_id FROM ${schemas['audit']}.audit WHERE type = 'UnlockRequested'`,
  );
  for (const projection of all as readonly AnyProjection[]) for (const statement of createIndexes(projection, schemas[projection.name] ?? '')) await query(statement);
  for (const table of ['audit.audit', 'audit.words', 'people.people', 'proof.leaves']) {
    const [name = '', own] = table.split('.');
    await query(`VACUUM ANALYZE ${schemas[name]}.${own}`); // as autovacuum does in its own time
  }
  client.release(true);
  return { seconds: (performance.now() - began) / 1_000, words: took.words / 1_000 };
}

interface Case {
  readonly what: string;
  readonly filter: AuditFilter;
  readonly offset?: number;
}

const cases: readonly Case[] = [
  { what: 'no filter (the least: one page by the key)', filter: {} },
  { what: 'common word: opened', filter: { q: 'opened' } },
  { what: 'common word: link', filter: { q: 'link' } },
  { what: 'common word of the data: locked', filter: { q: 'locked' } },
  { what: 'common code: link_used', filter: { q: 'link_used' } },
  { what: 'rare word: kestrel', filter: { q: 'kestrel' } },
  { what: 'rare words: stolen kestrel', filter: { q: 'stolen kestrel' } },
  { what: 'absent word: zeppelin', filter: { q: 'zeppelin' } },
  { what: 'absent among common: opened zeppelin', filter: { q: 'opened zeppelin' } },
  { what: 'never together: battery refused', filter: { q: 'battery refused' } },
  { what: 'serial number', filter: { q: serialOf(42) } },
  { what: 'serial number and word', filter: { q: `${serialOf(42)} jammed` } },
  { what: 'part of many serial numbers: LB-00', filter: { q: 'LB-00' } },
  { what: 'name of one in ten: ada', filter: { q: 'ada' } },
  { what: 'e-mail address', filter: { q: 'kim.berg.1@example.com' } },
  { what: 'name and word: yilmaz refused', filter: { q: 'yilmaz refused' } },
  { what: 'name of every link: parcel', filter: { q: 'parcel' } },
  { what: 'beginning of an id', filter: { q: ids.unlock(77).slice(0, 13) } },
  { what: 'id of an event', filter: { q: ids.event(123) } },
  { what: 'address', filter: { q: '192.0.2.9' } },
  { what: 'kind of actor: administrator', filter: { q: 'administrator' } },
  { what: 'word within a filter: jammed, failed', filter: { q: 'jammed', outcome: 'failed' } },
  { what: 'word of an old month', filter: { q: 'jammed', from: '2026-01-05T00:00:00.000Z', to: '2026-01-20T00:00:00.000Z' } },
  { what: 'two common words that seldom meet: courier 1.4.2', filter: { q: 'courier 1.4.2' } },
  { what: 'name, word and month', filter: { q: 'novak opened', from: '2026-02-01T00:00:00.000Z', to: '2026-03-01T00:00:00.000Z' } },
  { what: 'filter: refused', filter: { outcome: 'refused' } },
  { what: 'filter: administrators', filter: { actorKind: 'admin' } },
  { what: 'filter: an old week', filter: { from: '2026-01-05T00:00:00.000Z', to: '2026-01-12T00:00:00.000Z' } },
  { what: 'filter: box and action', filter: { deviceId: ids.device(42), action: 'device_unlock' } },
  { what: 'page far down: offset 500,000', filter: {}, offset: 500_000 },
  { what: 'page beyond the end: offset 1,000,000,000', filter: {}, offset: 1_000_000_000 },
  { what: 'by cursor, from the middle', filter: { before: BigInt(Math.floor(ROWS / 2)) } },
];

const quantile = (times: readonly number[], q: number) => [...times].sort((a, b) => a - b)[Math.min(times.length - 1, Math.floor(times.length * q))] ?? 0;
const whole = (n: number) => Math.round(n).toLocaleString('en');

const folder = mkdtempSync(join(tmpdir(), 'loqey-bench-audit-'));
chmodSync(folder, 0o755); // the server runs as another user where this runs as root
const server = createEmbeddedPostgres({ dataDir: folder, logger });
try {
  const url = await server.start();
  await migrate({ url, migrations, programVersion: 'bench', logger });
  const db = createDatabase({ url, max: 4, applicationName: 'bench', logger, metrics: new Metrics() });
  const { seconds, words } = await fill(db);
  const { rows: sizes } = await db.pool.query<{ audit: string; words: string; kept: string }>(
    `SELECT pg_size_pretty(pg_total_relation_size('${schemas['audit']}.audit')) AS audit, pg_size_pretty(pg_total_relation_size('${schemas['audit']}.words')) AS words,
            (SELECT reltuples::bigint::text FROM pg_class WHERE oid = '${schemas['audit']}.words'::regclass) AS kept`,
  );
  console.log(`${whole(ROWS)} entries of ${whole(BOXES)} boxes in ${seconds.toFixed(0)} s (of it words ${words.toFixed(1)} s); entries ${sizes[0]?.audit}, ${whole(Number(sizes[0]?.kept))} words ${sizes[0]?.words}\n`);

  const audit = createAuditQueries(createReader(db));
  console.log(`${'question'.padEnd(52)}${'found'.padStart(9)}${'p50 ms'.padStart(9)}${'p95 ms'.padStart(9)}${'limit'.padStart(8)}`);
  const times: number[] = [];
  for (const { what, filter, offset = 0 } of cases) {
    const own: number[] = [];
    let total = 0;
    for (let n = 0; n < ROUNDS; n++) {
      const since = performance.now();
      ({ total } = await audit.list(filter, { limit: 100, offset }));
      own.push(performance.now() - since);
    }
    times.push(...own.slice(1));
    const p95 = quantile(own, 0.95);
    console.log(`${what.padEnd(52)}${whole(total).padStart(9)}${quantile(own, 0.5).toFixed(1).padStart(9)}${p95.toFixed(1).padStart(9)}${`${LIMIT_MS}${p95 > LIMIT_MS ? ' !' : '  '}`.padStart(8)}`);
  }
  console.log(`${'all of them'.padEnd(61)}${quantile(times, 0.5).toFixed(1).padStart(9)}${quantile(times, 0.95).toFixed(1).padStart(9)}${`${LIMIT_MS}  `.padStart(8)}`);

  const positions = positionTokens(LOG_ID);
  console.log(`\n${'export'.padEnd(34)}${'rows'.padStart(11)}${'seconds'.padStart(9)}${'rows/s'.padStart(9)}${'MB'.padStart(8)}${'RSS before'.padStart(12)}${'most'.padStart(8)}`);
  for (const format of ['csv', 'ndjson'] as const) {
    let [rows, bytes, most] = [0, 0, 0];
    const before = process.memoryUsage.rss();
    const since = performance.now();
    for await (const piece of auditExport((await audit.pages({}, BigInt(ROWS))).pieces, format, positions)) {
      rows += piece.split('\n').length - 1;
      bytes += Buffer.byteLength(piece);
      most = Math.max(most, process.memoryUsage.rss());
    }
    const took = (performance.now() - since) / 1_000;
    if (format === 'csv') rows--; // its head
    const mb = (n: number) => (n / 1_048_576).toFixed(0);
    console.log(`${`all as ${format}`.padEnd(34)}${whole(rows).padStart(11)}${took.toFixed(1).padStart(9)}${whole(rows / took).padStart(9)}${mb(bytes).padStart(8)}${mb(before).padStart(12)}${mb(most).padStart(8)}`);
  }
  await db.stop();
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
