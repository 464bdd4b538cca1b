import { createHash } from 'node:crypto';
import type { DomainEvent } from '../../src/domain/events.ts';
import type { Sealed } from '../../src/domain/kernel.ts';
import { schemaVersionOf } from '../../src/domain/registry.ts';
import { instant } from '../../src/platform/clock.ts';
import type { EventStore, EventToAppend, JsonObject } from '../../src/platform/event-store/port.ts';
import { seededRandom } from '../../src/simulator/random.ts';

/** Raise it when what is written below changes: filled folders of before are then made anew. */
export const PAST_VERSION = 2;

export type Seal = (subject: string, type: string, path: string, value: string | JsonObject) => Sealed | Promise<Sealed>;

/** A box that is there already, with who has it. */
export interface KnownBox {
  readonly deviceId: string;
  readonly userId: string;
  readonly assignmentId: string;
}

export interface PastOptions {
  /** Boxes in all, those that are known included. */
  readonly boxes: number;
  /** Events to write at least. */
  readonly events: number;
  readonly known: readonly KnownBox[];
  readonly seed: number;
}

/** Deliveries whose courier said who it was, in 100. */
const NAMED_COURIERS = 20;
const BOXES_OF_AN_OWNER = 5;
const WRITERS = 32;

type Step = { readonly stream: string; readonly events: readonly EventToAppend[] };

/**
 * A past as a running system would have left it, sealed as in production: boxes registered and claimed first, then at each
 * of them again and again a link, a delivery and what the box reports of it. Written through the port of the event store.
 */
export async function writePast(store: EventStore, seal: Seal, { boxes, events, known, seed }: PastOptions): Promise<number> {
  const random = seededRandom(seed);
  const hex = (digits: number) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('');
  const uuid = () => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`;
  let time = Date.parse('2026-01-01T00:00:00.000Z');

  function stored({ type, data }: DomainEvent, actor: EventToAppend['metadata']['actor']): EventToAppend {
    const commandId = uuid();
    const metadata = { schemaVersion: schemaVersionOf(type), commandId, correlationId: commandId, causationId: commandId, actor, source: 'mqtt_device', occurredAt: instant((time += 20)) } as const;
    return { eventId: uuid(), type, data: data as unknown as JsonObject, metadata };
  }

  const system = { kind: 'system', id: 'dispatcher' } as const;

  async function* claimed(userId: string, isFirst: boolean): AsyncGenerator<Step, KnownBox> {
    const [deviceId, assignmentId] = [uuid(), uuid()];
    const user = { kind: 'user', id: userId } as const;
    if (isFirst) {
      const profile = await seal(`user:${userId}`, 'UserRegistered', 'profile', { email: `${userId}@example.com`, firstName: 'Ada', lastName: 'Berg', residentState: 'CA' });
      yield { stream: `user-${userId}`, events: [stored({ type: 'UserRegistered', data: { userId, profile } }, user)] };
    }
    const pin = await seal(`device:${deviceId}`, 'DeviceRegistered', 'pin', '123456');
    const name = await seal(`user:${userId}`, 'DeviceAssigned', 'name', 'Front door');
    yield {
      stream: `device-${deviceId}`,
      events: [
        stored({ type: 'DeviceRegistered', data: { deviceId, serialNumber: deviceId.toUpperCase(), model: 'LoqeyBox-V1', profile: 'loqey', keyVersion: 1, pin, pinTag: 'tag', pinExpiresAt: '2027-01-01T00:00:00.000Z' } }, system),
        stored({ type: 'DeviceAssigned', data: { assignmentId, userId, name } }, user),
      ],
    };
    return { deviceId, userId, assignmentId };
  }

  async function* life(box: AsyncGenerator<Step, KnownBox> | KnownBox): AsyncGenerator<Step> {
    const { deviceId, userId, assignmentId } = 'deviceId' in box ? box : yield* box;
    const [user, device] = [{ kind: 'user', id: userId } as const, { kind: 'device', id: deviceId } as const];
    for (let n = 1; ; n++) {
      const [linkId, unlockId] = [uuid(), uuid()];
      const [token, name, courier] = await Promise.all([
        seal(`user:${userId}`, 'LinkCreated', 'token', hex(32)),
        seal(`user:${userId}`, 'LinkCreated', 'name', 'Parcel'),
        n % 100 < NAMED_COURIERS ? seal(`delivery:${unlockId}`, 'UnlockRequested', 'courier', { name: 'Kim', company: 'Quick' }) : undefined,
      ]);
      const courierActor = { kind: 'courier', id: linkId } as const;
      const tokenHash = createHash('sha256').update(linkId).digest('hex');
      yield {
        stream: `device-${deviceId}`,
        events: [
          stored({ type: 'LinkCreated', data: { linkId, assignmentId, tokenHash, token, name, expiresAt: instant(time + 86_400_000), maxUses: 1, requireIdentity: false } }, user),
          stored({ type: 'UnlockRequested', data: { unlockId, cause: { kind: 'link', id: linkId }, assignmentId, issuedAt: instant(time), expiresAt: instant(time + 30_000), ...(courier === undefined ? {} : { courier }) } }, courierActor),
          stored({ type: 'UnlockDispatched', data: { unlockId, level: 1, seq: n, keyVersion: 1, journalId: '5f0c9a1b2c3d4e5f', reportSeq: n } }, system),
          stored({ type: 'UnlockPublished', data: { unlockId } }, system),
          stored({ type: 'UnlockAcknowledged', data: { unlockId } }, device),
          stored({ type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor', durationMs: 412 } }, device),
          stored({ type: 'LockStateReported', data: { lockStatus: 'unlocked', cause: 'command', commandId: unlockId, evidence: 'signed', reportSeq: n } }, device),
          stored({ type: 'LockStateReported', data: { lockStatus: 'locked', cause: 'auto', evidence: 'signed', reportSeq: n } }, device),
          stored({ type: 'BatteryLevelChanged', data: { level: 100 - (n % 100), evidence: 'signed' } }, device),
          stored({ type: 'LinkExpired', data: { linkId } }, system),
        ],
      };
    }
  }

  let owner = '';
  const lives: AsyncGenerator<Step>[] = known.map(life);
  for (let n = 0; lives.length < boxes; n++) {
    const isFirst = n % BOXES_OF_AN_OWNER === 0;
    if (isFirst) owner = uuid();
    lives.push(life(claimed(owner, isFirst)));
  }
  let written = 0;
  const step = async (box: AsyncGenerator<Step>) => {
    const next = await box.next();
    if (next.done === true) return undefined;
    await store.append(next.value.stream, 'any', next.value.events);
    written += next.value.events.length;
    return next.value.stream;
  };
  // Each box belongs to one writer, so that its stream has an order.
  const shares = Array.from({ length: WRITERS }, (_, writer) => lives.map((box, n) => ({ box, isNew: n >= known.length })).filter((_, n) => n % WRITERS === writer));
  // Every box is there before the first one gets old, whatever the number of events.
  await Promise.all(
    shares.map(async (share) => {
      for (const { box, isNew } of share) while (isNew && (await step(box))?.startsWith('user-') === true);
    }),
  );
  await Promise.all(
    shares.map(async (share) => {
      for (let turn = 0; written < events && share.length > 0; turn++) await step(share[turn % share.length]!.box);
    }),
  );
  return written;
}
