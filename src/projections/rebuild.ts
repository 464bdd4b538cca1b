import type { Uuid } from '../domain/kernel.ts';
import { fullJitter, pause } from '../platform/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import type { EventStore, RecordedEvent } from '../platform/event-store/port.ts';
import type { Logger } from '../platform/logger.ts';
import { isTransient, sqlState, type Database } from '../platform/postgres/db.ts';
import { problemOf, readCheckpoints, type Checkpoint, type ProjectionError } from './checkpoints.ts';
import { compareGenerations, type Comparison } from './comparison.ts';
import { activate, BUILDING, createGeneration, dropGeneration, park, reached } from './generations.ts';
import { decodeBatch, Member, stage, type Poison } from './member.ts';
import { createIndexes, schemaOf, type AnyProjection } from './projection.ts';
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
  /** A generation that waits or was replaced: it is brought up to date instead of a new one being made. Of one read model. */
  readonly generation?: number;
  /**
   * What becomes of it. `switch` (the default): it is what is read from then on. `ready`: it waits. `look`: it was made to
   * be compared, and is kept only where it differs. Asked once it is up to date.
   */
  readonly finish?: Finish | ((name: string) => Promise<Finish>);
  /** Holds it against the live one, at the same position. A difference leaves it waiting. */
  readonly compare?: boolean;
  readonly acceptDifferences?: boolean;
  /** Called once nobody else can build these, before anything is made. */
  readonly onLocked?: () => Promise<void>;
  /** Called before each switch: the last moment to think better of it, by throwing. */
  readonly beforeSwitch?: () => Promise<void>;
  /** Leaves everything as it was. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RebuildProgress) => void;
}

export type Finish = 'switch' | 'ready' | 'look';

export interface RebuildProgress {
  readonly phase: 'load' | 'indexes' | 'compare' | 'switch';
  /** Events read so far, and how many there will be, as far as the positions tell. */
  readonly done: number;
  readonly total: number;
  readonly perSecond: number;
  /** Undefined while it cannot be told. */
  readonly secondsLeft: number | undefined;
}

export interface RebuildResult {
  readonly name: string;
  readonly version: number;
  readonly generation: number;
  /** `equal`: as the live one, and dropped. `different`: it waits, to be looked at. `failed`: the read model is as it was before. */
  readonly outcome: 'switched' | 'ready' | 'equal' | 'different' | 'failed';
  readonly events: number;
  readonly seconds: number;
  /** Undefined where it was not asked for, and where there was nothing to compare with. */
  readonly comparison?: Comparison;
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

/** The generation cannot be brought up to date: it is gone, of another version, or nobody knows what it holds. */
export class NotResumable extends Error {
  override readonly name = 'NotResumable';
}

/** The live one is not where the other one is, and does not come there. */
export class NotComparable extends Error {
  override readonly name = 'NotComparable';
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
const PROGRESS_MS = 250;
/** How long a switch waits for the live one to have told of what the new one has. */
const SETTLE_MS = 1_000;

/**
 * Builds the next generation of read models beside the ones in use, in one pass over the log, then switches each: takes its
 * checkpoint row, so that the live group waits a moment, applies what came meanwhile, and makes the new generation the
 * one that is read and written. No read fails: the old one stays until it is dropped.
 *
 * A generation that was replaced is gone back to in the same way: brought up to date beside the live one, then switched to.
 *
 * @throws RebuildRunning · UnknownProjection · NotResumable · NotComparable
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
  const seconds = () => (clock.monotonic() - began) / 1_000;
  const failures = new Map<string, RebuildFailure>();
  const results: RebuildResult[] = [];
  /** Generations that this one made; what was there before is never dropped. */
  const made = new Set<Member>();
  let building: readonly Member[] = [];
  let done = 0;
  const comparing = options.compare === true;
  /** Where it begins: progress and the time left come from positions. */
  let start = -1n;
  let began = clock.monotonic();
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
      if (last !== undefined && last.position > member.position) {
        member.position = last.position;
        member.lastEventAt = last.recordedAt;
      }
      return true;
    });
  };

  /** To a position of the log. While the server writes one batch the next is folded; one and no more. */
  const catchUp = async (from: bigint, head: bigint): Promise<bigint> => {
    if (head <= from) return from;
    let position = from;
    let writing: Promise<void> = Promise.resolve();
    const ended = new AbortController();
    const stop = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
    try {
      const after = from < 0n ? undefined : from;
      for await (const batch of store.subscribeAll({ after, maxBatch: BATCH, signal: stop })) {
        const events = batch.position <= head ? batch.events : batch.events.filter((event) => event.position <= head);
        if (slowAfter !== undefined && batch.position > slowAfter) await oneByOne(events);
        else if (events.length > 0) {
          const before = position;
          building = await fold(building, events);
          // With the rows, so that whoever goes on from here knows where.
          const statements = building.flatMap((member) => [...member.writing(), reached(member)]);
          for (const member of building) member.keep();
          await writing;
          writing = statements.length === 0 ? Promise.resolve() : session.write(statements).catch((error: unknown) => {
            throw isRefused(error) ? new WriteRefused(before, error) : error;
          });
          writing.catch(() => undefined); // awaited with the next batch, or at the end
        }
        done += events.length;
        position = batch.position < head ? batch.position : head;
        report('load', Number(position - start) / Number(head - start));
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
        await session.write([...member.writing(), reached(member)]);
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
    await options.onLocked?.();
    await session.read([{ text: `SET maintenance_work_mem = '128MB'`, values: [] }]);
    began = clock.monotonic();
    const members: Member[] = [];
    for (const projection of chosen) {
      const member = options.generation === undefined ? new Member(projection, await createGeneration(session, projection), -1n, CACHE_ROWS) : await resumed(session, projection, options.generation);
      if (options.generation === undefined) made.add(member);
      members.push(member);
      building = members;
    }
    building = [...members];
    start = members[0]?.position ?? -1n;
    let position = await catchUp(start, await goal(comparing));
    if (made.size > 0) {
      report('indexes', 1);
      for (const member of building) {
        for (const statement of createIndexes(member.projection, member.schema)) {
          signal?.throwIfAborted();
          await session.read([{ text: statement, values: [] }]);
        }
      }
      position = await catchUp(position, await goal(comparing)); // what came while the indexes were built
    }
    const compared = new Map<string, Comparison>();
    if (comparing) {
      report('compare', 1);
      for (const member of building) {
        signal?.throwIfAborted();
        const comparison = await compareWithLive(member);
        if (comparison !== undefined) compared.set(member.name, comparison);
      }
      building = building.filter(({ name }) => !failures.has(name));
      // Those that stood where the live one stands: the rest of the log must be taken too.
      await catchUp(building.reduce((lowest, member) => (member.position < lowest ? member.position : lowest), building[0]?.position ?? position), await goal(false));
    }
    await settled();
    for (const member of building) {
      signal?.throwIfAborted();
      const finished = await finish(member, compared.get(member.name));
      if (finished !== undefined) results.push(finished);
    }
    for (const member of members) {
      const failure = failures.get(member.name);
      if (failure === undefined) continue;
      if (made.has(member)) await dropGeneration(session, member);
      results.push({ ...resultOf(member, 'failed'), failure });
    }
    logger.info({ projections: chosen.map(({ name }) => name), events: done, seconds: Math.round(seconds()) }, 'Read models rebuilt');
    return results.sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    const kept = new Set(results.map(({ name }) => name));
    for (const member of building) {
      if (kept.has(member.name) || session.lost || !made.has(member)) continue;
      await dropGeneration(session, member).catch(() => undefined); // the next rebuild removes what is left
    }
    throw error;
  } finally {
    await session.close().catch(() => undefined);
  }

  function resultOf(member: Member, outcome: RebuildResult['outcome'], comparison?: Comparison): RebuildResult {
    const { name, generation, projection } = member;
    return { name, version: projection.version, generation, outcome, events: done, seconds: seconds(), ...(comparison === undefined ? {} : { comparison }) };
  }

  /** To the end of the log: a rebuild is strict. To be compared, no further than a live one that stands, or that nobody feeds. */
  async function goal(isCompared: boolean): Promise<bigint> {
    const head = (await store.head()) ?? -1n;
    if (!isCompared) return head;
    const until = clock.monotonic() + SETTLE_MS;
    for (;;) {
      const behind = (await live()).filter(({ position }) => position < head);
      if (behind.every(({ state }) => state !== 'running') || clock.monotonic() > until) return behind.reduce((lowest, { position }) => (position < lowest ? position : lowest), head);
      await pause(10, signal);
    }
  }

  async function live(): Promise<readonly Checkpoint[]> {
    return (await readCheckpoints(db)).filter(({ name, logId }) => building.some((member) => member.name === name) && logId === options.logId);
  }

  /** What a live one has not told the sockets yet, it could not tell any more: a moment is enough where it runs. */
  async function settled(): Promise<void> {
    const until = clock.monotonic() + SETTLE_MS;
    const behind = ({ name, state, position }: Checkpoint) => state === 'running' && building.some((member) => member.name === name && member.position > position);
    while ((await live()).some(behind) && clock.monotonic() < until) await pause(10, signal);
  }

  /** @returns undefined where an event that came meanwhile cannot be taken */
  async function finish(member: Member, comparison: Comparison | undefined): Promise<RebuildResult | undefined> {
    const { finish: wanted = 'switch' } = options;
    const then = typeof wanted === 'string' ? wanted : await wanted(member.name);
    const differs = comparison?.equal === false && options.acceptDifferences !== true;
    if (then === 'look' && comparison?.equal === true && made.has(member)) {
      await dropGeneration(session, member);
      return resultOf(member, 'equal', comparison);
    }
    if (then !== 'switch' || differs) {
      await park(session, member);
      return resultOf(member, differs ? 'different' : then === 'look' && comparison?.equal === true ? 'equal' : 'ready', comparison);
    }
    await options.beforeSwitch?.();
    report('switch', 1);
    return (await switchTo(member)) ? resultOf(member, 'switched', comparison) : undefined;
  }

  /**
   * Both in one snapshot: the rows of the live one are those of its checkpoint in it, without a lock, and this one is
   * brought to the same position within the transaction. Undefined: there is no live one.
   */
  async function compareWithLive(member: Member): Promise<Comparison | undefined> {
    const { position, lastEventAt } = member;
    for (let attempt = 0; ; attempt++) {
      try {
        const comparison = await session.transaction(async () => {
          const [, found] = await session.read([
            { text: 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ', values: [] },
            { text: 'SELECT version, generation, position, log_id FROM work.projections WHERE name = $1', values: [member.name] },
          ]);
          const live = found?.[0] as { version: number; generation: number; position: string; log_id: Uuid } | undefined;
          if (live === undefined || live.log_id !== options.logId) return undefined;
          if (BigInt(live.position) < member.position) return 'behind' as const;
          await bring(member, BigInt(live.position));
          const schema = schemaOf(member.name, live.version, live.generation);
          return await compareGenerations(session, member.projection, member.position, { schema, ...live }, { schema: member.schema, version: member.projection.version, generation: member.generation });
        });
        if (comparison !== 'behind') {
          member.keep();
          return comparison;
        }
        if (attempt >= SWITCH_TRIES) throw new NotComparable(`${member.name} stands before position ${member.position}, which the new one has passed: they cannot be compared.`);
      } catch (error) {
        member.discard();
        Object.assign(member, { position, lastEventAt });
        if (error instanceof RebuildFailure) return undefined;
        if (!isTransient(error) || session.lost || attempt >= SWITCH_TRIES) throw error;
      }
      await pause(fullJitter(attempt, { capMs: 500 }), signal);
      signal?.throwIfAborted();
    }
  }

  /** Up to a position, within a transaction: few events, because it was caught up just before. */
  async function bring(member: Member, to: bigint): Promise<void> {
    const rest: RecordedEvent[] = [];
    if (to > member.position) {
      for await (const event of store.readAll({ after: member.position })) {
        if (event.position > to) break;
        rest.push(event);
      }
    }
    if (rest.length > 0) {
      const [folded] = await fold([member], rest);
      if (folded === undefined) throw failures.get(member.name) ?? new Error(`${member.name} could not be folded`);
      await session.read(member.writing());
    }
    if (member.position < to) member.position = to;
    await session.read([reached(member)]);
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
    await bring(member, live);
    await activate(session, member, options.logId);
  }
}

const isRefused = (error: unknown) => sqlState(error) !== undefined && !isTransient(error);

/** A generation that is there already, from where it was left. */
async function resumed(session: Session, projection: AnyProjection, generation: number): Promise<Member> {
  const { name, version } = projection;
  const [found] = await session.read([
    { text: 'SELECT version, state, position, resumable FROM work.projection_generations WHERE name = $1 AND generation = $2', values: [name, generation] },
  ]);
  const row = found?.[0] as { version: number; state: string; position: string; resumable: boolean } | undefined;
  if (row === undefined) throw new NotResumable(`${name} has no generation ${generation}: it was dropped, or never was.`);
  if (row.state === 'active') throw new NotResumable(`Generation ${generation} of ${name} is the live one.`);
  if (row.version !== version) throw new NotResumable(`Generation ${generation} of ${name} is of version ${row.version}, and this program has version ${version}: start the program that made it.`);
  if (!row.resumable) throw new NotResumable(`Generation ${generation} of ${name} was not finished, or replaced by an earlier release: it cannot be brought up to date.`);
  return new Member(projection, generation, BigInt(row.position), CACHE_ROWS);
}

async function lock(session: Session, name: string): Promise<void> {
  const [result] = await session.read([{ text: 'SELECT pg_try_advisory_lock($1, hashtext($2)) AS taken', values: [BUILDING, name] }]);
  if (result?.[0]?.['taken'] !== true) throw new RebuildRunning(name);
}
