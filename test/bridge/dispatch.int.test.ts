import { describe, expect, it } from 'vitest';
import { createLiveDevices } from '../../src/bridge/live-devices.ts';
import { verifyCommand } from '../../src/bridge/protocol/signature.ts';
import type { AnyCommand } from '../../src/commands/port.ts';
import { AppendOutcomeUnknown } from '../../src/platform/event-store/port.ts';
import { newId } from '../../src/platform/ids.ts';
import { BrokerUnavailable, PublishTimedOut } from '../../src/platform/mqtt/port.ts';
import { RelayUnavailable } from '../../src/platform/relay/port.ts';
import { ada, TestClock, type Backend } from '../support/backend.ts';
import { useBackends } from '../support/backends.ts';
import type { SimulatedBox } from '../support/simulated-box.ts';
import { until } from '../support/until.ts';

const { start } = useBackends('each');

function ask(box: SimulatedBox, unlockId = newId(), cause: { kind: 'owner' | 'admin' | 'link'; id: string } = { kind: 'owner', id: ada }): AnyCommand {
  return { type: 'RequestUnlock', data: { deviceId: box.deviceId, unlockId, cause, ttlMs: 30_000, level0Deliveries: true } };
}

const lastEnd = async (backend: Backend, box: SimulatedBox) =>
  until('the request came to its end', async () => (await backend.events(box.stream)).findLast(({ type }) => type === 'UnlockCancelled' || type === 'UnlockExpired'));
const unlocksSent = (backend: Backend) => backend.downlink.published.filter(({ topic }) => topic.endsWith('commands/unlock'));

describe('a request', () => {
  it('is claimed in the log before its first byte is given away', async () => {
    let claimed: boolean | undefined;
    const backend: Backend = await start({
      relay: (relay) => ({
        ...relay,
        async publish(topic, messages) {
          if (topic === 'device-commands' && messages[0]?.headers['action'] === 'unlock') claimed ??= (await backend.types(`device-${messages[0].key}`)).includes('UnlockDispatched');
          return relay.publish(topic, messages);
        },
      }),
    });
    const box = await backend.box();
    await box.hello();
    await backend.execute(ask(box));
    await until('sent', () => unlocksSent(backend).length === 1);
    expect(claimed).toBe(true);
  });

  it('of an administrator who is none any more opens nothing, whether it is claimed at once or later', async () => {
    for (const atOnce of [false, true]) {
      for (const ending of ['RevokeAdminRole', 'SuspendUser'] as const) {
        const backend = await start();
        if (atOnce) backend.bus.continueWith(backend.dispatcher.continuation);
        const box = await backend.box();
        await box.hello();
        const userId = newId();
        const open = () => backend.execute(ask(box, newId(), { kind: 'admin', id: userId }));
        await backend.execute({ type: 'RegisterUser', data: { userId, profile: { email: 'kim@example.com', firstName: 'Kim', lastName: 'A', residentState: '' } } });
        await backend.execute({ type: 'GrantAdminRole', data: { userId, role: 'admin', permissions: [] } });
        await open();
        const [command] = await until('sent', () => (unlocksSent(backend).length === 1 ? backend.downlink.commands('unlock') : undefined));
        await box.opens(command!);
        await until('opened', async () => (await backend.types(box.stream)).includes('UnlockConfirmed'));
        // Admitted before, and waiting for its turn or for its claim while that was taken away.
        await backend.execute({ type: ending, data: { userId } });
        await open();
        expect((await lastEnd(backend, box))?.data).toMatchObject({ reason: 'undeliverable' });
        expect(unlocksSent(backend)).toHaveLength(1);
      }
    }
  });

  it('becomes bytes signed for that box, with what the log says of it', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    await backend.execute(ask(box));
    const [sent] = await until('sent', () => (unlocksSent(backend).length === 1 ? unlocksSent(backend) : undefined));
    const command = JSON.parse(sent!.payload.toString()) as Record<string, unknown>;
    const events = await backend.events(box.stream);
    const requested = events.find(({ type }) => type === 'UnlockRequested')!;
    const dispatched = events.find(({ type }) => type === 'UnlockDispatched')!;
    expect(verifyCommand(sent!.payload, box.keys.cmd)).toBe(true);
    expect(sent!.topic).toBe(`loqey/devices/${box.deviceId}/commands/unlock`);
    expect(command).toMatchObject({
      device_id: box.deviceId,
      command_id: (requested.data as { unlockId: string }).unlockId,
      issued_at: (requested.data as { issuedAt: string }).issuedAt,
      expires_at: (requested.data as { expiresAt: string }).expiresAt,
      seq: (dispatched.data as { seq: number }).seq,
      key_version: 1,
    });
    expect(dispatched.data).toMatchObject({ journalId: box.journalId, reportSeq: box.reportSeq });
  });

  it('is sent once although hint and reactor both see it', async () => {
    const backend = await start();
    const reactor = await backend.startReactor();
    const box = await backend.box();
    await box.hello();
    for (let n = 0; n < 5; n++) {
      await backend.execute(ask(box));
      const command = await until('sent', () => backend.downlink.commands('unlock')[n]);
      await box.opens(command);
    }
    await until('the reactor has seen them', async () => (await backend.metric('loqey_reactor_events_total')) >= 5);
    expect(unlocksSent(backend)).toHaveLength(5);
    expect(reactor.health().healthy).toBe(true);
  });

  it('is sent by one of two processes that both want it, however close they are', async () => {
    const one = await start();
    const two = await start({ url: one.db.url, soleWriter: false });
    const box = await one.box();
    await box.hello();
    for (let n = 0; n < 20; n++) {
      // Both hear of it at once, as two workers do.
      const stop = one.bus.onAppended((events) => two.dispatcher.hint(events));
      await one.execute(ask(box));
      stop();
      await one.dispatcher.drained();
      await two.dispatcher.drained();
      const sent = [...one.downlink.commands('unlock'), ...two.downlink.commands('unlock')];
      expect(sent).toHaveLength(n + 1);
      await box.opens(sent.find(({ command_id: id }) => !box.executed.some((done) => done.command_id === id))!);
    }
    expect((await one.types(box.stream)).filter((type) => type === 'UnlockDispatched')).toHaveLength(20);
  });

  it('from before the process is cancelled, never sent', async () => {
    const clock = new TestClock();
    const first = await start({ clock, relay: (relay) => ({ ...relay, publish: (topic, messages) => (topic === 'device-commands' ? Promise.reject(new RelayUnavailable('away')) : relay.publish(topic, messages)) }) });
    const reactor = await first.startReactor();
    const box = await first.box();
    await box.hello();
    await until('the reactor has its checkpoint', async () => (await first.db.pool.query('SELECT FROM work.reactors')).rowCount === 1);
    await reactor.stop();
    await first.dispatcher.drained();
    // The crash: requested, and nobody there to dispatch it.
    const dead = await start({ url: first.db.url, clock });
    dead.dispatcher.hint = () => undefined;
    const { createCommandBus } = await import('../../src/commands/handle.ts');
    const quietBus = createCommandBus({ store: dead.store, sealer: dead.sealer, refusals: dead.refusals, clock, metrics: dead.metrics });
    const commandId = newId();
    await quietBus.execute(ask(box), { commandId, correlationId: commandId, actor: { kind: 'user', id: ada }, source: 'mobile_app' });
    clock.advance(1_000);
    const second = await start({ url: first.db.url, clock });
    await second.startReactor();
    expect(await lastEnd(second, box)).toMatchObject({ type: 'UnlockCancelled', data: { reason: 'undeliverable' } });
    expect(unlocksSent(second)).toHaveLength(0);
  });
});

describe('between request and dispatch', () => {
  /** The request is made; what happens before its dispatch is the test's. */
  async function held(happens: (backend: Backend, box: SimulatedBox, clock: TestClock, linkId: string) => Promise<unknown>) {
    const clock = new TestClock();
    const backend = await start({ clock });
    const box = await backend.box();
    await box.hello();
    const linkId = newId();
    const later = new Date(clock.now() + 3_600_000).toISOString();
    await backend.execute({
      type: 'CreateLink',
      data: { deviceId: box.deviceId, linkId, userId: ada, token: 't', tokenHash: 'h', expiresAt: later, latestExpiry: later, maxUses: 1, requireIdentity: false },
    });
    const { createCommandBus } = await import('../../src/commands/handle.ts');
    const quietBus = createCommandBus({ store: backend.store, sealer: backend.sealer, refusals: backend.refusals, clock, metrics: backend.metrics });
    const commandId = newId();
    const outcome = await quietBus.execute(ask(box, newId(), { kind: 'link', id: linkId }), { commandId, correlationId: commandId, actor: { kind: 'courier', id: linkId }, source: 'delivery_link' });
    if (outcome.kind !== 'accepted') throw new Error(outcome.refusal.code);
    await happens(backend, box, clock, linkId);
    backend.dispatcher.hint(outcome.events);
    await backend.dispatcher.drained();
    expect(unlocksSent(backend)).toHaveLength(0);
    expect(await backend.types(box.stream)).not.toContain('UnlockDispatched');
    const end = await lastEnd(backend, box);
    return end.type === 'UnlockExpired' ? 'expired' : (end.data as { reason: string }).reason;
  }

  it.each<[string, string, Parameters<typeof held>[0]]>([
    ['the link was revoked', 'link_revoked', (backend, box, _, linkId) => backend.execute({ type: 'RevokeLink', data: { deviceId: box.deviceId, linkId, userId: ada } })],
    ['the box was unlinked', 'assignment_ended', (backend, box) => backend.execute({ type: 'UnlinkDevice', data: { deviceId: box.deviceId, userId: ada } })],
    ['its owner was suspended', 'owner_suspended', (backend, box) => backend.execute({ type: 'SuspendOwner', data: { deviceId: box.deviceId, userId: ada } })],
    ['it was decommissioned', 'device_decommissioned', (backend, box) => backend.execute({ type: 'DecommissionDevice', data: { deviceId: box.deviceId } })],
    ['its time passed', 'expired', async (_, box, clock) => (clock.advance(30_000), box.heartbeat())],
    ['the box said goodbye', 'device_unreachable', (_, box) => box.tell('bye', { online: false })],
  ])('%s: it ends unopened (%s)', async (_, reason, happens) => {
    expect(await held(happens)).toBe(reason);
  });
});

describe('a claim whose bytes got stuck', () => {
  it('gives the same bytes to the relay once it is back', async () => {
    const tried: Buffer[] = [];
    let away = true;
    const backend = await start({
      relay: (relay) => ({
        ...relay,
        publish(topic, messages) {
          if (topic !== 'device-commands' || messages[0]?.headers['action'] !== 'unlock') return relay.publish(topic, messages);
          tried.push(messages[0].value);
          return away ? Promise.reject(new RelayUnavailable('away')) : relay.publish(topic, messages);
        },
      }),
    });
    await backend.startReactor();
    const box = await backend.box();
    await box.hello();
    await backend.execute(ask(box));
    await until('tried twice', () => tried.length >= 2);
    away = false;
    const [sent] = await until('sent', () => (unlocksSent(backend).length > 0 ? unlocksSent(backend) : undefined));
    expect(new Set([...tried, sent!.payload].map((bytes) => bytes.toString('hex'))).size).toBe(1);
    expect((await backend.types(box.stream)).filter((type) => type === 'UnlockDispatched')).toHaveLength(1);
  });

  it('sends what it claimed although the store did not say whether it had the claim', async () => {
    let once = true;
    const backend = await start({
      store: (store) => ({
        ...store,
        async append(stream, expected, events, options) {
          const result = await store.append(stream, expected, events, options);
          if (once && events[0]?.type === 'UnlockDispatched') {
            once = false;
            throw new AppendOutcomeUnknown(stream, new Error('lost'));
          }
          return result;
        },
      }),
    });
    await backend.startReactor();
    const box = await backend.box();
    await box.hello();
    await backend.execute(ask(box));
    await until('sent', () => unlocksSent(backend).length === 1);
    expect((await backend.types(box.stream)).filter((type) => type === 'UnlockDispatched')).toHaveLength(1);
  });
});

describe('the downlink', () => {
  async function sending(answer: (attempt: number) => Promise<{ delivered: boolean | undefined }>, clock?: TestClock) {
    const backend = await start(clock === undefined ? {} : { clock });
    const box = await backend.box();
    await box.hello();
    let attempt = 0;
    backend.downlink.answer = (topic) => (topic.endsWith('unlock') ? answer(++attempt) : { delivered: true });
    await backend.execute(ask(box));
    await until('tried', () => unlocksSent(backend).length > 0);
    return { backend, box };
  }

  it('records that the broker has it', async () => {
    const { backend, box } = await sending(async () => ({ delivered: true }));
    await until('published', async () => (await backend.types(box.stream)).includes('UnlockPublished'));
  });

  it('records nothing when nobody is subscribed', async () => {
    const { backend, box } = await sending(async () => ({ delivered: false }));
    await until('counted', async () => (await backend.metric('loqey_downlink_commands_total')) >= 1);
    await box.heartbeat(); // behind it in the same queue
    expect(await backend.types(box.stream)).not.toContain('UnlockPublished');
  });

  it('tries the same bytes three times at most', async () => {
    const { backend } = await sending(async () => Promise.reject(new PublishTimedOut('no PUBACK')));
    await until('given up', () => unlocksSent(backend).length === 3);
    expect(new Set(unlocksSent(backend).map(({ payload }) => payload.toString('hex'))).size).toBe(1);
  });

  it('does not try again when two seconds are left, nor takes what is that old', async () => {
    const clock = new TestClock();
    const { backend, box } = await sending(async () => {
      clock.advance(28_500);
      throw new BrokerUnavailable('not connected');
    }, clock);
    await until('given up', async () => (await backend.metric('loqey_downlink_commands_total')) >= 1);
    expect(unlocksSent(backend)).toHaveLength(1);
    const message = (level: 0 | 1, left: number) => ({
      key: box.deviceId,
      value: Buffer.from('{}'),
      headers: { command_id: newId(), action: 'unlock', topic: 'x/unlock', qos: '1', expires_at: `${clock.now() + left}`, level: `${level}` },
    });
    await backend.relay.publish('device-commands', [message(1, 1_999), message(0, 1_999), message(1, -1)]);
    expect(backend.downlink.published.filter(({ topic }) => topic === 'x/unlock')).toHaveLength(0);
    await backend.relay.publish('device-commands', [message(1, 2_500)]);
    expect(backend.downlink.published.filter(({ topic }) => topic === 'x/unlock')).toHaveLength(1);
  });

  it('tries a command of old firmware once', async () => {
    const backend = await start();
    backend.downlink.answer = () => Promise.reject(new PublishTimedOut('no PUBACK'));
    const headers = { command_id: newId(), action: 'unlock', topic: 'x/unlock', qos: '0', expires_at: `${Date.now() + 8_000}`, level: '0' };
    await backend.relay.publish('device-commands', [{ key: newId(), value: Buffer.from('{}'), headers }]);
    await until('given up', async () => (await backend.metric('loqey_downlink_commands_total')) >= 1);
    expect(backend.downlink.published).toHaveLength(1);
  });

  it('drops what is too large or cannot be read', async () => {
    const backend = await start();
    const headers = { command_id: newId(), action: 'unlock', topic: 'x', qos: '1', expires_at: `${Date.now() + 30_000}`, level: '1' };
    await backend.relay.publish('device-commands', [
      { key: 'a', value: Buffer.alloc(2_049), headers },
      { key: 'a', value: Buffer.from('{}'), headers: { ...headers, expires_at: 'soon' } },
    ]);
    expect(backend.downlink.published).toHaveLength(0);
  });
});

describe('old firmware', () => {
  it('is sent an unsigned-for-it command that is good for ten seconds, by its own name', async () => {
    const backend = await start();
    const box = await backend.box({ profile: 'smartlock', hardwareId: 'HW-77' });
    await box.unsigned('status', { online: true, battery: 70, lock_status: 'locked' });
    await backend.execute(ask(box));
    const [sent] = await until('sent', () => (backend.downlink.published.length > 0 ? backend.downlink.published : undefined));
    expect(sent).toMatchObject({ topic: 'smartlock/HW-77/command', qos: 0 });
    const command = JSON.parse(sent!.payload.toString()) as { device_id: string; expires_at: string };
    expect(command.device_id).toBe('HW-77');
    expect(Date.parse(command.expires_at) - Date.now()).toBeLessThanOrEqual(10_000);
  });

  it('is read only where the operator did not allow it', async () => {
    const backend = await start({ allowLevel0: false });
    const box = await backend.box({ profile: 'smartlock', hardwareId: 'HW-78' });
    await box.unsigned('status', { online: true, battery: 70, lock_status: 'locked' });
    await backend.execute(ask(box));
    expect(await lastEnd(backend, box)).toMatchObject({ data: { reason: 'undeliverable' } });
    expect(backend.downlink.published).toHaveLength(0);
  });

  it('is made once, however many make it at once; of a topic that boxes share one box has the commands', async () => {
    const backend = await start({ soleWriter: false });
    const [own, first, second] = [newId(), newId(), newId()];
    const made = await Promise.all(Array.from({ length: 12 }, () => backend.live.add(own, 'loqey', own)));
    expect(new Set(made.map(({ downlink }) => downlink))).toEqual(new Set([true]));
    const shared = await Promise.all([first, second, first, second, first, second].map(async (deviceId) => [deviceId, (await backend.live.add(deviceId, 'transisttag', deviceId)).downlink] as const));
    expect(new Set(shared.filter(([, downlink]) => downlink).map(([deviceId]) => deviceId)).size).toBe(1);
    expect(shared.filter(([, downlink]) => downlink)).toHaveLength(3);
    await expect(backend.live.add(newId(), 'loqey', own)).rejects.toThrow('belong to another box');
  });

  it('is looked at once for one opening, and not from memory a moment later', async () => {
    const { db } = await start({ soleWriter: false });
    let now = 0;
    const [here, elsewhere] = [createLiveDevices(db, { clock: { now: () => now, monotonic: () => now } }), createLiveDevices(db)];
    const deviceId = newId();
    await here.add(deviceId, 'loqey', deviceId);
    const heard = async (connectId: string) => elsewhere.save([{ ...(await elsewhere.byId(deviceId))!, connectId }], []);
    expect(await here.byIdLately(deviceId)).not.toHaveProperty('connectId', 'first');
    await heard('first');
    now += 24;
    expect((await here.byIdLately(deviceId))?.connectId).toBeUndefined();
    now += 1;
    expect((await here.byIdLately(deviceId))?.connectId).toBe('first');
    await heard('second');
    expect((await here.byId(deviceId))?.connectId).toBe('second');
    // What this process writes itself is never older than that.
    await here.save([{ ...(await here.byId(deviceId))!, connectId: 'third' }], []);
    expect((await here.byIdLately(deviceId))?.connectId).toBe('third');
  });

  it('of the shared topic has one box that commands go to; the others are read only', async () => {
    const backend = await start();
    const [first, second] = [await backend.box({ profile: 'transisttag' }), await backend.box({ profile: 'transisttag' })];
    for (const box of [first, second]) await box.unsigned('status', { device_id: box.deviceId, status: 'locked', battery: 50 });
    await backend.execute(ask(second));
    expect(await lastEnd(backend, second)).toMatchObject({ data: { reason: 'device_unreachable' } });
    await backend.execute(ask(first));
    await until('sent', () => backend.downlink.published.length === 1);
    expect((await backend.credentials.credential(second.deviceId))?.subscribeTopics).toEqual([]);
    expect((await backend.credentials.credential(first.deviceId))?.subscribeTopics).toEqual(['/topic/transisttag/command']);
  });

  it('is never what a box is sent that once spoke signed', async () => {
    const backend = await start();
    const box = await backend.box();
    await box.hello();
    await backend.live.setLevel(box.deviceId, 0); // what a lost row would say
    await backend.execute(ask(box));
    expect(await lastEnd(backend, box)).toMatchObject({ data: { reason: 'undeliverable' } });
    expect(unlocksSent(backend)).toHaveLength(0);
  });
});
