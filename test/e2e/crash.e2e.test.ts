import { randomUUID } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPostgresEventStore } from '../../src/platform/event-store/postgres.ts';
import type { RecordedEvent } from '../../src/platform/event-store/port.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createDatabase } from '../../src/platform/postgres/db.ts';
import { embeddedPostgresUrl } from '../../src/platform/postgres/embedded.ts';
import { canonicalHash } from '../../src/projections/canonical.ts';
import { projections } from '../../src/projections/registry.ts';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { mqttConnector } from '../../src/simulator/mqtt-connector.ts';
import { seededRandom } from '../../src/simulator/random.ts';
import type { Connector, Link } from '../../src/simulator/session.ts';
import { claim, newOwner, registerBox, signInAdmin, type Person } from '../support/people.ts';
import { fakeVault } from '../support/read-side.ts';
import { cleanUp, dataFolder, finish, freePort, postgresPid, processesOf, startServerProcess, type ServerProcess } from '../support/server-process.ts';
import { until } from '../support/until.ts';

// Owners, couriers and boxes at work; the server is killed at a random moment, started on the same folder, and the log,
// the read models and the boxes' own records of their bolts are held against everything that was ever acknowledged.

const rounds = Number(process.env['LOQEY_CRASH_ROUNDS'] ?? 8);
const seed = Number(process.env['LOQEY_CRASH_SEED'] ?? Date.now() % 1_000_000_000);
const random = seededRandom(seed);
const between = (least: number, most: number) => least + Math.floor(random() * (most - least + 1));
const oneOf = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)];

const BOXES = 3;
const OWNERS = 2;
const COURIERS = 4;
/** Short, so that what the crash left without an answer is decided within the test. */
const UNLOCK_TTL_SECONDS = 5;
/** A movement may begin so long after `expires_at` at most (device protocol, section 13). */
const LATE_MS = 1_500;

/** What dies: the server, its database server with it or a while before it, or nothing (a stop in the middle of traffic). */
const endings = ['server', 'both', 'postgres first', 'server', 'stop', 'server', 'both', 'postgres alone'] as const;

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>> & { readonly details?: Readonly<Record<string, unknown>> };
}

/** One thing that somebody asked for. Asked again with the same key until there is an answer. */
interface Request {
  readonly kind: 'create' | 'revoke' | 'courier' | 'owner';
  readonly key: string;
  readonly who: Person | undefined;
  readonly path: string;
  readonly body: object | undefined;
  readonly linkId?: string;
  readonly maxUses?: number;
  answer: Answer | undefined;
  answeredAt: number;
  /** Before it was answered. */
  attempts: number;
}

interface KnownLink {
  readonly id: string;
  readonly token: string;
  readonly deviceId: string;
  readonly maxUses: number;
  readonly owner: Person;
}

let folder: string;
let settings: Record<string, string>;
let port: number;
let server: ServerProcess;
let admin: Person;
const owners: Person[] = [];
const boxes: { readonly box: Lockbox; readonly owner: Person }[] = [];
const requests: Request[] = [];
const links: KnownLink[] = [];
/** Command ids that a box carried out, once for each time that it did. */
const executed: { readonly deviceId: string; readonly commandId: string | undefined }[] = [];
let url: string;

beforeAll(async () => {
  process.stdout.write(`crash test: LOQEY_CRASH_SEED=${seed} LOQEY_CRASH_ROUNDS=${rounds}\n`);
  folder = await dataFolder();
  port = await freePort();
  const mqttPort = await freePort();
  settings = {
    DATA_DIR: folder,
    PORT: `${port}`,
    MQTT_BROKER_PORT: `${mqttPort}`,
    ADMIN_EMAIL: 'admin@example.com',
    ADMIN_PASSWORD: 'correct horse battery',
    ACCESS_TOKEN_EXPIRE_MINUTES: '600',
    UNLOCK_TTL_SECONDS: `${UNLOCK_TTL_SECONDS}`,
    UNLOCK_WAIT_SECONDS: '2',
  };
  server = await startServerProcess(settings);
  url = server.url;
  admin = await signInAdmin(url, { email: 'admin@example.com', password: 'correct horse battery' });
  for (let n = 0; n < OWNERS; n++) owners.push(await newOwner(url));
  for (let n = 0; n < BOXES; n++) {
    const owner = owners[n % OWNERS]!;
    const registered = await registerBox(admin);
    const box = createLockbox({ longestWaitMs: 5_000, provisioning: registered.provisioning, connect: patient(mqttPort), firstConnectWithinMs: 0, boltMs: [5, 40] });
    box.on((event) => {
      if (event.type === 'opened') executed.push({ deviceId: box.deviceId, commandId: event.commandId });
    });
    await box.start();
    await box.ready();
    await claim(owner, registered);
    boxes.push({ box, owner });
  }
});

afterAll(async () => {
  await Promise.all(boxes.map(({ box }) => box.stop()));
  await cleanUp();
});

/** A network on which an attempt to connect lasts until the server listens again: the box's back-off is not what is tested. */
function patient(mqttPort: number): Connector {
  return (request, handlers) => {
    let link: Link | undefined;
    let ended = false;
    until('the broker to listen', () => ended || listens(mqttPort), 60_000).then(
      () => {
        if (!ended) link = mqttConnector(request, handlers);
      },
      () => handlers.closed('unreachable'),
    );
    return {
      subscribe: (filters, granted) => link?.subscribe(filters, granted),
      publish: (topic, payload, done) => link?.publish(topic, payload, done),
      end(how) {
        ended = true;
        if (link === undefined) handlers.closed('ended');
        else link.end(how);
      },
    };
  };
}

function listens(at: number): Promise<boolean> {
  return new Promise((settle) => {
    const socket = connectTcp({ port: at, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      settle(true);
    });
    socket.once('error', () => settle(false));
  });
}

// ── Traffic ───────────────────────────────────────────────────────────────────────────────────────────────────────────

async function ask(request: Omit<Request, 'key' | 'answer' | 'answeredAt' | 'attempts'>): Promise<Request> {
  const asked: Request = { ...request, key: randomUUID(), answer: undefined, answeredAt: 0, attempts: 0 };
  requests.push(asked);
  await attempt(asked);
  return asked;
}

async function attempt(request: Request): Promise<void> {
  request.attempts++;
  try {
    const response = await fetch(`${url}/api/v1${request.path}`, {
      method: 'POST',
      headers: {
        'idempotency-key': request.key,
        ...(request.who === undefined ? {} : { authorization: `Bearer ${request.who.token}` }),
        ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      signal: AbortSignal.timeout(15_000),
    });
    const body = (await response.json()) as Answer['body'];
    if (response.status === 503) return; // "try again", with the same key
    request.answer = { status: response.status, body };
    request.answeredAt = Date.now();
    if (request.kind === 'create' && response.status === 200) {
      const { device_id: deviceId, id, link_id: token } = body as { device_id: string; id: string; link_id: string };
      links.push({ id, token, deviceId, maxUses: request.maxUses ?? 0, owner: request.who! });
    }
  } catch {
    // The connection broke: nobody knows what became of it.
  }
}

async function ownersWork(owner: Person, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const mine = boxes.filter((each) => each.owner === owner);
    const dice = random();
    const revocable = oneOf(links.filter((link) => link.owner === owner));
    if (dice < 0.15 && revocable !== undefined) {
      await ask({ kind: 'revoke', who: owner, path: `/access/links/${revocable.id}/deactivate`, body: undefined, linkId: revocable.id });
    } else if (dice < 0.3) {
      await ask({ kind: 'owner', who: owner, path: `/devices/${oneOf(mine)!.box.deviceId}/unlock`, body: undefined });
    } else {
      const maxUses = between(1, 3);
      await ask({ kind: 'create', who: owner, path: '/access/create-link', body: { device_id: oneOf(mine)!.box.deviceId, max_uses: maxUses, name: `Link ${requests.length}` }, maxUses });
    }
    await moment(between(0, 40));
  }
}

async function couriersWork(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const link = oneOf(links.slice(-12));
    if (link !== undefined) await ask({ kind: 'courier', who: undefined, path: `/delivery/link/${link.token}/unlock`, body: { delivery_person_name: 'Jo Courier' }, linkId: link.id });
    await moment(between(5, 60));
  }
}

async function boxesWork(signal: AbortSignal): Promise<void> {
  let parcel = false;
  while (!signal.aborted) {
    const { box } = oneOf(boxes)!;
    const dice = random();
    if (dice < 0.5) box.hands.setParcel((parcel = !parcel));
    else if (dice < 0.7) box.sendHeartbeat();
    else if (dice < 0.85) box.hands.setDoor(random() < 0.5);
    else box.hands.openAtBox('keypad');
    await moment(between(100, 300));
  }
}

const moment = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** As a box that was switched off and on: what it must remember is in its flash. Never in the middle of a movement here. */
async function restart(box: Lockbox): Promise<void> {
  await until('the bolt to rest', () => !box.moving);
  box.powerOff();
  box.powerOn();
}

async function killPostgres(): Promise<void> {
  const pid = postgresPid(folder);
  if (pid !== undefined && processesOf(folder).includes(pid)) process.kill(pid, 'SIGKILL');
}

/** Traffic, the end in the middle of it, the next start, and everybody asks again who has no answer. */
async function round(ending: (typeof endings)[number]): Promise<void> {
  const done = new AbortController();
  const before = requests.length;
  const work = [...owners.map((owner) => ownersWork(owner, done.signal)), ...Array.from({ length: COURIERS }, () => couriersWork(done.signal)), boxesWork(done.signal)];
  await until('somebody to have been answered', () => requests.slice(before).some(({ answer }) => answer !== undefined), 20_000);
  await moment(between(100, 1_200));
  if (ending === 'postgres first' || ending === 'postgres alone') {
    await killPostgres();
    await moment(between(100, 1_000));
  }
  if (ending === 'postgres alone') {
    // The server starts it again by itself, and goes on.
    const since = requests.length;
    await until('somebody to be answered again', () => requests.slice(since).some(({ answer }) => answer?.status === 200), 30_000);
    done.abort();
    await Promise.all(work);
    await settleAll();
    return;
  }
  server.signal(ending === 'stop' ? 'SIGTERM' : 'SIGKILL');
  if (ending === 'both') await killPostgres();
  const { code } = await server.exited;
  if (ending === 'stop') {
    expect(code).toBe(0);
    expect(processesOf(folder)).toEqual([]);
  }
  done.abort();
  await Promise.all(work);

  await Promise.all(boxes.map(({ box }) => restart(box)));
  server = await startServerProcess(settings);
  await settleAll();
}

async function settleAll(): Promise<void> {
  const open = () => requests.filter(({ answer }) => answer === undefined);
  for (let tries = 0; open().length > 0; tries++) {
    expect(tries, `${open().length} requests are still not answered`).toBeLessThan(200);
    await Promise.all(open().map(attempt));
    await moment(25);
  }
}

// ── What must hold ────────────────────────────────────────────────────────────────────────────────────────────────────

async function withDatabase<T>(work: (databaseUrl: string) => Promise<T>): Promise<T> {
  return work((await embeddedPostgresUrl(folder)) ?? '');
}

async function wholeLog(): Promise<RecordedEvent[]> {
  return withDatabase(async (databaseUrl) => {
    const store = createPostgresEventStore({ url: databaseUrl, logger: silentLogger, metrics: new Metrics() });
    await store.start();
    try {
      const events: RecordedEvent[] = [];
      for await (const event of store.readAll()) events.push(event);
      return events;
    } finally {
      await store.stop();
    }
  });
}

const ends = new Set(['UnlockConfirmed', 'UnlockFailed', 'UnlockCancelled', 'UnlockExpired', 'UnlockSettled']);
const unlockOf = ({ data }: RecordedEvent) => data['unlockId'] as string;
const ofType = (events: readonly RecordedEvent[], ...types: readonly string[]) => events.filter(({ type }) => types.includes(type));

/** Everything has come to its end: no request open, none unknown, nothing in a box that the server has not acknowledged. */
async function quiet(): Promise<RecordedEvent[]> {
  let missing: readonly string[] = [];
  const log = await until(
    'everything to come to its end',
    async () => {
      missing = boxes.flatMap(({ box: { deviceId, connected, state } }) => {
        if (!connected) return [`${deviceId} is not connected`];
        return state?.outbox === 0 ? [] : [`${deviceId} has ${state?.outbox ?? 'unknown'} reports that nobody acknowledged`];
      });
      if (missing.length > 0) return undefined;
      const events = await wholeLog();
      const over = new Set(events.filter(({ type }) => ends.has(type)).map(unlockOf));
      const open = new Set(ofType(events, 'UnlockRequested').map(unlockOf).filter((id) => !over.has(id)));
      missing = events.filter(({ type, data }) => type.startsWith('Unlock') && open.has(data['unlockId'] as string)).map(({ stream, type, data, recordedAt }) => `${stream}: ${type} at ${recordedAt} ${JSON.stringify(data)}`);
      if (open.size === 0) return events;
      await moment(250);
      return undefined;
    },
    100_000,
  ).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}:\n${missing.join('\n')}`);
  });
  return log;
}

const opened = (events: readonly RecordedEvent[]) =>
  new Set(events.filter(({ type, data }) => type === 'UnlockConfirmed' || (type === 'UnlockSettled' && data['outcome'] === 'opened')).map(unlockOf));

function duplicates(items: readonly (string | undefined)[]): (string | undefined)[] {
  return items.filter((item, index) => items.indexOf(item) !== index);
}

async function linksOf(owner: (typeof owners)[number]): Promise<{ id: string; max_uses: number }[]> {
  const listed: { id: string; max_uses: number }[] = [];
  for (let offset = 0; ; offset += 100) {
    const page = await owner.api.get<{ id: string; max_uses: number }[]>(`/access/my-links?limit=100&offset=${offset}`);
    listed.push(...page);
    if (page.length < 100) return listed;
  }
}

describe('killed in the middle of traffic, and started again', () => {
  test.each(Array.from({ length: rounds }, (_, index) => ({ index: index + 1, ending: endings[index % endings.length]! })))(
    'round $index ($ending): everything acknowledged is there',
    async ({ ending }) => {
      await round(ending);
      for (const owner of owners) {
        const mine = links.filter((link) => link.owner === owner);
        // A database that was killed may have forgotten the last rows of read models: for a moment, until the log is read again.
        const listed = await until('all links to be listed', async () => {
          const all = await linksOf(owner);
          return all.length < mine.length ? undefined : all;
        });
        expect(listed.map(({ id }) => id).sort()).toEqual(mine.map(({ id }) => id).sort());
        for (const { id, maxUses } of mine) expect(listed.find((link) => link.id === id)?.max_uses).toBe(maxUses);
      }
    },
    120_000,
  );

  describe('afterwards', () => {
    let log: RecordedEvent[];
    let requested: RecordedEvent[];

    beforeAll(async () => {
      log = await quiet();
      requested = ofType(log, 'UnlockRequested');
      const answered = requests.filter(({ attempts }) => attempts > 1).length;
      process.stdout.write(
        `crash test: ${requests.length} requests (${answered} asked again), ${log.length} events, ${requested.length} unlocks, ` +
          `${executed.length} carried out, ${ofType(log, 'UnlockCancelled').length} cancelled, ${ofType(log, 'UnlockExpired').length} expired, ${ofType(log, 'UnlockOutcomeUnknown').length} were unknown\n`,
      );
    }, 120_000);

    test('there was something to lose', () => {
      expect(requests.some(({ attempts }) => attempts > 1)).toBe(true);
      expect(executed.length).toBeGreaterThan(0);
      expect(links.length).toBeGreaterThan(0);
    });

    test('nobody was told of an error of ours', () => {
      expect(requests.filter(({ answer }) => answer!.status >= 500).map(({ path, answer }) => [path, answer])).toEqual([]);
    });

    test('each stream is without gaps, each event once', () => {
      const next = new Map<string, bigint>();
      for (const { stream, revision } of log) {
        expect([stream, revision]).toEqual([stream, next.get(stream) ?? 0n]);
        next.set(stream, revision + 1n);
      }
      expect(duplicates(log.map(({ eventId }) => eventId))).toEqual([]);
    });

    test('each link that was made is made once, asked for again or not', () => {
      const made = ofType(log, 'LinkCreated').map(({ data }) => data['linkId'] as string);
      const told = requests.filter(({ kind, answer }) => kind === 'create' && answer?.status === 200).map(({ answer }) => answer!.body['id'] as string);
      expect(made.sort()).toEqual(told.sort());
    });

    test('each opening that was requested was told to whoever asked, and each courier has one of their own', () => {
      const asked = requests.filter(({ kind }) => kind === 'courier' || kind === 'owner');
      const idOf = ({ answer }: Request) => (answer!.body['command_id'] ?? answer!.body.details?.['command_id']) as string | undefined;
      const told = new Set(asked.map(idOf));
      expect(requested.map(unlockOf).filter((id) => !told.has(id))).toEqual([]);
      expect(duplicates(asked.filter(({ kind }) => kind === 'courier').map(idOf).filter((id) => id !== undefined))).toEqual([]);
      for (const request of asked.filter(({ answer }) => answer!.status < 300)) expect(requested.map(unlockOf)).toContain(idOf(request));
    });

    test('who was told "opened" stands before an open box', () => {
      const told = requests.filter(({ kind, answer }) => kind === 'courier' && answer!.status === 200).map(({ answer }) => answer!.body['command_id'] as string);
      const done = new Set(executed.map(({ commandId }) => commandId));
      expect(told.filter((id) => !done.has(id))).toEqual([]);
    });

    test('no command was dispatched or carried out twice, and none moved a bolt twice', () => {
      expect(duplicates(ofType(log, 'UnlockDispatched').map(unlockOf))).toEqual([]);
      expect(duplicates(executed.map(({ commandId }) => commandId))).toEqual([]);
      const moves = boxes.flatMap(({ box }) => box.movements.filter(({ to, cause }) => to === 'unlocked' && cause === 'command').map(({ commandId }) => commandId));
      expect(duplicates(moves)).toEqual([]);
    });

    test('no bolt moved late, or without a command of the log', () => {
      const expiry = new Map(requested.map((event) => [unlockOf(event), Date.parse(event.data['expiresAt'] as string)]));
      for (const { box } of boxes) {
        for (const { at, to, cause, commandId } of box.movements) {
          if (to !== 'unlocked' || cause !== 'command') continue;
          expect(at - (expiry.get(commandId ?? '') ?? -Infinity)).toBeLessThanOrEqual(LATE_MS);
        }
      }
      expect(ofType(log, 'UnexplainedOpening')).toEqual([]);
    });

    test('what a box did is in the log, and nothing that it did not do', () => {
      expect([...opened(log)].sort()).toEqual(executed.map(({ commandId }) => commandId ?? '').sort());
    });

    test('no link opened more often than it may; a use is taken by an opening and by nothing else', async () => {
      const openedIds = opened(log);
      for (const link of links) {
        const uses = requested.filter(({ data }) => (data['cause'] as { id: string }).id === link.id && openedIds.has(data['unlockId'] as string)).length;
        expect(uses).toBeLessThanOrEqual(link.maxUses);
        const shown = await link.owner.api.get<{ current_uses: number }>(`/access/links/${link.id}`);
        expect([link.id, shown.current_uses]).toEqual([link.id, uses]);
      }
    });

    test('nothing was dispatched for a link after it was revoked, and no bolt moved after the answer unless it said so', () => {
      const causeOf = new Map(requested.map((event) => [unlockOf(event), (event.data['cause'] as { id: string }).id]));
      const revoked = new Set<string>();
      for (const event of log) {
        if (event.type === 'LinkRevoked') revoked.add(event.data['linkId'] as string);
        if (event.type === 'UnlockDispatched') expect(revoked).not.toContain(causeOf.get(unlockOf(event)));
      }
      for (const { linkId, answer, answeredAt } of requests.filter(({ kind, answer }) => kind === 'revoke' && answer?.status === 200)) {
        const named = (answer!.body['in_flight'] as { command_id: string } | undefined)?.command_id;
        const after = boxes.flatMap(({ box }) => box.movements.filter(({ at, cause, commandId }) => cause === 'command' && at > answeredAt && causeOf.get(commandId ?? '') === linkId));
        expect(after.map(({ commandId }) => commandId).filter((id) => id !== named)).toEqual([]);
      }
    });

    test('a link whose revocation was acknowledged opens nothing any more', async () => {
      const ended = new Set(requests.filter(({ kind, answer }) => kind === 'revoke' && answer?.status === 200).map(({ linkId }) => linkId));
      for (const { id, owner } of links.filter((link) => ended.has(link.id))) {
        expect(await owner.api.get(`/access/links/${id}`)).toMatchObject({ id, is_active: false });
      }
    });

    test('what was never dispatched was cancelled or expired', () => {
      const dispatched = new Set(ofType(log, 'UnlockDispatched').map(unlockOf));
      const given = new Set(ofType(log, 'UnlockCancelled', 'UnlockExpired').map(unlockOf));
      expect(requested.map(unlockOf).filter((id) => !dispatched.has(id) && !given.has(id))).toEqual([]);
      expect([...given].filter((id) => dispatched.has(id))).toEqual([]);
    });

    test('what is shown of a box is what the box is', async () => {
      for (const { box, owner } of boxes) {
        // It locks itself again half a minute after it was opened: then its word of that is on the way for a moment.
        await until(`${box.deviceId} to be shown as it is`, async () => {
          const shown = await owner.api.get<{ lock_status: string; is_online: boolean }>(`/devices/${box.deviceId}/status`);
          return shown.lock_status === box.status && shown.is_online;
        });
      }
    });

    test('each read model is what a rebuild makes of the log', async () => {
      await Promise.all(boxes.map(({ box }) => box.stop()));
      server.signal('SIGTERM');
      await server.exited;
      const all = projections({ sealer: fakeVault() });
      const hashes = () =>
        withDatabase(async (databaseUrl) => {
          const db = createDatabase({ url: databaseUrl, max: 2, applicationName: 'loqey-test', logger: silentLogger, metrics: new Metrics() });
          try {
            return Object.fromEntries(await Promise.all(all.map(async (each) => [each.name, await canonicalHash(db, each)] as const)));
          } finally {
            await db.stop();
          }
        });
      server = await startServerProcess(settings);
      const live = await hashes();
      // It compares each with the live one at one position, and switches none that differs.
      const { code, stderr } = await finish(['projections', 'rebuild', 'all', '--compare'], settings);
      expect([code, stderr]).toEqual([0, expect.any(String) as string]);
      // The audit log has one entry more since: that somebody asked for this.
      expect(await hashes()).toEqual({ ...live, audit: expect.anything() as unknown });
      server.signal('SIGTERM');
      expect((await server.exited).code).toBe(0);
      expect(processesOf(folder)).toEqual([]);
    }, 120_000);
  });
});
