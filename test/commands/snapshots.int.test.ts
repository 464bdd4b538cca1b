import { describe, expect, it } from 'vitest';
import { deviceAggregate } from '../../src/domain/registry.ts';
import type { DeviceState } from '../../src/domain/device/state.ts';
import type { EventStore } from '../../src/platform/event-store/port.ts';
import { newId } from '../../src/platform/ids.ts';
import { ada, asSystem, type Backend, type BackendOptions } from '../support/backend.ts';
import { useBackends } from '../support/backends.ts';
import type { SimulatedBox } from '../support/simulated-box.ts';

const backends = useBackends();

/** A process, and how many events it has read from streams. */
async function start(options: Partial<BackendOptions> = {}): Promise<Backend & { read: { events: number } }> {
  const read = { events: 0 };
  const store = (inner: EventStore): EventStore => ({
    ...inner,
    async *readStream(...args) {
      for await (const event of inner.readStream(...args)) {
        read.events++;
        yield event;
      }
    },
  });
  const backend = await backends.start({ store, ...options });
  read.events = 0;
  return { ...backend, read };
}

const rename = (backend: Backend, box: SimulatedBox, name: string, context = asSystem()) =>
  backend.bus.execute({ type: 'RenameDevice', data: { deviceId: box.deviceId, userId: ada, name } }, context);

/** Renames written straight into the log: the history of years in a moment. */
async function history(backend: Backend, box: SimulatedBox, count: number): Promise<void> {
  const { revision } = (await backend.events(box.stream)).at(-1)!;
  let expected = revision;
  const metadata = { ...asSystem(), causationId: newId(), schemaVersion: 1, occurredAt: new Date().toISOString() };
  for (let from = 0; from < count; from += 250) {
    const events = Array.from({ length: Math.min(250, count - from) }, () => ({ eventId: newId(), type: 'DevicePinViewed', data: {}, metadata: { ...metadata, commandId: newId() } }));
    expected = (await backend.store.append(box.stream, expected, events)).revision;
  }
}

const loaded = (backend: Backend, box: SimulatedBox) => backend.bus.load<DeviceState>(deviceAggregate, box.deviceId);
const revisionKept = async (backend: Backend, box: SimulatedBox) =>
  (await backend.db.pool.query<{ revision: string }>('SELECT revision FROM work.snapshots WHERE stream = $1', [box.stream])).rows[0]?.revision;

describe('a long stream', () => {
  it('has a snapshot, so that a cold fold reads what came after it and gives the same', async () => {
    const first = await start();
    const box = await first.box();
    await history(first, box, 1_000);
    const whole = await loaded(first, box);
    await first.snapshots.settled();
    expect(await revisionKept(first, box)).toBe(whole.revision!.toString());
    await rename(first, box, 'after');

    const second = await start();
    const cold = await loaded(second, box);
    expect(second.read.events).toBeLessThanOrEqual(2);
    expect(cold.revision).toBe(whole.revision! + 1n);
    expect(cold.state).toEqual((await loaded(first, box)).state);
  });

  it('of a hundred thousand events is folded from it too', async () => {
    const first = await start();
    const box = await first.box();
    await history(first, box, 100_000);
    const whole = await loaded(first, box);
    await first.snapshots.settled();
    const second = await start();
    expect((await loaded(second, box)).state).toEqual(whole.state);
    expect(second.read.events).toBe(1);
  });

  it('gets the next one after five hundred events more, and a short one gets none', async () => {
    const backend = await start();
    const [long, short] = [await backend.box(), await backend.box()];
    await history(backend, long, 600);
    await loaded(backend, long);
    await backend.snapshots.settled();
    const kept = await revisionKept(backend, long);
    await rename(backend, long, 'one more');
    await backend.snapshots.settled();
    expect(await revisionKept(backend, long)).toBe(kept);
    await history(backend, long, 500);
    await rename(backend, long, 'due');
    await backend.snapshots.settled();
    expect(BigInt((await revisionKept(backend, long))!)).toBeGreaterThan(BigInt(kept!) + 499n);
    await rename(backend, short, 'short');
    expect(await revisionKept(backend, short)).toBeUndefined();
  });

  it('remembers in it what a repeat is recognised by, and whose conversation an opening is', async () => {
    const first = await start();
    const box = await first.box();
    await history(first, box, 600);
    await box.hello();
    const asked = { ...asSystem(), actor: { kind: 'user', id: ada } as const };
    await first.unlocks.request({ deviceId: box.deviceId, cause: { kind: 'owner', id: ada } }, asked, 'accepted');
    await first.dispatcher.drained();
    await first.db.pool.query('DELETE FROM work.snapshots');
    // A cold fold that offers a snapshot right after the request.
    const between = await start();
    await loaded(between, box);
    await between.snapshots.settled();
    const second = await start();
    expect(await second.bus.execute({ type: 'RenameDevice', data: { deviceId: box.deviceId, userId: ada, name: 'x' } }, asked)).toMatchObject({ repeated: true });
    const unlockId = ((await second.events(box.stream)).findLast(({ type }) => type === 'UnlockRequested')!.data as { unlockId: string }).unlockId;
    await second.execute({ type: 'RecordUnlockAnswer', data: { deviceId: box.deviceId, unlockId, phase: 'final', result: 'opened', signed: true, journalId: box.journalId, evidence: 'sensor' } });
    expect((await second.events(box.stream)).at(-1)).toMatchObject({ type: 'UnlockConfirmed', metadata: { correlationId: asked.correlationId } });
  });
});

describe('a snapshot that cannot be trusted', () => {
  async function kept(): Promise<{ backend: Backend; box: SimulatedBox; state: DeviceState }> {
    const backend = await start();
    const box = await backend.box();
    await history(backend, box, 600);
    const { state } = await loaded(backend, box);
    await backend.snapshots.settled();
    return { backend, box, state };
  }

  it.each([
    ['of a log in which another event has its place', `UPDATE work.snapshots SET event_id = gen_random_uuid(), body = '{"state":{"kind":"unregistered"},"commandIds":[],"conversations":[]}' WHERE stream = $1`],
    ['beyond the end of the log', `UPDATE work.snapshots SET revision = revision + 1000, body = '{"state":{"kind":"unregistered"},"commandIds":[],"conversations":[]}' WHERE stream = $1`],
    ['of a state of another shape', `UPDATE work.snapshots SET state_version = 999, body = '{"state":{"kind":"unregistered"},"commandIds":[],"conversations":[]}' WHERE stream = $1`],
  ])('%s is not used', async (_, spoil) => {
    const { box, state } = await kept();
    const other = await start();
    await other.db.pool.query(spoil, [box.stream]);
    expect((await loaded(other, box)).state).toEqual(state);
  });

  it('or read costs time and nothing else', async () => {
    const { box, state } = await kept();
    const other = await start();
    await other.db.pool.query('ALTER TABLE work.snapshots RENAME TO gone');
    try {
      expect((await loaded(other, box)).state).toEqual(state);
    } finally {
      await other.db.pool.query('ALTER TABLE work.gone RENAME TO snapshots');
    }
  });

  it('is never replaced by an older one', async () => {
    const { backend, box } = await kept();
    const revision = await revisionKept(backend, box);
    backend.snapshots.offer(box.stream, deviceAggregate.stateVersion, { revision: 5n, eventId: newId(), state: {}, commandIds: [], conversations: [] });
    await backend.snapshots.settled();
    expect(await revisionKept(backend, box)).toBe(revision);
  });
});
