import type { DeviceEvent } from '../../src/domain/device/events.ts';
import type { DomainEvent } from '../../src/domain/events.ts';
import { newId } from '../../src/platform/ids.ts';
import { personal } from '../support/read-side.ts';

/** A repeatable choice: the same seed makes the same history but for its ids. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return Math.floor(((state ^ (state >>> 13)) >>> 0) / 2 ** 32 * below);
  };
}

export interface Step {
  readonly stream: string;
  readonly events: readonly DomainEvent[];
}

interface Box {
  readonly deviceId: string;
  readonly stream: string;
  owner: string;
  assignmentId: string;
  links: string[];
}

/** A plausible past: people, boxes, links, openings with every kind of end, reports, unlinks, erasures. */
export function* history(seed: number, steps: number): Generator<Step> {
  const pick = random(seed);
  const users: string[] = [];
  const boxes: Box[] = [];

  const user = (): Step => {
    const userId = newId();
    users.push(userId);
    const profile = personal(`user:${userId}`, { email: `${userId}@example.com`, firstName: 'A', lastName: 'B', residentState: 'CA' });
    return { stream: `user-${userId}`, events: [{ type: 'UserRegistered', data: { userId, profile } }] };
  };
  const assigned = (box: Box): DeviceEvent => {
    box.assignmentId = newId();
    box.owner = users[pick(users.length)] ?? '';
    box.links = [];
    return { type: 'DeviceAssigned', data: { assignmentId: box.assignmentId, userId: box.owner, name: personal(`user:${box.owner}`, 'Door') } };
  };
  const box = (): Step => {
    const deviceId = newId();
    const made: Box = { deviceId, stream: `device-${deviceId}`, owner: '', assignmentId: '', links: [] };
    boxes.push(made);
    const pin = personal(`device:${deviceId}`, '123456');
    const data = { deviceId, serialNumber: deviceId, model: 'LoqeyBox-V1', profile: 'loqey', keyVersion: 1, pin, pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } as const;
    return { stream: made.stream, events: [{ type: 'DeviceRegistered', data }, assigned(made)] };
  };
  const link = (at: Box): DeviceEvent => {
    const linkId = newId();
    at.links.push(linkId);
    const token = personal(`user:${at.owner}`, 'x'.repeat(32));
    const name = personal(`user:${at.owner}`, 'Parcel');
    return {
      type: 'LinkCreated',
      data: { linkId, assignmentId: at.assignmentId, tokenHash: linkId, token, name, expiresAt: '2026-12-01T00:00:00.000Z', maxUses: 3, requireIdentity: false },
    };
  };
  const unlock = (at: Box): DeviceEvent[] => {
    const unlockId = newId();
    const linkId = at.links[pick(Math.max(1, at.links.length))];
    const cause = linkId === undefined ? ({ kind: 'owner', id: at.owner } as const) : ({ kind: 'link', id: linkId } as const);
    const courier = linkId === undefined ? {} : { courier: personal(`delivery:${unlockId}`, { name: 'Kim', company: 'Quick' }) };
    const request: DeviceEvent = {
      type: 'UnlockRequested',
      data: { unlockId, cause, assignmentId: at.assignmentId, issuedAt: '2026-11-21T10:00:00.000Z', expiresAt: '2026-11-21T10:00:30.000Z', ...courier },
    };
    const sent: DeviceEvent[] = [
      { type: 'UnlockDispatched', data: { unlockId, level: 1, seq: 1 } },
      { type: 'UnlockPublished', data: { unlockId } },
      { type: 'UnlockAcknowledged', data: { unlockId } },
    ];
    switch (pick(8)) {
      case 0:
        return [request, { type: 'UnlockExpired', data: { unlockId } }];
      case 1:
        return [request, { type: 'UnlockCancelled', data: { unlockId, reason: 'link_revoked' } }];
      case 2:
        return [request, ...sent, { type: 'UnlockFailed', data: { unlockId, reason: 'jammed', useReturned: true } }];
      case 3:
        return [
          request,
          ...sent,
          { type: 'UnlockOutcomeUnknown', data: { unlockId, reason: 'no_answer' } },
          { type: 'UnlockSettled', data: { unlockId, outcome: 'not_opened', by: 'device', useReturned: true } },
        ];
      default:
        return [
          request,
          ...sent,
          { type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor' } },
          { type: 'LockStateReported', data: { lockStatus: 'unlocked', evidence: 'signed' } },
          { type: 'LockStateReported', data: { lockStatus: 'locked', evidence: 'signed' } },
        ];
    }
  };

  for (let i = 0; i < 3; i++) yield user();
  for (let i = 0; i < 4; i++) yield box();
  for (let step = 0; step < steps; step++) {
    const at = boxes[pick(boxes.length)];
    if (at === undefined) continue;
    const { stream, assignmentId, owner } = at;
    const roll = pick(40);
    if (roll === 0) yield user();
    else if (roll === 1) yield box();
    else if (roll === 2) {
      yield { stream, events: [{ type: 'DeviceUnlinked', data: { assignmentId, userId: owner, by: 'owner' } }] };
      yield { stream, events: [assigned(at)] };
    } else if (roll === 3) {
      at.links = [];
      yield { stream, events: [{ type: 'OwnerSuspended', data: { assignmentId, userId: owner } }, { type: 'OwnerActivated', data: { assignmentId, userId: owner } }] };
    } else if (roll < 8) yield { stream, events: [link(at)] };
    else if (roll < 12) yield { stream, events: [{ type: 'BatteryLevelChanged', data: { level: pick(101), evidence: 'signed' } }] };
    else if (roll < 14) {
      yield { stream, events: [{ type: 'DeviceWentOffline', data: { lastHeardAt: '2026-11-21T10:00:00.000Z' } }, { type: 'DeviceWentOnline', data: { evidence: 'signed' } }] };
    } else if (roll === 14) yield { stream, events: [{ type: 'DeviceRenamed', data: { assignmentId, name: personal(`user:${owner}`, `Door ${step}`) } }] };
    else if (roll === 15 && at.links[0] !== undefined) {
      const linkId = at.links.shift() ?? '';
      yield { stream, events: [{ type: 'LinkRevoked', data: { linkId } }] };
    } else yield { stream, events: unlock(at) };
  }
}
