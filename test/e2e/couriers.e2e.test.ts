import { randomInt, randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createClient } from '../support/api-client.ts';
import { createPostgresEventStore } from '../../src/platform/event-store/postgres.ts';
import type { EventStore, RecordedEvent } from '../../src/platform/event-store/port.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createLockbox, type Lockbox, type LockboxOptions } from '../../src/simulator/lockbox.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { courierRound, faultsOf, tally, type CourierRound } from '../support/couriers.ts';
import { claim, newLink, newOwner, registerBox, signInAdmin, tap, type Person, type UnlockAnswer } from '../support/people.ts';
import { until } from '../support/until.ts';

// Several people at one box at the same instant: what the box did is told by its own record of every movement.

let app: RunningApp;
let admin: Person;
let owner: Person;
let store: EventStore & { start(): Promise<void>; stop(): Promise<void> };
const boxes: Lockbox[] = [];

beforeAll(async () => {
  app = await startApp({ unlockWaitSeconds: 3 });
  admin = await signInAdmin(app.url, app.admin);
  owner = await newOwner(app.url);
  store = createPostgresEventStore({ url: app.config.databaseUrl ?? '', logger: silentLogger, metrics: new Metrics() });
  await store.start();
});
afterAll(async () => {
  await store.stop();
  await app.stop();
});
afterEach(async () => {
  await Promise.all(boxes.splice(0).map((box) => box.stop()));
});

async function newBox(options: Partial<LockboxOptions> = {}, of: Person = owner): Promise<Lockbox> {
  const registered = await registerBox(admin);
  const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: [5, 50], ...options });
  boxes.push(box);
  await box.start();
  await box.ready();
  await claim(of, registered);
  await heard(box);
  return box;
}

/** The embedded broker acknowledges what is durable: from then on the box is known to be there. */
const heard = (box: Lockbox) => until('its hello to be acknowledged', () => box.stats.sent > 0 && box.stats.acknowledged >= box.stats.sent);

const openings = (box: Lockbox) => box.movements.filter(({ to, cause }) => to === 'unlocked' && cause === 'command');

async function eventsOf(deviceId: string): Promise<RecordedEvent[]> {
  const events: RecordedEvent[] = [];
  for await (const event of store.readStream(`device-${deviceId}`)) events.push(event);
  return events;
}

/** Everything that was asked of the box is over. */
const quiet = (box: Lockbox) =>
  until('every unlock to be over', async () => {
    const events = await eventsOf(box.deviceId);
    const over = new Set(events.filter(({ type }) => /^Unlock(Confirmed|Failed|Cancelled|Expired|Settled|OutcomeUnknown)$/.test(type)).map(({ data }) => data['unlockId']));
    return events.filter(({ type }) => type === 'UnlockRequested').every(({ data }) => over.has(data['unlockId']));
  }, 15_000);

/** For whoever reads a failure. */
async function story(box: Lockbox, { answers, ms }: CourierRound): Promise<string> {
  const events = (await eventsOf(box.deviceId)).map(({ type, data, recordedAt }) => `${recordedAt} ${type} ${JSON.stringify(data['reason']) ?? ''}`);
  return [`${Math.round(ms)} ms`, JSON.stringify(tally(answers)), ...events, JSON.stringify(box.stats)].join('\n');
}

describe('twenty couriers at the same instant', () => {
  test.each([3, 1, 3, 10, 3])('a link for %i: so many openings, one after another, and the rest is told that it is used', async (maxUses) => {
    const box = await newBox();
    const round = await courierRound({ url: app.url, owner, box, couriers: 20, maxUses });
    expect(faultsOf(round, { couriers: 20, maxUses }), await story(box, round)).toEqual([]);
    // One after another: each was requested only after the one before had ended.
    const steps = (await eventsOf(box.deviceId)).filter(({ type }) => type === 'UnlockRequested' || type === 'UnlockConfirmed').map(({ type }) => type);
    expect(steps).toEqual(Array.from({ length: maxUses }, () => ['UnlockRequested', 'UnlockConfirmed']).flat());
  });

  test('a box that jams gives no more openings than the link has uses', async () => {
    const box = await newBox();
    box.faults.bolt('no_movement', 'no_movement', 'no_movement', 'no_movement'); // two attempts each: the first two couriers fail, with proof
    const round = await courierRound({ url: app.url, owner, box, couriers: 20, maxUses: 3 });
    expect(round.openings, await story(box, round)).toHaveLength(3);
    expect(round.answers.filter(({ status }) => status === 200)).toHaveLength(3);
    expect(round.answers.filter(({ body }) => body.details?.['use_returned'] === true)).toHaveLength(2);
  });
});

describe('one courier', () => {
  test('who presses twice, or ten times, opens once', async () => {
    const box = await newBox();
    const link = await newLink(owner, box.deviceId, 5);
    const key = randomUUID();
    const answers = await Promise.all(Array.from({ length: 10 }, () => tap(app.url, link.token, key)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ body }) => body.command_id)).size).toBe(1);
    expect(openings(box)).toHaveLength(1);
    // And again later: the same answer, no movement.
    expect(await tap(app.url, link.token, key)).toMatchObject({ status: 200, body: { command_id: answers[0]?.body.command_id } });
    expect(openings(box)).toHaveLength(1);
  });

  test('at a box without a connection is told so at once, and it never opens later', async () => {
    const box = await newBox();
    const link = await newLink(owner, box.deviceId, 1);
    await box.stop();
    await until('the goodbye to be heard', async () => (await tap(app.url, link.token)).status === 409);
    const answer = await tap(app.url, link.token);
    expect([answer.status, answer.body.message]).toEqual([409, 'Device is offline']);
    expect(answer.body.details?.['text']).toContain('Your link has not been used up.');
    await box.start();
    await box.ready();
    await heard(box);
    expect(openings(box)).toEqual([]);
    expect((await tap(app.url, link.token)).status).toBe(200);
  });
});

describe('an owner', () => {
  test('who presses twice opens once', async () => {
    const box = await newBox({ boltMs: 100 });
    const press = () => owner.api.post<{ command_id: string }>(`/devices/${box.deviceId}/unlock`);
    const [first, second] = await Promise.all([press(), press()]);
    expect(first.command_id).toBe(second.command_id);
    await quiet(box);
    expect(openings(box)).toHaveLength(1);
  });
});

interface Ended {
  readonly message: string;
  readonly in_flight?: { readonly command_id: string };
}

/** Ends the right to open while a courier asks for it, at a random moment; answers what both were told. */
async function race(box: Lockbox, token: string, end: () => Promise<Ended>, tells: boolean): Promise<{ readonly answer: UnlockAnswer; readonly ended: Ended; readonly openedAfter: readonly (string | undefined)[] }> {
  const answered = tap(app.url, token);
  // Somewhere between "before the request" and "after the bolt moved".
  await new Promise((resolve) => setTimeout(resolve, randomInt(0, 60)));
  const ended = await end();
  const endedAt = Date.now();
  const answer = await answered;
  if (tells) await quiet(box);
  const openedAfter = openings(box).filter(({ at }) => at > endedAt).map(({ commandId }) => commandId);
  return { answer, ended, openedAfter };
}

/** Nothing dispatched after what ends the right, in the order of the log. */
async function expectNoDispatchAfter(box: Lockbox, ending: string): Promise<void> {
  const types = (await eventsOf(box.deviceId)).map(({ type }) => type);
  const end = types.indexOf(ending);
  expect(end).toBeGreaterThan(-1);
  expect(types.slice(end)).not.toContain('UnlockDispatched');
  expect(types.slice(end)).not.toContain('UnlockRequested');
}

describe('a right that ends while it is used', () => {
  const endings = [
    // A box out of service may not speak any more: what was in flight then stays open until its time is over.
    { name: 'the box is decommissioned', event: 'DeviceDecommissioned', tells: false, end: (box: Lockbox) => admin.api.post<Ended>(`/admin/devices/${box.deviceId}/decommission`, { reason: 'a test' }) },
    { name: 'the link is revoked', event: 'LinkRevoked', tells: true, end: (_box: Lockbox, linkId: string, who: Person) => who.api.post<Ended>(`/access/links/${linkId}/deactivate`) },
    { name: 'the link is deleted', event: 'LinkDeleted', tells: true, end: async (_box: Lockbox, linkId: string, who: Person) => (await who.api.call<Ended>('DELETE', `/access/links/${linkId}`)).body },
    { name: 'the box is unlinked', event: 'DeviceUnlinked', tells: true, end: async (box: Lockbox, _linkId: string, who: Person) => (await who.api.call<Ended>('DELETE', `/devices/${box.deviceId}/unlink`)).body },
    { name: 'the owner is suspended', event: 'OwnerSuspended', tells: true, end: (_box: Lockbox, _linkId: string, who: Person) => admin.api.put<Ended>(`/admin/users/${who.userId}/suspend`, { reason: 'a test' }) },
  ];

  test.each(endings)('$name: nothing is dispatched afterwards, and what is in flight is named', async ({ event, tells, end }) => {
    for (let round = 0; round < (tells ? 4 : 2); round++) {
      const who = await newOwner(app.url);
      const box = await newBox({ boltMs: [20, 80] }, who);
      const link = await newLink(who, box.deviceId, 1);
      const { answer, ended, openedAfter } = await race(box, link.token, () => end(box, link.id, who), tells);
      await expectNoDispatchAfter(box, event);
      expect(openings(box).length).toBeLessThanOrEqual(1);
      if (tells) expect(openings(box).length === 1).toBe(answer.status === 200);
      else if (answer.status === 200) expect(openings(box)).toHaveLength(1);
      // A bolt that moved after the answer was announced in it.
      if (openedAfter.length > 0 && (event === 'LinkRevoked' || event === 'LinkDeleted' || event === 'DeviceUnlinked')) expect(openedAfter).toEqual([ended.in_flight?.command_id]);
      const after = await tap(app.url, link.token);
      expect(after.status).toBeGreaterThanOrEqual(404);
      expect(after.status).toBeLessThanOrEqual(422);
    }
  });
});

describe('somebody else', () => {
  test('who knows the ids of a box, its links and its openings gets nothing by them', async () => {
    const box = await newBox();
    const link = await newLink(owner, box.deviceId, 2);
    const done = await tap(app.url, link.token);
    const commandId = done.body.command_id ?? '';
    const stranger = await newOwner(app.url);
    const before = openings(box).length;
    const attempts: readonly (readonly [method: string, path: string, body?: unknown])[] = [
      ['GET', `/devices/${box.deviceId}`],
      ['GET', `/devices/${box.deviceId}/status`],
      ['GET', `/devices/${box.deviceId}/activity`],
      ['PUT', `/devices/${box.deviceId}`, { name: 'Mine now' }],
      ['POST', `/devices/${box.deviceId}/unlock`],
      ['PUT', `/devices/${box.deviceId}/unlock`],
      ['POST', `/devices/${box.deviceId}/lock`],
      ['DELETE', `/devices/${box.deviceId}/unlink`],
      ['POST', `/devices/${box.deviceId}/unlink-request`],
      ['POST', '/access/create-link', { device_id: box.deviceId }],
      ['GET', `/access/links/${link.id}`],
      ['PUT', `/access/links/${link.id}`, { max_uses: 9 }],
      ['DELETE', `/access/links/${link.id}`],
      ['POST', `/access/links/${link.id}/deactivate`],
      ['GET', `/links/device/${box.deviceId}`],
      ['GET', `/deliveries/${commandId}`],
      ['GET', `/commands/${commandId}`],
      ['GET', `/delivery/link/${link.id}/info`], // the public id is no token
      ['POST', `/delivery/link/${link.id}/unlock`],
    ];
    for (const [method, path, body] of attempts) {
      const answer = await stranger.api.call(method, path, body);
      expect([method, path, answer.status]).toEqual([method, path, 404]);
      expect(JSON.stringify(answer.body)).not.toContain(link.token);
    }
    for (const path of ['/devices', '/access/my-links', '/deliveries/my-deliveries']) expect(await stranger.api.get(path)).toEqual([]);
    for (const path of [`/admin/devices/${box.deviceId}`, '/admin/devices', '/admin/logs/audit', `/admin/unlocks/${commandId}/trace`]) expect((await stranger.api.call('GET', path)).status).toBe(403);
    expect((await stranger.api.call('POST', `/admin/devices/${box.deviceId}/unlock`, { reason: 'please' })).status).toBe(403);
    expect((await createClient(app.url).call('POST', `/devices/${box.deviceId}/unlock`)).status).toBe(401);
    expect(openings(box)).toHaveLength(before);
    // It all still is its owner's.
    expect((await tap(app.url, link.token)).status).toBe(200);
  });
});
