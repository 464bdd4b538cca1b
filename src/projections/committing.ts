import type { Clock } from '../platform/clock.ts';
import type { RecordedEvent } from '../platform/event-store/port.ts';
import { isTransient, sqlState } from '../platform/postgres/db.ts';
import { FENCED, LIVE_CHANNEL, notifying, writeLive, type BatchEnd } from './checkpoints.ts';
import { stage, type BatchEvent, type Member, type Poison } from './member.ts';
import type { LiveChange } from './read-models.ts';
import type { Session } from './session.ts';

export interface CommitterOptions {
  readonly clock: Clock;
  /** The fence held: the members as they are bound now. @throws when another process leads */
  readonly rebind: (members: readonly Member[]) => Promise<readonly Member[]>;
  /** This one stands before an event. */
  readonly halt: (member: Member, poison: Poison) => Promise<void>;
  readonly isHalted: (name: string) => boolean;
}

export type Commit = (on: Session, members: readonly Member[], batch: readonly BatchEvent[], end: BatchEnd, notify: boolean) => Promise<readonly LiveChange[]>;

/** Writes batches for members that are bound to their generations. */
export function createCommitter({ clock, rebind, halt, isHalted }: CommitterOptions): Commit {
  /**
   * Stages and writes a batch for these members, each up to the event it cannot take, if there is one: that one stops,
   * the others go on.
   *
   * @returns what was told to others
   */
  async function commit(
    on: Session,
    all: readonly Member[],
    batch: readonly BatchEvent[],
    end: BatchEnd,
    notify: boolean,
  ): Promise<readonly LiveChange[]> {
    const behind = all.filter((member) => member.position < end.position);
    if (behind.length === 0) return [];
    const staged = await stage(on, behind, batch);
    const whole = behind.filter((member) => staged.get(member)?.poison === undefined);
    const parted = behind.filter((member) => !whole.includes(member));
    const told: LiveChange[] = [];
    const changesOf = (members: readonly Member[]) =>
      members.flatMap((member) => staged.get(member)?.changes ?? []).sort((a, b) => Number(a.position - b.position));
    if (whole.length > 0) {
      const changes = changesOf(whole);
      try {
        await writeLive(on, whole, changes, end, clock.now(), notify && parted.length === 0);
        told.push(...changes);
      } catch (error) {
        for (const member of behind) member.discard();
        if (sqlState(error) === FENCED) return await commit(on, await rebind(all), batch, end, notify);
        if (isTransient(error) || sqlState(error) === undefined) throw error;
        return await isolate(on, whole.concat(parted), batch, end, notify, error as Error);
      }
    }
    for (const member of parted) {
      const { changes = [], poison } = staged.get(member) ?? {};
      if (poison === undefined) continue;
      const before = batch.filter(({ stored }) => stored.position < poison.event.position && stored.position > member.position).at(-1);
      if (before === undefined) member.discard();
      else {
        await writeLive(on, [member], changes, endOf(before.stored), clock.now(), false);
        told.push(...changes);
      }
      await halt(member, poison);
    }
    if (notify && parted.length > 0) await on.read([notifying(LIVE_CHANNEL, String(end.position))]);
    return told;
  }

  /** The database refuses what a member wrote: each alone, then each event alone, until it is clear whose and which. */
  async function isolate(
    on: Session,
    all: readonly Member[],
    batch: readonly BatchEvent[],
    end: BatchEnd,
    notify: boolean,
    error: Error,
  ): Promise<readonly LiveChange[]> {
    const told: LiveChange[] = [];
    if (all.length > 1) {
      for (const member of all) told.push(...(await commit(on, [member], batch, end, false)));
      if (notify) await on.read([notifying(LIVE_CHANNEL, String(end.position))]);
      return told;
    }
    const [member] = all;
    if (member === undefined) return told;
    const ahead = batch.filter(({ stored }) => stored.position > member.position);
    const [only] = ahead;
    if (only === undefined) throw error;
    if (ahead.length === 1) {
      await halt(member, { event: only.stored, error });
      return told;
    }
    const half = Math.ceil(ahead.length / 2);
    for (const part of [ahead.slice(0, half), ahead.slice(half)]) {
      const last = part.at(-1);
      if (last === undefined || isHalted(member.name)) break;
      told.push(...(await commit(on, [member], part, endOf(last.stored), false)));
    }
    return told;
  }

  return commit;
}

export function endOf(event: RecordedEvent): BatchEnd {
  return { position: event.position, lastEventAt: event.recordedAt };
}
