import { caughtUp } from '../caught-up.ts';
import { actionOf } from './actions.ts';
import { auditProjection } from './projection.ts';
import type { AuditFilter, AuditQueries, AuditRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';
import { whereOf, type Conditions } from '../where.ts';

/** Who it was and from where is in `people`, by the event; it may have been forgotten. */
const columns = `
  a.position, a.event_id AS "eventId", a.type, a.action, a.outcome, a.actor_kind AS "actorKind", a.actor_id AS "actorId",
  who.fields->>'email' AS "actorEmail", origin.fields->>'ip' AS ip, origin.fields->>'userAgent' AS "userAgent", a.source,
  a.device_id AS "deviceId", box.serial_number AS "serialNumber", a.link_id AS "linkId", a.user_id AS "userId",
  a.unlock_id AS "unlockId", a.occurred_at AS "occurredAt", a.recorded_at AS "recordedAt", a.command_id AS "commandId",
  a.correlation_id AS "correlationId", a.causation_id AS "causationId", a.stream, a.revision, a.data`;

/** Another program's actor may be called anything. */
const UUID = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

/** The lines first, then what is joined to those few. */
const joined = (s: Schemas, lines: string, order: string) => `
  SELECT ${columns} FROM (${lines}) a
    LEFT JOIN ${s['people']}.people origin ON origin.ref = a.event_id
    LEFT JOIN ${s['people']}.people who ON who.ref = CASE WHEN a.actor_kind IN ('user', 'admin') AND a.actor_id ~ '${UUID}' THEN a.actor_id::uuid END
    LEFT JOIN ${s['devices']}.devices box ON box.device_id = a.device_id
   ORDER BY a.position ${order}`;

type Stored = Omit<AuditRow, 'position' | 'revision'> & { readonly position: string; readonly revision: string };

const rowOf = (row: Stored): AuditRow => ({ ...row, position: BigInt(row.position), revision: BigInt(row.revision) });

/** A type has one action, and only that is indexed. */
type StoredFilter = AuditFilter & { readonly actions?: readonly string[] };

const conditionsOf = (s: Schemas): Conditions<StoredFilter> => ({
  action: (p) => `action = ${p}`,
  actions: (p) => `action = ANY (${p}::text[])`,
  types: (p) => `type = ANY (${p}::text[])`,
  actorId: (p) => `actor_id = ${p}`,
  actorKind: (p) => `actor_kind = ${p}`,
  source: (p) => `source = ${p}`,
  deviceId: (p) => `device_id = ${p}::uuid`,
  userId: (p) => `(user_id = ${p}::uuid OR actor_id = ${p}::text)`,
  linkId: (p) => `link_id = ${p}::uuid`,
  unlockId: (p) => `unlock_id = ${p}::uuid`,
  correlationId: (p) => `correlation_id = ${p}::uuid`,
  outcome: (p) => `outcome = ${p}`,
  ip: (p) => `position = ANY (ARRAY(SELECT (fields->>'position')::numeric FROM ${s['people']}.people WHERE fields->>'ip' = ${p}))`,
  from: (p) => `occurred_at >= ${p}::timestamptz`,
  to: (p) => `occurred_at < ${p}::timestamptz`,
  before: (p) => `position < ${p}::numeric`,
  after: (p) => `position > ${p}::numeric`,
});

/** Past so many the total is only said to be at least that: counting a whole log for one page would be slower than the page. */
const COUNTED = 100_000;

const chain = {
  name: 'audit.chain',
  text: (s: Schemas) => joined(s, `SELECT * FROM ${s['audit']}.audit WHERE correlation_id = $1 ORDER BY position LIMIT 1000`, 'ASC'),
};

export function createAuditQueries(reader: Reader): AuditQueries {
  return {
    async list(asked, { limit, offset }) {
      await caughtUp(reader, auditProjection.name);
      const filter: StoredFilter = asked.types === undefined ? asked : { ...asked, actions: asked.types.map(actionOf) };
      const whereIn = (s: Schemas) => whereOf(conditionsOf(s), filter);
      const { shape, values } = whereIn({});
      const direction = filter.after === undefined ? 'DESC' : 'ASC';
      const [rows, totals] = await Promise.all([
        reader.all<Stored>(
          {
            name: `audit.list.${shape}`,
            text: (s) =>
              joined(
                s,
                `SELECT * FROM ${s['audit']}.audit ${whereIn(s).text}
                  ORDER BY position ${direction} LIMIT $${values.length + 1} OFFSET $${values.length + 2}`,
                direction,
              ),
          },
          [...values, limit, offset],
        ),
        reader.first<{ total: number }>(
          {
            name: `audit.total.${shape}`,
            text: (s) => `SELECT count(*)::integer AS total FROM (SELECT 1 FROM ${s['audit']}.audit ${whereIn(s).text} LIMIT ${COUNTED}) counted`,
          },
          values,
        ),
      ]);
      return { rows: rows.map(rowOf), total: totals?.total ?? 0 };
    },

    async chain(correlationId) {
      await caughtUp(reader, auditProjection.name);
      return (await reader.all<Stored>(chain, [correlationId])).map(rowOf);
    },
  };
}
