import { describe, expect, it } from 'vitest';
import { commandFilters, topicPrefix, type Profile } from '../../src/bridge/topics.ts';
import { createPresence } from '../../src/bridge/presence.ts';
import { newId } from '../../src/platform/ids.ts';
import { PublishTimedOut } from '../../src/platform/mqtt/port.ts';
import { ada, asSystem, TestClock, type Backend, type BackendOptions } from '../support/backend.ts';
import { useBackends } from '../support/backends.ts';
import type { SimulatedBox } from '../support/simulated-box.ts';
import { until } from '../support/until.ts';

/** Device protocol, section 11, sentence by sentence, for each family of old firmware. */

const backends = useBackends('each'); // of the tag there is one box with commands in each installation

interface Old {
  readonly profile: Profile;
  /** What such firmware calls itself. */
  readonly name: (box: SimulatedBox) => string;
  readonly commandTopic: (box: SimulatedBox) => string;
  readonly status: (box: SimulatedBox, over?: object) => Promise<void>;
  /** That it opened, or did not; the tag has no word for the latter. */
  readonly answer: (box: SimulatedBox, success: boolean) => Promise<void>;
}

const loqeyStatus: Old['status'] = (box, over) => box.unsigned('status', { status: 'locked', battery: 80, online: true, ...over });
const loqeyAnswer: Old['answer'] = (box, success) => box.unsigned('responses', { command: 'unlock', success, new_status: success ? 'unlocked' : 'locked' });
const families: readonly Old[] = [
  { profile: 'loqey', name: ({ deviceId }) => deviceId, commandTopic: ({ deviceId }) => `loqey/devices/${deviceId}/commands/unlock`, status: loqeyStatus, answer: loqeyAnswer },
  { profile: 'loqey_serial', name: ({ owner }) => owner.serialNumber, commandTopic: ({ owner }) => `loqey/devices/${owner.serialNumber}/command`, status: loqeyStatus, answer: loqeyAnswer },
  {
    profile: 'smartlock',
    name: ({ owner }) => owner.hardwareId!,
    commandTopic: ({ owner }) => `smartlock/${owner.hardwareId!}/command`,
    status: (box, over) => box.unsigned('status', { lock_status: 'locked', battery: '80', online: true, ...over }),
    answer: (box, success) => box.unsigned('responses', { request_id: 'x', success, status: success ? 'unlocked' : 'locked' }),
  },
  {
    profile: 'transisttag',
    name: ({ deviceId }) => deviceId,
    commandTopic: () => '/topic/transisttag/command',
    status: (box, over) => box.unsigned('status', { device_id: box.deviceId, status: 'locked', battery: 80, online: true, ...over }),
    answer: (box, success) => box.unsigned('status', { device_id: box.deviceId, status: success ? 'unlocked' : 'locked', battery: 80, online: true }),
  },
];

async function start(options: Partial<BackendOptions> = {}): Promise<{ readonly backend: Backend; readonly clock: TestClock }> {
  const clock = new TestClock();
  const backend = await backends.start({ clock, ...options });
  return { backend, clock };
}

const boxOf = (backend: Backend, { profile }: Old) => backend.box({ profile, ...(profile === 'smartlock' ? { hardwareId: `HW-${newId().slice(-8)}` } : {}) });

/** As in production with ALLOW_LEVEL0_DEVICES=true. */
const fenced = { settings: { level0Deliveries: false } } as const;

async function linkOf(backend: Backend, box: SimulatedBox): Promise<string> {
  const linkId = newId();
  const expiresAt = '2026-11-22T10:00:00.000Z';
  const made = await backend.execute({
    type: 'CreateLink',
    data: { deviceId: box.deviceId, linkId, userId: ada, token: 'x'.repeat(32), tokenHash: newId(), expiresAt, latestExpiry: expiresAt, maxUses: 5, requireIdentity: false },
  });
  expect(made.kind).toBe('accepted');
  return linkId;
}

type Cause = { readonly kind: 'owner' | 'admin' | 'link'; readonly id: string };
const asked = async (backend: Backend, box: SimulatedBox, cause: Cause) => {
  const reply = await backend.unlocks.request({ deviceId: box.deviceId, cause, ...(cause.kind === 'admin' ? { reason: 'stuck parcel' } : {}) }, asSystem(), 'accepted');
  return reply.kind === 'refused' ? reply.refusal.code : reply.unlock.state;
};
const owner: Cause = { kind: 'owner', id: ada };
const bodies = (backend: Backend) => backend.downlink.published.map(({ payload }) => JSON.parse(payload.toString()) as Record<string, unknown>);
const ended = async (backend: Backend, box: SimulatedBox, type: string) => until(type, async () => (await backend.events(box.stream)).find((event) => event.type === type));

describe.each(families)('old firmware, $profile', (old) => {
  it('gets the command of the new one under its own name: signed for nobody, without a PIN, at once or not at all', async () => {
    const { backend, clock } = await start();
    const box = await boxOf(backend, old);
    await old.status(box);
    await asked(backend, box, owner);
    const [sent] = await until('sent', () => backend.downlink.published.length === 1 && backend.downlink.published);
    const [body] = bodies(backend);
    expect(sent).toMatchObject({ topic: old.commandTopic(box), qos: 0 });
    expect(sent!.ttlMs).toBeLessThanOrEqual(10_000);
    expect(body).toMatchObject({ v: 1, command: 'unlock', action: 'unlock', device_id: old.name(box), user_id: ada, signature: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
    expect(body!['request_id']).toBe(body!['command_id']);
    expect(Date.parse(body!['expires_at'] as string) - clock.now()).toBeLessThanOrEqual(10_000);
    expect(Object.keys(body!).filter((name) => /pin/i.test(name))).toEqual([]);
  });

  it('is opened by its owner and by administrators; couriers are refused, until an administrator accepts it with a reason', async () => {
    const { backend, clock } = await start(fenced);
    const box = await boxOf(backend, old);
    await old.status(box);
    const link: Cause = { kind: 'link', id: await linkOf(backend, box) };
    expect(await asked(backend, box, link)).toBe('level0_no_deliveries');
    expect(backend.downlink.published).toEqual([]);
    for (const cause of [owner, { kind: 'admin', id: newId() } as const]) {
      expect(await asked(backend, box, cause)).not.toBe('level0_no_deliveries');
      await until('sent', () => backend.downlink.published.length > 0);
      await old.answer(box, true);
      await ended(backend, box, 'UnlockConfirmed');
      backend.downlink.published.length = 0;
      clock.advance(1_000);
      await old.status(box);
    }
    await backend.execute({ type: 'AcceptLevel0Deliveries', data: { deviceId: box.deviceId, reason: 'a trusted street' } });
    expect(await asked(backend, box, link)).not.toBe('level0_no_deliveries');
    await until('sent', () => backend.downlink.published.length === 1);
    expect((await backend.events(box.stream)).find(({ type }) => type === 'Level0DeliveriesAccepted')?.data).toEqual({ reason: expect.objectContaining({ $s: 1, sub: expect.stringMatching(/^user:/) as string }) as object });
  });

  it('is read only where the setting says so: heard, and offline to everyone who would open it', async () => {
    const { backend } = await start({ ...fenced, allowLevel0: false });
    const box = await boxOf(backend, old);
    await old.status(box);
    expect((await backend.live.byId(box.deviceId))?.battery).toBe(80);
    for (const cause of [owner, { kind: 'admin', id: newId() } as const]) expect(await asked(backend, box, cause)).toBe('device_offline');
    expect(await asked(backend, box, { kind: 'link', id: await linkOf(backend, box) })).toBe('level0_no_deliveries');
    expect(backend.downlink.published).toEqual([]);
  });

  it('is reachable by a report of the last 90 s and no goodbye since', async () => {
    const { backend, clock } = await start();
    const box = await boxOf(backend, old);
    const { reachable } = createPresence(backend.live, clock);
    expect(await reachable(box.deviceId)).toBe(false);
    await old.status(box);
    expect(await reachable(box.deviceId)).toBe(true);
    clock.advance(90_001);
    expect(await reachable(box.deviceId)).toBe(false);
    await old.status(box);
    await old.status(box, { online: false }); // its will says the same
    expect(await reachable(box.deviceId)).toBe(false);
  });

  it('is sent a command once, whatever became of it, and never again by another process', async () => {
    const { backend, clock } = await start();
    const box = await boxOf(backend, old);
    await old.status(box);
    backend.downlink.answer = () => Promise.reject(new PublishTimedOut('nobody knows'));
    await asked(backend, box, owner);
    await until('tried', () => backend.downlink.published.length === 1);
    const next = await backends.start({ url: backend.db.url, clock });
    await next.startReactor();
    const request = (await backend.events(box.stream)).find(({ type }) => type === 'UnlockRequested')!;
    await next.dispatcher.reactor.react(request);
    await next.dispatcher.drained();
    expect(next.downlink.published).toEqual([]);
    expect(backend.downlink.published).toHaveLength(1);
  });

  it('confirms by an answer that proves nothing: unsigned, for the one in flight, for 40 s, and no use comes back', async () => {
    const { backend, clock } = await start();
    const box = await boxOf(backend, old);
    await old.status(box);
    await old.answer(box, true); // of nothing
    expect(await backend.types(box.stream)).not.toContain('UnlockConfirmed');
    await old.status(box);
    await asked(backend, box, owner);
    await until('sent', () => backend.downlink.published.length === 1);
    await old.answer(box, true);
    expect((await ended(backend, box, 'UnlockConfirmed')).data).toMatchObject({ evidence: 'unsigned' });
    expect((await backend.events(box.stream)).filter(({ type }) => type === 'LockStateReported').every(({ data }) => (data as { evidence: string }).evidence === 'unsigned')).toBe(true);

    clock.advance(1_000);
    await old.status(box);
    const link: Cause = { kind: 'link', id: await linkOf(backend, box) };
    await asked(backend, box, link);
    await until('sent', () => backend.downlink.published.length === 2);
    if (old.profile === 'transisttag') {
      clock.advance(40_001);
      await old.answer(box, true);
      expect((await backend.types(box.stream)).filter((type) => type === 'UnlockConfirmed')).toHaveLength(1);
      return;
    }
    await old.answer(box, false);
    expect((await ended(backend, box, 'UnlockFailed')).data).toMatchObject({ useReturned: false });
    await asked(backend, box, link);
    await until('sent', () => backend.downlink.published.length === 3);
    clock.advance(40_001);
    await old.answer(box, true);
    expect((await backend.types(box.stream)).filter((type) => type === 'UnlockConfirmed')).toHaveLength(1);
  });

  it('is never sent firmware: there is no topic for it', () => {
    const owned = { profile: old.profile, deviceId: newId(), serialNumber: 'LB-0001', hardwareId: 'HW-1' };
    expect(commandFilters.filter((filter) => /ota/.test(filter))).toEqual([]);
    expect(topicPrefix(owned)).not.toContain('ota');
  });
});

describe('the one topic of all tags', () => {
  it('has commands for one box; the others are read only, for everyone', async () => {
    const { backend } = await start();
    const tag = families.at(-1)!;
    const [first, second] = [await boxOf(backend, tag), await boxOf(backend, tag)];
    for (const box of [first, second]) await tag.status(box);
    expect(await asked(backend, second, owner)).toBe('device_offline');
    expect((await backend.live.byId(second.deviceId))?.battery).toBe(80);
    await asked(backend, first, owner);
    await until('sent', () => backend.downlink.published.length === 1);
    expect((await backend.credentials.credential(second.deviceId))?.subscribeTopics).toEqual([]);
  });

  it('a report that names no box, or none that there is, is dropped and told', async () => {
    const { backend } = await start();
    for (const body of [{ status: 'unlocked' }, { device_id: newId(), status: 'unlocked' }, { device_id: 'LB-NOBODY', status: 'unlocked' }]) {
      await backend.uplink('/topic/transisttag/status', Buffer.from(JSON.stringify(body)));
    }
    const { messages } = await until('all are told', async () => {
      const page = await backend.rejected.ofStrangers();
      return page.messages.length === 3 && page;
    });
    expect(messages.map(({ reason }) => reason)).toEqual(['unknown_device', 'unknown_device', 'unknown_device']);
    expect(await backend.metric('loqey_device_reports_dropped_total')).toBe(3);
  });
});
