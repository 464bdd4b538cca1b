import { describe, expect, it } from 'vitest';
import { KeyUsedLongAgo, type CommandContext, type UnlockAsk, type UnlockReply } from '../../src/commands/port.ts';
import { createIdempotency } from '../../src/commands/idempotency.ts';
import { derivedCommandId, newId } from '../../src/platform/ids.ts';
import { ada, asSystem, TestClock, type Backend } from '../support/backend.ts';
import { useBackends } from '../support/backends.ts';
import type { SimulatedBox } from '../support/simulated-box.ts';
import { until } from '../support/until.ts';

const { start } = useBackends();

async function linkOf(backend: Backend, box: SimulatedBox, maxUses: number): Promise<string> {
  const linkId = newId();
  const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
  await backend.execute({
    type: 'CreateLink',
    data: { deviceId: box.deviceId, linkId, userId: ada, token: 't', tokenHash: `h-${linkId}`, expiresAt: inAnHour, latestExpiry: inAnHour, maxUses, requireIdentity: false },
  });
  return linkId;
}

/** A box that answers each unlock as soon as it gets it. */
function answering(backend: Backend, box: SimulatedBox): void {
  const previous = backend.downlink.answer;
  backend.downlink.answer = (topic, payload) => {
    const command = JSON.parse(payload.toString()) as Record<string, unknown>;
    if (command['action'] === 'unlock' && command['device_id'] === box.deviceId) setImmediate(() => void box.opens(command));
    return previous(topic, payload);
  };
}

const courier = (linkId: string, key: string): CommandContext => ({ ...asSystem(), commandId: derivedCommandId(linkId, key), actor: { kind: 'courier', id: linkId }, source: 'delivery_link' });
const byLink = (box: SimulatedBox, linkId: string): UnlockAsk => ({ deviceId: box.deviceId, cause: { kind: 'link', id: linkId } });
const byOwner = (box: SimulatedBox): UnlockAsk => ({ deviceId: box.deviceId, cause: { kind: 'owner', id: ada } });
const owner = (): CommandContext => ({ ...asSystem(), actor: { kind: 'user', id: ada }, source: 'mobile_app' });
const refusalOf = (reply: UnlockReply) => (reply.kind === 'refused' ? reply.refusal.code : undefined);
const stateOf = (reply: UnlockReply) => (reply.kind === 'progress' ? reply.unlock.state : undefined);
const requests = async (backend: Backend, box: SimulatedBox) => (await backend.types(box.stream)).filter((type) => type === 'UnlockRequested').length;

/** Resolves when the box has been sent so many unlocks. */
const sent = (backend: Backend, box: SimulatedBox, count: number) =>
  until(`${count} unlocks sent`, () => {
    const commands = backend.downlink.commands('unlock').filter((command) => command['device_id'] === box.deviceId);
    return commands.length >= count ? commands : undefined;
  });

describe('asking a box to open', () => {
  it('answers with its outcome', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    answering(backend, box);
    const reply = await backend.unlocks.request(byOwner(box), owner(), 'outcome');
    expect(reply).toMatchObject({ kind: 'progress', repeated: false, unlock: { state: 'opened', useReturned: false } });
  });

  it('answers an accepted request at once where that is asked', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const reply = await backend.unlocks.request(byOwner(box), owner(), 'accepted');
    expect(stateOf(reply)).toMatch(/requested|dispatched|published/);
  });

  it('answers with how far it came when the box says nothing in time', async () => {
    const backend = await start({ settings: { waitMs: 200 } });
    const box = await backend.box();
    await box.hello();
    const reply = await backend.unlocks.request(byOwner(box), owner(), 'outcome');
    expect(stateOf(reply)).toMatch(/dispatched|published/);
  });
});

describe('a repeat', () => {
  it('after the end gets the same answer and opens nothing', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    answering(backend, box);
    const linkId = await linkOf(backend, box, 1);
    const context = courier(linkId, 'one');
    const first = await backend.unlocks.request(byLink(box, linkId), context, 'outcome');
    const again = await backend.unlocks.request(byLink(box, linkId), context, 'outcome');
    expect(again).toEqual({ ...first, repeated: true });
    expect(await requests(backend, box)).toBe(1);
  });

  it('while it is under way joins it', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const linkId = await linkOf(backend, box, 2);
    const context = courier(linkId, 'one');
    const both = Promise.all([1, 2].map(() => backend.unlocks.request(byLink(box, linkId), context, 'outcome')));
    const [command] = await sent(backend, box, 1);
    await box.opens(command!);
    expect((await both).map(stateOf)).toEqual(['opened', 'opened']);
    expect(await requests(backend, box)).toBe(1);
  });

  it('gets the first answer also when the box is offline by then', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    answering(backend, box);
    const linkId = await linkOf(backend, box, 1);
    const context = courier(linkId, 'one');
    const first = await backend.unlocks.request(byLink(box, linkId), context, 'outcome');
    await box.tell('bye', { online: false });
    expect(await backend.unlocks.request(byLink(box, linkId), context, 'outcome')).toEqual({ ...first, repeated: true });
  });

  it('gets it after hundreds of other events, where its key was seen before', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    answering(backend, box);
    const context = owner();
    const first = await backend.unlocks.request(byOwner(box), context, 'outcome');
    for (let n = 0; n < 400; n++) await backend.execute({ type: 'RenameDevice', data: { deviceId: box.deviceId, userId: ada, name: `${n}` } });
    expect(await backend.unlocks.request(byOwner(box), { ...context, seenBefore: true }, 'outcome')).toEqual({ ...first, repeated: true });
    expect(await requests(backend, box)).toBe(1);
  });

  it('of the same owner under another key joins the tap before', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const both = Promise.all([1, 2].map(() => backend.unlocks.request(byOwner(box), owner(), 'outcome')));
    const [command] = await sent(backend, box, 1);
    await box.opens(command!);
    expect((await both).map(stateOf)).toEqual(['opened', 'opened']);
    expect(await requests(backend, box)).toBe(1);
  });

  it('of the same owner, when the tap before ends and a courier is next, is answered with the owner\'s own', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const linkId = await linkOf(backend, box, 1);
    await backend.unlocks.request(byOwner(box), owner(), 'accepted');
    const [first] = await sent(backend, box, 1);
    // Between the decision that it joins and the look at what: the tap ends, and the courier's turn comes.
    const { load } = backend.bus;
    let passed: Promise<unknown> | undefined;
    (backend.bus as { load: typeof load }).load = async (aggregate, id) => {
      passed ??= box.opens(first!).then(() => backend.unlocks.request(byLink(box, linkId), courier(linkId, 'one'), 'accepted'));
      await passed;
      return load(aggregate, id);
    };
    const second = await backend.unlocks.request(byOwner(box), owner(), 'accepted');
    expect(second).toMatchObject({ kind: 'progress', unlock: { unlockId: first!['command_id'], state: 'opened' } });
    expect(await requests(backend, box)).toBe(2);
  });

  it('of one that joined another is answered with that one for good, and opens nothing', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const keys = createIdempotency(backend.db.pool);
    const hash = '00'.repeat(32);
    const asked = async () => {
      const begun = await keys.begin(ada, 'unlockDevice', 'the same key', hash);
      if (begun.kind !== 'go') throw new Error('It is the same request');
      return { ...owner(), commandId: begun.commandId, seenBefore: begun.repeated };
    };
    const tap = backend.unlocks.request(byOwner(box), owner(), 'outcome');
    const [command] = await sent(backend, box, 1);
    const joins = backend.unlocks.request(byOwner(box), await asked(), 'outcome');
    await until('it joined', async () => (await backend.db.pool.query('SELECT FROM work.idempotency WHERE joined_unlock IS NOT NULL')).rowCount === 1);
    await box.opens(command!);
    const [first, second] = await Promise.all([tap, joins]);
    expect([stateOf(first), stateOf(second)]).toEqual(['opened', 'opened']);
    // Its answer got lost, and it is asked again: with the box ready for a new one, and with the box gone.
    expect(await backend.unlocks.request(byOwner(box), await asked(), 'outcome')).toEqual(second);
    await box.tell('bye', { online: false });
    expect(await backend.unlocks.request(byOwner(box), await asked(), 'accepted')).toEqual(second);
    expect(await requests(backend, box)).toBe(1);
  });
});

describe('a key of long ago', () => {
  it('is not answered with what came of it then: nothing is opened, and that is said', async () => {
    const clock = new TestClock(Date.now());
    const backend = await start({ clock });
    const box = await backend.box();
    await box.hello();
    answering(backend, box);
    const context = { ...owner(), seenBefore: false };
    expect(stateOf(await backend.unlocks.request(byOwner(box), context, 'outcome'))).toBe('opened');
    clock.advance(3 * 86_400_000);
    await expect(backend.unlocks.request(byOwner(box), context, 'outcome')).rejects.toThrow(KeyUsedLongAgo); // offline
    await box.tell('periodic');
    await expect(backend.unlocks.request(byOwner(box), context, 'outcome')).rejects.toThrow(KeyUsedLongAgo);
    // And where the fold knows the opening, but not the command any more.
    for (let n = 0; n < 70; n++) await backend.execute({ type: 'RenameDevice', data: { deviceId: box.deviceId, userId: ada, name: `${n}` } });
    await expect(backend.unlocks.request(byOwner(box), context, 'outcome')).rejects.toThrow(KeyUsedLongAgo);
    expect(await requests(backend, box)).toBe(1);
  });

  it('is not answered with the opening of somebody else', async () => {
    const clock = new TestClock(Date.now());
    const backend = await start({ clock });
    const box = await backend.box();
    await box.hello();
    answering(backend, box);
    const context = { ...owner(), seenBefore: false };
    await backend.unlocks.request(byOwner(box), context, 'outcome');
    const linkId = await linkOf(backend, box, 70);
    // So many that the box's state has forgotten the first.
    for (let n = 0; n < 66; n++) await backend.unlocks.request(byLink(box, linkId), courier(linkId, `${n}`), 'outcome');
    clock.advance(3 * 86_400_000);
    await box.tell('periodic');
    await expect(backend.unlocks.request(byOwner(box), context, 'outcome')).rejects.toThrow(KeyUsedLongAgo);
  });
});

describe('a busy box', () => {
  it('takes who waits first come first served, once it is free', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const links = await Promise.all([1, 2, 3].map(() => linkOf(backend, box, 1)));
    const order: number[] = [];
    const replies: Promise<void>[] = [];
    for (const [index, linkId] of links.entries()) {
      replies.push(backend.unlocks.request(byLink(box, linkId), courier(linkId, 'k'), 'outcome').then((reply) => void (stateOf(reply) === 'opened' && order.push(index))));
      if (index === 0) await sent(backend, box, 1);
      else await until(`${index} waiting`, async () => (await backend.metric('loqey_unlock_requests_waiting')) === index);
    }
    for (let n = 1; n <= 3; n++) await box.opens((await sent(backend, box, n))[n - 1]!);
    await Promise.all(replies);
    expect(order).toEqual([0, 1, 2]);
    expect(await backend.metric('loqey_unlock_requests_waiting')).toBe(0);
  });

  it('is answered as busy when the wait is over, and that request never opens', async () => {
    const backend = await start({ settings: { waitMs: 150 } });
    const box = await backend.box();
    await box.hello();
    const linkId = await linkOf(backend, box, 5);
    const first = backend.unlocks.request(byOwner(box), owner(), 'accepted');
    await first;
    const second = await backend.unlocks.request(byLink(box, linkId), courier(linkId, 'two'), 'outcome');
    expect(refusalOf(second)).toBe('device_busy');
    await box.opens((await sent(backend, box, 1))[0]!);
    await until('the first is over', async () => (await backend.types(box.stream)).includes('UnlockConfirmed'));
    expect(await requests(backend, box)).toBe(1);
  });

  it('never answers busy to a request that it accepted at the last moment', async () => {
    const waitMs = 60;
    let hold = false;
    const backend = await start({
      settings: { waitMs },
      store: (store) => ({
        ...store,
        async append(stream, expected, events, options) {
          // The decision is made in time, and stored when the wait is over.
          if (hold && events[0]?.type === 'UnlockRequested') await new Promise((resolve) => setTimeout(resolve, 3 * waitMs));
          return store.append(stream, expected, events, options);
        },
      }),
    });
    const box = await backend.box();
    await box.hello();
    const linkId = await linkOf(backend, box, 5);
    await backend.unlocks.request(byOwner(box), owner(), 'accepted');
    const [command] = await sent(backend, box, 1);
    hold = true;
    const waiting = backend.unlocks.request(byLink(box, linkId), courier(linkId, 'k'), 'accepted');
    await until('it waits', async () => (await backend.metric('loqey_unlock_requests_waiting')) === 1);
    await box.opens(command!);
    expect((await waiting).kind).toBe('progress');
    expect(await requests(backend, box)).toBe(2);
  });

  it('refuses at once who has no use left counting the one in flight', async () => {
    const backend = await start({ settings: { waitMs: 60_000 } });
    const box = await backend.box();
    await box.hello();
    const linkId = await linkOf(backend, box, 1);
    const first = backend.unlocks.request(byLink(box, linkId), courier(linkId, 'one'), 'outcome');
    const [command] = await sent(backend, box, 1);
    expect(refusalOf(await backend.unlocks.request(byLink(box, linkId), courier(linkId, 'two'), 'outcome'))).toBe('link_used');
    await box.opens(command!);
    expect(stateOf(await first)).toBe('opened');
  });

  it('lets exactly three of twenty couriers in on a link of three uses, round after round', async () => {
    const backend = await start({ settings: { waitMs: 30_000 } });
    const rounds = Number(process.env['TEST_COURIER_ROUNDS'] ?? 15);
    for (let round = 0; round < rounds; round++) {
      const box = await backend.box();
      await box.hello();
      answering(backend, box);
      const linkId = await linkOf(backend, box, 3);
      const replies = await Promise.all(Array.from({ length: 20 }, (_, n) => backend.unlocks.request(byLink(box, linkId), courier(linkId, `${n}`), 'outcome')));
      expect(replies.filter((reply) => stateOf(reply) === 'opened')).toHaveLength(3);
      expect(replies.filter((reply) => refusalOf(reply) === 'link_used')).toHaveLength(17);
      const types = await backend.types(box.stream);
      expect(types.filter((type) => type === 'UnlockConfirmed')).toHaveLength(3);
      expect(types.filter((type) => type === 'UnlockRequested')).toHaveLength(3);
      expect(backend.downlink.commands('unlock').filter((command) => command['device_id'] === box.deviceId)).toHaveLength(3);
    }
  });
});

describe('a box that cannot be reached', () => {
  it('is refused as offline, and nothing is asked of it', async () => {
    const backend = await start();
    const box = await backend.box();
    expect(refusalOf(await backend.unlocks.request(byOwner(box), owner(), 'outcome'))).toBe('device_offline');
    expect(await requests(backend, box)).toBe(0);
  });

  it('is no reason to tell a courier whose link is used up to come again', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    answering(backend, box);
    const linkId = await linkOf(backend, box, 1);
    await backend.unlocks.request(byLink(box, linkId), courier(linkId, 'one'), 'outcome');
    await box.tell('bye', { online: false });
    expect(refusalOf(await backend.unlocks.request(byLink(box, linkId), courier(linkId, 'two'), 'outcome'))).toBe('link_used');
    expect(refusalOf(await backend.unlocks.request(byLink(box, newId()), courier(linkId, 'three'), 'outcome'))).toBe('link_not_found');
  });
});

describe('a revocation', () => {
  it('waits for an opening under way and has nothing to name when it ended', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const linkId = await linkOf(backend, box, 1);
    const opening = backend.unlocks.request(byLink(box, linkId), courier(linkId, 'one'), 'outcome');
    const [command] = await sent(backend, box, 1);
    await backend.execute({ type: 'RevokeLink', data: { deviceId: box.deviceId, linkId, userId: ada } });
    const waited = backend.unlocks.awaitInFlight(box.deviceId, linkId, 10_000);
    await box.opens(command!);
    expect(await waited).toBeUndefined();
    expect(stateOf(await opening)).toBe('opened');
  });

  it('names the opening that it could not stop', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    const linkId = await linkOf(backend, box, 1);
    await backend.unlocks.request(byLink(box, linkId), courier(linkId, 'one'), 'accepted');
    const [command] = await sent(backend, box, 1);
    expect(await backend.unlocks.awaitInFlight(box.deviceId, linkId, 50)).toEqual({ unlockId: command!['command_id'], expiresAt: command!['expires_at'] });
    expect(await backend.unlocks.awaitInFlight(box.deviceId, newId(), 50)).toBeUndefined();
  });
});
