import type { CourierDetails, UnlockCause } from '../../domain/device/events.ts';
import type { Uuid } from '../../domain/kernel.ts';
import type { DeliveryCount, DeliveryFilter, DeliveryQueries, DeliveryRow, UnlockQueries, UnlockRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';
import { atOf, idOf, whereOf, type Conditions } from '../where.ts';

const columnsWith = (reason: string) => `
  u.unlock_id AS "unlockId", u.device_id AS "deviceId", u.cause_kind AS "causeKind", u.cause_id AS "causeId", u.state,
  u.use_returned AS "useReturned", ${reason} AS reason, u.requested_at AS "requestedAt", u.expires_at AS "expiresAt",
  u.dispatched_at AS "dispatchedAt", u.published_at AS "publishedAt", u.acknowledged_at AS "acknowledgedAt",
  u.opened_at AS "openedAt", u.ended_at AS "endedAt", u.correlation_id AS "correlationId"`;
const columns = columnsWith('u.reason');

type Flat<Row extends UnlockRow> = Omit<Row, 'cause'> & { readonly causeKind: UnlockCause['kind']; readonly causeId: string };

function unlockOf<Row extends UnlockRow>({ causeKind, causeId, ...row }: Flat<Row>): Row {
  return { ...row, cause: { kind: causeKind, id: causeId } } as unknown as Row;
}

/** Until there is a code, the reason is why an administrator asked for it: in `people`, where one may be read. */
const byId = {
  name: 'unlocks.by_id', quick: true,
  text: (s: Schemas) => `
    SELECT ${columnsWith(`coalesce(u.reason, said.fields->>'reason')`)} FROM ${s['unlocks']}.unlocks u
      LEFT JOIN ${s['people']}.people said ON said.ref = CASE WHEN u.cause_kind = 'admin' THEN u.unlock_id END AND said.kind = 'reason'
     WHERE u.unlock_id = $1`,
};
const lastOfLink = {
  name: 'unlocks.last_of_link', quick: true,
  text: (s: Schemas) => `
    SELECT ${columns} FROM ${s['unlocks']}.unlocks u
     WHERE u.cause_id = $1 AND u.cause_kind = 'link' ORDER BY u.requested_at DESC, u.unlock_id DESC LIMIT 1`,
};

export function createUnlockQueries(reader: Reader): UnlockQueries {
  const one = async (query: typeof byId, id: string) => {
    const row = await reader.first<Flat<UnlockRow>>(query, [id]);
    return row === undefined ? undefined : unlockOf<UnlockRow>(row);
  };
  return {
    byId: (unlockId) => one(byId, unlockId),
    lastOfLink: (linkId) => one(lastOfLink, linkId),
  };
}

const deliveryColumns = `
  ${columns}, u.cause_id AS "linkId", link.fields->>'name' AS "linkName", u.owner_id AS "ownerId", courier.fields AS courier`;
const deliveries = (s: Schemas) => `
  ${s['unlocks']}.unlocks u
  LEFT JOIN ${s['people']}.people link ON link.ref = u.cause_id
  LEFT JOIN ${s['people']}.people courier ON courier.ref = u.unlock_id`;
const delivery = {
  name: 'deliveries.by_id', quick: true,
  text: (s: Schemas) => `SELECT ${deliveryColumns} FROM ${deliveries(s)} WHERE u.unlock_id = $1 AND u.cause_kind = 'link'`,
};
const conditions: Conditions<DeliveryFilter & { readonly ownerId: Uuid }> = {
  ownerId: (p) => `u.cause_kind = 'link' AND u.owner_id = ${p}::uuid`,
  deviceId: (p) => `u.device_id = ${p}::uuid`,
  linkId: (p) => `u.cause_id = ${p}::uuid`,
  states: (p) => `u.state = ANY (${p}::text[])`,
  from: (p) => `u.requested_at >= ${p}::timestamptz`,
  to: (p) => `u.requested_at < ${p}::timestamptz`,
  after: (p) => `(u.requested_at, u.unlock_id) < (${atOf(p)}, ${idOf(p)})`,
  search: (p) =>
    `strpos(lower(concat_ws(' ', link.fields->>'name', courier.fields->>'name', courier.fields->>'company', courier.fields->>'personId')), lower(${p})) > 0`,
};
const countSince = {
  name: 'deliveries.count_since',
  text: (s: Schemas) => `
    SELECT count(*)::integer AS total FROM ${s['unlocks']}.unlocks u WHERE u.cause_kind = 'link' AND u.opened_at >= $1::timestamptz`,
};

/** A day's bounds are what the zone's clocks say, also where they are put forward or back. */
const statistics = {
  name: 'deliveries.statistics',
  text: (s: Schemas) => `
    SELECT local::date AS date, extract(hour FROM local)::integer AS hour,
           sum(attempted)::integer AS attempted, sum(completed)::integer AS completed
      FROM (SELECT slot AT TIME ZONE $3 AS local, attempted, completed FROM ${s['unlocks']}.slots
             WHERE slot >= ($1::date)::timestamp AT TIME ZONE $3 AND slot < ($2::date + 1)::timestamp AT TIME ZONE $3) slots
     GROUP BY GROUPING SETS ((local::date), (extract(hour FROM local)::integer))
     ORDER BY 1, 2`,
};

type FlatDelivery = Flat<DeliveryRow>;

function deliveryOf(row: FlatDelivery): DeliveryRow {
  const courier: CourierDetails | null = row.courier;
  return unlockOf<DeliveryRow>({ ...row, courier });
}

export function createDeliveryQueries(reader: Reader): DeliveryQueries {
  return {
    async byId(deliveryId) {
      const row = await reader.first<FlatDelivery>(delivery, [deliveryId]);
      return row === undefined ? undefined : deliveryOf(row);
    },
    async ofOwner(ownerId, filter, { limit, offset }) {
      const { text: where, values, shape } = whereOf(conditions, { ownerId, ...filter });
      const [rows, totals] = await Promise.all([
        reader.all<FlatDelivery>(
          {
            name: `deliveries.of_owner.${shape}`,
            text: (s) => `
              SELECT ${deliveryColumns} FROM ${deliveries(s)} ${where}
               ORDER BY u.requested_at DESC, u.unlock_id DESC LIMIT $${values.length + 1} OFFSET $${values.length + 2}`,
          },
          [...values, limit, offset],
        ),
        reader.first<{ total: number }>(
          { name: `deliveries.of_owner_total.${shape}`, text: (s) => `SELECT count(*)::integer AS total FROM ${deliveries(s)} ${where}` },
          values,
        ),
      ]);
      return { rows: rows.map(deliveryOf), total: totals?.total ?? 0 };
    },
    async countSince(since) {
      return (await reader.first<{ total: number }>(countSince, [since]))?.total ?? 0;
    },
    async statistics(from, to, timeZone) {
      type Row = DeliveryCount & { readonly date: string | null; readonly hour: number | null };
      const rows = await reader.all<Row>(statistics, [from, to, timeZone]);
      return {
        days: rows.flatMap(({ date, attempted, completed }) => (date === null ? [] : [{ date, attempted, completed }])),
        hours: rows.flatMap(({ hour, attempted, completed }) => (hour === null ? [] : [{ hour, attempted, completed }])),
      };
    },
  };
}
