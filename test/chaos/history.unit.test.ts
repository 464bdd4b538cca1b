import { describe, expect, it } from 'vitest';
import { createDice } from '../../chaos/dice.ts';
import { historyOf } from '../../chaos/history.ts';
import type { RecordedEvent } from '../../src/platform/event-store/port.ts';

// What finds nothing must be able to find something.

const [assignmentId, linkId, unlockId, owner] = ['a', 'l', 'u', 'o'];
const expiresAt = '2026-11-21T10:00:30.000Z';

type Said = readonly [type: string, data: RecordedEvent['data'], at?: string];
const log = (...events: readonly Said[]): RecordedEvent[] =>
  events.map(([type, data, at = '2026-11-21T10:00:00.000Z'], n) => ({
    stream: 'device-d',
    revision: BigInt(n),
    position: BigInt(n + 1),
    eventId: `${n}`,
    type,
    data,
    metadata: { occurredAt: at } as RecordedEvent['metadata'],
    recordedAt: at,
  }));

const assigned: Said = ['DeviceAssigned', { assignmentId, userId: owner }];
const made: Said = ['LinkCreated', { linkId, assignmentId, maxUses: 1, expiresAt }];
const requested = (id = unlockId): Said => ['UnlockRequested', { unlockId: id, cause: { kind: 'link', id: linkId }, expiresAt }];
const dispatched = (id = unlockId, at = '2026-11-21T10:00:00.000Z'): Said => ['UnlockDispatched', { unlockId: id }, at];
const confirmed = (id = unlockId): Said => ['UnlockConfirmed', { unlockId: id }];
const wrong = (...events: readonly Said[]) => historyOf(log(assigned, made, ...events)).wrong;

describe('the history that chaos tells by itself', () => {
  it('finds nothing in what is right', () => {
    expect(wrong(requested(), dispatched(), confirmed())).toEqual([]);
    expect(wrong(requested(), ['UnlockExpired', { unlockId }], requested('v'), dispatched('v'), ['UnlockOutcomeUnknown', { unlockId: 'v' }], ['UnlockSettled', { unlockId: 'v', outcome: 'opened', useReturned: false }])).toEqual([]);
  });

  it.each<[string, readonly Said[], RegExp]>([
    ['a second dispatch', [requested(), dispatched(), dispatched()], /dispatched a second time/],
    ['a dispatch after the end', [requested(), ['UnlockCancelled', { unlockId }], dispatched()], /dispatched after UnlockCancelled/],
    ['a dispatch that comes late', [requested(), dispatched(unlockId, '2026-11-21T10:00:31.000Z')], /after its end/],
    ['a dispatch by a revoked link', [requested(), ['LinkRevoked', { linkId }], dispatched()], /by a link that had ended/],
    ['a dispatch for a former owner', [requested(), ['DeviceUnlinked', {}], ['DeviceAssigned', { assignmentId: 'b', userId: 'p' }], dispatched()], /of an earlier owner/],
    ['a dispatch for a suspended owner', [requested(), ['OwnerSuspended', {}], dispatched()], /who is suspended/],
    ['more uses than there are', [requested(), dispatched(), confirmed(), requested('v')], /use 2 of 1/],
    ['an end without a dispatch', [requested(), confirmed()], /without having been dispatched/],
    ['two ends', [requested(), dispatched(), confirmed(), ['UnlockFailed', { unlockId, useReturned: true }]], /ends after it had ended/],
    ['a use that comes back for an opening', [requested(), dispatched(), ['UnlockSettled', { unlockId, outcome: 'opened', useReturned: true }]], /opened, and its use came back/],
  ])('finds %s', (_, events, finding) => {
    expect(wrong(...events).join('\n')).toMatch(finding);
  });
});

describe('dice', () => {
  it('of one seed fall the same, and what one part draws changes nothing for another', () => {
    const [one, other] = [createDice(7), createDice(7)];
    other.of('somebody').next();
    expect(Array.from({ length: 20 }, () => one.between(1, 6))).toEqual(Array.from({ length: 20 }, () => other.between(1, 6)));
    expect(createDice(7).of('a').next()).not.toBe(createDice(7).of('b').next());
    expect(createDice(3).shuffled([1, 2, 3, 4, 5]).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5]);
  });
});
