import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { unlockCommand } from '../bridge/protocol/commands.ts';
import { deriveKeys } from '../bridge/protocol/keys.ts';
import { signCommand } from '../bridge/protocol/signature.ts';
import type { Client, Reply } from '../client/client.ts';
import { pause } from '../platform/backoff.ts';
import { createLockbox, type Lockbox } from '../simulator/lockbox.ts';
import { tryToCommand } from './intruder.ts';
import { expect, type Narrator } from './narrator.ts';

type Registered = Reply<'registerDevice'>;

export interface ScenarioOptions {
  readonly api: Client;
  readonly admin: { readonly email: string; readonly password: string };
  readonly narrator: Narrator;
  /** Told of each box that is switched on, so that whoever runs the scenario switches it off. */
  readonly onBox: (box: Lockbox) => void;
}

/** Who is there when the story is over. */
export interface Told {
  readonly box: Lockbox;
  readonly owner: Client;
}

/** One delivery from the factory to the audit, and two attempts to open the box that must not. */
export async function runScenario({ api, admin, narrator, onBox }: ScenarioOptions): Promise<Told> {
  const serial = `LB-DEMO-${randomBytes(3).toString('hex').toUpperCase()}`;
  const { step } = narrator;

  const adminApi = await step('An administrator signs in', async () => {
    const { access_token: token } = await api.ask('adminLogin', { body: admin });
    return { value: api.as(token), detail: admin.email };
  });

  const registered = await step('and registers a box', async () => {
    const answer = await adminApi.ask('registerDevice', { body: { serial_number: serial }, idempotencyKey: randomUUID() });
    expect(/^\d{6}$/.test(answer.pin), 'a PIN of six digits');
    return { value: answer, detail: `${serial}, PIN ${answer.pin}, topics below ${answer.provisioning.topic_prefix}` };
  });

  const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 50, boltMs: [20, 50] });
  onBox(box);
  await step('The box is switched on: it connects and asks for the time', async () => {
    await box.start();
    await box.ready(10_000);
    return { value: undefined, detail: `MQTT ${registered.provisioning.mqtt.url}, own password, signed hello, clock by challenge` };
  });

  const ownerApi = await step('An owner makes an account', async () => {
    const email = `ana.${randomInt(1e9)}@example.com`;
    const body = { email, password: `demo ${randomUUID()}`, full_name: 'Ana Demo', state: 'Izmir' };
    const { access_token: token } = await api.ask('register', { body });
    return { value: api.as(token), detail: email };
  });

  await step('and claims the box with serial number and PIN', async () => {
    const wrong = await ownerApi.call('assignDevice', { body: { serial_number: serial, pin: registered.pin === '000000' ? '000001' : '000000' } });
    expect(wrong.status === 403, `a wrong PIN to be refused with 403, not ${wrong.status}`);
    await ownerApi.ask('assignDevice', { body: { serial_number: serial, pin: registered.pin }, idempotencyKey: randomUUID() });
    const [mine] = await ownerApi.list('myDevices');
    expect(mine?.id === registered.device_id, 'the box in the list of the owner');
    return { value: undefined, detail: `a wrong PIN first: 403 "${wrong.body.message}"; then it is theirs: ${mine.status}, ${mine.is_online ? 'online' : 'not heard of yet'}` };
  });

  const link = await step('The owner makes a delivery link for one use', async () => {
    const made = await ownerApi.ask('createLink', {
      body: { device_id: registered.device_id, name: 'Parcel Friday', max_uses: 1 },
      idempotencyKey: randomUUID(),
    });
    return { value: made, detail: `${made.access_url}\nworks once, until ${made.expires_at}` };
  });

  await step('Looking at the link opens nothing and uses nothing', async () => {
    const look = () => api.ask('linkInfo', { params: { link_token: link.link_id } });
    for (let visits = 0; visits < 5; visits++) await look();
    const info = await look();
    expect(info.is_valid && !info.already_used, 'the link still to be unused');
    expect(box.movements.length === 0, 'the bolt not to have moved');
    return { value: undefined, detail: 'six visits, as a preview bot makes them' };
  });

  let askedAt = 0;
  const unlockId = await step('A courier opens the box', async () => {
    askedAt = Date.now();
    const moved = box.waitFor('moved', { timeoutMs: 10_000 });
    const done = await api.call('linkUnlock', {
      params: { link_token: link.link_id },
      body: { delivery_person_name: 'Jo Courier', delivery_person_id: 'C-117', courier_company: 'Swift Parcels' },
      idempotencyKey: randomUUID(),
    });
    expect(done.ok && done.body.delivery_complete, `200 with delivery_complete, not ${done.status} ${JSON.stringify(done.body)}`);
    await moved;
    const opened = box.movements.filter(({ to }) => to === 'unlocked');
    expect(opened.length === 1 && opened[0]?.commandId === done.body.command_id, 'exactly one movement of the bolt, by this command');
    return { value: done.body.command_id, detail: `the box signed that its bolt moved; its own record: ${opened.length} opening` };
  });

  await step('The same link again', async () => {
    const again = await api.call('linkUnlock', { params: { link_token: link.link_id } });
    expect(again.status === 422, `422, not ${again.status}`);
    return { value: undefined, detail: `422 "${again.body.message}"` };
  });

  await step('The owner sees the delivery', async () => {
    // Another's opening is in the owner's list a moment later: read models follow the log.
    const [delivery] = await soon(
      () => ownerApi.list('myDeliveries'),
      ([first]) => first?.id === unlockId && first.unlocked_at !== null,
    );
    expect(delivery?.id === unlockId && delivery.unlocked_at !== null, 'the delivery with its time');
    return { value: undefined, detail: `delivered at ${delivery.unlocked_at}` };
  });

  await step('A command that the network held back arrives after its time', async () => {
    const answer = box.waitFor('refused', { timeoutMs: 5_000 });
    const openings = box.movements.length;
    box.deliver(signedUnlock(registered, askedAt, 1));
    const { reason } = await answer;
    expect(reason === 'expired', `the box to refuse it as expired, not ${reason}`);
    expect(box.movements.length === openings, 'the bolt not to have moved');
    return { value: undefined, detail: `rightly signed, but late: the box refuses it ("${reason}")` };
  });

  await step('Another box tries to command this one through the broker', async () => {
    const intruder = await adminApi.ask('registerDevice', { body: { serial_number: `${serial}-X` }, idempotencyKey: randomUUID() });
    const arrived: string[] = [];
    const forget = box.on((event) => {
      if (event.type === 'rejected' || (event.type === 'command' && event.action === 'unlock')) arrived.push(event.type);
    });
    const outcome = await tryToCommand(intruder.provisioning, `${registered.provisioning.topic_prefix}/commands/unlock`, signedUnlock(registered, Date.now()));
    forget();
    expect(arrived.length === 0, 'nothing of it to arrive at the box');
    return { value: undefined, detail: `the broker lets each box write to its own topics alone: ${outcome}` };
  });

  await step('A forged command is put on the wire behind the broker', async () => {
    const before = box.stats.rejects['bad_signature'] ?? 0;
    const openings = box.movements.length;
    const answers = box.stats.sent;
    const forged = signedUnlock({ ...registered, provisioning: { ...registered.provisioning, device_key: randomBytes(32).toString('hex') } }, Date.now());
    box.deliver(forged);
    const counted = (box.stats.rejects['bad_signature'] ?? 0) - before;
    expect(counted === 1, 'the box to count one bad signature');
    expect(box.movements.length === openings && box.stats.sent === answers, 'silence: no movement and no answer');
    return { value: undefined, detail: 'met with silence; the box counts 1 bad signature and tells it in its next heartbeat' };
  });

  await step('The administrator reads what happened, hop by hop', async () => {
    const trace = await soon(
      () => adminApi.ask('unlockTrace', { params: { unlock_id: unlockId } }),
      ({ hops }) => hops.some(({ type }) => type === 'UnlockConfirmed'),
    );
    const types = trace.hops.map(({ type }) => type);
    for (const type of ['UnlockRequested', 'UnlockDispatched', 'UnlockConfirmed']) expect(types.includes(type), `${type} in the chain`);
    const lines = trace.hops.map(({ hop, type, offset_ms: offset }) => `${`+${offset} ms`.padStart(9)}  ${hop.padEnd(11)} ${type}`);
    return { value: undefined, detail: `outcome: ${trace.status}, ${trace.duration_ms} ms in all\n${lines.join('\n')}` };
  });
  return { box, owner: ownerApi };
}

const SOON_MS = 5_000;

/** Asks until the answer is as wanted; after five seconds the last one. */
async function soon<T>(ask: () => Promise<T>, isThere: (answer: T) => boolean): Promise<T> {
  const deadline = performance.now() + SOON_MS;
  for (;;) {
    const answer = await ask();
    if (isThere(answer) || performance.now() > deadline) return answer;
    await pause(50);
  }
}

/** What the server would have sent, had it been asked at `issuedAt`: signed with the box's own key. */
function signedUnlock({ device_id: deviceId, provisioning }: Registered, issuedAt: number, validMs = 30_000): Buffer {
  const keys = deriveKeys(Buffer.from(provisioning.device_key, 'hex'), deviceId, provisioning.key_version);
  const commandId = randomUUID();
  return signCommand(
    unlockCommand({
      commandId,
      deviceId,
      source: 'system',
      issuedAt: new Date(issuedAt).toISOString(),
      expiresAt: new Date(issuedAt + validMs).toISOString(),
      keyVersion: provisioning.key_version,
      nonce: randomBytes(16).toString('hex'),
      seq: Date.now() + 1,
    }),
    keys.cmd,
  );
}
