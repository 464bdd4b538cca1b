import type { DomainEvent } from '../../src/domain/events.ts';
import { isSealed, type EventMetadata, type Sealed, type Uuid } from '../../src/domain/kernel.ts';
import { schemaVersionOf } from '../../src/domain/registry.ts';
import { instant, systemClock, type Clock } from '../../src/platform/clock.ts';
import type { AppendResult, EventStore, EventToAppend, Json, JsonObject } from '../../src/platform/event-store/port.ts';
import { createPostgresEventStore } from '../../src/platform/event-store/postgres.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import type { Database } from '../../src/platform/postgres/db.ts';
import { createNotifications } from '../../src/platform/postgres/notifications.ts';
import { createLiveFeed, type LiveFeedComponent } from '../../src/projections/live-feed.ts';
import { ensureLogIdentity } from '../../src/projections/log-identity.ts';
import type { SealOpener } from '../../src/projections/people/projection.ts';
import type { AnyProjection } from '../../src/projections/projection.ts';
import { createReadModels } from '../../src/projections/queries.ts';
import type { ReadModels } from '../../src/projections/read-models.ts';
import { caughtUp } from '../../src/projections/caught-up.ts';
import { backgroundProjections, projections, versionsOf } from '../../src/projections/registry.ts';
import { createProjectionRunner, type ProjectionRunner } from '../../src/projections/runner.ts';
import { createReader, type Reader } from '../../src/projections/schemas.ts';
import type { TestPostgres } from './servers.ts';

/** Seals that anyone can open until their subject is erased: for tests of what reads them. */
export interface FakeVault extends SealOpener {
  seal(subject: string, eventType: string, path: string, value: Json): Sealed;
  erase(subject: string): void;
}

export function fakeVault(): FakeVault {
  const erased = new Set<string>();
  const open = (sealed: Sealed, eventType: string, path: string): Json | undefined => {
    const { at, value } = JSON.parse(Buffer.from(sealed.c, 'base64url').toString()) as { at: string; value: Json };
    if (at !== `${eventType}|${path}`) throw Object.assign(new Error('not what was sealed there'), { name: 'SealBroken' });
    return erased.has(sealed.sub) ? undefined : value;
  };
  return {
    seal: (sub, eventType, path, value) => ({
      $s: 1,
      sub,
      k: `key-of-${sub}`,
      n: 'n',
      c: Buffer.from(JSON.stringify({ at: `${eventType}|${path}`, value })).toString('base64url'),
    }),
    erase: (subject) => void erased.add(subject),
    open: async (sealed, eventType, path) => open(sealed, eventType, path),
    openMany: async (items) => items.map(({ sealed, eventType, path }) => open(sealed, eventType, path)),
  };
}

/** Seals every member of the data that is given as `{ seal: subject, value }`, for the type it is in. */
export function sealed(vault: FakeVault, event: DomainEvent): DomainEvent {
  const data = Object.fromEntries(
    Object.entries(event.data).map(([path, value]) => {
      const mark = value as { seal?: string; value?: Json } | undefined;
      return typeof mark === 'object' && mark !== null && !isSealed(mark) && mark.seal !== undefined
        ? [path, vault.seal(mark.seal, event.type, path, mark.value ?? null)]
        : [path, value];
    }),
  );
  return { type: event.type, data } as DomainEvent;
}

/** A value that `sealed` seals. */
export function personal<T>(subject: string, value: T): T {
  return { seal: subject, value } as unknown as T;
}

/** As a store takes it, with the metadata of an ordinary command. */
export function toAppend(event: DomainEvent, at: string, metadata: Partial<EventMetadata> = {}): EventToAppend {
  const commandId = metadata.commandId ?? newId();
  return {
    eventId: newId(),
    type: event.type,
    data: event.data as unknown as JsonObject,
    metadata: {
      schemaVersion: schemaVersionOf(event.type),
      commandId,
      correlationId: commandId,
      causationId: commandId,
      actor: { kind: 'system', id: 'test' },
      source: 'system',
      occurredAt: at,
      ...metadata,
    },
  };
}

export interface ReadSide {
  readonly db: Database;
  readonly store: EventStore;
  readonly logId: Uuid;
  readonly vault: FakeVault;
  readonly projections: readonly AnyProjection[];
  readonly runner: ProjectionRunner;
  readonly feed: LiveFeedComponent;
  readonly reader: Reader;
  readonly reads: ReadModels;
  readonly clock: Clock;
  /** Appends, one millisecond after the other. */
  append(stream: string, events: readonly DomainEvent[], metadata?: Partial<EventMetadata>): Promise<AppendResult>;
  /** Appends, and waits until it is readable. */
  happened(stream: string, events: readonly DomainEvent[], metadata?: Partial<EventMetadata>): Promise<AppendResult>;
  /** Waits until the read models have passed a position. */
  readable(position: bigint): Promise<void>;
  stop(): Promise<void>;
}

export interface ReadSideOptions {
  readonly url?: string;
  readonly projections?: (vault: FakeVault) => readonly AnyProjection[];
  readonly vault?: FakeVault;
  /** Default true. False: the runner leads in another instance, and this one only hears of it. */
  readonly runs?: boolean;
  readonly clock?: Clock;
}

/** The read side of one process, on a real database with the embedded event store. */
export async function startReadSide(postgres: TestPostgres, options: ReadSideOptions = {}): Promise<ReadSide> {
  const { vault = fakeVault(), runs = true, clock = systemClock } = options;
  const url = options.url ?? (await postgres.migratedDatabase());
  const logger = silentLogger;
  const metrics = new Metrics();
  const db = postgres.connect(url);
  const store = createPostgresEventStore({ url, logger, metrics });
  await store.start();
  const logId = await ensureLogIdentity(store, '0.0.0-test', () => instant(clock.now()));
  const all = (options.projections ?? ((sealer) => projections({ sealer })))(vault);
  const reader = createReader(db, undefined, versionsOf(all));
  const notifications = createNotifications({ url, applicationName: 'loqey-test-listen', logger });
  const feed = createLiveFeed({ db, store, notifications, background: backgroundProjections, onSwitched: () => reader.refresh(), logger, metrics, pollMs: 100 });
  const runner = createProjectionRunner({
    db,
    store,
    notifications,
    projections: all,
    logId,
    clock,
    logger,
    metrics,
    onCommitted: (changes, position) => feed.push(changes, position),
    onSwitched: () => reader.refresh(),
    lookMs: 50,
  });
  await notifications.start();
  if (runs) await runner.start();
  await feed.start();

  let time = Date.parse('2026-11-21T10:00:00.000Z');
  const append: ReadSide['append'] = (stream, events, metadata) =>
    store.append(stream, 'any', events.map((event) => toAppend(sealed(vault, event), instant(time++), metadata)));
  const readable = async (position: bigint) => {
    if (!(await feed.reached(position, 20_000))) throw new Error(`Position ${position} was not readable within 20 s`);
    for (const name of backgroundProjections) await caughtUp(reader, name, 20_000);
  };
  return {
    db,
    store,
    logId,
    vault,
    projections: all,
    runner,
    feed,
    reader,
    reads: createReadModels(reader, clock),
    clock,
    append,
    async happened(stream, events, metadata) {
      const result = await append(stream, events, metadata);
      await readable(result.position);
      return result;
    },
    readable,
    async stop() {
      await runner.stop();
      await feed.stop();
      await notifications.stop();
      await store.stop();
    },
  };
}
