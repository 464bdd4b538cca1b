import { actionOf } from './actions.ts';
import type { AuditFilter, AuditQueries, AuditRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';

const columns = `
  position, event_id AS "eventId", type, action, outcome, actor_kind AS "actorKind", actor_id AS "actorId", source,
  device_id AS "deviceId", link_id AS "linkId", user_id AS "userId", unlock_id AS "unlockId",
  occurred_at AS "occurredAt", recorded_at AS "recordedAt", command_id AS "commandId", correlation_id AS "correlationId",
  causation_id AS "causationId", stream, revision, data`;

type Stored = Omit<AuditRow, 'position' | 'revision'> & { readonly position: string; readonly revision: string };

const rowOf = (row: Stored): AuditRow => ({ ...row, position: BigInt(row.position), revision: BigInt(row.revision) });

/** A type has one action, and only that is indexed. */
type StoredFilter = AuditFilter & { readonly actions?: readonly string[] };

/** How each member of a filter is asked for, given the number of its parameter. */
const conditions: { readonly [K in keyof Required<StoredFilter>]: (parameter: string) => string } = {
  action: (p) => `action = ${p}`,
  actions: (p) => `action = ANY (${p}::text[])`,
  types: (p) => `type = ANY (${p}::text[])`,
  deviceId: (p) => `device_id = ${p}::uuid`,
  userId: (p) => `(user_id = ${p}::uuid OR actor_id = ${p}::text)`,
  linkId: (p) => `link_id = ${p}::uuid`,
  unlockId: (p) => `unlock_id = ${p}::uuid`,
  correlationId: (p) => `correlation_id = ${p}::uuid`,
  outcome: (p) => `outcome = ${p}`,
  from: (p) => `occurred_at >= ${p}::timestamptz`,
  to: (p) => `occurred_at < ${p}::timestamptz`,
  before: (p) => `position < ${p}::numeric`,
  after: (p) => `position > ${p}::numeric`,
};

/** Past so many the total is only said to be at least that: counting a whole log for one page would be slower than the page. */
const COUNTED = 100_000;

const chain = {
  name: 'audit.chain',
  text: (s: Schemas) => `SELECT ${columns} FROM ${s['audit']}.audit WHERE correlation_id = $1 ORDER BY position LIMIT 1000`,
};

export function createAuditQueries(reader: Reader): AuditQueries {
  return {
    async list(asked, { limit, offset }) {
      const filter: StoredFilter = asked.types === undefined ? asked : { ...asked, actions: asked.types.map(actionOf) };
      const given = (Object.keys(conditions) as (keyof StoredFilter)[]).filter((name) => filter[name] !== undefined);
      const values = given.map((name) => {
        const value = filter[name];
        return typeof value === 'bigint' ? String(value) : value;
      });
      // One statement for each set of members that is asked for, so that each gets its own plan.
      const shape = given.map((name) => Object.keys(conditions).indexOf(name).toString(36)).join('');
      const where = given.length === 0 ? '' : `WHERE ${given.map((name, i) => conditions[name](`$${i + 1}`)).join(' AND ')}`;
      const direction = filter.after === undefined ? 'DESC' : 'ASC';
      const [rows, totals] = await Promise.all([
        reader.all<Stored>(
          {
            name: `audit.list.${shape}`,
            text: (s) => `
              SELECT ${columns} FROM ${s['audit']}.audit ${where}
               ORDER BY position ${direction} LIMIT $${given.length + 1} OFFSET $${given.length + 2}`,
          },
          [...values, limit, offset],
        ),
        reader.first<{ total: number }>(
          {
            name: `audit.total.${shape}`,
            text: (s) => `SELECT count(*)::integer AS total FROM (SELECT 1 FROM ${s['audit']}.audit ${where} LIMIT ${COUNTED}) counted`,
          },
          values,
        ),
      ]);
      return { rows: rows.map(rowOf), total: totals?.total ?? 0 };
    },

    async chain(correlationId) {
      return (await reader.all<Stored>(chain, [correlationId])).map(rowOf);
    },
  };
}
