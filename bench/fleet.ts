/**
 * The administrators' list of boxes at size: `npx node bench/fleet.ts [--boxes 100000] [--quick]` (quick: 5,000 boxes).
 * An embedded PostgreSQL with its ordinary settings, filled through the read model of boxes itself, with owners, names,
 * addresses and links beside them, and with what the boxes said last. Prints the least, p50 and p95 of each kind of question
 * that the console asks, page and total together, beside the least that any of them could cost (one box by its id).
 * `--slow 50`: also the plans of what took longer than so many milliseconds.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { migrations } from '../migrations/index.ts';
import type { DomainEvent } from '../src/domain/events.ts';
import { instant } from '../src/platform/clock.ts';
import { silentLogger as logger } from '../src/platform/logger.ts';
import { Metrics } from '../src/platform/metrics.ts';
import { createDatabase, type Database } from '../src/platform/postgres/db.ts';
import { createEmbeddedPostgres } from '../src/platform/postgres/embedded.ts';
import { migrate } from '../src/platform/postgres/migrate.ts';
import { devicesProjection } from '../src/projections/devices/projection.ts';
import { createDeviceQueries } from '../src/projections/devices/queries.ts';
import { createIndexes, createTables, schemaOf, type AnyProjection, type Emit, type Tables } from '../src/projections/projection.ts';
import type { DeviceFilter } from '../src/projections/read-models.ts';
import { projections } from '../src/projections/registry.ts';
import { TableRows } from '../src/projections/rows.ts';
import { createReader } from '../src/projections/schemas.ts';

const { values: given } = parseArgs({ options: { boxes: { type: 'string' }, quick: { type: 'boolean', default: false }, slow: { type: 'string' } } });
const BOXES = Number(given.boxes ?? (given.quick ? 5_000 : 100_000));
const ROUNDS = given.quick ? 5 : 20;
const LOG_ID = '11111111-1111-4111-8111-111111111111';
const BATCH = 1_000;
/** Of a person, and of everybody who opened or was given a link: what is in `people` beside them. */
const [BOXES_OF_ONE, LINKS_OF_A_BOX] = [2, 3];
const NOW = Date.parse('2026-11-21T10:00:00.000Z');
const HEARD_SINCE = instant(NOW - 300_000);

/** The same ids in every run. */
const id = (kind: number, n: number): string => {
  const hex = `${((n * 2_654_435_761) >>> 0).toString(16).padStart(8, '0')}${kind.toString(16).padStart(4, '0')}4000a000${n.toString(16).padStart(12, '0')}`;
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
};
const ids = { device: (n: number) => id(1, n), user: (n: number) => id(2, n), assignment: (n: number) => id(3, n), link: (n: number) => id(4, n), event: (n: number) => id(7, n) };
const FIRST = ['Ada', 'Kim', 'Noor', 'Jo', 'Sam', 'Ines', 'Emre', 'Lin', 'Ola', 'Rui'];
const LAST = ['Berg', 'Yilmaz', 'Okafor', 'Smith', 'Novak', 'Costa', 'Haas', 'Ito', 'Duarte', 'Mendez'];
const STREETS = ['Mill Lane', 'High Street', 'Station Road', 'Harbour Way', 'Elm Close'];
const ownerOf = (n: number) => Math.floor(n / BOXES_OF_ONE);
const isOwned = (n: number) => n % 10 < 8;
const isOnline = (n: number) => isOwned(n) && n % 100 < 77;

/** A box as most are: registered, claimed, heard of; some are not, one of a hundred is weak, a few are being taken off an account. */
function* lifeOf(n: number): Generator<DomainEvent> {
  const [deviceId, assignmentId, userId] = [ids.device(n), ids.assignment(n), ids.user(ownerOf(n))];
  yield { type: 'DeviceRegistered', data: { deviceId, serialNumber: `LB-2026-${String(n).padStart(6, '0')}`, model: n % 20 === 0 ? 'LoqeyBox-Pro' : 'LoqeyBox-V1', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } };
  if (n % 1_000 === 999) yield { type: 'DeviceDecommissioned', data: { deviceId, reason: 'broken' } } as unknown as DomainEvent;
  if (n % 500 === 250) yield { type: 'MaintenanceStarted', data: {} } as DomainEvent;
  if (!isOwned(n)) return;
  yield { type: 'DeviceAssigned', data: { assignmentId, userId, name: '' } };
  if (n % 2_000 === 7) yield { type: 'DeviceUnlinkRequested', data: { assignmentId, userId } };
  yield { type: 'FirmwareReported', data: { version: n % 50 === 0 ? '1.3.9' : '1.4.2', evidence: 'signed' } } as DomainEvent;
  yield { type: 'BatteryLevelChanged', data: { level: n % 100 === 3 ? 12 : 30 + (n % 70), evidence: 'signed' } };
  yield { type: 'LockStateReported', data: { lockStatus: 'locked', cause: 'auto', evidence: 'signed', reportSeq: n } } as DomainEvent;
  if (isOnline(n)) yield { type: 'DeviceWentOnline', data: { evidence: 'signed' } } as DomainEvent;
}

const all = projections({ sealer: { open: async () => undefined, openMany: async (items) => items.map(() => undefined) } });
const schemas = Object.fromEntries(all.map(({ name, version }) => [name, schemaOf(name, version, 1)]));

async function fill(db: Database): Promise<void> {
  const client = await db.pool.connect();
  await client.query('SET statement_timeout = 0'); // indexes take their time
  const query = (text: string, values: unknown[] = []) => client.query(text, values);
  for (const projection of all) {
    for (const statement of createTables(projection, schemas[projection.name] ?? '')) await query(statement);
    await query(`INSERT INTO work.projections (name, version, generation, position, log_id, state) VALUES ($1, $2, 1, 1, $3, 'running')`, [projection.name, projection.version, LOG_ID]);
  }
  const tables = Object.fromEntries(Object.entries<Tables[string]>(devicesProjection.tables).map(([name, table]) => [name, new TableRows(schemas['devices'] ?? '', table, 1)]));
  const emit: Emit = () => undefined;
  let people: unknown[] = [];
  let said: unknown[] = [];
  for (let n = 0; n < BOXES; n++) {
    const at = instant(NOW - (BOXES - n) * 60_000);
    let revision = 0n;
    for (const event of lifeOf(n)) {
      const recorded = { ...event, stream: `device-${ids.device(n)}`, revision: revision++, position: BigInt(n), eventId: ids.event(n), metadata: { occurredAt: at } };
      (devicesProjection.on[event.type] as (event: unknown, rows: unknown, emit: Emit) => void)(recorded, tables, emit);
    }
    const [first, last, owner] = [FIRST[ownerOf(n) % 10] ?? '', LAST[Math.floor(ownerOf(n) / 10) % 10] ?? '', ids.user(ownerOf(n))];
    const profile = { email: `${first}.${last}.${ownerOf(n)}@example.com`.toLowerCase(), firstName: first, lastName: last, residentState: 'Izmir' };
    const place = { name: n % 3 === 0 ? 'Front door' : 'Garage', address: `${n % 1_000} ${STREETS[n % 5] ?? ''}` };
    if (n % BOXES_OF_ONE === 0) people.push({ ref: owner, kind: 'user', subject: `user:${owner}`, fields: profile, words: `${profile.email} ${first} ${last}`.toLowerCase(), since: at });
    if (isOwned(n)) {
      people.push({ ref: ids.assignment(n), kind: 'box', subject: `user:${owner}`, fields: place, words: `${place.name} ${place.address}`.toLowerCase(), since: at });
      for (let link = 0; link < LINKS_OF_A_BOX; link++) people.push({ ref: ids.link(n * LINKS_OF_A_BOX + link), kind: 'link', subject: `user:${owner}`, fields: { name: 'Parcel' }, words: null, since: at });
      // One of a thousand that are online fell silent a moment ago, and nobody has noticed yet.
      const heardAt = !isOnline(n) ? NOW - 86_400_000 : n % 1_000 === 5 ? NOW - 400_000 : NOW - (n % 60) * 1_000;
      said.push({ id: ids.device(n), heard: instant(heardAt), battery: n % 100 === 3 ? 12 : 30 + (n % 70), facts: { online: isOnline(n), lockStatus: 'locked', doorOpen: false, firmware: '1.4.2', batteryLevel: 80, parcel: false }, senders: { last: ids.event(n), turns: [] } });
    }
    if ((n + 1) % BATCH !== 0) continue;
    for (const table of Object.values(tables)) {
      for (const { text, values } of table.writing()) await query(text, [...values]);
      table.discard();
    }
    await query(`INSERT INTO ${schemas['people']}.people (ref, kind, subject_id, fields, words, since) SELECT ref, kind, subject, fields, words, since FROM json_to_recordset($1) AS r (ref uuid, kind text, subject text, fields jsonb, words text, since timestamptz)`, [JSON.stringify(people)]);
    await query(
      `INSERT INTO work.device_live (device_id, profile, topic_key, level, last_heard_at, connect_id, connect_heard_at, key_version, report_seq, journal_id, last_seq, battery, signal_strength, uptime, facts, senders)
       SELECT id, 'loqey', id::text, 1, heard, 'conn-' || left(id::text, 8), heard, 1, 100, '5f0c9a1b2c3d4e5f', 100, battery, -60, 86400, facts, senders FROM json_to_recordset($1) AS r (id uuid, heard timestamptz, battery smallint, facts json, senders json)`,
      [JSON.stringify(said)],
    );
    [people, said] = [[], []];
  }
  for (const projection of all as readonly AnyProjection[]) for (const statement of createIndexes(projection, schemas[projection.name] ?? '')) await query(statement);
  for (const table of [...Object.keys(devicesProjection.tables).map((name) => `${schemas['devices']}.${name}`), `${schemas['people']}.people`, 'work.device_live']) await query(`VACUUM ANALYZE ${table}`); // as autovacuum does in its own time
  client.release(true);
}

const online = { is: true, heardSince: HEARD_SINCE };
const offline = { is: false, heardSince: HEARD_SINCE };
const half = Math.floor(BOXES / 2);
const cases: readonly (readonly [what: string, filter: DeviceFilter, offset?: number])[] = [
  ['all', {}],
  ['all, page 1,000', {}, Math.floor(BOXES / 2)],
  ['in maintenance', { lifecycle: 'maintenance' }],
  ['active', { lifecycle: 'active' }],
  ['available', { assigned: false }],
  ['online', { online }],
  ['not online', { online: offline }],
  ['active and not online', { lifecycle: 'active', online: offline }],
  ['low battery', { batteryBelow: 20 }],
  ['low battery and online', { batteryBelow: 20, online }],
  ['battery below 101 %', { batteryBelow: 101 }],
  ['a model', { model: 'loqeybox-pro' }],
  ['a firmware', { firmware: '1.3.9' }],
  ['to be unlinked', { unlinkRequested: true }],
  ['a serial number', { search: `LB-2026-${String(half).padStart(6, '0')}` }],
  ['its end', { search: String(half + 4).padStart(6, '0').slice(1) }],
  ['beginning of all serial numbers', { search: 'LB-20' }],
  ['an id', { search: ids.device(half) }],
  ['beginning of an id', { search: ids.device(half).slice(0, 8) }],
  ['an address of mail', { search: `noor.smith.${Math.floor(half / 200) * 100 + 32}@` }],
  ['a name that one in a hundred has', { search: 'noor okafor' }],
  ['a domain that all have', { search: 'example.com' }],
  ['a street that one in five has', { search: 'mill lane' }],
  ['a house', { search: '777 high' }],
  ['two letters', { search: 'no' }],
  ['one letter', { search: 'q' }],
  ['nothing', { search: 'zanzibar' }],
  ['a name, online', { search: 'noor okafor', online }],
  ['a domain, not online', { search: 'example.com', online: offline }],
];

const folder = mkdtempSync(join(tmpdir(), 'loqey-bench-fleet-'));
chmodSync(folder, 0o755); // the server runs as another user where this runs as root
const server = createEmbeddedPostgres({ dataDir: folder, logger });
const ms = (value: number | undefined) => (value ?? 0).toFixed(value !== undefined && value < 10 ? 1 : 0).padStart(7);
try {
  const url = await server.start();
  await migrate({ url, migrations, programVersion: 'bench', logger });
  const db = createDatabase({ url, max: 4, applicationName: 'bench', logger, metrics: new Metrics(), timeouts: { statement: 60_000, query: 60_000, connect: 30_000 } });
  const began = performance.now();
  await fill(db);
  const { rows: sizes } = await db.pool.query<{ name: string; size: string }>(
    `SELECT c.relname AS name, pg_size_pretty(pg_relation_size(c.oid)) AS size FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE (n.nspname = $1 OR n.nspname = $2 AND c.relname LIKE 'people%' OR c.relname LIKE 'device_live%') AND c.relkind IN ('r', 'i') ORDER BY pg_relation_size(c.oid) DESC`,
    [schemas['devices'], schemas['people']],
  );
  console.log(`${BOXES.toLocaleString('en')} boxes in ${((performance.now() - began) / 1_000).toFixed(0)} s: ${sizes.map(({ name, size }) => `${name} ${size}`).join(', ')}\n`);
  const queries = createDeviceQueries(createReader(db));
  const measure = async (what: string, ask: () => Promise<string>) => {
    const took: number[] = [];
    let found = '';
    for (let round = 0; round < ROUNDS; round++) {
      const since = performance.now();
      found = await ask();
      took.push(performance.now() - since);
    }
    took.sort((a, b) => a - b);
    console.log(`${ms(took[0])} ${ms(took[Math.floor(ROUNDS / 2)])} ${ms(took[Math.floor(ROUNDS * 0.95)])}  ${what.padEnd(36)} ${found}`);
    return took[0] ?? 0;
  };
  console.log(`${'least'.padStart(7)} ${'p50'.padStart(7)} ${'p95'.padStart(7)}  ms`);
  await measure('one box by its id', async () => `${(await queries.byId(ids.device(half)))?.serialNumber}`);
  const texts = new Map<string, readonly unknown[]>();
  if (given.slow !== undefined) {
    const query = db.pool.query.bind(db.pool) as (statement: { text: string; values: readonly unknown[] }) => Promise<unknown>;
    db.pool.query = ((statement: { text: string; values: readonly unknown[] }) => (texts.set(statement.text, statement.values), query(statement))) as never;
  }
  for (const [what, filter, offset = 0] of cases) {
    texts.clear();
    const least = await measure(what, async () => {
      const { rows, total } = await queries.list(filter, { limit: 50, offset });
      return `${rows.length} of ${total.toLocaleString('en')}`;
    });
    if (least < Number(given.slow ?? Infinity)) continue;
    for (const [text, values] of [...texts]) {
      const { rows } = await db.pool.query<Record<string, string>>({ text: `EXPLAIN (ANALYZE, BUFFERS) ${text}`, values: [...values] });
      console.log(`${text}\n${rows.map((row) => `    ${Object.values(row).join('')}`).join('\n')}\n`);
    }
  }
  await db.stop();
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
