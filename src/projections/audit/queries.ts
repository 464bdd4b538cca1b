import { caughtUp } from '../caught-up.ts';
import type { AuditQueries, AuditRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';
import { Sql, type Range } from './plan.ts';
import { auditProjection } from './projection.ts';
import { conditionsOf, isFound, saidIn, type Condition, type Searched } from './search.ts';
import { summaryOf } from './summary.ts';
import { termsOf } from './words.ts';

/** Who and what it was is in `people`, by id and by event; it may have been forgotten. */
const columns = `
  a.position, a.event_id AS "eventId", a.type, a.action, a.outcome, a.actor_kind AS "actorKind", a.actor_id AS "actorId",
  who.fields->>'email' AS "actorEmail", nullif(concat_ws(' ', who.fields->>'firstName', who.fields->>'lastName'), '') AS "actorName",
  origin.fields->>'ip' AS ip, origin.fields->>'userAgent' AS "userAgent", a.source,
  a.device_id AS "deviceId", box.serial_number AS "serialNumber", a.link_id AS "linkId", link.fields->>'name' AS "linkName", a.user_id AS "userId",
  coalesce(nullif(concat_ws(' ', whom.fields->>'firstName', whom.fields->>'lastName'), ''), whom.fields->>'email') AS "userName",
  a.unlock_id AS "unlockId", coalesce(courier.fields->>'name', courier.fields->>'company') AS "courierName",
  a.occurred_at AS "occurredAt", a.recorded_at AS "recordedAt", a.command_id AS "commandId",
  a.correlation_id AS "correlationId", a.causation_id AS "causationId", a.stream, a.revision, a.data, said.fields AS said`;

/** What a search by name looks in. */
const names = `lower(concat_ws(' ', who.words, whom.words, box.serial_number, place.words, link.fields->>'name', courier.fields->>'name', courier.fields->>'company', ${saidIn('said.fields')})) AS names`;

/** Another program's actor may be called anything. */
const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

/** The lines first, as `a`, then what is joined to those few. */
const joined = (s: Schemas, lines: string, order: string, more = '') => `
  SELECT ${columns}${more} FROM (${lines}) a
    LEFT JOIN ${s['people']}.people origin ON origin.ref = a.event_id
    LEFT JOIN ${s['people']}.people who ON who.ref = CASE WHEN a.actor_kind IN ('user', 'admin') AND a.actor_id ~ '${UUID}' THEN a.actor_id::uuid END AND who.kind = 'user'
    LEFT JOIN ${s['people']}.people whom ON whom.ref = a.user_id AND whom.kind = 'user'
    LEFT JOIN ${s['people']}.people link ON link.ref = a.link_id AND link.kind = 'link'
    LEFT JOIN ${s['people']}.people courier ON courier.ref = a.unlock_id AND courier.kind = 'courier'
    LEFT JOIN ${s['people']}.people said ON said.ref = CASE a.type WHEN 'UnlockRequested' THEN a.unlock_id ELSE a.command_id END AND said.kind = 'reason' AND said.fields->>'type' = a.type
    LEFT JOIN ${s['devices']}.devices box ON box.device_id = a.device_id
    LEFT JOIN ${s['people']}.people place ON place.ref = box.assignment_id AND place.kind = 'box'
   ORDER BY a.position ${order}`;

const lineOf = (s: Schemas, positions: string) => `SELECT l.* FROM (${positions}) hit JOIN ${s['audit']}.audit l USING (position)`;

type Stored = Omit<AuditRow, 'position' | 'revision' | 'summary'> & { readonly position: string; readonly revision: string; /** What is sealed in the log, by its name there. */ readonly said: (Readonly<Record<string, unknown>> & { readonly type: string; readonly position: string }) | null };

function rowOf({ said, ...stored }: Stored): AuditRow {
  const { type: _type, position: _position, ...words } = said ?? {};
  const row = { ...stored, data: { ...stored.data, ...words } };
  return { ...row, position: BigInt(row.position), revision: BigInt(row.revision), summary: summaryOf(row) };
}

/** Past so many the total is only said to be at least that: counting a whole log for one page would be slower than the page. */
const COUNTED = 10_000;
/** So many are few enough to look at each. */
const FEW = 1_000;
/** So many of one condition are held against the others before all that meet them are put together. */
const TRIED = 5_000;
/** Entries of one answer of `pages`. */
const PIECE = 1_000;

/** What was found: places, in order, and how many there are at least. */
interface Hits {
  readonly positions: readonly string[];
  readonly total: number;
  /** True: there may be more than `total`. */
  readonly atLeast: boolean;
}

interface Places extends Record<string, unknown> {
  readonly positions: readonly string[] | null;
}

interface Found extends Places {
  readonly total: number;
}

/** Which part of what is found. */
interface Part {
  readonly range: Range;
  readonly limit: number;
  readonly offset: number;
  /** Whether anybody wants to know how many there are. */
  readonly count: boolean;
}

export function createAuditQueries(reader: Reader): AuditQueries {
  const { name } = auditProjection;

  const ask = async <Row extends Record<string, unknown>>(range: Range, make: (sql: Sql, s: Schemas) => string): Promise<Row[]> => {
    const values: unknown[] = [];
    return reader.all<Row>(
      {
        name: 'audit.ask',
        once: true,
        text(s) {
          const sql = new Sql(s, range);
          const text = make(sql, s);
          values.splice(0, values.length, ...sql.values);
          return text;
        },
      },
      values,
    );
  };

  /** `count`: whether anybody wants to know how many there are. */
  async function hits(conditions: readonly Condition[], part: Part): Promise<Hits> {
    const { range, limit, offset, count } = part;
    if (conditions.some((condition) => condition.length === 0)) return { positions: [], total: 0, atLeast: false };
    const [first] = conditions;
    if (conditions.length <= 1) {
      const inOrder = (sql: Sql, most: number) => (first === undefined ? sql.everything(most) : sql.first(first, most));
      const totalOf = (sql: Sql) => (first === undefined ? `(SELECT count(*)::integer FROM (${sql.everything(COUNTED)}) c)` : sql.total(first, COUNTED));
      if (first?.[0]?.by === 'time') {
        // Most ask for what was lately: it is at the log's end, and the rest of the time need not be put in order.
        const lately = await page(part, (sql, most, s) => `SELECT position FROM (${sql.everything(TRIED)}) d JOIN ${s['audit']}.audit a USING (position) WHERE ${sql.met(first)} ORDER BY position ${range.order} LIMIT ${most}`, totalOf);
        if (lately.positions.length === limit) return lately;
      }
      return page(part, inOrder, totalOf);
    }
    const counts = await countsOf(conditions);
    const fewest = counts.indexOf(Math.min(...counts));
    const driver = counts[fewest] === Infinity ? undefined : conditions[fewest];
    const few = (counts[fewest] ?? Infinity) < FEW;
    const found = await page(part, (sql, most, s) => {
      const some = driver === undefined ? sql.everything(TRIED) : sql.first(driver, few ? FEW : TRIED);
      const others = conditions.filter((condition) => condition !== driver).map((condition) => sql.met(condition));
      return `SELECT position FROM (${some}) d JOIN ${s['audit']}.audit a USING (position) WHERE ${others.join(' AND ')} ORDER BY position ${range.order} LIMIT ${most}`;
    });
    if (few) return found;
    if (found.total > offset + limit || (!count && found.positions.length === limit)) return { ...found, atLeast: true };
    // All that meet each of them, put together as far as an index has them: what that costs depends on how many they are and not on where.
    const sets = conditions.filter((condition, at) => counts[at] !== Infinity || condition.every(({ by }) => by === 'time'));
    const rest = conditions.filter((condition) => !sets.includes(condition));
    return page(part, (sql, most, s) => {
      const entry = `${s['audit']}.audit a`;
      const isRest = rest.map((condition) => sql.met(condition)).join(' AND ');
      const end = `ORDER BY position ${range.order} LIMIT ${most}`;
      if (sets.length === 0) return `SELECT position FROM ${entry} WHERE ${isRest} AND ${sql.inRange('a.position')} ${end}`;
      const both = sets.map((condition) => `(${sql.all(condition)})`).join(' INTERSECT ');
      if (rest.length === 0) return `SELECT position FROM (${both}) b ${end}`;
      // In order and one by one, so that it ends with the page; OFFSET 0 keeps it from being made a join with the whole log.
      return `SELECT position FROM (SELECT DISTINCT position FROM (${both}) u ORDER BY position ${range.order}) b WHERE EXISTS (SELECT FROM ${entry} WHERE a.position = b.position AND ${isRest} OFFSET 0) LIMIT ${most}`;
    });
  }

  /**
   * @param make the first so many places, in order
   * @param totalOf how many there are; absent: `make` finds all of them, once
   */
  async function page({ range, limit, offset, count }: Part, make: (sql: Sql, most: number, s: Schemas) => string, totalOf?: (sql: Sql) => string): Promise<Hits> {
    const cut = (from: string, rows: number) => `(SELECT array_agg(position::text) FROM (SELECT position FROM (${from}) h ORDER BY position ${range.order} LIMIT ${rows} OFFSET ${offset}) p) AS positions`;
    if (count && offset + limit < COUNTED) {
      const [row] = await ask<Found>(range, (sql, s) =>
        totalOf === undefined
          ? `WITH hits AS MATERIALIZED (${make(sql, COUNTED, s)}) SELECT (SELECT count(*)::integer FROM hits) AS total, ${cut('SELECT position FROM hits', limit)}`
          : `SELECT ${totalOf(sql)} AS total, ${cut(make(sql, offset + limit, s), limit)}`,
      );
      const total = row?.total ?? 0;
      return { positions: row?.positions ?? [], total, atLeast: total >= COUNTED };
    }
    // So far down the list nobody needs the total but to know whether there is more.
    const [row] = await ask<Places>(range, (sql, s) => `SELECT ${cut(make(sql, offset + limit + 1, s), limit + 1)}`);
    const positions = row?.positions ?? [];
    return { positions: positions.slice(0, limit), total: positions.length === 0 ? Math.min(offset, COUNTED) : offset + positions.length, atLeast: positions.length === 0 || positions.length > limit };
  }

  /** Of each condition how many there are, up to `FEW`; Infinity where only reading the log would tell. */
  async function countsOf(conditions: readonly Condition[]): Promise<readonly number[]> {
    const [row] = await ask<{ counts: (number | null)[] }>({ order: 'DESC' }, (sql) => `SELECT ARRAY[${conditions.map((condition) => sql.countTo(condition, FEW) ?? 'NULL').join(', ')}]::integer[] AS counts`);
    return (row?.counts ?? []).map((count) => count ?? Infinity);
  }

  async function lines(positions: readonly string[], order: Range['order']): Promise<readonly AuditRow[]> {
    if (positions.length === 0) return [];
    const rows = await reader.all<Stored>({ name: `audit.lines.${order}`, text: (s) => joined(s, lineOf(s, 'SELECT unnest($1::numeric[]) AS position'), order) }, [positions]);
    return rows.map(rowOf);
  }

  return {
    async list(filter, { limit, offset }) {
      await caughtUp(reader, name);
      const { conditions, partial, namedSince } = await conditionsOf(reader, filter);
      const range = { after: filter.after, before: filter.before, until: filter.until, order: filter.after === undefined ? 'DESC' : 'ASC' } as const;
      const { positions, total, atLeast } = await hits(conditions, { range, limit, offset, count: true });
      return { rows: await lines(positions, range.order), total, atLeast, partial, namedSince };
    },

    async pages(filter, until) {
      const { conditions, partial, namedSince } = await conditionsOf(reader, filter);
      async function* pieces() {
        let after = filter.after ?? -1n;
        for (;;) {
          const { positions } = await hits(conditions, { range: { after, before: filter.before, until, order: 'ASC' }, limit: PIECE, offset: 0, count: false });
          if (positions.length === 0) return;
          yield await lines(positions, 'ASC');
          if (positions.length < PIECE) return;
          after = BigInt(positions.at(-1) ?? until);
        }
      }
      return { partial, namedSince, pieces: pieces() };
    },

    async news({ q, ...filter }, after, until, limit) {
      const { conditions } = await conditionsOf(reader, filter);
      const terms = q === undefined ? [] : termsOf(q);
      const range = { after, until, order: 'ASC' } as const;
      // What is new is little: each of it is looked at, in order, and none of it is searched for.
      const rows = await ask<Stored & { names: string }>(range, (sql, s) => {
        const where = ['true', ...conditions.map((condition) => sql.met(condition))].join(' AND ');
        return joined(s, `SELECT a.* FROM (${sql.everything(limit)}) d JOIN ${s['audit']}.audit a USING (position) WHERE ${where}`, 'ASC', `, ${names}`);
      });
      const [end] = await ask<{ position: string | null }>(range, (sql) => `SELECT max(position)::text AS position FROM (${sql.everything(limit)}) d`);
      const isMeant = (row: Stored & { names: string }) => isFound(row as Searched, terms);
      return { rows: rows.filter(isMeant).map(rowOf), through: end?.position == null ? until : BigInt(end.position) };
    },

    async head() {
      const row = await reader.first<{ position: string | null }>(head, [name]);
      return row?.position == null ? -1n : BigInt(row.position);
    },

    async byEvent(eventId) {
      await caughtUp(reader, name);
      const rows = await reader.all<Stored>(byEvent, [eventId]);
      return rows[0] === undefined ? undefined : rowOf(rows[0]);
    },

    async chain(correlationId) {
      await caughtUp(reader, name);
      return (await reader.all<Stored>(chain, [correlationId])).map(rowOf);
    },
  };
}

const head = { name: 'audit.head', text: () => 'SELECT position FROM work.projections WHERE name = $1' };

const chain = {
  name: 'audit.chain',
  text: (s: Schemas) => joined(s, `SELECT * FROM ${s['audit']}.audit WHERE correlation_id = $1 ORDER BY position LIMIT 1000`, 'ASC'),
};

/** The proof knows where each event is; but for those of the log about itself, of which there are few. */
const byEvent = {
  name: 'audit.by_event',
  text: (s: Schemas) => {
    const place = `SELECT position FROM ${s['proof']}.leaves WHERE event_id = $1::uuid`;
    const own = `SELECT position FROM ${s['audit']}.audit WHERE action IN ('audit_head_signed', 'log_started', 'projection_event_skipped', 'keys_rewrapped', 'job_requested') AND event_id = $1::uuid`;
    return joined(s, lineOf(s, `${place} UNION ${own}`), 'ASC');
  },
};
