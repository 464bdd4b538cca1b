import { describe, expect, it } from 'vitest';
import { evolveDelivery, type DeliveryState } from '../../../src/audit/history/delivery.ts';
import { shownLink, shownState } from '../../../src/audit/history/states.ts';
import type { DeviceEvent } from '../../../src/domain/device/events.ts';
import { deviceDecider } from '../../../src/domain/device/device.ts';
import { userDecider } from '../../../src/domain/user/user.ts';
import type { UserEvent } from '../../../src/domain/user/events.ts';
import { ada, assignmentId, byLink, dispatched, event, linkId, pinTag, requested, shared, unlinked, unlockId } from '../../domain/device/box.ts';
import { later, now } from '../../support/given.ts';

const boxOf = (...events: readonly DeviceEvent[]) => events.reduce((state, each) => deviceDecider.evolve(state, each, now), deviceDecider.initialState);

describe('what is shown of a state', () => {
  it('has the facts of a box in words, and no secret of it', () => {
    const shown = shownState('device', boxOf(...shared, requested(), event('DevicePinRefused', { userId: ada })));
    expect(shown).toMatchObject({
      serial_number: 'LQ-0001',
      lifecycle_status: 'active',
      maintenance: false,
      assignment: { assignment_id: assignmentId, user_id: ada, suspended: false },
      reported: { online: true, lock_status: 'unknown' },
      protocol: { level: 1 },
      pin: { guesses: 1, void: false },
      unlocks: { current: { unlock_id: unlockId, phase: 'requested', cause: byLink }, unknown: [] },
    });
    expect(shown).not.toHaveProperty('links');
    expect(JSON.stringify(shown)).not.toContain(pinTag);
  });

  it('has nothing before a thing is there', () => {
    expect(shownState('device', deviceDecider.initialState)).toBeNull();
    expect(shownState('user', userDecider.initialState)).toBeNull();
    expect(shownState('delivery', null)).toBeNull();
    expect(shownState('refusal', {})).toBeNull();
    expect(shownLink(boxOf(), linkId, now)).toBeNull();
  });

  it('has the status of a link by the clock, and not what its token is known by', () => {
    const box = boxOf(...shared);
    expect(shownLink(box, linkId, now)).toMatchObject({ link_id: linkId, user_id: ada, uses: 0, uses_left: 1, status: 'active' });
    expect(shownLink(box, linkId, later(7_200))).toMatchObject({ status: 'expired' });
    expect(shownLink(boxOf(...shared, unlinked), linkId, now)).toMatchObject({ status: 'void' });
    expect(JSON.stringify(shownLink(box, linkId, now))).not.toContain('hash-of-the-token');
  });

  it('has of an account its standing, and nothing personal', () => {
    const events: readonly UserEvent[] = [
      { type: 'UserRegistered', data: { userId: ada, profile: { email: 'ada@example.com', firstName: 'Ada', lastName: 'L', residentState: 'BE' } } },
      { type: 'UserSuspended', data: {} },
    ];
    const shown = shownState('user', events.reduce((state, each) => userDecider.evolve(state, each, now), userDecider.initialState));
    expect(shown).toMatchObject({ user_id: ada, suspended: true, admin: null, sessions: [] });
    expect(JSON.stringify(shown)).not.toContain('example.com');
  });

  it('tells one opening from the request to the bolt', () => {
    const events = [requested(), dispatched(), event('UnlockConfirmed', { unlockId, evidence: 'sensor' })];
    const states = events.reduce<DeliveryState[]>((all, each) => [...all, evolveDelivery(all.at(-1) ?? null, each, now)], []);
    expect(states.map((state) => shownState('delivery', state)?.['status'])).toEqual(['requested', 'dispatched', 'opened']);
    expect(shownState('delivery', states.at(-1))).toMatchObject({ evidence: 'sensor', opened_at: now, use_returned: false });
  });
});
