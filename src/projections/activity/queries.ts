import type { ActivityQueries, ActivityRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';

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

export function createActivityQueries(reader: Reader): ActivityQueries {
  return {
    async ofDevice(deviceId, since, { limit, offset }) {
      const [rows, totals] = await Promise.all([
        reader.all<Omit<ActivityRow, 'position'> & { readonly position: string }>(ofDevice, [deviceId, since ?? null, limit, offset]),
        reader.first<{ total: number }>(ofDeviceTotal, [deviceId, since ?? null]),
      ]);
      return { rows: rows.map((row) => ({ ...row, position: BigInt(row.position) })), total: totals?.total ?? 0 };
    },
  };
}
