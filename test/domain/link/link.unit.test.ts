import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import type { DeviceCommandOf } from '../../../src/domain/device/commands.ts';
import type { DeviceEvent } from '../../../src/domain/device/events.ts';
import { isWithin, linkStatus, usesLeft } from '../../../src/domain/link/link.ts';
import { allLinks, findLink, noLinks, putLink, type Link } from '../../../src/domain/link/links.ts';
import { later, now } from '../../support/given.ts';
import {
  ada,
  assignmentId,
  bob,
  byOwner,
  command,
  dispatched,
  event,
  given,
  linkCreated,
  linkId,
  owned,
  registeredState,
  requested,
  requestUnlock,
  shared,
  suspended,
  unlinked,
  unlockId,
} from '../device/box.ts';

const create = (changes: Partial<DeviceCommandOf<'CreateLink'>['data']> = {}) =>
  command('CreateLink', {
    linkId,
    userId: ada,
    token: 'secret-token',
    tokenHash: 'hash-of-the-token',
    expiresAt: later(3600),
    latestExpiry: later(168 * 3600),
    maxUses: 1,
    requireIdentity: false,
    ...changes,
  });
const update = (changes: Partial<DeviceCommandOf<'UpdateLink'>['data']>) =>
  command('UpdateLink', { linkId, userId: ada, latestExpiry: later(168 * 3600), ...changes });
const revoke = command('RevokeLink', { linkId, userId: ada });
const remove = command('DeleteLink', { linkId, userId: ada });
const expire = command('ExpireLink', { linkId });
const revoked = event('LinkRevoked', { linkId });
const deleted = event('LinkDeleted', { linkId });
const cancelled = event('UnlockCancelled', { unlockId, reason: 'link_revoked' });

describe('CreateLink', () => {
  it('makes a link under the assignment', () => {
    given(...owned).when(create()).happens(linkCreated()).again().quiet();
    const window = { timeZone: 'Europe/Berlin', days: [1], from: '08:00', to: '18:00' };
    given(...owned)
      .when(create({ name: 'Parcel', startsAt: later(60), window }))
      .happens(linkCreated({ name: 'Parcel', startsAt: later(60), window }));
  });
  it('is the active owner’s alone', () => {
    given(...owned).when(create({ userId: bob })).refused('not_the_owner');
    given(...owned, unlinked).when(create()).refused('not_the_owner');
    given(...owned, suspended).when(create()).refused('owner_suspended');
  });
  it('has an end in the future, not beyond the furthest allowed, and after its start', () => {
    given(...owned).when(create({ expiresAt: now })).refused('link_expiry_invalid', { latest: later(168 * 3600) });
    given(...owned).when(create({ expiresAt: later(169 * 3600) })).refused('link_expiry_invalid');
    given(...owned).when(create({ startsAt: later(3600) })).refused('link_expiry_invalid');
  });
  it('has at least one use', () => {
    for (const maxUses of [0, -1, 1.5, Number.NaN]) given(...owned).when(create({ maxUses })).refused('link_uses_invalid', { least: 1 });
  });
  it('is refused under an id that is taken', () => {
    given(...shared).when(create({ tokenHash: 'another' })).refused('link_exists');
    given(...shared).when(create({ userId: bob })).refused('link_exists');
  });
});

describe('UpdateLink', () => {
  it('records what differs', () => {
    given(...shared)
      .when(update({ expiresAt: later(7200), maxUses: 3, requireIdentity: true }))
      .happens(event('LinkUpdated', { linkId, expiresAt: later(7200), maxUses: 3, requireIdentity: true }))
      .again()
      .quiet();
    given(...shared).when(update({ maxUses: 1, expiresAt: later(3600) })).quiet();
    given(...shared).when(update({ name: 'Friday', maxUses: 1 })).happens(event('LinkUpdated', { linkId, name: 'Friday' }));
  });
  it('takes back an opening by the hours before that was not sent; one that was sent, and one at any hour, it leaves', () => {
    const evenings = { timeZone: 'Europe/Berlin', days: [1, 2], from: '18:00', to: '22:00' };
    const twice = [...owned, linkCreated({ maxUses: 2 })];
    given(...twice, requested())
      .when(update({ window: evenings }))
      .happens(event('LinkUpdated', { linkId, window: evenings }), event('UnlockCancelled', { unlockId, reason: 'undeliverable' }));
    given(...twice, requested(), dispatched()).when(update({ window: evenings })).happensAs('LinkUpdated');
    given(...twice, event('LinkUpdated', { linkId, window: evenings }), requested()).when(update({ window: 'always' })).happensAs('LinkUpdated');
    given(...twice, requested({ cause: byOwner })).when(update({ window: evenings })).happensAs('LinkUpdated');
  });
  it('gives it other hours, and takes them away', () => {
    const evenings = { timeZone: 'Europe/Berlin', days: [1, 2], from: '18:00', to: '22:00' };
    const changed = event('LinkUpdated', { linkId, window: evenings });
    given(...shared).when(update({ window: evenings })).happens(changed).again().quiet();
    given(...shared, changed).when(update({ window: { ...evenings, days: [2, 1] } })).quiet();
    given(...shared, changed).when(update({ window: { ...evenings, to: '23:00' } })).happensAs('LinkUpdated');
    given(...shared, changed).when(requestUnlock({ localTime: { weekday: 1, time: '17:59' } })).refused('link_outside_hours');
    given(...shared, changed).when(requestUnlock({ localTime: { weekday: 1, time: '19:00', timeZone: 'Europe/Berlin' } })).happensAs('UnlockRequested');
    given(...shared, changed).when(requestUnlock({ localTime: { weekday: 1, time: '19:00', timeZone: 'Asia/Tokyo' } })).refused('link_outside_hours');
    given(...shared, changed).when(update({ window: 'always' })).happens(event('LinkUpdated', { linkId, window: 'always' })).again().quiet();
    given(...shared, changed, event('LinkUpdated', { linkId, window: 'always' })).when(requestUnlock()).happensAs('UnlockRequested');
  });
  it('refuses limits that cannot be', () => {
    given(...shared).when(update({ expiresAt: later(-1) })).refused('link_expiry_invalid');
    given(...shared).when(update({ maxUses: 0 })).refused('link_uses_invalid');
    given(...owned, linkCreated({ maxUses: 3 }), requested(), event('UnlockExpired', { unlockId }), requested({ unlockId: 'a' }), dispatched({ unlockId: 'a' }), requested({ unlockId: 'b' }))
      .when(update({ maxUses: 1 }))
      .refused('link_uses_invalid', { least: 2 });
  });
  it('brings no ended link back', () => {
    given(...shared, revoked).when(update({ maxUses: 2 })).refused('link_revoked', { revoked_at: now });
    given(...shared, suspended).when(update({ maxUses: 2 })).refused('link_void');
    given(...shared).when(update({ expiresAt: later(7200) }), later(3600)).refused('link_expired', { expires_at: later(3600) });
    given(...shared, requested()).when(update({ maxUses: 2 })).refused('link_used', { used_at: now });
    given(...shared, deleted).when(update({ maxUses: 2 })).refused('link_not_found');
  });
  it('does not tell another’s link from none', () => {
    given(...shared).when(update({ userId: bob })).refused('link_not_found');
    given(...owned).when(update({})).refused('link_not_found');
  });
});

describe('RevokeLink and DeleteLink', () => {
  it('end it once', () => {
    given(...shared).when(revoke).happens(revoked).again().quiet();
    given(...shared).when(remove).happens(deleted).again().quiet();
    given(...shared, revoked).when(remove).happens(deleted);
    given(...shared, deleted).when(revoke).quiet();
  });
  it('end a used-up link too: its use may come back', () => {
    given(...shared, requested(), dispatched()).when(revoke).happens(revoked);
  });
  it('have nothing left to do where the link ended by itself', () => {
    given(...shared).when(revoke, later(3600)).quiet();
    given(...shared, unlinked).when(revoke).quiet();
    given(...shared, unlinked).when(remove).happens(deleted);
  });
  it('cancel in the same append what was not sent', () => {
    given(...shared, requested()).when(revoke).happens(revoked, cancelled);
    given(...shared, requested()).when(remove).happens(deleted, cancelled);
    given(...shared, requested({ cause: byOwner })).when(revoke).happens(revoked);
  });
  it('are refused for another’s link', () => {
    for (const type of ['RevokeLink', 'DeleteLink'] as const) {
      given(...shared).when(command(type, { linkId, userId: bob })).refused('link_not_found');
      given(...owned).when(command(type, { linkId, userId: ada })).refused('link_not_found');
    }
  });
});

describe('ExpireLink', () => {
  const expired = event('LinkExpired', { linkId });
  it('records the expiry once, and not before it', () => {
    given(...shared).when(expire, later(3599)).quiet();
    given(...shared).when(expire, later(3600)).happens(expired).again().quiet();
  });
  it('is for good, also under a clock that steps back', () => {
    given(...shared, expired).when(requestUnlock()).refused('link_expired', { expires_at: later(3600) });
    given(...shared, expired).when(update({ expiresAt: later(7200) })).refused('link_expired');
  });
  it('is recorded of a used-up link too', () => {
    given(...shared, requested(), dispatched()).when(expire, later(3600)).happens(expired);
  });
  it('is not the end of what had ended before', () => {
    given(...shared, revoked).when(expire, later(3600)).quiet();
    given(...shared, unlinked).when(expire, later(3600)).quiet();
    given(...owned).when(expire).refused('link_not_found');
  });
  it('cancels what was not sent', () => {
    given(...shared, requested({ expiresAt: later(3630) }))
      .when(expire, later(3600))
      .happens(expired, event('UnlockCancelled', { unlockId, reason: 'link_expired' }));
  });
});

describe('what a link opens', () => {
  const weekdays = { timeZone: 'Europe/Berlin', days: [1, 2, 3, 4, 5], from: '08:00', to: '18:00' };
  const monday = (time: string) => ({ weekday: 1, time });

  it('names the reason that matters most', () => {
    const startsLater = linkCreated({ startsAt: later(600), window: weekdays, maxUses: 1 });
    const maintained = event('MaintenanceStarted', {});
    given(...owned).when(requestUnlock()).refused('link_not_found');
    given(...owned, startsLater, revoked, unlinked).when(requestUnlock(), later(4000)).refused('link_revoked', { revoked_at: now });
    given(...owned, startsLater, deleted).when(requestUnlock()).refused('link_revoked', { revoked_at: now });
    given(...owned, startsLater, unlinked).when(requestUnlock(), later(4000)).refused('link_void');
    given(...owned, startsLater, requested()).when(requestUnlock({ unlockId: 'x' }), later(4000)).refused('link_expired', { expires_at: later(3600) });
    given(...owned, startsLater, requested()).when(requestUnlock({ unlockId: 'x' })).refused('link_used', { used_at: now });
    given(...owned, startsLater, maintained).when(requestUnlock()).refused('link_not_yet_valid', { starts_at: later(600) });
    given(...owned, startsLater, maintained)
      .when(requestUnlock({ localTime: monday('07:59') }), later(700))
      .refused('link_outside_hours', { from: '08:00', to: '18:00', time_zone: 'Europe/Berlin' });
    given(...owned, startsLater, maintained).when(requestUnlock({ localTime: monday('08:00') }), later(700)).refused('device_in_maintenance');
  });
  it('asks for name and company where the owner wants them', () => {
    const strict = [...owned, linkCreated({ requireIdentity: true })];
    given(...strict).when(requestUnlock()).refused('identity_required');
    given(...strict).when(requestUnlock({ courier: { name: 'Jo', company: '' } })).refused('identity_required');
    given(...strict).when(requestUnlock({ courier: { name: 'Jo', company: 'Swift' } })).happensAs('UnlockRequested');
  });
  it('tells when it was used: at the request, and then when the bolt moved', () => {
    const open = given(...shared, requested(), dispatched()).when(
      command('RecordUnlockAnswer', { unlockId, phase: 'final', result: 'opened', signed: true }),
      later(2),
    );
    given(...shared, requested(), dispatched()).when(requestUnlock({ unlockId: 'x' })).refused('link_used', { used_at: now });
    expect(findLink(registeredState(open.state).links, linkId)?.usedAt).toBe(later(2));
  });
  it('counts every unlock that is not proven unopened', () => {
    const left = (...events: readonly DeviceEvent[]) => {
      const device = registeredState(given(...owned, linkCreated({ maxUses: 2 }), ...events).state);
      const link = findLink(device.links, linkId);
      return link === undefined ? undefined : [usesLeft(link), linkStatus(device, link, now)];
    };
    expect(left()).toEqual([2, 'active']);
    expect(left(requested())).toEqual([1, 'active']);
    expect(left(requested(), event('UnlockExpired', { unlockId }))).toEqual([2, 'active']);
    expect(left(requested(), dispatched(), event('UnlockOutcomeUnknown', { unlockId, reason: 'no_answer' }), requested({ unlockId: 'x' }))).toEqual([0, 'used']);
    expect(left(requested(), suspended)).toEqual([1, 'void']);
  });
});

describe('hours', () => {
  const day = { timeZone: 'UTC', days: [5], from: '08:00', to: '18:00' };
  const night = { timeZone: 'UTC', days: [7], from: '22:00', to: '06:00' };
  it.each([
    [day, { weekday: 5, time: '08:00' }, true],
    [day, { weekday: 5, time: '17:59' }, true],
    [day, { weekday: 5, time: '18:00' }, false],
    [day, { weekday: 4, time: '12:00' }, false],
    [day, undefined, false],
    [night, { weekday: 7, time: '23:00' }, true],
    [night, { weekday: 1, time: '05:59' }, true],
    [night, { weekday: 7, time: '05:59' }, false],
    [night, { weekday: 1, time: '22:00' }, false],
  ])('%o at %o: %s', (window, local, within) => {
    expect(isWithin(window, local)).toBe(within);
  });
});

describe('the map of links', () => {
  const some = (id: string, uses: number): Link => ({
    linkId: id,
    userId: ada,
    assignmentId,
    suspensions: 0,
    tokenHash: '',
    startsAt: null,
    expiresAt: now,
    maxUses: 1,
    requireIdentity: false,
    window: null,
    uses,
    usedAt: null,
    revokedAt: null,
    deleted: false,
    expiryRecorded: false,
  });
  it('behaves as a map, and survives being written as JSON', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.uuid(), fc.nat(9)), { maxLength: 200 }), (entries) => {
        const map = new Map(entries);
        const links = entries.reduce((held, [id, uses]) => putLink(held, some(id, uses)), noLinks);
        const restored = JSON.parse(JSON.stringify(links)) as typeof links;
        for (const [id, uses] of map) expect(findLink(restored, id)?.uses).toBe(uses);
        expect(allLinks(restored)).toHaveLength(map.size);
        expect(allLinks(noLinks)).toHaveLength(0);
      }),
    );
  });
  it('knows no link that was not put there', () => {
    expect(findLink(noLinks, linkId)).toBeUndefined();
  });
});
