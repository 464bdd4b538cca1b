import type { Uuid } from '../../domain/kernel.ts';
import type { ActivityFilter, ActivityQueries, ActivityRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';
import { whereOf, type Conditions } from '../where.ts';

const columns = `
  position, device_id AS "deviceId", activity_type AS "activityType", action, source, success, description,
  user_id AS "userId", occurred_at AS "occurredAt"`;
const matches = 'device_id = $1 AND ($2::timestamptz IS NULL OR occurred_at >= $2)';
const ofDevice = {
  name: 'activity.of_device',
  text: (s: Schemas) => `SELECT ${columns} FROM ${s['activity']}.activity WHERE ${matches} ORDER BY position DESC LIMIT $3 OFFSET $4`,
};
const ofDeviceTotal = {
  name: 'activity.of_device_total',
  text: (s: Schemas) => `SELECT count(*)::integer AS total FROM ${s['activity']}.activity WHERE ${matches}`,
};

const conditions: Conditions<ActivityFilter & { readonly ownerId: Uuid }> = {
  ownerId: (p) => `owner_id = ${p}::uuid`,
  deviceId: (p) => `device_id = ${p}::uuid`,
  type: (p) => `activity_type = ${p}`,
  action: (p) => `action = ${p}`,
  source: (p) => `source = ${p}`,
  success: (p) => `success = ${p}::boolean`,
  from: (p) => `occurred_at >= ${p}::timestamptz`,
  to: (p) => `occurred_at < ${p}::timestamptz`,
  before: (p) => `position < ${p}::numeric`,
  search: (p) => `strpos(lower(description || ' ' || action), lower(${p})) > 0`,
};

type Stored = Omit<ActivityRow, 'position'> & { readonly position: string };
const rowOf = (row: Stored): ActivityRow => ({ ...row, position: BigInt(row.position) });

export function createActivityQueries(reader: Reader): ActivityQueries {
  return {
    async ofDevice(deviceId, since, { limit, offset }) {
      const [rows, totals] = await Promise.all([
        reader.all<Stored>(ofDevice, [deviceId, since ?? null, limit, offset]),
        reader.first<{ total: number }>(ofDeviceTotal, [deviceId, since ?? null]),
      ]);
      return { rows: rows.map(rowOf), total: totals?.total ?? 0 };
    },
    async ofOwner(ownerId, filter, { limit, offset }) {
      const { text: where, values, shape } = whereOf(conditions, { ownerId, ...filter });
      const [rows, totals] = await Promise.all([
        reader.all<Stored>(
          {
            name: `activity.of_owner.${shape}`,
            text: (s) =>
              `SELECT ${columns} FROM ${s['activity']}.activity ${where} ORDER BY position DESC LIMIT $${values.length + 1} OFFSET $${values.length + 2}`,
          },
          [...values, limit, offset],
        ),
        reader.first<{ total: number }>(
          { name: `activity.of_owner_total.${shape}`, text: (s) => `SELECT count(*)::integer AS total FROM ${s['activity']}.activity ${where}` },
          values,
        ),
      ]);
      return { rows: rows.map(rowOf), total: totals?.total ?? 0 };
    },
  };
}
