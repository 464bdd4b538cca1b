import type { Instant, Uuid } from '../domain/kernel.ts';
import { pause } from '../platform/backoff.ts';
import type { Clock } from '../platform/clock.ts';
import type { EventBatch, EventStore, RecordedEvent } from '../platform/event-store/port.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Database } from '../platform/postgres/db.ts';
import type { Notifications } from '../platform/postgres/notifications.ts';
import { LIVE_CHANGES_KEPT_MS, problemOf, readChanges, readCheckpoints, type Checkpoint, type ProjectionError } from './checkpoints.ts';
import { createCommitter, endOf } from './committing.ts';
import { canBeFed, otherVersions } from './feeders.ts';
import { KEPT_MS, dropRetired, startEmpty } from './generations.ts';
import { decodeBatch, Member, type Poison } from './member.ts';
import type { AnyProjection, Group } from './projection.ts';
import type { LiveChange } from './read-models.ts';
import { rebuild, RebuildRunning, type RebuildFailure } from './rebuild.ts';
import { openSession, type Session } from './session.ts';

export interface ProjectionGroupOptions {
  /** `live`: its commits are told to sockets and to requests that wait for them. */
  readonly group: Group;
  readonly db: Database;
  readonly store: EventStore;
  /**
   * Where a switch, a skip or a rebuild is told; handlers are added before its start. Without it that is seen within five
   * seconds. Not on the group's own connection: a commit that notifies wakes every connection that listens, to whatever.
   */
  readonly notifications?: Pick<Notifications, 'on' | 'onGap'>;
  readonly projections: readonly AnyProjection[];
  /** Of `ensureLogIdentity`. */
  readonly logId: Uuid;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Called after each commit of the live group in this process: what others must hear, and how far the group is. */
  readonly onCommitted?: (changes: readonly LiveChange[], position: bigint) => void;
  /** Awaited when a rebuild has switched a read model, before anything is written to its new generation. */
  readonly onSwitched?: () => Promise<void>;
  /** Versions of this program that cannot be built, and why: see `builder.ts`. */
  readonly failures?: ReadonlyMap<string, ProjectionError>;
  /** Events of one transaction. Default 1,000. */
  readonly maxBatch?: number;
}

export interface ProjectionHealth {
  readonly name: string;
  readonly state: 'running' | 'catching_up' | 'rebuilding' | 'stopped';
  readonly position: bigint;
  /** Age of the oldest event that is not applied yet, as far as is known; 0 when there is none. */
  readonly lagSeconds: number;
  readonly lastEventAt: Instant | undefined;
  /** What stopped it. An admin may skip this event: a recorded action. */
  readonly error?: ProjectionError;
}

export interface LeadershipHealth {
  readonly position: bigint | undefined;
  readonly projections: readonly ProjectionHealth[];
}

/** What the process does that leads a group: feeds the members, and brings up those that are behind. */
export interface Leadership {
  run(): Promise<void>;
  /** Looks at the checkpoints again: something was switched, skipped or rebuilt. */
  reload(): Promise<void>;
  settled(): Promise<void>;
  health(): LeadershipHealth;
}

/** What the group has told this process, through all its leaderships. */
export interface Told {
  /** Undefined before the first. */
  readonly last: bigint | undefined;
  push(changes: readonly LiveChange[], at: bigint): void;
}

export function groupFigures(metrics: Metrics) {
  return {
    eventsApplied: metrics.counter('loqey_projection_events_total', 'Events that a group of projections has applied', ['group']),
    batchSeconds: metrics.histogram('loqey_projection_batch_seconds', 'From a batch of the subscription to its commit', ['group']),
    stopped: metrics.gauge('loqey_projection_stopped', '1 while a projection stands before an event it cannot take', ['projection']),
    position: metrics.gauge('loqey_projection_position', 'Position of the last event applied', ['projection']),
    lag: metrics.gauge('loqey_projection_lag_seconds', 'Age of the oldest event not applied yet', ['projection']),
    lastEventAge: metrics.gauge('loqey_projection_last_event_age_seconds', 'Age of the last event applied', ['projection']),
  };
}

export interface LeadershipOptions extends ProjectionGroupOptions {
  /** Of the connection that holds the leader's lock. */
  readonly session: Session;
  readonly signal: AbortSignal;
  /** Ends this leadership. */
  readonly over: AbortController;
  readonly figures: ReturnType<typeof groupFigures>;
  readonly told: Told;
  readonly onLeading: () => void;
}

/**
 * Before a batch of the background group: what was asked for is answered first, and what comes meanwhile shares one
 * transaction, which is most of what an event costs. The more there is to do, the longer: a burst of commands is not slowed by
 * those who only read about it.
 */
const restOf = (events: number): number => Math.min(25 + 2 * events, 250);
/**
 * After a batch of the live group in a burst, for the same reason: more wait already, and together they are through sooner. A
 * batch of a few events is followed by the next one at once.
 */
const BURST = 8;
const BURST_REST_MS = 4;
const SUPERVISE_MS = 5_000;
const HOUSEKEEPING_MS = 600_000;
/** No progress for this long although the log goes on: the subscription is taken for dead. */
const STALLED_MS = 10_000;
/** Rows of each table that are kept in memory. */
const CACHE_ROWS = 4_000;
const CATCH_UP_BATCH = 2_000;
/** A log shorter than this is built before the group starts, so that a new installation is ready when it says so. */
const SHORT_LOG = 2_000;

/** Another runner moved a checkpoint: it leads. */
export class LeadershipLost extends Error {
  override readonly name = 'LeadershipLost';
}

export function createLeadership(options: LeadershipOptions): Leadership {
  const { db, store, group: groupName, projections, logId, clock, logger, session, signal, over, figures, told, onLeading } = options;
  const isLive = groupName === 'live';
  /** All that have a generation of this program's version; the group is those of them that run. */
  const members = new Map<string, Member>();
  const group = new Set<Member>();
  const catchingUp = new Set<string>();
  const stopped = new Map<string, ProjectionError>();
  const background = new Set<Promise<void>>();
  let position = -1n;
  /** Since when there are events that the group has not applied; undefined when it has all. */
  let behindSince: number | undefined;
  let leads = false;
  let progressAt = clock.monotonic();
  let tail: Promise<unknown> = Promise.resolve();
  const commit = createCommitter({ clock, rebind, halt, isHalted: (name) => stopped.has(name) });

  /** Batches, joins and reloads one after another: each may change who is in the group. */
  function exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = tail.then(work);
    tail = result.catch(() => undefined);
    return result;
  }

  /** Work beside the group. An error in it ends this leadership: the next one begins again from the checkpoints. */
  function inBackground(what: string, work: () => Promise<void>): void {
    const task = work().catch((error: unknown) => {
      if (signal.aborted) return;
      if (error instanceof LeadershipLost) over.abort(error);
      else {
        logger.error({ err: error }, what);
        over.abort(error);
      }
    });
    background.add(task);
    void task.finally(() => background.delete(task));
  }

  async function run(): Promise<void> {
    const found = await readCheckpoints(db);
    const unsettled = new Set(found.filter(({ state }) => state === 'catching_up').map(({ name }) => name));
    await adopt(found);
    const missing = projections.filter(({ name }) => !members.has(name));
    if (missing.length > 0) await build(missing);
    position = [...group].reduce((highest, member) => (member.position > highest ? member.position : highest), position);
    for (const member of group) {
      if (member.position === position) {
        if (unsettled.has(member.name)) await setState(member, 'running'); // a catch-up that broke off at its end
        continue;
      }
      group.delete(member); // behind the others: it catches up beside them
      startCatchUp(member);
    }
    // Nobody feeds the former version any more: nobody waits for it either.
    await db.pool.query(`UPDATE work.projections SET state = 'catching_up' WHERE state = 'running' AND name = ANY ($1)`, [
      projections.flatMap(({ name }) => (members.has(name) ? [] : [name])),
    ]);
    await announce();
    leads = true;
    onLeading();
    logger.info({ position: String(position), projections: [...group].map(({ name }) => name) }, 'The projections run');
    inBackground('The supervision of the projections failed', supervision);
    while (!signal.aborted) await follow();
  }

  /** Tells this process what was committed while another led, or just before this one broke off. */
  async function announce(): Promise<void> {
    if (!isLive) return;
    const changes = told.last === undefined || told.last >= position ? [] : await readChanges(db, told.last, position);
    told.push(changes, position);
  }

  /** Where the log is short it is done before the group starts; else beside it, by the builder of this or another process. */
  async function build(missing: readonly AnyProjection[]): Promise<void> {
    let events = 0;
    for await (const _ of store.readAll({ limit: SHORT_LOG })) events++;
    if (events >= SHORT_LOG) return;
    // Not what another process feeds in another version, and not what need only be brought up to date: the builder's.
    const { rows } = await db.pool.query<{ name: string }>(
      `SELECT g.name FROM work.projection_generations g JOIN unnest($1::text[], $2::integer[]) AS own (name, version) ON own.name = g.name AND own.version = g.version WHERE g.resumable`,
      [missing.map(({ name }) => name), missing.map(({ version }) => version)],
    );
    const elsewhere = new Set(rows.map(({ name }) => name));
    for (const { name, version } of await otherVersions(db, projections)) if (await canBeFed(db, name, version)) elsewhere.add(name);
    const names = missing.map(({ name }) => name).filter((name) => !elsewhere.has(name));
    if (names.length === 0) return;
    try {
      for (const { name, failure } of await rebuild({ ...options, names, signal })) if (failure !== undefined) await withoutRebuild(name, failure);
    } catch (error) {
      if (!(error instanceof RebuildRunning)) throw error; // by the builder of another process
    }
    await adopt(await readCheckpoints(db));
  }

  /** What has no earlier version starts empty and follows the log up to the event it cannot take; else that one stays. */
  async function withoutRebuild(name: string, failure: RebuildFailure): Promise<void> {
    const projection = projections.find((candidate) => candidate.name === name);
    const known = (await readCheckpoints(db)).some((checkpoint) => checkpoint.name === name);
    if (projection !== undefined && !known) {
      const own = await openSession({ url: db.url, name: 'loqey-projector-empty', statementTimeoutMs: 60_000 });
      try {
        await startEmpty(own, projection, logId);
      } finally {
        await own.close().catch(() => undefined);
      }
      return;
    }
    stopped.set(name, failure.problem);
    figures.stopped.set({ projection: name }, 1);
  }

  /** Binds the members to their active generations. What runs and is new here joins the group, or catches up to it. */
  async function adopt(checkpoints: readonly Checkpoint[]): Promise<void> {
    let switched = false;
    for (const checkpoint of checkpoints) {
      const projection = projections.find(({ name }) => name === checkpoint.name);
      if (projection === undefined || projection.version !== checkpoint.version) continue;
      const known = members.get(projection.name);
      if (checkpoint.state === 'stopped') {
        if (checkpoint.error !== null) stopped.set(projection.name, checkpoint.error);
        figures.stopped.set({ projection: projection.name }, 1);
        if (known !== undefined) group.delete(known);
        members.set(projection.name, bind(projection, checkpoint));
        continue;
      }
      const isNew = known === undefined || known.generation !== checkpoint.generation;
      const resumed = stopped.delete(projection.name);
      figures.stopped.set({ projection: projection.name }, 0);
      if (!isNew && !resumed) continue;
      switched ||= known !== undefined && isNew;
      if (known !== undefined) group.delete(known);
      const member = bind(projection, checkpoint);
      members.set(projection.name, member);
      if (!leads || member.position >= position) group.add(member);
      else startCatchUp(member);
    }
    if (switched) await options.onSwitched?.();
  }

  function bind(projection: AnyProjection, { generation, position: at, lastEventAt }: Checkpoint): Member {
    const member = new Member(projection, generation, at, CACHE_ROWS);
    member.lastEventAt = lastEventAt ?? undefined;
    return member;
  }

  function reload(): Promise<void> {
    return exclusive(async () => {
      if (!signal.aborted) await adopt(await readCheckpoints(db));
    }).catch((error: unknown) => {
      if (!signal.aborted) logger.warn({ err: error }, 'The checkpoints could not be read again; it is tried again soon');
    });
  }

  /** One subscription, until it is aborted or taken for dead. */
  async function follow(): Promise<void> {
    const dead = new AbortController();
    const watch = setInterval(() => {
      void (async () => {
        const head = await store.head().catch(() => undefined);
        if (head === undefined || head <= position || clock.monotonic() - progressAt < STALLED_MS) return;
        behindSince ??= clock.now();
        logger.warn({ head: String(head), position: String(position) }, 'The subscription stands still and is made anew');
        dead.abort();
      })();
    }, SUPERVISE_MS);
    try {
      const after = position < 0n ? undefined : position;
      const maxBatch = options.maxBatch ?? 1_000;
      for await (const batch of store.subscribeAll({ after, signal: AbortSignal.any([signal, dead.signal]), maxBatch })) {
        if (!isLive && batch.live) await pause(restOf(batch.events.length), signal);
        if (signal.aborted || dead.signal.aborted) break;
        await exclusive(() => apply(batch));
        progressAt = clock.monotonic();
        if (isLive && batch.live && batch.events.length >= BURST) await pause(BURST_REST_MS, signal);
      }
    } finally {
      clearInterval(watch);
    }
    progressAt = clock.monotonic();
  }

  async function apply(batch: EventBatch): Promise<void> {
    const { events, live } = batch;
    const last = events.at(-1);
    if (last === undefined) {
      if (live) behindSince = undefined;
      return; // the checkpoints stand at events; this only says that the log holds nothing for us until there
    }
    behindSince ??= Date.parse(events[0]?.recordedAt ?? last.recordedAt);
    const timer = figures.batchSeconds.startTimer({ group: groupName });
    const changes = await commit(session, [...group], decodeBatch(events), endOf(last), isLive);
    position = last.position;
    timer();
    if (events.some(({ type }) => type === 'SubjectErased')) dropPersonal();
    figures.eventsApplied.inc({ group: groupName }, events.length);
    behindSince = live ? undefined : Date.parse(last.recordedAt);
    told.push(changes, position);
  }

  /** What a rebuild replaced, or what waits, still has what was just erased. */
  function dropPersonal(): void {
    const names = projections.flatMap(({ name, personal }) => (personal === true ? [name] : []));
    if (names.length === 0) return;
    inBackground('Former generations with personal data could not be dropped', async () => {
      // One that is being built takes the erasure itself; what else there is of it goes when it is done.
      while (!signal.aborted && (await dropRetired(db, 0, names)).left > 0) await pause(SUPERVISE_MS, signal);
    });
  }

  /** The fence held: either a rebuild switched a generation, which is followed, or another runner leads. */
  async function rebind(all: readonly Member[]): Promise<readonly Member[]> {
    const checkpoints = new Map((await readCheckpoints(db)).map((checkpoint) => [checkpoint.name, checkpoint]));
    let switched = false;
    const rebound = all.map((member) => {
      const checkpoint = checkpoints.get(member.name);
      if (checkpoint === undefined || checkpoint.version !== member.projection.version) throw new LeadershipLost();
      if (checkpoint.generation === member.generation) {
        if (checkpoint.position !== member.position) throw new LeadershipLost();
        return member;
      }
      switched = true;
      const next = bind(member.projection, checkpoint);
      members.set(next.name, next);
      if (group.delete(member)) group.add(next);
      return next;
    });
    if (!switched) throw new LeadershipLost();
    await options.onSwitched?.();
    return rebound;
  }

  /** Visible, and only this one: the others go on. */
  async function halt(member: Member, { event, error }: Poison): Promise<void> {
    const problem = problemOf(event, error);
    logger.error(
      { err: error, projection: member.name, stream: event.stream, eventType: event.type, position: problem.position },
      'A projection cannot take an event and stands before it; the others go on',
    );
    group.delete(member);
    stopped.set(member.name, problem);
    figures.stopped.set({ projection: member.name }, 1);
    await db.pool.query(
      `UPDATE work.projections SET state = 'stopped', error = $1, updated_at = now() WHERE name = $2 AND generation = $3 AND position = $4::numeric`,
      [JSON.stringify(problem), member.name, member.generation, String(member.position)],
    );
  }

  function startCatchUp(member: Member): void {
    if (catchingUp.has(member.name)) return;
    catchingUp.add(member.name);
    inBackground('A projection that catches up broke off', async () => {
      try {
        await setState(member, 'catching_up');
        await catchUp(member);
      } finally {
        catchingUp.delete(member.name);
      }
    });
  }

  /** On a connection of its own, so that the group's events do not wait behind it; the last step with the group held. */
  async function catchUp(member: Member): Promise<void> {
    const own = await openSession({ url: db.url, name: 'loqey-projector-catch-up', statementTimeoutMs: 60_000 });
    const step = async (limit: number) => {
      const events: RecordedEvent[] = [];
      for await (const event of store.readAll({ after: member.position, limit })) {
        if (event.position > position) break;
        events.push(event);
      }
      const last = events.at(-1);
      // What it tells of so late is kept for those who resume; those who listen have long seen what came after.
      if (last !== undefined) await commit(own, [member], decodeBatch(events), endOf(last), false);
      return events.length === limit;
    };
    try {
      while (!signal.aborted && !stopped.has(member.name) && (await step(CATCH_UP_BATCH)));
      await exclusive(async () => {
        while (!signal.aborted && !stopped.has(member.name) && (await step(CATCH_UP_BATCH)));
        if (signal.aborted || stopped.has(member.name) || members.get(member.name) !== member) return;
        await setState(member, 'running');
        group.add(member);
      });
    } finally {
      await own.close().catch(() => undefined);
    }
  }

  async function setState(member: Member, state: Checkpoint['state']): Promise<void> {
    await db.pool.query('UPDATE work.projections SET state = $1, error = NULL, updated_at = now() WHERE name = $2 AND generation = $3', [
      state,
      member.name,
      member.generation,
    ]);
  }

  async function supervision(): Promise<void> {
    let cleanedAt = -Infinity;
    while (!signal.aborted) {
      await pause(SUPERVISE_MS, signal);
      if (signal.aborted) return;
      await reload(); // a notification may have been lost
      measure();
      if (clock.monotonic() - cleanedAt < HOUSEKEEPING_MS) continue;
      cleanedAt = clock.monotonic();
      if (isLive) await prune(db).catch((error: unknown) => logger.warn({ err: error }, 'Old live changes could not be removed'));
      await dropRetired(db, KEPT_MS).catch((error: unknown) => logger.warn({ err: error }, 'Old generations could not be dropped'));
    }
  }

  function measure(): void {
    for (const { name, position: at, lagSeconds, lastEventAt } of health().projections) {
      figures.position.set({ projection: name }, Number(at));
      figures.lag.set({ projection: name }, lagSeconds);
      if (lastEventAt !== undefined) figures.lastEventAge.set({ projection: name }, (clock.now() - Date.parse(lastEventAt)) / 1_000);
    }
  }

  function health(): LeadershipHealth {
    const seconds = (since: number) => Math.max(0, (clock.now() - since) / 1_000);
    return {
      position: position < 0n ? undefined : position,
      projections: projections.map(({ name }): ProjectionHealth => {
        const member = members.get(name);
        const error = stopped.get(name) ?? (member === undefined ? options.failures?.get(name) : undefined);
        const inGroup = member !== undefined && group.has(member);
        const lag = inGroup ? (behindSince === undefined ? 0 : seconds(behindSince)) : seconds(Date.parse(member?.lastEventAt ?? '1970-01-01T00:00:00.000Z'));
        return {
          name,
          state: error !== undefined ? 'stopped' : member === undefined ? 'rebuilding' : inGroup ? 'running' : 'catching_up',
          position: member?.position ?? -1n,
          lagSeconds: lag,
          lastEventAt: member?.lastEventAt,
          ...(error === undefined ? {} : { error }),
        };
      }),
    };
  }

  return {
    run,
    reload,
    health,
    async settled() {
      await tail;
      await Promise.all(background);
    },
  };
}

/** Changes older than a day, in bites, and from where on there are none missing. */
async function prune(db: Database): Promise<void> {
  for (;;) {
    const { rows } = await db.pool.query<{ removed: number }>(
      `WITH old AS (
         SELECT seq FROM work.live_changes WHERE recorded_at < now() - make_interval(secs => $1) ORDER BY seq LIMIT 5000
       ), gone AS (
         DELETE FROM work.live_changes c USING old WHERE c.seq = old.seq RETURNING c.position
       ), floor AS (
         UPDATE work.live_floor SET position = greatest(position, (SELECT max(position) FROM gone)) WHERE EXISTS (SELECT 1 FROM gone)
       )
       SELECT count(*)::integer AS removed FROM gone`,
      [LIVE_CHANGES_KEPT_MS / 1_000],
    );
    if ((rows[0]?.removed ?? 0) < 5_000) return;
  }
}
