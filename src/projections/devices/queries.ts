import type { DeviceQueries, DeviceRow, Paged } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';

const columns = `
  d.device_id AS "deviceId", d.serial_number AS "serialNumber", d.model, d.profile, d.lifecycle,
  d.owner_id AS "ownerId", d.owner_suspended AS "ownerSuspended", d.assignment_id AS "assignmentId", d.assigned_at AS "assignedAt",
  p.fields->>'name' AS name, p.fields->>'address' AS address,
  (p.fields->>'latitude')::float8 AS latitude, (p.fields->>'longitude')::float8 AS longitude,
  d.registered_at AS "registeredAt", d.pin, d.pin_expires_at AS "pinExpiresAt",
  d.protocol_level AS "protocolLevel", d.key_version AS "keyVersion",
  d.lock_status AS "lockStatus", d.lock_status_at AS "lockStatusAt", d.door_open AS "doorOpen", d.battery_level AS "batteryLevel",
  d.firmware_version AS "firmwareVersion", d.online, live.last_heard_at AS "lastHeardAt", d.last_unlock_at AS "lastUnlockAt",
  d.settings, d.config_version AS "configVersion", d.applied_config_version AS "appliedConfigVersion"`;

const from = (s: Schemas) => `
  ${s['devices']}.devices d
  LEFT JOIN ${s['people']}.people p ON p.ref = d.assignment_id
  LEFT JOIN work.device_live live ON live.device_id = d.device_id`;

const byId = { name: 'devices.by_id', text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.device_id = $1` };
const bySerial = { name: 'devices.by_serial', text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.serial_number = $1` };
const ofOwner = {
  name: 'devices.of_owner',
  text: (s: Schemas) => `SELECT ${columns} FROM ${from(s)} WHERE d.owner_id = $1 ORDER BY d.assigned_at, d.device_id`,
};
const list = {
  name: 'devices.list',
  text: (s: Schemas) => `
    SELECT ${columns}, owner.fields->>'email' AS "ownerEmail"
      FROM ${from(s)} LEFT JOIN ${s['people']}.people owner ON owner.ref = d.owner_id
     WHERE ($1::text IS NULL OR d.lifecycle = $1) AND ($2::boolean IS NULL OR (d.owner_id IS NOT NULL) = $2)
     ORDER BY d.registered_at DESC, d.device_id LIMIT $3 OFFSET $4`,
};
const listTotal = {
  name: 'devices.list_total',
  text: (s: Schemas) => `
    SELECT count(*)::integer AS total FROM ${s['devices']}.devices d
     WHERE ($1::text IS NULL OR d.lifecycle = $1) AND ($2::boolean IS NULL OR (d.owner_id IS NOT NULL) = $2)`,
};
const counts = {
  name: 'devices.counts',
  text: (s: Schemas) => `
    SELECT count(*) FILTER (WHERE lifecycle <> 'decommissioned')::integer AS total,
           count(*) FILTER (WHERE lifecycle = 'active')::integer AS active
      FROM ${s['devices']}.devices`,
};

export function createDeviceQueries(reader: Reader): DeviceQueries {
  return {
    byId: (deviceId) => reader.first<DeviceRow>(byId, [deviceId]),
    bySerial: (serialNumber) => reader.first<DeviceRow>(bySerial, [serialNumber]),
    ofOwner: (userId) => reader.all<DeviceRow>(ofOwner, [userId]),
    async list({ lifecycle, assigned }, { limit, offset }): Promise<Paged<DeviceRow & { readonly ownerEmail: string | null }>> {
      const filter = [lifecycle ?? null, assigned ?? null];
      const [rows, totals] = await Promise.all([
        reader.all<DeviceRow & { readonly ownerEmail: string | null }>(list, [...filter, limit, offset]),
        reader.first<{ total: number }>(listTotal, filter),
      ]);
      return { rows, total: totals?.total ?? 0 };
    },
    async counts() {
      return (await reader.first<{ total: number; active: number }>(counts, [])) ?? { total: 0, active: 0 };
    },
  };
}
