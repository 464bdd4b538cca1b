import { randomUUID } from 'node:crypto';
import type { Dice } from './dice.ts';
import { ask, attempt, pause, type Asked, type Box, type Model, type Owner } from './model.ts';
import { signIn } from './people.ts';
import type { World } from './world.ts';

/** Everybody at work at random, until stopped; what they ask and are told is in the model. */
export interface Load {
  stop(): Promise<void>;
}

const COURIERS = 3;

/** @param options.administrator false: nobody changes whose a box is */
export function startLoad(world: World, model: Model, admin: { token: string }, dice: Dice, { administrator = true } = {}): Load {
  const ended = new AbortController();
  const { url } = world;

  async function forever(name: string, work: (dice: Dice) => Promise<unknown>, waitMs: readonly [number, number]): Promise<void> {
    const own = dice.of(name);
    while (!ended.signal.aborted) {
      await work(own);
      await pause(own.between(...waitMs));
    }
  }

  async function ownersTurn(owner: Owner, own: Dice): Promise<void> {
    const mine = own.anyOf(model.boxes.filter((box) => box.owner === owner));
    if (mine === undefined) return;
    const link = own.anyOf(model.links.filter((each) => each.owner === owner).slice(-10));
    const turn = own.next();
    if (turn < 0.15 && link !== undefined) {
      await ask(model, url, { kind: 'revoke', method: 'POST', path: `/access/links/${link.id}/deactivate`, as: owner, linkId: link.id, owner });
    } else if (turn < 0.3) {
      await ask(model, url, { kind: 'owner', method: 'POST', path: `/devices/${mine.deviceId}/unlock`, as: owner, owner, deviceId: mine.deviceId });
    } else if (turn < 0.33) {
      await ask(model, url, { kind: 'settings', method: 'PUT', path: `/devices/${mine.deviceId}/settings`, as: owner, owner, deviceId: mine.deviceId, body: { led_enabled: own.chance(0.5) } });
    } else {
      const maxUses = own.between(1, 3);
      const name = `Canary${randomUUID().replaceAll('-', '')}`;
      model.canaries.push({ what: 'the name of a link', text: name });
      await ask(model, url, { kind: 'create', method: 'POST', path: '/access/create-link', as: owner, owner, deviceId: mine.deviceId, maxUses, body: { device_id: mine.deviceId, max_uses: maxUses, name } });
    }
  }

  async function couriersTurn(own: Dice): Promise<void> {
    const link = own.anyOf(model.links.slice(-12));
    if (link === undefined) return;
    const name = `Canary${randomUUID().replaceAll('-', '')}`;
    model.canaries.push({ what: 'the name of a courier', text: name });
    const asked = await ask(model, url, { kind: 'courier', method: 'POST', path: `/delivery/link/${link.token}/unlock`, linkId: link.id, deviceId: link.deviceId, body: { delivery_person_name: name } });
    // Somebody with a bad connection taps again.
    if (own.chance(0.1)) await attempt(model, url, asked);
  }

  async function adminsTurn(own: Dice): Promise<void> {
    const box = own.oneOf(model.boxes);
    const turn = own.next();
    if (turn < 0.25) await handOver(world, model, admin, box, own.oneOf(model.owners));
    else if (turn < 0.5) await suspend(world, model, admin, own.oneOf(model.owners));
    else if (turn < 0.75) await ask(model, url, { kind: 'rotate', method: 'POST', path: `/admin/devices/${box.deviceId}/rotate-keys`, as: admin, deviceId: box.deviceId });
    else await ask(model, url, { kind: 'emergency', method: 'POST', path: `/admin/devices/${box.deviceId}/unlock`, as: admin, deviceId: box.deviceId, body: { reason: 'chaos' } });
  }

  async function boxesTurn(own: Dice): Promise<void> {
    const { hands, sendHeartbeat } = own.oneOf(model.boxes).lockbox;
    const turn = own.next();
    if (turn < 0.4) hands.setParcel(own.chance(0.5));
    else if (turn < 0.6) sendHeartbeat();
    else if (turn < 0.8) hands.setDoor(own.chance(0.5));
    else if (turn < 0.95) hands.openAtBox('keypad');
    else hands.setTamper(own.chance(0.5));
  }

  const work = [
    ...model.owners.map((owner, n) => forever(`owner ${n}`, (own) => ownersTurn(owner, own), [20, 150])),
    ...Array.from({ length: COURIERS }, (_, n) => forever(`courier ${n}`, couriersTurn, [20, 150])),
    forever('boxes', boxesTurn, [100, 400]),
    ...(administrator ? [forever('administrator', adminsTurn, [500, 2_500])] : []),
  ];
  return {
    async stop() {
      ended.abort();
      await Promise.all(work);
    },
  };
}

/** A box changes hands: its links and its PIN end with the old owner. Each step is asked until it is answered. */
async function handOver(world: World, model: Model, admin: { token: string }, box: Box, to: Owner): Promise<void> {
  const { deviceId, serialNumber, owner } = box;
  const unlinked = await untilAnswered(world, model, await ask(model, world.url, { kind: 'unlink', method: 'DELETE', path: `/devices/${deviceId}/unlink`, as: owner, owner, deviceId }));
  if (unlinked?.status !== 200) return;
  await claim(world, model, admin, box, to, { deviceId, serialNumber });
}

async function claim(world: World, model: Model, admin: { token: string }, box: Box, to: Owner, { deviceId, serialNumber }: { readonly deviceId: string; readonly serialNumber: string }): Promise<void> {
  const renewed = await untilAnswered(world, model, await ask(model, world.url, { kind: 'claim', method: 'PUT', path: `/admin/devices/${deviceId}/regenerate-pin`, as: admin, deviceId }));
  if (renewed?.status !== 200) return void model.troubles.push(`a new PIN for a box that nobody has was answered ${JSON.stringify(renewed)}`);
  box.pin = String(renewed.body['new_pin']);
  const claimed = await untilAnswered(world, model, await ask(model, world.url, { kind: 'claim', method: 'POST', path: '/devices/assign', as: to, owner: to, deviceId, body: { serial_number: serialNumber, pin: box.pin } }));
  if (claimed !== undefined && claimed.status < 300) Object.assign(box, { owner: to, claimedAt: Date.now() });
  else model.troubles.push(`the claim of a free box with its PIN was answered ${JSON.stringify(claimed)}`);
}

/** Suspended, and after a moment active again, with a sign-in of its own. */
async function suspend(world: World, model: Model, admin: { token: string }, owner: Owner): Promise<void> {
  const user = `/admin/users/${owner.userId}`;
  await untilAnswered(world, model, await ask(model, world.url, { kind: 'suspend', method: 'PUT', path: `${user}/suspend`, as: admin, owner }));
  await pause(300);
  await untilAnswered(world, model, await ask(model, world.url, { kind: 'activate', method: 'PUT', path: `${user}/activate`, as: admin, owner }));
  for (let tries = 0; tries < MANY; tries++) {
    const token = await signIn(world.url, owner, 'user').catch(() => undefined);
    if (token !== undefined) return void (owner.token = token);
    await pause(100);
  }
}

const MANY = 600;

async function untilAnswered(world: World, model: Model, asked: Asked): Promise<Asked['answer']> {
  for (let tries = 0; asked.answer === undefined && tries < MANY; tries++) {
    await pause(100);
    await attempt(model, world.url, asked);
  }
  return asked.answer;
}

/** Everybody who has no answer asks again with the same key. Answers how many there were. */
export async function settle(world: World, model: Model, deadlineMs: number): Promise<number> {
  const open = (): Asked[] => model.asked.filter(({ answer }) => answer === undefined);
  const before = open().length;
  const until = performance.now() + deadlineMs;
  for (let left = open(); left.length > 0; left = open()) {
    if (performance.now() > until) {
      model.troubles.push(`${left.length} requests have no answer ${deadlineMs / 1_000} s after the last fault: ${left.slice(0, 3).map(({ method, path, attempts }) => `${method} ${path} (asked ${attempts} times)`).join(', ')}`);
      return before;
    }
    await Promise.all(left.map((asked) => attempt(model, world.url, asked)));
    await pause(25);
  }
  return before;
}
