import type { Instant } from '../domain/kernel.ts';
import type { UserProfile } from '../domain/user/events.ts';
import type { AuditRow, DeliveryRow, DeviceRow, LinkRow, UnlockRow, UserRow } from '../projections/read-models.ts';
import type { User } from './schemas/auth.ts';
import type { Command, Device, DeviceAlert, DeviceStatus } from './schemas/devices.ts';
import type { Delivery, Link } from './schemas/links.ts';
import { referenceOf } from './reference.ts';
import { stateWords } from './words.ts';

/** Rows of the read side in the words of the API. Nothing leaves that is not named here. */

/** A box that has not been heard of for so long counts as offline for display. */
export const OFFLINE_AFTER_MS = 5 * 60_000;

function fullName({ firstName, lastName }: UserProfile): string {
  return `${firstName} ${lastName}`.trim();
}

export function userView(row: Pick<UserRow, 'userId' | 'profile' | 'registeredAt' | 'emailVerified' | 'suspended' | 'adminRole' | 'permissions'> & { readonly erased?: boolean }): User {
  const { profile } = row;
  return {
    id: row.userId,
    email: profile?.email ?? null,
    full_name: profile === null ? null : fullName(profile),
    first_name: profile?.firstName ?? null,
    last_name: profile?.lastName ?? null,
    state: profile?.residentState ?? null,
    resident_state: profile?.residentState ?? null,
    zip_code: profile?.zipCode ?? null,
    phone_number: profile?.phoneNumber ?? null,
    email_verified: row.emailVerified,
    is_verified: row.emailVerified,
    is_active: !row.suspended && row.erased !== true,
    role: row.adminRole,
    permissions: [...row.permissions],
    created_at: row.registeredAt,
  };
}

function liveOf(row: DeviceRow, nowMs: number) {
  const heard = row.lastHeardAt === null ? undefined : Date.parse(row.lastHeardAt);
  const silent = heard === undefined || nowMs - heard > OFFLINE_AFTER_MS;
  return {
    status: row.lockStatus,
    lock_status: row.lockStatus,
    status_as_of: row.lockStatusAt,
    is_stale: silent,
    door_open: row.doorOpen,
    battery_level: row.batteryLevel,
    is_online: row.online && !(heard !== undefined && silent),
    last_heartbeat: row.lastHeardAt,
    last_unlock: row.lastUnlockAt,
  };
}

export function deviceView(row: DeviceRow, nowMs: number): Device {
  return {
    id: row.deviceId,
    serial_number: row.serialNumber,
    name: row.name,
    model: row.model,
    ...liveOf(row, nowMs),
    lifecycle_status: row.lifecycle,
    assigned_at: row.assignedAt,
    unlink_requested_at: row.unlinkRequestedAt,
    firmware_version: row.firmwareVersion,
    mqtt_client_id: `device_${row.deviceId}`,
    location_latitude: row.latitude,
    location_longitude: row.longitude,
    location_address: row.address,
  };
}

/** What somebody should look at. */
export function alertsView({ alerts }: Pick<DeviceRow, 'alerts'>): DeviceAlert[] {
  const since = { unexplained_opening: alerts.unexplainedOpeningAt, clone_suspected: alerts.cloneSuspectedAt, tampered: alerts.tamperedAt };
  return Object.entries(since).flatMap(([alert, at]) => (at === null ? [] : [{ alert: alert as keyof typeof since, since: at }]));
}

export function deviceStatusView(row: DeviceRow, nowMs: number): DeviceStatus {
  return { device_id: row.deviceId, ...liveOf(row, nowMs) };
}

export function linkView(row: LinkRow, accessUrl: string | null): Link {
  return {
    id: row.linkId,
    device_id: row.deviceId,
    name: row.name,
    status: row.status,
    is_active: row.isActive,
    created_at: row.createdAt,
    starts_at: row.startsAt,
    expires_at: row.expiresAt,
    max_uses: row.maxUses,
    usage_count: row.currentUses,
    current_uses: row.currentUses,
    used_at: row.usedAt,
    require_identity: row.requireIdentity,
    window: windowView(row),
    access_url: accessUrl,
  };
}

export function windowView({ window }: Pick<LinkRow, 'window'>) {
  return window === null ? null : { time_zone: window.timeZone, days: [...window.days], from: window.from, to: window.to };
}

const UNSAID = 'unknown';

export function deliveryView(row: DeliveryRow): Delivery {
  return {
    id: row.unlockId,
    device_id: row.deviceId,
    link_id: row.linkId,
    link_name: row.linkName,
    status: row.state,
    completed: row.openedAt !== null,
    device_unlock_successful: row.openedAt !== null,
    attempted_at: row.requestedAt,
    unlocked_at: row.openedAt,
    completed_at: row.openedAt,
    unlocked_by: 'delivery_link',
    delivery_person_name: row.courier?.name ?? UNSAID,
    delivery_person_id: row.courier?.personId ?? UNSAID,
    courier_company: row.courier?.company ?? UNSAID,
    delivery_person_phone: row.courier?.phone ?? null,
    delivery_notes: row.courier?.notes ?? null,
    reference: referenceOf(row.unlockId),
  };
}

export function commandView(row: UnlockRow): Command {
  return {
    command_id: row.unlockId,
    command: 'unlock',
    device_id: row.deviceId,
    status: row.state,
    success: row.state === 'opened' ? true : row.state === 'failed' || row.state === 'cancelled' || row.state === 'expired' ? false : null,
    message: stateWords(row.state, row.reason).message,
    reason: row.reason,
    use_returned: row.useReturned,
    caused_by: row.cause.kind,
    requested_at: row.requestedAt,
    expires_at: row.expiresAt,
    dispatched_at: row.dispatchedAt,
    published_at: row.publishedAt,
    acknowledged_at: row.acknowledgedAt,
    opened_at: row.openedAt,
    ended_at: row.endedAt,
  };
}

export function auditView(row: AuditRow, position: string) {
  return {
    timestamp: row.occurredAt,
    recorded_at: row.recordedAt,
    summary: row.summary,
    action: row.action,
    type: row.type,
    outcome: row.outcome,
    actor: { kind: row.actorKind, id: row.actorId, email: row.actorEmail },
    source: row.source,
    ip_address: row.ip,
    user_agent: row.userAgent,
    user_id: row.userId,
    device_id: row.deviceId,
    serial_number: row.serialNumber,
    link_id: row.linkId,
    unlock_id: row.unlockId,
    event_id: row.eventId,
    command_id: row.commandId,
    correlation_id: row.correlationId,
    causation_id: row.causationId,
    stream: row.stream,
    revision: `${row.revision}`,
    position,
    details: { ...row.data },
  };
}

export function millisecondsBetween(from: Instant, to: Instant): number {
  return Date.parse(to) - Date.parse(from);
}

/** Percent below which a battery wants to be charged. */
const LOW_BATTERY = 20;

export function isLow({ battery_level: level }: { readonly battery_level: number | null }): boolean {
  return level !== null && level < LOW_BATTERY;
}
