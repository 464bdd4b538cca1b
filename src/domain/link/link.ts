import { accept, present, quiet, refuse, type Instant, type Refusal, type Uuid } from '../kernel.ts';
import type { DeviceCommandOf } from '../device/commands.ts';
import type { AccessWindow, CourierDetails } from '../device/events.ts';
import { assignmentOf, cancelUndispatched, isPast, type DeviceDecision } from '../device/rules.ts';
import type { OpenUnlock, RegisteredDevice } from '../device/state.ts';
import { findLink, type Link } from './links.ts';

/** Local day and time in the zone of a link's window. The domain knows no time zones. */
export interface LocalTime {
  /** 1 = Monday … 7 = Sunday. */
  readonly weekday: number;
  /** `HH:MM`. */
  readonly time: string;
  /** Whose day and time that is. Absent: certainly that of the window. */
  readonly timeZone?: string;
}

/** `void`: the assignment it was made under ended, or its owner was suspended since. */
export type LinkStatus = 'active' | 'expired' | 'used' | 'revoked' | 'void';

/**
 * By the clock and the counters. What was once recorded as expired stays so, also under a clock that stepped back. A link
 * that starts later is active and not yet valid.
 */
export function linkStatus(device: RegisteredDevice, link: Link, now: Instant): LinkStatus {
  if (link.revokedAt !== null) return 'revoked';
  if (isVoid(device, link)) return 'void';
  if (link.expiryRecorded || isPast(link.expiresAt, now)) return 'expired';
  if (usesLeft(link) === 0) return 'used';
  return 'active';
}

export function usesLeft(link: Link): number {
  return Math.max(0, link.maxUses - link.uses);
}

/** A grant ends with its assignment and with each suspension of its owner: nothing has to be written for it. */
function isVoid(device: RegisteredDevice, link: Link): boolean {
  const { assignment } = device;
  return assignment === null || assignment.assignmentId !== link.assignmentId || assignment.suspensions !== link.suspensions;
}

/**
 * Why this link does not open the box now, in the order in which it matters to whoever holds it: what no waiting mends
 * comes first. Undefined: it opens, as far as the link is concerned.
 */
export function linkRefusal(device: RegisteredDevice, linkId: Uuid, now: Instant, localTime: LocalTime | undefined): Refusal | undefined {
  const link = findLink(device.links, linkId);
  if (link === undefined) return { code: 'link_not_found' };
  switch (linkStatus(device, link, now)) {
    case 'revoked':
      return { code: 'link_revoked', details: { revoked_at: link.revokedAt ?? now } };
    case 'void':
      return { code: 'link_void' };
    case 'expired':
      return { code: 'link_expired', details: { expires_at: link.expiresAt } };
    case 'used':
      return { code: 'link_used', details: { used_at: link.usedAt ?? now } };
    case 'active':
      break;
  }
  if (link.startsAt !== null && link.startsAt > now) return { code: 'link_not_yet_valid', details: { starts_at: link.startsAt } };
  if (link.window !== null && !isWithin(link.window, localTime)) {
    return { code: 'link_outside_hours', details: { from: link.window.from, to: link.window.to, time_zone: link.window.timeZone } };
  }
  return undefined;
}

/** A window that ends before it starts runs over midnight and belongs to the day it starts on. No local time: not within. */
export function isWithin(window: AccessWindow, local: LocalTime | undefined): boolean {
  if (local === undefined) return false;
  // Hours that were changed a moment ago: what was worked out for the old ones says nothing of the new ones.
  if (local.timeZone !== undefined && local.timeZone !== window.timeZone) return false;
  const today = window.days.includes(local.weekday);
  if (window.from <= window.to) return today && window.from <= local.time && local.time < window.to;
  const yesterday = window.days.includes(local.weekday === 1 ? 7 : local.weekday - 1);
  return (today && local.time >= window.from) || (yesterday && local.time < window.to);
}

function sameWindow(wanted: AccessWindow | 'always', window: AccessWindow | null): boolean {
  if (wanted === 'always' || window === null) return wanted === 'always' && window === null;
  const { timeZone, days, from, to } = wanted;
  const sameDays = days.length === window.days.length && days.every((day) => window.days.includes(day));
  return sameDays && timeZone === window.timeZone && from === window.from && to === window.to;
}

/** Name and company are what the owner sees of a courier. */
export function identityMissing(link: Link, courier: CourierDetails | undefined): boolean {
  return link.requireIdentity && !(courier?.name && courier.company);
}

export function createLink(device: RegisteredDevice, { data }: DeviceCommandOf<'CreateLink'>, now: Instant): DeviceDecision {
  const existing = findLink(device.links, data.linkId);
  if (existing !== undefined) {
    return existing.userId === data.userId && existing.tokenHash === data.tokenHash ? quiet : refuse('link_exists');
  }
  const owner = assignmentOf(device, data.userId);
  if (!owner.ok) return owner.refusal;
  const invalid = expiryRefusal(data.expiresAt, data.latestExpiry, data.startsAt, now) ?? usesRefusal(data.maxUses, 0);
  if (invalid !== undefined) return { events: [], refusal: invalid };
  const { linkId, tokenHash, token, name, startsAt, expiresAt, maxUses, requireIdentity, window } = data;
  return accept({
    type: 'LinkCreated',
    data: present({
      linkId,
      assignmentId: owner.assignment.assignmentId,
      tokenHash,
      token,
      name,
      startsAt,
      expiresAt,
      maxUses,
      requireIdentity,
      window,
    }),
  });
}

/** An ended link never comes back (docs/coverage.md, S0-97): only an active one can be changed. */
export function updateLink(device: RegisteredDevice, { data }: DeviceCommandOf<'UpdateLink'>, now: Instant): DeviceDecision {
  const link = ownLink(device, data.linkId, data.userId);
  if (link === undefined || link.deleted) return refuse('link_not_found');
  switch (linkStatus(device, link, now)) {
    case 'revoked':
      return refuse('link_revoked', { revoked_at: link.revokedAt ?? now });
    case 'void':
      return refuse('link_void');
    case 'expired':
      return refuse('link_expired', { expires_at: link.expiresAt });
    case 'used':
      return refuse('link_used', { used_at: link.usedAt ?? now });
    case 'active':
      break;
  }
  const owner = assignmentOf(device, data.userId);
  if (!owner.ok) return owner.refusal;

  const expiresAt = data.expiresAt === link.expiresAt ? undefined : data.expiresAt;
  const maxUses = data.maxUses === link.maxUses ? undefined : data.maxUses;
  const requireIdentity = data.requireIdentity === link.requireIdentity ? undefined : data.requireIdentity;
  const window = data.window === undefined || sameWindow(data.window, link.window) ? undefined : data.window;
  const invalid =
    (expiresAt === undefined ? undefined : expiryRefusal(expiresAt, data.latestExpiry, link.startsAt ?? undefined, now)) ??
    (maxUses === undefined ? undefined : usesRefusal(maxUses, link.uses));
  if (invalid !== undefined) return { events: [], refusal: invalid };

  const changes = present({ name: data.name, expiresAt, maxUses, requireIdentity, window });
  if (Object.keys(changes).length === 0) return quiet;
  // By hours that are the link's no longer: whoever asked within them may ask again.
  const outdated = window === undefined || window === 'always' ? [] : cancelUndispatched(device, 'undeliverable', (unlock) => isCausedBy(unlock, link.linkId));
  return accept({ type: 'LinkUpdated', data: { linkId: link.linkId, ...changes } }, ...outdated);
}

/** Used up is not the end: a use may come back. Void and expired are: there is nothing left to revoke. */
export function revokeLink(device: RegisteredDevice, { data }: DeviceCommandOf<'RevokeLink'>, now: Instant): DeviceDecision {
  const link = ownLink(device, data.linkId, data.userId);
  if (link === undefined) return refuse('link_not_found');
  const status = linkStatus(device, link, now);
  if (status === 'revoked' || status === 'void' || status === 'expired') return quiet;
  return accept(
    { type: 'LinkRevoked', data: { linkId: link.linkId } },
    ...cancelUndispatched(device, 'link_revoked', (unlock) => isCausedBy(unlock, link.linkId)),
  );
}

/** Revoked and out of the lists. Its history stays (docs/coverage.md, X-20). */
export function deleteLink(device: RegisteredDevice, { data }: DeviceCommandOf<'DeleteLink'>): DeviceDecision {
  const link = ownLink(device, data.linkId, data.userId);
  if (link === undefined) return refuse('link_not_found');
  if (link.deleted) return quiet;
  return accept(
    { type: 'LinkDeleted', data: { linkId: link.linkId } },
    ...cancelUndispatched(device, 'link_revoked', (unlock) => isCausedBy(unlock, link.linkId)),
  );
}

/** Records what the clock did, of a used-up link too: its use may come back. Safety does not wait for it. */
export function expireLink(device: RegisteredDevice, { data }: DeviceCommandOf<'ExpireLink'>, now: Instant): DeviceDecision {
  const link = findLink(device.links, data.linkId);
  if (link === undefined) return refuse('link_not_found');
  if (link.expiryRecorded || linkStatus(device, link, now) !== 'expired') return quiet;
  return accept(
    { type: 'LinkExpired', data: { linkId: link.linkId } },
    ...cancelUndispatched(device, 'link_expired', (unlock) => isCausedBy(unlock, link.linkId)),
  );
}

export function isCausedBy(unlock: OpenUnlock, linkId: Uuid): boolean {
  return unlock.cause.kind === 'link' && unlock.cause.id === linkId;
}

/** Another owner's link is not told apart from none. */
function ownLink(device: RegisteredDevice, linkId: Uuid, userId: Uuid): Link | undefined {
  const link = findLink(device.links, linkId);
  return link?.userId === userId ? link : undefined;
}

function expiryRefusal(expiresAt: Instant, latest: Instant, startsAt: Instant | undefined, now: Instant): Refusal | undefined {
  const tooEarly = isPast(expiresAt, now) || (startsAt !== undefined && expiresAt <= startsAt);
  return tooEarly || expiresAt > latest ? { code: 'link_expiry_invalid', details: { latest } } : undefined;
}

function usesRefusal(maxUses: number, uses: number): Refusal | undefined {
  const least = Math.max(1, uses);
  return Number.isSafeInteger(maxUses) && maxUses >= least ? undefined : { code: 'link_uses_invalid', details: { least } };
}
