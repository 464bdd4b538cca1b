import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createRefusalLog } from '../../src/commands/refusals.ts';
import type { CommandContext } from '../../src/commands/port.ts';
import { AppendOutcomeUnknown, EventStoreUnavailable, type EventStore, type RecordedEvent } from '../../src/platform/event-store/port.ts';
import { newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { asSystem, TestClock } from '../support/backend.ts';
import { createMemoryStore } from '../support/memory-store.ts';
import { until } from '../support/until.ts';

const target = { kind: 'device', id: newId() } as const;
const refusal = { code: 'not_the_owner' } as const;
const someone = (origin?: CommandContext['origin']): CommandContext => ({ ...asSystem(), actor: { kind: 'user', id: newId() }, ...(origin === undefined ? {} : { origin }) });

function logOn(store: EventStore, clock = new TestClock()) {
  const sealer = { seal: (subject: string) => ({ $s: 1 as const, sub: subject, k: 'k', n: 'n', c: 'c' }) };
  return { clock, log: createRefusalLog({ store, sealer, clock, logger: silentLogger, metrics: new Metrics() }) };
}
const of = (store: { readonly all: readonly RecordedEvent[] }, type: string) => store.all.filter((event) => event.type === type);

describe('refusals', () => {
  let memory: ReturnType<typeof createMemoryStore>;
  const stops: (() => Promise<void>)[] = [];
  beforeAll(() => {
    memory = createMemoryStore(Date.now);
  });
  afterAll(async () => {
    for (const stop of stops) await stop();
  });

  it('are written with who, what and why; where from is sealed for that person', async () => {
    const { log } = logOn(memory);
    stops.push(log.stop);
    await log.start();
    const context = someone({ ip: '192.0.2.1' });
    log.recordAs('RenameDevice', target, refusal, context);
    const event = await until('written', () => of(memory, 'CommandRefused').find(({ metadata }) => metadata.actor.id === context.actor.id));
    expect(event).toMatchObject({ data: { command: 'RenameDevice', target, reason: 'not_the_owner' }, metadata: { causationId: context.commandId, origin: { $s: 1, sub: `user:${context.actor.id}` } } });
    expect(event.stream).toMatch(/^refusal-20261121-\d+$/);
  });

  it('of one source and reason are at most twenty a minute, the rest one count when the minute is over', async () => {
    const store = createMemoryStore(Date.now);
    const { log, clock } = logOn(store);
    await log.start();
    const context = someone();
    for (let n = 0; n < 50; n++) log.recordAs('RenameDevice', target, refusal, context);
    log.recordAs('RenameDevice', target, { code: 'owner_suspended' }, context); // another reason
    log.recordAs('RenameDevice', target, refusal, someone()); // another source
    await until('written', () => of(store, 'CommandRefused').length === 22);
    expect(of(store, 'RefusalsSuppressed')).toHaveLength(0);
    clock.advance(60_000);
    log.recordAs('RenameDevice', target, refusal, context);
    await until('counted', () => of(store, 'RefusalsSuppressed').length === 1);
    expect(of(store, 'RefusalsSuppressed')[0]).toMatchObject({ data: { reason: 'not_the_owner', count: 30, minute: '2026-11-21T10:00:00.000Z' } });
    expect(of(store, 'CommandRefused').filter(({ metadata }) => metadata.actor.id === context.actor.id)).toHaveLength(22);
    await log.stop();
  });

  it('that were only counted are written although nobody is refused any more', async () => {
    const store = createMemoryStore(Date.now);
    // The minute ends in an instant.
    const { log, clock } = logOn(store, new TestClock(Date.parse('2026-11-21T10:00:59.900Z')));
    await log.start();
    const context = someone();
    for (let n = 0; n < 25; n++) log.recordAs('RenameDevice', target, refusal, context);
    clock.advance(200);
    await until('counted', () => of(store, 'RefusalsSuppressed').length === 1);
    await log.stop();
  });

  it('are written also after a log that was slow: those of during it, and those of later', async () => {
    vi.useFakeTimers();
    try {
      const store = createMemoryStore(Date.now);
      let go = () => {};
      const slow = new Promise<void>((resolve) => (go = resolve));
      const { log } = logOn({ ...store, append: (...args) => slow.then(() => store.append(...args)) });
      await log.start();
      const record = () => log.recordAs('RenameDevice', target, refusal, someone());
      record();
      await vi.advanceTimersByTimeAsync(1_000);
      record(); // while the first is being written: its own time runs out before that ends
      await vi.advanceTimersByTimeAsync(1_000);
      go();
      await vi.advanceTimersByTimeAsync(1_000);
      record();
      await vi.advanceTimersByTimeAsync(1_000);
      expect(of(store, 'CommandRefused')).toHaveLength(3);
      await log.stop();
    } finally {
      vi.useRealTimers();
    }
  });

  it('are tried again while the log is away, each once', async () => {
    const store = createMemoryStore(Date.now);
    let failures = 3;
    const { log } = logOn({
      ...store,
      async append(...args) {
        if (failures-- > 0) {
          if (failures === 1) await store.append(...args); // it was stored, and nobody said so
          throw failures % 2 ? new AppendOutcomeUnknown(args[0], new Error('lost')) : new EventStoreUnavailable('away');
        }
        return store.append(...args);
      },
    });
    await log.start();
    for (let n = 0; n < 5; n++) log.recordAs('RenameDevice', target, refusal, someone());
    await until('written', () => of(store, 'CommandRefused').length === 5);
    await log.stop();
    expect(of(store, 'CommandRefused')).toHaveLength(5);
  });

  it('and counts are written before a stop', async () => {
    const store = createMemoryStore(Date.now);
    const { log } = logOn(store);
    await log.start();
    const context = someone();
    for (let n = 0; n < 23; n++) log.recordAs('RenameDevice', target, refusal, context);
    await log.stop();
    expect(of(store, 'CommandRefused')).toHaveLength(20);
    expect(of(store, 'RefusalsSuppressed')).toMatchObject([{ data: { count: 3 } }]);
  });

  it('of the system itself are nobody’s', async () => {
    const store = createMemoryStore(Date.now);
    const { log } = logOn(store);
    await log.start();
    log.recordAs('DispatchUnlock', target, refusal, asSystem());
    await log.stop();
    expect(store.all).toHaveLength(0);
  });
});
