import { randomUUID } from 'node:crypto';
import { createLockbox, type Lockbox } from '../src/simulator/lockbox.ts';
import type { Provisioning } from '../src/simulator/provisioning.ts';
import { mqttConnector } from '../src/simulator/mqtt-connector.ts';
import type { Connector } from '../src/simulator/session.ts';
import { createClient } from '../test/support/api-client.ts';
import { until } from '../test/support/until.ts';
import { listen, type Listener } from './listeners.ts';
import type { Box, Model, Owner } from './model.ts';
import { ADMIN, type World } from './world.ts';

/** Who is there before anything happens: an administrator, owners, and boxes that are theirs. */
export interface Crew {
  readonly admin: { token: string };
  /** Boxes that nobody has: they only come and go. */
  readonly crowd: Lockbox[];
  /** What each owner's app hears. */
  readonly listeners: readonly Listener[];
  /** What each process had at its first rest, by pid. */
  readonly baseline: Map<number, { readonly files: number; readonly megabytes: number }>;
  stop(): Promise<void>;
}

/** A box that lost its server knocks again within this time, or every round would be a wait for it. */
const KNOCK_WITHIN_MS = 1_500;
/** So that a box is locked again soon: the shortest that an owner can set. */
const RELOCK_SECONDS = 5;

export async function gather(world: World, model: Model, { owners, boxes, seed }: { readonly owners: number; readonly boxes: number; readonly seed: number }): Promise<Crew> {
  const admin = { token: await signIn(world.url, ADMIN, 'admin') };
  for (let n = 0; n < owners; n++) model.owners.push(await newOwner(world.url, model));
  for (let n = 0; n < boxes; n++) {
    const serialNumber = `LB-CHAOS-${n + 1}`;
    const registered = await createClient(world.url, admin.token).post<{ device_id: string; pin: string; provisioning: Provisioning }>('/admin/devices/register', { serial_number: serialNumber });
    const box = powered(model, { ...registered, serialNumber }, model.owners[n % owners]!, seed + n);
    await box.lockbox.start();
    await box.lockbox.ready(30_000);
    const owner = createClient(world.url, box.owner.token);
    await owner.post('/devices/assign', { serial_number: serialNumber, pin: box.pin });
    await owner.put(`/devices/${box.deviceId}/settings`, { auto_lock_delay: RELOCK_SECONDS });
    model.boxes.push(box);
  }
  for (const { lockbox } of model.boxes) await until(`${lockbox.deviceId} to have its settings`, () => lockbox.state?.config.auto_lock_delay === RELOCK_SECONDS);
  const crowd: Lockbox[] = [];
  const listeners = listen(world.url, model);
  return {
    admin,
    crowd,
    listeners,
    baseline: new Map(),
    async stop() {
      for (const listener of listeners) listener.stop();
      await Promise.all([...crowd, ...model.boxes.map(({ lockbox }) => lockbox)].map((lockbox) => lockbox.stop()));
    },
  };
}

/** As many more boxes, switched on. */
export async function gatherCrowd({ url }: World, { admin, crowd }: Crew, count: number, seed: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const { provisioning } = await createClient(url, admin.token).post<{ provisioning: Provisioning }>('/admin/devices/register', { serial_number: `LB-CROWD-${seed}-${n}` });
    const box = createLockbox({ provisioning, seed: seed + n, firstConnectWithinMs: 300, longestWaitMs: KNOCK_WITHIN_MS });
    crowd.push(box);
    await box.start();
  }
}

export async function signIn(url: string, who: { readonly email: string; readonly password: string }, as: 'admin' | 'user'): Promise<string> {
  const { access_token: token } = await createClient(url).post<{ access_token: string }>(as === 'admin' ? '/admin/auth/login' : '/auth/login', { email: who.email, password: who.password });
  return token;
}

async function newOwner(url: string, model: Model): Promise<Owner> {
  const canary = randomUUID();
  const owner = { email: `owner.${canary}@example.com`, password: `password ${canary}` };
  const name = `Canary${canary.replaceAll('-', '')}`;
  const { access_token: token } = await createClient(url).post<{ access_token: string }>('/auth/register', { ...owner, full_name: name, state: 'Izmir' });
  const { id: userId } = await createClient(url, token).get<{ id: string }>('/auth/me');
  model.canaries.push({ what: 'the password of an owner', text: owner.password }, { what: 'the name of an owner', text: name }, { what: 'the address of an owner', text: owner.email });
  return { ...owner, name, userId, token };
}

/** A simulated box whose deeds the model keeps. */
function powered(model: Model, registered: { readonly device_id: string; readonly serialNumber: string; readonly pin: string; readonly provisioning: Provisioning }, owner: Owner, seed: number): Box {
  const { provisioning } = registered;
  const notes: Notes = { puback: new Map(), said: [], commands: [], connection: { password: '' } };
  const lockbox: Lockbox = createLockbox({
    provisioning,
    seed,
    connect: noting(notes),
    firstConnectWithinMs: 200,
    longestWaitMs: KNOCK_WITHIN_MS,
    boltMs: [5, 40],
    // As wrong as cheap parts are: its oscillator, and a clock of its own that nothing may believe.
    driftPpm: (seed % 3) * 50,
    rtcSkewMs: 86_400_000,
  });
  const box: Box = { deviceId: registered.device_id, serialNumber: registered.serialNumber, pin: registered.pin, owner, claimedAt: Date.now(), lockbox, opened: [], acked: new Set(), ...notes, lapses: [] };
  lockbox.on((event) => {
    if (event.type === 'opened' && event.commandId !== undefined) box.opened.push(event.commandId);
    if (event.type === 'acked') box.acked.add(event.reportSeq);
    if (event.type === 'power_cut') box.lapses.push(Date.now());
  });
  model.canaries.push({ what: 'the key of a box', text: provisioning.device_key }, { what: 'the password of a box', text: provisioning.mqtt.password });
  return box;
}

type Notes = Pick<Box, 'puback' | 'said' | 'commands' | 'connection'>;

const KEPT = 100;

/** Notes what goes over the wire, and which reports the broker acknowledged. */
function noting({ puback, said, commands, connection }: Notes): Connector {
  return (request, handlers) => {
    connection.password = request.password;
    const link = mqttConnector(request, {
      ...handlers,
      message(topic, payload, retain) {
        commands.push(payload);
        if (commands.length > KEPT) commands.shift();
        handlers.message(topic, payload, retain);
      },
    });
    return {
      ...link,
      publish(topic, payload, done) {
        const text = payload.toString();
        said.push([topic, text]);
        if (said.length > KEPT) said.shift();
        link.publish(topic, payload, () => {
          puback.set((JSON.parse(text) as { report_seq: number }).report_seq, text);
          done();
        });
      },
    };
  };
}
