import type { Instant, Uuid } from '../../domain/kernel.ts';
import { pause } from '../../platform/backoff.ts';
import type { EventStore, RecordedEvent } from '../../platform/event-store/port.ts';
import { component, type Component } from '../../platform/lifecycle.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { aggregateOf, createFold, foldVersionOf, linksNamedBy, linksUnderWay, type Fold, type Place } from './fold.ts';
import type { Milestone, MilestonePlace, MilestoneStore } from './milestones.ts';

/**
 * What a stream folded to at a place of the past (docs/decisions/0119). A read costs at most two blocks of events, however
 * long the stream: what is before them is a milestone. Milestones are made by reading, here and in the background after
 * appends; no append waits for one.
 */
export interface History extends Component {
  /**
   * The state with which a prefix of the stream ends.
   *
   * @param links of a box: those that the caller will look at, besides the ones that the last events name
   * @throws HistoryBusy when too many ask · HistoryNotReady when a long stream is read for the first time; ask again
   * @throws UnknownEvent of a newer build
   */
  at(category: AggregateCategory, id: Uuid, until: Until, links?: readonly Uuid[]): Promise<Past>;
  /** One event by its place in its stream. */
  event(stream: string, revision: bigint): Promise<RecordedEvent | undefined>;
  /** The stream has grown: its milestones are made when there is time. Never blocks. */
  grown(stream: string, revision: bigint): void;
  /** Resolves when what was asked for by `grown` is done or given up. */
  settled(): Promise<void>;
}

export type AggregateCategory = 'device' | 'user';

/**
 * Where a prefix ends. By an instant: with the last event, in the order of the log, that happened at it or before. What is
 * before that one belongs to it, also where its instant is later: clocks differ, the order of the log does not.
 */
export type Until =
  | { readonly kind: 'instant'; readonly at: Instant }
  /** Every event of the stream up to that position of the log. */
  | { readonly kind: 'position'; readonly position: bigint }
  | { readonly kind: 'revision'; readonly revision: bigint };

export type Past =
  | { readonly kind: 'state'; readonly fold: Fold; readonly end: Place }
  /** The stream begins later, with this event. */
  | { readonly kind: 'not_yet'; readonly begins: Place }
  | { readonly kind: 'never' };

export class HistoryBusy extends Error {
  override readonly name = 'HistoryBusy';
}
export class HistoryNotReady extends Error {
  override readonly name = 'HistoryNotReady';
}

/** Events of a block: a milestone stands at the end of each. What is kept rests on it: another size is another version of the fold. */
export const BLOCK = 128;
/** Milestones of one write while a long stream is folded. */
const KEPT_AT_ONCE = 8;
/** How long a reader waits for the milestones of a stream that nobody read before. */
const READY_WITHIN_MS = 10_000;
/** Reads at the same time, and how many wait: the log's readers on the path of commands come first. */
const AT_ONCE = 2;
const MAX_WAITING = 64;
/** Streams that wait for milestones; a stream beyond them gets its own when it is read. */
const MAX_GROWN = 1_000;
/** After appends, so that a burst is one reading; again while more events than these came meanwhile, for so long at most. */
const CALM_MS = 1_000;
const CALM_EVENTS = 200;
const PATIENCE_MS = 30_000;

export interface HistoryDeps {
  readonly store: Pick<EventStore, 'readStream'>;
  readonly milestones: MilestoneStore;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Tests do not wait, and have small blocks. */
  readonly calmMs?: number;
  readonly blockSize?: number;
}

export function createHistory({ store, milestones, logger: parent, metrics, calmMs = CALM_MS, blockSize = BLOCK }: HistoryDeps): History {
  const block = BigInt(blockSize);
  const logger = parent.child({ component: 'history' });
  const made = metrics.counter('loqey_milestones_total', 'Milestones of streams, for states of the past', ['outcome']);
  const eventsRead = metrics.counter('loqey_history_events_read_total', 'Events read for states of the past', ['for']);
  const building = new Map<string, Promise<void>>();
  const turns = createTurns(AT_ONCE, MAX_WAITING);
  const grown = new Set<string>();
  let appended = 0;
  let sweeping: Promise<void> | undefined;
  let stopping = new AbortController();

  const versionOf = (category: AggregateCategory) => `${foldVersionOf(category)}.${blockSize}`;

  async function read(stream: string, from: bigint, limit: number, why: 'state' | 'milestones'): Promise<RecordedEvent[]> {
    const events: RecordedEvent[] = [];
    for await (const event of store.readStream(stream, { from, limit })) events.push(event);
    eventsRead.inc({ for: why }, events.length);
    return events;
  }

  /** Milestones up to the last whole block. Those that ask while one builds wait for the same. */
  function build(stream: string, fold: string, category: AggregateCategory): Promise<void> {
    let running = building.get(stream);
    if (running === undefined) {
      running = buildFrom(stream, fold, category).finally(() => building.delete(stream));
      // Whoever waits hears of it; where nobody waits any more, the next read tries again.
      running.catch((error: unknown) => logger.warn({ err: error, stream }, 'Milestones could not be made; states of its past take longer'));
      building.set(stream, running);
    }
    return running;
  }

  async function buildFrom(stream: string, version: string, category: AggregateCategory): Promise<void> {
    const last = await milestones.last(stream, version);
    if (last === undefined) await milestones.forget(stream); // of an older fold
    const base = last === undefined ? undefined : await milestones.load(stream, version, last.revision);
    const fold = foldFrom(category, base);
    if (base !== undefined) await giveLinks(stream, version, base.revision, fold, linksUnderWay(fold.state));
    let waiting: (Milestone & { readonly links: ReturnType<Fold['takeChangedLinks']> })[] = [];
    for (let from = base === undefined ? 0n : base.revision + 1n; !stopping.signal.aborted; from += block) {
      const events = await read(stream, from, blockSize, 'milestones');
      if (events.length === blockSize) {
        if (base !== undefined) await giveLinks(stream, version, base.revision, fold, events.flatMap(linksNamedBy));
        for (const event of events) fold.take(event);
        const { revision, position, eventId, type, occurredAt } = fold.end as Place;
        const earliest = events.reduce((least, { metadata }) => (metadata.occurredAt < least ? metadata.occurredAt : least), occurredAt);
        waiting.push({ revision, position, eventId, type, occurredAt, earliest, core: fold.core(), links: fold.takeChangedLinks() });
      }
      if (waiting.length > 0 && (waiting.length >= KEPT_AT_ONCE || events.length < blockSize)) {
        await milestones.keep(stream, version, waiting);
        made.inc({ outcome: 'kept' }, waiting.length);
        waiting = [];
      }
      if (events.length < blockSize) return;
      // A long stream is folded in many turns: requests come in between.
      await new Promise(setImmediate);
    }
  }

  async function giveLinks(stream: string, version: string, revision: bigint, fold: Fold, wanted: readonly Uuid[]): Promise<void> {
    const missing = [...new Set(wanted)].filter((linkId) => !fold.knowsLink(linkId));
    if (missing.length === 0) return;
    const parts = new Map((await milestones.links(stream, version, revision, missing)).map((part) => [part.linkId, part]));
    for (const linkId of missing) fold.putLink(linkId, parts.get(linkId));
  }

  /** `events` up to `revision` on top of the milestone before them. */
  async function foldOn(base: Milestone | undefined, stream: string, category: AggregateCategory, events: readonly RecordedEvent[], links: readonly Uuid[], revision = events.at(-1)?.revision): Promise<Past> {
    const fold = foldFrom(category, base);
    const rest = revision === undefined ? [] : events.filter((event) => event.revision <= revision);
    if (base !== undefined) await giveLinks(stream, versionOf(category), base.revision, fold, [...linksUnderWay(fold.state), ...rest.flatMap(linksNamedBy), ...links]);
    for (const event of rest) fold.take(event);
    return { kind: 'state', fold, end: fold.end as Place };
  }

  async function milestoneAt(stream: string, version: string, revision: bigint): Promise<Milestone> {
    const found = await milestones.load(stream, version, revision);
    if (found === undefined) throw new HistoryNotReady(`The milestone of ${stream} at ${revision} is gone`);
    return found;
  }

  async function find(category: AggregateCategory, id: Uuid, until: Until, links: readonly Uuid[]): Promise<Past> {
    const stream = aggregateOf(category).streamOf(id);
    const version = versionOf(category);
    const isIn = inPrefix(until);
    for (;;) {
      const [last, start] = await Promise.all([milestones.last(stream, version), blockStart(stream, version, until)]);
      const looksBack = last !== undefined && start !== undefined && start <= last.revision;
      // What came after the last milestone, and the block that the prefix ends in where that has nothing of it: both at once.
      const [tail, events = [], base] = await Promise.all([
        read(stream, last?.revision ?? 0n, last === undefined ? blockSize : endsBefore(until, last) ? 1 : blockSize + 1, 'state'),
        looksBack ? read(stream, start, blockSize, 'state') : undefined,
        looksBack && start > 0n ? milestoneAt(stream, version, start - 1n) : undefined,
      ]);
      if (last !== undefined && tail.shift()?.eventId !== last.eventId) {
        made.inc({ outcome: 'foreign' });
        await milestones.forget(stream);
        continue;
      }
      if (tail.length >= blockSize) {
        if (stopping.signal.aborted) throw new HistoryNotReady('This process stops');
        await within(READY_WITHIN_MS, build(stream, version, category));
        continue;
      }

      const inTail = tail.findLast(isIn)?.revision;
      if (inTail !== undefined) return foldOn(last === undefined ? undefined : await milestoneAt(stream, version, last.revision), stream, category, tail, links, inTail);
      const inBlock = events.findLast(isIn)?.revision;
      if (inBlock !== undefined) return foldOn(base, stream, category, events, links, inBlock);
      // Nothing of the block itself: the prefix ends with the one before.
      if (base !== undefined) return foldOn(base, stream, category, [], links);
      if (last !== undefined && start === last.revision + 1n) return foldOn(await milestoneAt(stream, version, last.revision), stream, category, [], links);
      const first = last === undefined ? tail[0] : (await read(stream, 0n, 1, 'state'))[0];
      return first === undefined ? { kind: 'never' } : { kind: 'not_yet', begins: placeOf(first) };
    }
  }

  /** Where the block begins that has the last event of the prefix, where what comes after the last milestone has none of it. */
  async function blockStart(stream: string, version: string, until: Until): Promise<bigint | undefined> {
    switch (until.kind) {
      case 'revision':
        return until.revision < 0n ? undefined : until.revision - (until.revision % block);
      case 'instant': {
        const end = await milestones.blockBy(stream, version, until.at);
        return end === undefined ? undefined : end + 1n - block;
      }
      case 'position': {
        const before = await milestones.upTo(stream, version, until.position);
        return before === undefined ? 0n : before + 1n;
      }
    }
  }

  /** Nobody waits for a milestone: it does not take time from those who wait for an append. */
  async function calm(signal: AbortSignal): Promise<void> {
    const began = performance.now();
    let before: number;
    do {
      before = appended;
      await pause(calmMs, signal);
    } while (appended - before > CALM_EVENTS && performance.now() - began < PATIENCE_MS && !signal.aborted);
  }

  async function sweep(signal: AbortSignal): Promise<void> {
    while (grown.size > 0 && !signal.aborted) {
      await calm(signal);
      for (const stream of [...grown]) {
        grown.delete(stream);
        if (signal.aborted) return;
        const category = categoryOf(stream);
        // Its failure is told where it happens.
        if (category !== undefined) await build(stream, versionOf(category), category).catch(() => made.inc({ outcome: 'failed' }));
      }
    }
  }

  return {
    ...component(
      async () => {
        stopping = new AbortController();
      },
      async () => {
        stopping.abort();
        await Promise.allSettled([...building.values(), ...(sweeping === undefined ? [] : [sweeping])]);
      },
    ),

    at: (category, id, until, links = []) => turns(() => find(category, id, until, links)),

    event: async (stream, revision) => (await read(stream, revision, 1, 'state')).find((event) => event.revision === revision),

    grown(stream, revision) {
      appended++;
      // Milestones stand at fixed places: most appends end in here.
      if (revision < block - 1n || (revision + 1n) % block !== 0n || grown.size >= MAX_GROWN || stopping.signal.aborted) return;
      grown.add(stream);
      sweeping ??= sweep(stopping.signal).finally(() => {
        sweeping = undefined;
      });
    },

    async settled() {
      while (sweeping !== undefined) await sweeping;
    },
  };
}

function foldFrom(category: AggregateCategory, base: Milestone | undefined): Fold {
  return base === undefined ? createFold(category) : createFold(category, { core: base.core, end: base });
}

export function placeOf({ revision, position, eventId, type, metadata }: RecordedEvent): Place {
  return { revision, position, eventId, type, occurredAt: metadata.occurredAt };
}

function inPrefix(until: Until): (event: RecordedEvent) => boolean {
  switch (until.kind) {
    case 'instant':
      return ({ metadata }) => metadata.occurredAt <= until.at;
    case 'position':
      return ({ position }) => position <= until.position;
    case 'revision':
      return ({ revision }) => revision <= until.revision;
  }
}

/** Whether all of the prefix is known to be at a milestone or before it. By instants nothing is: they may go back. */
function endsBefore(until: Until, { revision, position }: MilestonePlace): boolean {
  switch (until.kind) {
    case 'instant':
      return false;
    case 'position':
      return until.position <= position;
    case 'revision':
      return until.revision <= revision;
  }
}

function categoryOf(stream: string): AggregateCategory | undefined {
  return stream.startsWith('device-') ? 'device' : stream.startsWith('user-') ? 'user' : undefined;
}

/** @throws HistoryNotReady; what was waited for goes on */
async function within(ms: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new HistoryNotReady('This history is being prepared')), ms);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** So many at once, first come first served. @throws HistoryBusy when as many wait as may */
function createTurns(atOnce: number, maxWaiting: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let free = atOnce;
  return async (work) => {
    if (free > 0) free--;
    else {
      if (waiting.length >= maxWaiting) throw new HistoryBusy('Too many ask for states of the past');
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
