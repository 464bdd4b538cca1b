import { randomUUID } from 'node:crypto';
import { deriveKeys, httpBearer } from '../../src/bridge/protocol/keys.ts';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { createClient } from '../../test/support/api-client.ts';
import { claim, newLink, registerBox, signInAdmin, type Person } from '../../test/support/people.ts';
import type { Dice } from '../dice.ts';
import type { Target } from '../target.ts';
import type { KnownThings } from './known.ts';
import type { Operation } from './operations.ts';

/** Somebody on whose behalf requests are sent. Whoever loses the account in the course of it gets another one. */
export interface Asker {
  readonly name: string;
  bearer: string | undefined;
  email: string;
  password: string;
  /** Is told that the bearer is no longer good. */
  readonly renew: (() => Promise<void>) | undefined;
}

export interface People {
  readonly all: readonly Asker[];
  for(operation: Operation, dice: Dice): Asker;
  /** Bearers of boxes, by the id of the box. */
  readonly boxes: ReadonlyMap<string, string>;
  /** Makes up for boxes that were taken away. */
  replenish(): Promise<void>;
  stop(): Promise<void>;
}

export const CANARY = 'Kanarienvogel7f3a';
const PASSWORD = `Passwort ${CANARY} 81`;
const LIVE_BOXES = 4;

export async function gatherPeople({ url, admin }: Target, known: KnownThings): Promise<People & { readonly canaryToken: string }> {
  const client = createClient(url);
  const keeper = await signInAdmin(url, admin);
  known.spare(keeper.userId);
  const boxes = new Map<string, string>();
  const live: Lockbox[] = [];

  async function register(name: string): Promise<Person> {
    const email = `fuzz.${randomUUID()}@example.com`;
    const { access_token: token, user } = await client.post<{ access_token: string; user: { id: string } }>('/auth/register', { email, password: PASSWORD, full_name: name, state: 'Izmir' });
    return { api: client.as(token), userId: user.id, email, token };
  }

  async function giveBox(person: Person, on: boolean, of?: string, secret = false): Promise<string> {
    const registered = await registerBox(keeper);
    const { device_key: key, key_version: version } = registered.provisioning;
    boxes.set(registered.deviceId, httpBearer(deriveKeys(Buffer.from(key, 'hex'), registered.deviceId, version)));
    known.learn('device_id', registered.deviceId, of);
    known.learn('serial_number', registered.serialNumber);
    known.learn('pin', registered.pin);
    if (on) {
      const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: 5 });
      await box.start();
      live.push(box);
      if (live.length > LIVE_BOXES) await live.shift()?.stop();
    }
    await claim(person, registered);
    const link = await newLink(person, registered.deviceId, 1_000);
    known.learn('link_id', link.id, of);
    if (!secret) known.learn('link_token', link.token, of);
    return registered.deviceId;
  }

  async function owner(name: string): Promise<Asker> {
    let person = await register(name);
    await giveBox(person, true, name);
    const asker: Asker = {
      name,
      bearer: person.token,
      email: person.email,
      password: PASSWORD,
      async renew() {
        const again = await client.call<{ access_token: string }>('POST', '/auth/login', { email: asker.email, password: asker.password });
        if (again.status === 200) {
          asker.bearer = again.body.access_token;
          return;
        }
        known.forget(name);
        person = await register(name);
        Object.assign(asker, { bearer: person.token, email: person.email, password: PASSWORD });
        await giveBox(person, false, name);
      },
    };
    known.learn('email', person.email);
    known.learn('user_id', person.userId);
    return asker;
  }

  async function administrator(name: string, role: string, permissions: readonly string[] = []): Promise<Asker> {
    const make = async (): Promise<{ email: string; bearer: string }> => {
      const email = `fuzz.${randomUUID()}@example.com`;
      await keeper.api.post('/admin/admins', { email, password: PASSWORD, role, permissions });
      const { access_token: bearer } = await client.post<{ access_token: string }>('/admin/auth/login', { email, password: PASSWORD });
      return { email, bearer };
    };
    const asker: Asker = { name, ...(await make()), password: PASSWORD, renew: async () => void Object.assign(asker, await make(), { password: PASSWORD }) };
    return asker;
  }

  // Everything of hers is recognised wherever it turns up.
  const canary = await register(`${CANARY} ${CANARY}`);
  const canaryBox = await giveBox(canary, true, undefined, true);
  await canary.api.put(`/devices/${canaryBox}`, { name: `${CANARY} box`, location_address: `${CANARY} street`, location_latitude: 1, location_longitude: 2 });
  const { link_id: canaryToken, id: canaryLink } = await canary.api.post<{ link_id: string; id: string }>('/access/create-link', { device_id: canaryBox, name: `${CANARY} link`, max_uses: 1_000 });
  known.spare(canary.userId, canaryToken);
  known.learn('link_id', canaryLink);

  const owners = [await owner('an owner'), await owner('another owner')];
  const suspended = await register('suspended');
  await giveBox(suspended, false);
  await keeper.api.put(`/admin/users/${suspended.userId}/suspend`);
  const admins = [await administrator('a super_admin', 'super_admin'), await administrator('an admin', 'admin'), await administrator('support', 'support')];
  const keys = await administrator('support with a right', 'support', ['devices:keys']);
  const fixed = (name: string, bearer: string | undefined): Asker => ({ name, bearer, email: '', password: '', renew: undefined });
  const nobody = fixed('nobody', undefined);
  const canaryOwner: Asker = { ...fixed('the canary', canary.token), renew: async () => void (canaryOwner.bearer = (await client.post<{ access_token: string }>('/auth/login', { email: canary.email, password: PASSWORD })).access_token) };
  const strangers = [
    nobody, nobody, fixed('garbage', 'garbage'), fixed('a suspended owner', suspended.token), fixed('a link as a token', canaryToken), fixed('an empty bearer', ''),
    fixed('a changed token', canary.token.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))), fixed('no algorithm', `eyJhbGciOiJub25lIn0.${canary.token.split('.')[1]}.`), canaryOwner, keys,
  ];
  return {
    all: [...owners, ...admins, ...strangers],
    boxes,
    canaryToken,
    for(operation, dice) {
      if (dice.chance(0.15)) return dice.pick([...strangers, ...owners, ...admins]);
      if (operation.security === 'none') return nobody;
      if (operation.isAdmin) return dice.pick(admins.slice(0, dice.chance(0.8) ? 1 : 3));
      return dice.pick(owners);
    },
    async replenish() {
      const person = owners[live.length % owners.length]!;
      const api = client.as(person.bearer ?? '');
      await giveBox({ api, userId: '', email: '', token: '' }, true, person.name).catch(() => undefined); // its owner was just suspended: the next time
    },
    async stop() {
      await Promise.all(live.map((box) => box.stop()));
    },
  };
}
