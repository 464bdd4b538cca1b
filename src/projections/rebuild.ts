import type { Uuid } from '../domain/kernel.ts';
import { fullJitter, pause } from '../platform/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import type { EventStore, RecordedEvent } from '../platform/event-store/port.ts';
import type { Logger } from '../platform/logger.ts';
import { isTransient, sqlState, type Database } from '../platform/postgres/db.ts';
import { problemOf, type ProjectionError } from './checkpoints.ts';
import { activate, createGeneration, dropGeneration } from './generations.ts';
import { decodeBatch, Member, stage, type Poison } from './member.ts';
import { createIndexes, type AnyProjection } from './projection.ts';
import { openSession, type Session } from './session.ts';

export interface RebuildOptions {
  readonly db: Database;
  readonly store: EventStore;
  readonly projections: readonly AnyProjection[];
  readonly logId: Uuid;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Read models to rebuild, all in one pass over the log. */
  readonly names: readonly string[];
  /** Leaves everything as it was. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RebuildProgress) => void;
}

export interface RebuildProgress {
  readonly phase: 'load' | 'indexes' | 'switch';
  /** Events read so far, and how many there will be, as far as the positions tell. */
  readonly done: number;
  readonly total: number;
  readonly perSecond: number;
  /** Undefined while it cannot be told. */
  readonly secondsLeft: number | undefined;
}

export interface RebuildResult {
  readonly name: string;
  readonly events: number;
  readonly seconds: number;
  /** Undefined where it was switched. Then the read model is as it was before. */
  readonly failure?: RebuildFailure;
}

/** A rebuild is strict: it stops at the first event that it cannot take, skipped in the live one or not. */
export class RebuildFailure extends Error {
  override readonly name = 'RebuildFailure';
  readonly projection: string;
  readonly problem: ProjectionError;

  constructor(projection: string, { event, error }: Poison) {
    super(`${projection} cannot take ${event.type} at position ${event.position} (${event.stream}): ${error.message}`, { cause: error });
    this.projection = projection;
    this.problem = problemOf(event, error);
  }
}

export class RebuildRunning extends Error {
  override readonly name = 'RebuildRunning';

  constructor(projection: string) {
    super(`A rebuild of ${projection} is already running. Wait for it, or stop the process that runs it.`);
  }
}

export class UnknownProjection extends Error {
  override readonly name = 'UnknownProjection';

  constructor(name: string, known: readonly string[]) {
    super(`There is no read model named ${name}. There are: ${known.join(', ')}.`);
  }
}

const BATCH = 5_000;
/** Rows of each table that are kept in memory. */
const CACHE_ROWS = 50_000;
/** A row lock that is not had in time is asked for again so often. */
const SWITCH_TRIES = 20;
const LOCK_CLASS = 20_261_121;
const PROGRESS_MS = 250;

/**
 * Builds the next generation of read models beside the ones in use, in one pass over the log, then switches each: takes its
 * checkpoint row, so that the live group waits a moment, applies what came meanwhile, and makes the new generation the
 * one that is read and written. No read fails: the old one stays until it is dropped.
 *
 * @throws RebuildRunning · UnknownProjection
 */
export async function rebuild(options: RebuildOptions): Promise<readonly RebuildResult[]> {
  const chosen = [...options.names].sort().map((name) => {
    const projection = options.projections.find((candidate) => candidate.name === name);
    if (projection === undefined) throw new UnknownProjection(name, options.projections.map((known) => known.name));
    return projection;
  });
  try {
    return await onePass(options, chosen);
  } catch (error) {
    if (!(error instanceof WriteRefused)) throw error;
    // Whose rows, and of which event? Each alone, and from the batch in question on one event after the other.
    const results: RebuildResult[] = [];
    for (const projection of chosen) results.push(...(await onePass(options, [projection], error.after)));
    return results;
  }
}

/** The database does not take what was folded from the events after a position. */
class WriteRefused extends Error {
  override readonly name = 'WriteRefused';
  readonly after: bigint;

  constructor(after: bigint, cause: unknown) {
    super(`The database refused the rows of a batch after position ${after}`, { cause });
    this.after = after;
  }
}

async function onePass(options: RebuildOptions, chosen: readonly AnyProjection[], slowAfter?: bigint): Promise<readonly RebuildResult[]> {
  const { db, store, clock, signal } = options;
  const logger = options.logger.child({ component: 'rebuild' });
  const session = await openSession({ url: db.url, name: 'loqey-rebuild', statementTimeoutMs: 0 });
  const began = clock.monotonic();
  const seconds = () => (clock.monotonic() - began) / 1_000;
  const failures = new Map<string, RebuildFailure>();
  const results: RebuildResult[] = [];
  let building: readonly Member[] = [];
  let done = 0;
  let reportedAt = -Infinity;

  const report = (phase: RebuildProgress['phase'], fraction: number) => {
    if (phase === 'load' && clock.monotonic() - reportedAt < PROGRESS_MS) return;
    reportedAt = clock.monotonic();
    const total = fraction > 0 ? Math.max(done, Math.round(done / fraction)) : done;
    const perSecond = done / Math.max(seconds(), 0.001);
    options.onProgress?.({
      phase,
      done,
      total,
      perSecond,
      secondsLeft: fraction > 0 && perSecond > 0 ? (total - done) / perSecond : undefined,
    });
  };

  const fail = (member: Member, poison: Poison) => {
    const failure = new RebuildFailure(member.name, poison);
    failures.set(member.name, failure);
    logger.error({ err: failure, projection: member.name }, 'A rebuild stops at an event it cannot take');
  };

  /** Brings the members in memory to the end of these events. One that cannot take one is left out from here on. */
  const fold = async (members: readonly Member[], events: readonly RecordedEvent[]): Promise<readonly Member[]> => {
    const staged = await stage(session, members, decodeBatch(events));
    const last = events.at(-1);
    return members.filter((member) => {
      const poison = staged.get(member)?.poison;
      if (poison !== undefined) {
        fail(member, poison);
        return false;
      }
      if (last !== undefined) {
        member.position = last.position;
        member.lastEventAt = last.recordedAt;
      }
      return true;
    });
  };

  /** To the present end of the log. While the server writes one batch the next is folded; one and no more. */
  const catchUp = async (from: bigint): Promise<bigint> => {
    const head = (await store.head()) ?? -1n;
    if (head <= from) return from;
    let position = from;
    let writing: Promise<void> = Promise.resolve();
    const ended = new AbortController();
    const stop = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
    try {
      const after = from < 0n ? undefined : from;
      for await (const batch of store.subscribeAll({ after, maxBatch: BATCH, signal: stop })) {
        if (slowAfter !== undefined && batch.position > slowAfter) await oneByOne(batch.events);
        else if (batch.events.length > 0) {
          const before = position;
          building = await fold(building, batch.events);
          const statements = building.flatMap((member) => member.writing());
          for (const member of building) member.keep();
          await writing;
          writing = statements.length === 0 ? Promise.resolve() : session.write(statements).catch((error: unknown) => {
            throw isRefused(error) ? new WriteRefused(before, error) : error;
          });
          writing.catch(() => undefined); // awaited with the next batch, or at the end
        }
        done += batch.events.length;
        position = batch.position;
        report('load', Math.min(1, Number(position) / Number(head)));
        if (batch.live || position >= head || building.length === 0) break;
      }
    } finally {
      ended.abort();
      await writing;
    }
    signal?.throwIfAborted();
    return position;
  };

  /** So slowly that the event is known whose rows the database does not take. Of one member. */
  const oneByOne = async (events: readonly RecordedEvent[]): Promise<void> => {
    for (const event of events) {
      const [member] = building;
      if (member === undefined) return;
      building = await fold(building, [event]);
      try {
        await session.write(member.writing());
      } catch (error) {
        if (!isRefused(error)) throw error;
        fail(member, { event, error: error as Error });
        building = [];
      }
      member.keep();
    }
  };

  try {
    for (const { name } of chosen) await lock(session, name);
    await session.read([{ text: `SET maintenance_work_mem = '128MB'`, values: [] }]);
    const members: Member[] = [];
    for (const projection of chosen) {
      members.push(new Member(projection, await createGeneration(session, projection), -1n, CACHE_ROWS));
      building = members;
    }
    building = [...members];
    let position = await catchUp(-1n);
    report('indexes', 1);
    for (const member of building) {
      for (const statement of createIndexes(member.projection, member.schema)) {
        signal?.throwIfAborted();
        await session.read([{ text: statement, values: [] }]);
      }
    }
    position = await catchUp(position); // what came while the indexes were built
    report('switch', 1);
    for (const member of building) {
      if (await switchTo(member)) results.push({ name: member.name, events: done, seconds: seconds() });
    }
    for (const member of members) {
      const failure = failures.get(member.name);
      if (failure === undefined) continue;
      await dropGeneration(session, member);
      results.push({ name: member.name, events: done, seconds: seconds(), failure });
    }
    logger.info({ projections: chosen.map(({ name }) => name), events: done, seconds: Math.round(seconds()) }, 'Read models rebuilt');
    return results.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    const switched = new Set(results.map(({ name }) => name));
    for (const member of building) {
      if (switched.has(member.name) || session.lost) continue;
      await dropGeneration(session, member).catch(() => undefined); // the next rebuild removes what is left
    }
    throw error;
  } finally {
    await session.close().catch(() => undefined);
  }

  /** @returns false where an event that came meanwhile cannot be taken */
  async function switchTo(member: Member): Promise<boolean> {
    const { position, lastEventAt } = member;
    for (let attempt = 0; ; attempt++) {
      try {
        await session.transaction(() => switchUnderLock(member));
        return true;
      } catch (error) {
        member.discard();
        Object.assign(member, { position, lastEventAt });
        if (error instanceof RebuildFailure) return false;
        if (!isTransient(error) || session.lost || attempt >= SWITCH_TRIES) throw error;
        await pause(fullJitter(attempt, { capMs: 500 }), signal);
        signal?.throwIfAborted();
      }
    }
  }

  async function switchUnderLock(member: Member): Promise<void> {
    const [found] = await session.read([
      { text: 'SELECT position, log_id FROM work.projections WHERE name = $1 FOR UPDATE', values: [member.name] },
    ]);
    const row = found?.[0] as { position: string; log_id: Uuid } | undefined;
    // A checkpoint of another log, or beyond this one's end, is what this rebuild was asked to mend.
    const head = (await store.head()) ?? -1n;
    const live = row === undefined || row.log_id !== options.logId || BigInt(row.position) > head ? -1n : BigInt(row.position);
    const rest: RecordedEvent[] = [];
    if (live > member.position) {
      for await (const event of store.readAll({ after: member.position })) {
        if (event.position > live) break;
        rest.push(event);
      }
    }
    if (rest.length > 0) {
      const [folded] = await fold([member], rest);
      if (folded === undefined) throw failures.get(member.name) ?? new Error(`${member.name} could not be folded`);
      await session.read(member.writing());
    }
    if (member.position < live) member.position = live;
    await activate(session, member, options.logId);
  }
}

const isRefused = (error: unknown) => sqlState(error) !== undefined && !isTransient(error);

async function lock(session: Session, name: string): Promise<void> {
  const [result] = await session.read([{ text: 'SELECT pg_try_advisory_lock($1, hashtext($2)) AS taken', values: [LOCK_CLASS, name] }]);
  if (result?.[0]?.['taken'] !== true) throw new RebuildRunning(name);
}
