import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { AnyCommand } from '../../src/commands/port.ts';
import { newId } from '../../src/platform/ids.ts';
import { ada, TestClock, type Backend, type BackendOptions } from '../support/backend.ts';
import { useBackends } from '../support/backends.ts';
import type { SimulatedBox } from '../support/simulated-box.ts';
import { until } from '../support/until.ts';

const backends = useBackends('each');

/** As compose.ts wires a process that is API and worker in one. */
async function start(options: Partial<BackendOptions> = {}): Promise<Backend> {
  const backend = await backends.start(options);
  backend.bus.continueWith(backend.dispatcher.continuation);
  return backend;
}

const ask = (box: SimulatedBox): AnyCommand => ({
  type: 'RequestUnlock',
  data: { deviceId: box.deviceId, unlockId: newId(), cause: { kind: 'owner', id: ada }, ttlMs: 30_000, level0Deliveries: true },
});
const unlockEvents = async (backend: Backend, box: SimulatedBox) => (await backend.events(box.stream)).filter(({ type }) => type.startsWith('Unlock'));

describe('a request in the process that will send it', () => {
  it('is claimed in its own append, and its bytes go out once', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const outcome = await backend.execute(ask(box));
    expect(outcome).toMatchObject({ kind: 'accepted', events: [{ type: 'UnlockRequested' }] });
    const [requested, claimed] = await unlockEvents(backend, box);
    expect(claimed).toMatchObject({ type: 'UnlockDispatched', revision: requested!.revision + 1n });
    expect(claimed!.metadata.causationId).toBe(requested!.eventId);
    expect(claimed!.metadata.correlationId).toBe(requested!.metadata.correlationId);
    expect(claimed!.metadata.actor).toEqual({ kind: 'system', id: 'dispatcher' });
    await until('sent', () => backend.downlink.commands('unlock').length === 1);
    // The reactor sees the same request and finds that it was sent.
    const reactor = await backend.startReactor();
    await box.heartbeat();
    await reactor.stop();
    expect(backend.downlink.commands('unlock')).toHaveLength(1);
  });

  it('of two such processes, one claims and one box opens once', async () => {
    const first = await start({ soleWriter: false });
    const second = await start({ url: first.db.url, soleWriter: false });
    for (let round = 0; round < 10; round++) {
      const box = await first.box();
      await box.hello();
      await Promise.allSettled([first.execute(ask(box)), second.execute(ask(box))]);
      const types = (await unlockEvents(first, box)).map(({ type }) => type);
      expect(types.slice(0, 2)).toEqual(['UnlockRequested', 'UnlockDispatched']);
      expect(types.filter((type) => type === 'UnlockDispatched')).toHaveLength(1);
      const sent = () => [...first.downlink.commands('unlock'), ...second.downlink.commands('unlock')].filter((body) => body['device_id'] === box.deviceId);
      await until('sent', () => sent().length === 1);
    }
  });

  it('is not claimed for a box that cannot be reached: it ends, and gives its use back', async () => {
    const backend = await start();
    const box = await backend.box();
    await backend.execute(ask(box));
    const last = await until('the request came to its end', async () => (await unlockEvents(backend, box)).at(-1)?.type === 'UnlockCancelled');
    expect(last).toBe(true);
    expect(backend.downlink.commands('unlock')).toEqual([]);
  });

  it('is told with the answer when the broker had it, in one append, with its own instant', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    await backend.execute(ask(box));
    const [command] = await until('sent', () => (backend.downlink.commands('unlock').length === 1 ? backend.downlink.commands('unlock') : undefined));
    await box.opens(command!);
    const events = await unlockEvents(backend, box);
    expect(events.map(({ type }) => type)).toEqual(['UnlockRequested', 'UnlockDispatched', 'UnlockPublished', 'UnlockConfirmed']);
    const [, , published, confirmed] = events;
    expect(published!.metadata.commandId).toBe(confirmed!.metadata.commandId);
    expect((published!.data as { publishedAt?: string }).publishedAt! <= confirmed!.metadata.occurredAt).toBe(true);
  });

  it('is told by itself when the box is slow', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    await backend.execute(ask(box));
    await until('told', async () => (await unlockEvents(backend, box)).at(-1)?.type === 'UnlockPublished');
  });
});

describe('the time that a box is told', () => {
  const challenge = () => ({ time_challenge: randomBytes(16).toString('hex') });
  const told = (backend: Backend) => Date.parse(backend.downlink.commands('time').at(-1)?.['issued_at'] as string);

  it('does not go back with the server, for a quarter of an hour', async () => {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = await backend.box();
    await box.hello(challenge());
    await until('told', () => backend.downlink.commands('time').length === 1);
    const first = told(backend);

    clock.step(-3_600_000);
    await box.heartbeat(challenge());
    await until('told again', () => backend.downlink.commands('time').length === 2);
    expect(told(backend)).toBeGreaterThanOrEqual(first);

    clock.advance(16 * 60_000);
    await box.heartbeat(challenge());
    await until('told the server’s own time', () => backend.downlink.commands('time').length === 3);
    expect(told(backend)).toBeLessThan(first);
  });
});
