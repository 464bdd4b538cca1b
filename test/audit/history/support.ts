import { createHistory, type History, type HistoryDeps } from '../../../src/audit/history/history.ts';
import type { Milestone, MilestoneStore } from '../../../src/audit/history/milestones.ts';
import type { LinkPart } from '../../../src/audit/history/fold.ts';
import { deviceDecider } from '../../../src/domain/device/device.ts';
import type { DeviceCommand } from '../../../src/domain/device/commands.ts';
import type { DeviceState } from '../../../src/domain/device/state.ts';
import { deviceStream } from '../../../src/domain/device/stream.ts';
import { addMs } from '../../../src/domain/time.ts';
import type { EventStore, EventToAppend, JsonObject, RecordedEvent } from '../../../src/platform/event-store/port.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import { ada, admin, bob, command, deviceId } from '../../domain/device/box.ts';
import { now as start } from '../../support/given.ts';

/** A repeatable choice: the same seed chooses the same. */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0;
    return Math.floor(((state ^ (state >>> 13)) >>> 0) / 2 ** 32 * below);
  };
}

/** Kept as text, as a table would. */
export function memoryMilestones(): MilestoneStore & { readonly kept: Map<string, readonly Milestone[]> } {
  const kept = new Map<string, (Milestone & { readonly links: readonly LinkPart[] })[]>();
  const of = (stream: string, fold: string) => (kept.get(stream) ?? []).filter((each) => (each as { fold?: string }).fold === fold);
  const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;
  return {
    kept,
    last: async (stream, fold) => of(stream, fold).at(-1),
    load: async (stream, fold, revision) => of(stream, fold).find((each) => each.revision === revision),
    blockBy: async (stream, fold, at) => of(stream, fold).findLast(({ earliest }) => earliest <= at)?.revision,
    upTo: async (stream, fold, position) => of(stream, fold).findLast((each) => each.position <= position)?.revision,
    links: async (stream, fold, revision, linkIds) =>
      linkIds.flatMap((linkId) => of(stream, fold).filter((each) => each.revision <= revision).flatMap(({ links }) => links.filter((part) => part.linkId === linkId)).slice(-1)),
    async keep(stream, fold, milestones) {
      const all = kept.get(stream) ?? [];
      for (const each of milestones) if (!of(stream, fold).some(({ revision }) => revision === each.revision)) all.push({ ...each, core: plain(each.core), links: plain(each.links), ...{ fold } });
      kept.set(stream, all);
    },
    forget: async (stream) => void kept.delete(stream),
  };
}

export function historyOver(store: HistoryDeps['store'], options: Partial<HistoryDeps> = {}): History {
  return createHistory({ store, milestones: memoryMilestones(), logger: silentLogger, metrics: new Metrics(), calmMs: 0, ...options });
}

export const boxStream = deviceStream(deviceId);
export const linkIdOf = (index: number) => `eeeeeeee-0000-4000-8000-${String(index).padStart(12, '0')}`;

/** What happens to one box, by its own rules; the clocks of those who write go back now and then. */
export function* lifeOfABox(seed: number, steps: number): Generator<{ readonly event: EventToAppend; readonly state: DeviceState }> {
  const pick = random(seed);
  let state = deviceDecider.initialState;
  let ms = Date.parse(start);
  let links = 0;
  let unlocks = 0;
  let count = 0;
  function* run(asked: DeviceCommand): Generator<{ readonly event: EventToAppend; readonly state: DeviceState }> {
    const at = new Date(ms).toISOString();
    for (const event of deviceDecider.decide(state, asked, at).events) {
      state = deviceDecider.evolve(state, event, at);
      count += 1;
      const id = `0198c1de-0000-7000-8000-${String(count).padStart(12, '0')}`;
      const metadata = { schemaVersion: 1, commandId: id, correlationId: id, causationId: id, actor: { kind: 'system', id: 'test' }, source: 'system', occurredAt: at } as const;
      yield { event: { eventId: id, type: event.type, data: event.data as unknown as JsonObject, metadata }, state };
    }
  }
  const now = () => new Date(ms).toISOString();
  yield* run(command('RegisterDevice', { serialNumber: 'LQ-1', model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 'p', pinExpiresAt: addMs(now(), 300 * 86_400_000) }));
  for (let step = 0; step < steps; step++) {
    ms += pick(12) === 0 ? -pick(90_000) : pick(20_000);
    const user = pick(4) === 0 ? bob : ada;
    const linkId = linkIdOf(pick(Math.max(1, links)));
    switch (pick(16)) {
      case 0:
        yield* run(command('RegeneratePin', { pin: '2', pinTag: 'p', pinExpiresAt: addMs(now(), 300 * 86_400_000) }));
        yield* run(command('AssignDevice', { assignmentId: `dddddddd-0000-4000-8000-${String(step).padStart(12, '0')}`, userId: user, pinTag: 'p', name: 'n' }));
        break;
      case 1:
        if (pick(4) === 0) yield* run(command('UnlinkDevice', {}));
        break;
      case 2:
        yield* run(pick(3) === 0 ? command('SuspendOwner', { userId: user }) : command('ActivateOwner', { userId: user }));
        break;
      case 3:
        yield* run(pick(2) === 0 ? command('StartMaintenance', {}) : command('EndMaintenance', {}));
        break;
      case 4:
      case 5:
        for (const event of run(command('CreateLink', { linkId: linkIdOf(links), userId: user, token: 't', tokenHash: `hash-${links}`, expiresAt: addMs(now(), 60_000 * (1 + pick(60))), latestExpiry: addMs(now(), 7_200_000), maxUses: 1 + pick(3), requireIdentity: pick(4) === 0 }))) {
          links += 1;
          yield event;
        }
        break;
      case 6:
        yield* run(command('RevokeLink', { linkId, userId: user }));
        break;
      case 7:
        yield* run(command('ExpireLink', { linkId }));
        break;
      case 8:
      case 9:
      case 10: {
        const unlockId = `0198c1de-7a10-7c3e-8f00-${String(++unlocks).padStart(12, '0')}`;
        const cause = pick(5) === 0 ? ({ kind: 'admin', id: admin } as const) : pick(3) === 0 ? ({ kind: 'owner', id: user } as const) : ({ kind: 'link', id: linkId } as const);
        yield* run(command('RequestUnlock', { unlockId, cause, ttlMs: 30_000, level0Deliveries: true, courier: { name: 'K', company: 'Q' } }));
        if (pick(6) === 0) break;
        yield* run(command('DispatchUnlock', { unlockId, level: 1, keyVersion: 1, journalId: 'j', reportSeq: 1 }));
        yield* run(command('RecordUnlockPublished', { unlockId }));
        if (pick(4) === 0) break;
        yield* run(command('RecordUnlockAnswer', { unlockId, phase: 'final', result: pick(3) === 0 ? 'failed' : 'opened', signed: true, evidence: 'sensor', newStatus: 'locked' }));
        break;
      }
      case 11:
        ms += 41_000;
        yield* run(command('ExpireUnlock', { unlockId: state.kind === 'registered' ? (state.unlocks.current?.unlockId ?? '') : '' }));
        break;
      case 12:
        yield* run(command('RecordReport', { evidence: 'signed', battery: pick(100) }));
        break;
      default:
        yield* run(command('RecordReport', { evidence: 'signed', lockStatus: pick(2) === 0 ? 'locked' : 'unlocked', online: true }));
    }
  }
}

/** Counts what a reader reads. */
export function counting(store: HistoryDeps['store']): HistoryDeps['store'] & { events: number } {
  const counted = {
    events: 0,
    async *readStream(...args: Parameters<EventStore['readStream']>): AsyncGenerator<RecordedEvent> {
      for await (const event of store.readStream(...args)) {
        counted.events += 1;
        yield event;
      }
    },
  };
  return counted;
}
