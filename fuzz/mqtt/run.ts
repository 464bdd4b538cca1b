import { randomUUID } from 'node:crypto';
import { deriveKeys } from '../../src/bridge/protocol/keys.ts';
import { reportTopic } from '../../src/bridge/topics.ts';
import { createLockbox } from '../../src/simulator/lockbox.ts';
import { claim, newLink, newOwner, registerBox, signInAdmin, tap, type Person } from '../../test/support/people.ts';
import { until } from '../../test/support/until.ts';
import { diceOf } from '../dice.ts';
import type { Target } from '../target.ts';
import { nextFrame } from './frames.ts';
import { helloOf, nextMessage, type FuzzBox, type Part } from './reports.ts';
import { Wire, type Login } from './wire.ts';

export interface MqttOptions {
  readonly seed: number;
  readonly requests: number;
  /** Boxes that take part. The broker takes five messages a second of each. Default 250, fewer for a short run. */
  readonly boxes?: number;
  /** The broker tells of everything that it drops. Default true; Mosquitto acknowledges it and is silent. */
  readonly tellsAll?: boolean;
  readonly onProgress: (done: number, failures: number) => void;
  /** As soon as it is found. */
  readonly onFound?: (what: string) => void;
}

export interface MqttReport {
  readonly sent: number;
  readonly seconds: number;
  readonly failures: readonly string[];
  readonly notes: readonly string[];
}

/** One of so many messages is bytes on a connection of its own. */
const FRAMES = 0.1;
const PER_SECOND = 5;
const BURST_MS = 5_000;
const STUCK_MS = 30_000;

/** What a box may bring about by what it says of itself, with no command under way. */
const ofReports: ReadonlySet<string> = new Set([
  'DeviceProtocolPinned', 'LockStateReported', 'DoorStateReported', 'BatteryLevelChanged', 'FirmwareReported', 'DeviceWentOnline', 'DeviceWentOffline', 'DeviceTampered', 'DeviceTamperCleared',
  'DeviceCloneSuspected', 'ParcelDetected', 'ParcelRemoved', 'UnexplainedOpening', 'DeviceKeyRotationStarted',
  // A box whose settings are newer than ours: the log was restored from a backup, and ours jump ahead.
  'DeviceSettingsChanged', 'DeviceSettingsApplied',
]);
const allowed: Readonly<Record<Part, ReadonlySet<string>>> = {
  liar: ofReports,
  old: new Set([...ofReports].filter((type) => type !== 'DeviceProtocolPinned')),
  // Of a box that does not speak itself nothing is learned but that it is silent.
  victim: new Set(['DeviceWentOffline', 'DeviceKeyRotationStarted']),
};
/** What the system does by itself, and the witness. */
const elsewhere: ReadonlySet<string> = new Set(['AuditHeadSigned', 'CommandRefused', 'RefusalsSuppressed']);

export async function fuzzMqtt(target: Target, options: MqttOptions): Promise<MqttReport> {
  const { seed, requests } = options;
  const failures: string[] = [];
  const found = (what: string): void => {
    failures.push(what);
    options.onFound?.(what);
  };
  const admin = await signInAdmin(target.url, target.admin);
  const owner = await newOwner(target.url);
  const { hostname, port } = new URL(target.mqtt);
  const began = performance.now();

  const boxes: { readonly box: FuzzBox; readonly login: Login }[] = [];
  const wanted = options.boxes ?? Math.max(12, Math.min(250, Math.round(requests / 400)));
  for (let number = 0; number < wanted; number++) boxes.push(await makeBox(admin, owner, number));
  const all = boxes.map(({ box }) => box);
  for (const { box, login } of boxes.filter((each) => each.box.part === 'victim')) {
    const wire = await Wire.open(hostname, Number(port));
    if (!(await wire.logIn(login)) || !(await wire.publish(reportTopic(box.owner, 'status') ?? '', helloOf(box), { qos: 1, retain: false, dup: false }))) throw new Error('A box could not say hello');
    wire.close();
  }
  const witness = await startWitness(target, admin, owner);
  await until('the victims to be known', async () => (await admin.api.get<unknown[]>('/admin/logs/audit?type=DeviceProtocolPinned&limit=1000')).length >= all.filter(({ part }) => part === 'victim').length);
  // Looking at a box is in the log as well.
  const wellBefore = await stateOf(admin, all);
  const [{ position: baseline } = { position: '' }] = await admin.api.get<{ position: string }[]>('/admin/logs/audit?limit=1');
  const before = await figures(target);

  let next = 0;
  let done = 0;
  let frames = 0;
  let acknowledged = 0;
  let unacknowledged = 0;
  const told = (): void => {
    done++;
    if (done % 500 !== 0) return;
    for (const error of target.errors()) found(`✖ the server logged an error, near message ${done} of seed ${seed}: ${error.slice(0, 1_500)}`);
    options.onProgress(done, failures.length);
  };

  async function speak({ box, login }: (typeof boxes)[number]): Promise<void> {
    let wire: Wire | undefined;
    // A box may say thirty things at once, and then five a second.
    const due = { at: performance.now() - BURST_MS };
    const inFlight = new Set<Promise<void>>();
    while (next < requests * (1 - FRAMES) && failures.length < 25) {
      const number = next++;
      if (wire === undefined || wire.closed) {
        wire = await dial(login);
        if (wire === undefined) {
          found(`✖ a box of right credentials was not let in, near message ${number} of seed ${seed}`);
          return;
        }
      }
      const dice = diceOf(seed, 'mqtt', number);
      const message = nextMessage(box, all, dice, witness.commands);
      if (dice.chance(0.01)) wire.subscribe(dice.pick(['#', '+/+/+/status', '$SYS/#', reportTopic(box.owner, 'status') ?? 'x', 'x'.repeat(300)]));
      const sending = wire;
      const answered = within(sending.publish(message.topic, message.payload, message), STUCK_MS).then((outcome) => {
        if (outcome === 'late') {
          found(`✖ no PUBACK within ${STUCK_MS} ms: message ${number} of seed ${seed}, ${message.topic.slice(0, 200)}: ${JSON.stringify(message.payload.subarray(0, 1_000).toString('latin1'))}`);
          sending.close();
        } else if (outcome) acknowledged++;
        else unacknowledged++;
        inFlight.delete(answered);
        told();
      });
      inFlight.add(answered);
      if (inFlight.size >= 4) await Promise.race(inFlight);
      // Above it the broker drops them, which is tried as well, and is not what this is about.
      due.at = Math.max(due.at + (1_000 / PER_SECOND) * (dice.chance(0.02) ? 0 : 1), performance.now() - BURST_MS);
      const wait = due.at - performance.now();
      if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    }
    await Promise.all(inFlight);
    wire?.close();
  }

  async function dial(login: Login): Promise<Wire | undefined> {
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        const wire = await Wire.open(hostname, Number(port));
        if (await wire.logIn(login)) return wire;
        wire.close();
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100 * (attempt + 1)));
      }
    }
    return undefined;
  }

  let frame = 0;
  async function babble(): Promise<void> {
    while (frame < requests * FRAMES && failures.length < 25) {
      const number = frame;
      const dice = diceOf(seed, 'frame', number);
      const { login } = dice.pick(boxes.filter(({ box }) => box.part === 'old'));
      const wire = await Wire.open(hostname, Number(port)).catch(() => undefined);
      if (wire === undefined) {
        found(`✖ the broker takes no connection, near frame ${number} of seed ${seed}`);
        return;
      }
      // Somebody whom nobody knows, mostly; its own name would end the connection of the box that has it.
      if (dice.chance(0.2)) await within(wire.logIn({ ...login, password: dice.chance(0.5) ? login.password : 'wrong' }), STUCK_MS);
      const some = Math.min(1 + dice.int(12), Math.ceil(requests * FRAMES) - frame);
      frame += some;
      for (let i = 0; i < some; i++) {
        if (!wire.closed) wire.socket.write(nextFrame(login, dice));
        frames++;
        told();
      }
      if (dice.chance(0.5)) await new Promise((resolve) => setImmediate(resolve));
      if (dice.chance(0.7)) wire.socket.end();
      setTimeout(() => wire.close(), 500).unref();
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  await Promise.all([...boxes.map(speak), babble(), babble()]);
  const seen = await witness.stop();
  if (seen.failed > 0) found(`✖ ${seen.failed} of ${seen.opened + seen.failed} openings of a box that had nothing to do with it did not come about: ${seen.why}`);

  await settled(target);
  const after = await figures(target);
  const appended = await eventsSince(target, admin, baseline);
  const byId = new Map(all.map((box) => [box.owner.deviceId, box]));
  const wrong = new Map<string, number>();
  for (const { type, device_id: deviceId } of appended) {
    const box = deviceId === null ? undefined : byId.get(deviceId);
    const isRight = box === undefined ? elsewhere.has(type) || deviceId === witness.deviceId || (deviceId !== null && !byId.has(deviceId)) : allowed[box.part].has(type);
    if (!isRight) wrong.set(`${type} of ${box?.part ?? 'nobody'}`, (wrong.get(`${type} of ${box?.part ?? 'nobody'}`) ?? 0) + 1);
  }
  for (const [what, count] of wrong) found(`✖ ${count} events that nothing rightly signed allows: ${what}`);
  const wellAfter = await stateOf(admin, all);
  for (const [id, state] of Object.entries(wellAfter)) if (wellBefore[id] !== state) found(`✖ a box that only others spoke for is shown otherwise: ${wellBefore[id]} → ${state}`);

  const grown = (name: string): number => (after[name] ?? 0) - (before[name] ?? 0);
  const counted = grown('loqey_device_reports_total') + grown('loqey_device_reports_dropped_total') + grown('loqey_mqtt_dropped_messages_total');
  // What the bridge drops without reading and what comes twice are counted there.
  const seenByServer = counted + grown('loqey_uplink_messages_total{dropped}');
  if (options.tellsAll !== false && seenByServer < acknowledged * 0.999) found(`✖ ${acknowledged} messages were acknowledged, and ${seenByServer} are counted as taken or rejected`);
  const kinds = new Map<string, number>();
  for (const { type } of appended) kinds.set(type, (kinds.get(type) ?? 0) + 1);
  return {
    sent: done,
    seconds: (performance.now() - began) / 1_000,
    failures,
    notes: [
      `${all.length} boxes (${(['liar', 'old', 'victim'] as const).map((part) => `${all.filter((box) => box.part === part).length} ${names[part]}`).join(', ')}), ${frames.toLocaleString('en')} frames of no box`,
      `acknowledged ${acknowledged.toLocaleString('en')}, cut off ${unacknowledged.toLocaleString('en')}; counted as reports that count ${grown('loqey_device_reports_total').toLocaleString('en')}, without effect ${grown('loqey_device_reports_dropped_total').toLocaleString('en')}, dropped by the broker ${grown('loqey_mqtt_dropped_messages_total').toLocaleString('en')}`,
      `a box beside it was opened ${seen.opened} times, and ${seen.failed} times not`,
      `events that came of it: ${[...kinds].sort((a, b) => b[1] - a[1]).map(([type, count]) => `${type} × ${count.toLocaleString('en')}`).join(', ') || 'none'}`,
    ],
  };
}

const names: Readonly<Record<Part, string>> = { liar: 'that sign whatever they say', old: 'without signatures', victim: 'that others speak for' };

async function makeBox(admin: Person, owner: Person, number: number): Promise<{ readonly box: FuzzBox; readonly login: Login }> {
  const part: Part = number % 6 === 4 ? 'old' : number % 6 === 5 ? 'victim' : 'liar';
  const profile = number % 5 === 3 ? 'loqey_serial' : number % 7 === 6 ? 'smartlock' : 'loqey';
  const registered = await registerBox(admin, { profile, ...(profile === 'smartlock' ? { hardware_id: `${randomUUID().replaceAll('-', '').slice(0, 16)}` } : {}) });
  if (number % 2 === 0) await claim(owner, registered);
  const { mqtt, device_key: key, key_version: version, topic_prefix: prefix } = registered.provisioning;
  const name = prefix.split('/').at(-1) ?? '';
  const box: FuzzBox = {
    part,
    owner: { profile, deviceId: registered.deviceId, serialNumber: registered.serialNumber, ...(profile === 'smartlock' ? { hardwareId: name } : {}) },
    keys: deriveKeys(Buffer.from(key, 'hex'), registered.deviceId, version),
    connectId: '0123456789abcdef',
    journalId: 'fedcba9876543210',
    reportSeq: 1,
    last: Buffer.from('{}'),
  };
  return { box, login: { clientId: mqtt.client_id, username: mqtt.username, password: mqtt.password } };
}

/** A box and a courier who know nothing of all this. */
async function startWitness(target: Target, admin: Person, owner: Person) {
  const registered = await registerBox(admin);
  const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: 5 });
  await box.start();
  await box.ready();
  await claim(owner, registered);
  await until('the witness to be online', async () => (await owner.api.get<{ is_online: boolean }>(`/devices/${registered.deviceId}/status`)).is_online);
  const commands: string[] = [];
  const seen = { opened: 0, failed: 0, why: '' };
  let stopping = false;
  const opening = (async () => {
    while (!stopping) {
      const link = await newLink(owner, registered.deviceId, 1);
      const press = () => tap(target.url, link.token, randomUUID(), 40_000).catch((error: unknown) => ({ status: 0, body: { message: String(error) } as { message?: string; command_id?: string } }));
      let { status, body } = await press();
      // A link that was just made may not be among the read models yet.
      for (let attempt = 0; status === 404 && attempt < 20; attempt++) {
        await new Promise((resolve) => setTimeout(resolve, 500));
        ({ status, body } = await press());
      }
      if (status === 200) seen.opened++;
      else {
        seen.failed++;
        seen.why = `${status} ${body.message ?? ''}`;
      }
      if (body.command_id !== undefined) commands.push(body.command_id);
      await new Promise((resolve) => setTimeout(resolve, 2_000));
    }
  })();
  return {
    deviceId: registered.deviceId,
    commands,
    async stop() {
      stopping = true;
      await opening;
      await box.stop();
      return seen;
    },
  };
}

/** Sums of the counters, and one by its label. */
async function figures({ url }: Target): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const sums: Record<string, number> = {};
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = /^(\w+)(\{[^}]*\})? ([\d.e+]+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    sums[name] = (sums[name] ?? 0) + Number(value);
    if (labels.includes('outcome="dropped"')) sums[`${name}{dropped}`] = (sums[`${name}{dropped}`] ?? 0) + Number(value);
  }
  return sums;
}

/** What was acknowledged is worked off. */
async function settled(target: Target): Promise<void> {
  let last = -1;
  await until('the reports to be worked off', async () => {
    const { loqey_device_reports_total: taken = 0, loqey_device_reports_dropped_total: dropped = 0 } = await figures(target);
    const now = taken + dropped;
    const still = now === last;
    last = now;
    if (!still) await new Promise((resolve) => setTimeout(resolve, 1_500));
    return still;
  }, 300_000);
}

async function eventsSince(target: Target, { token }: Person, baseline: string): Promise<readonly { readonly type: string; readonly device_id: string | null }[]> {
  const events: { type: string; device_id: string | null }[] = [];
  for (let after: string | null = baseline; after !== null; ) {
    const response: Response = await fetch(`${target.url}/api/v1/admin/logs/audit?limit=1000&after=${encodeURIComponent(after)}`, { headers: { authorization: `Bearer ${token}` } });
    if (response.status !== 200) throw new Error(`The audit log answered ${response.status}: ${await response.text()}`);
    events.push(...((await response.json()) as typeof events));
    after = response.headers.get('x-next-cursor');
  }
  return events;
}

async function stateOf({ api }: Person, boxes: readonly FuzzBox[]): Promise<Readonly<Record<string, string>>> {
  const states: Record<string, string> = {};
  for (const { owner, part } of boxes) {
    if (part !== 'victim') continue;
    const { status, door_open: door, battery_level: battery, firmware_version: firmware } = await api.get<Record<string, unknown>>(`/admin/devices/${owner.deviceId}`);
    states[owner.deviceId] = JSON.stringify({ status, door, battery, firmware });
  }
  return states;
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), ms)));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
