import { randomUUID } from 'node:crypto';
import { permissions, type Permission } from '../../src/api/permissions.ts';
import { accessTokens } from '../../src/api/tokens.ts';
import { deriveKeys, httpBearer } from '../../src/bridge/protocol/keys.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createLockbox } from '../../src/simulator/lockbox.ts';
import type { RunningApp } from '../support/app.ts';
import { createClient } from '../support/api-client.ts';
import { claim, newLink, newOwner, registerBox, signInAdmin, tap, type Person } from '../support/people.ts';
import { until } from '../support/until.ts';
import { rights } from './rules.ts';

/** Ids of what one person has. */
export interface Things {
  readonly user: string;
  readonly device: string;
  readonly link: string;
  readonly token: string;
  readonly delivery: string;
  readonly session: string;
  readonly notification: string;
}

/** Somebody who asks. */
export interface Identity {
  readonly name: string;
  readonly bearer: string | undefined;
  /** What the bearer is: nothing that is known here, an account, a suspended one, or the key of `box`. */
  readonly is: 'unknown' | 'account' | 'suspended' | 'box';
  readonly rights: ReadonlySet<Permission>;
  readonly things: Things | undefined;
  readonly box: string | undefined;
  /** A session of its own for a try that ends it. */
  readonly again: () => Promise<string>;
}

export interface Cast {
  readonly identities: readonly Identity[];
  /** Whose things everybody else reaches for. */
  readonly other: Things;
  readonly credentials: { readonly email: string; readonly password: string };
  readonly adminCredentials: { readonly email: string; readonly password: string };
  readonly admin: Person;
  /** A box, a link, a session and so on, for a try that changes them: of this identity, or of somebody new. */
  fresh(of?: Identity): Promise<Things>;
  /** What a box that nobody has is claimed with; each time another one, once `spare` is not enough. */
  readonly spare: { readonly serial_number: string; readonly pin: string };
  unclaimed(): Promise<{ readonly serial_number: string; readonly pin: string }>;
}

const PASSWORD = 'correct horse battery';
const nothing: ReadonlySet<Permission> = new Set();

export const absent = (): Things => ({
  user: randomUUID(), device: randomUUID(), link: randomUUID(), token: 'B'.repeat(32), delivery: randomUUID(), session: randomUUID(), notification: randomUUID(),
});

export async function gather(app: RunningApp, secretKey: string): Promise<Cast> {
  const client = createClient(app.url);
  const admin = await signInAdmin(app.url, app.admin);

  const logIn = async (email: string, password: string, path = '/auth/login'): Promise<string> =>
    (await client.post<{ access_token: string }>(path, { email, password })).access_token;

  async function sessionOf(api: Person['api']): Promise<string> {
    const sessions = await api.get<{ id: string; current: boolean }[]>('/auth/sessions');
    return sessions.find(({ current }) => !current)?.id ?? '';
  }

  async function account(): Promise<Person> {
    const email = `${randomUUID()}@example.com`;
    const { access_token: token, user } = await client.post<{ access_token: string; user: { id: string } }>('/auth/register', { email, password: PASSWORD, full_name: 'Ana', state: 'Izmir' });
    return { api: client.as(token), userId: user.id, email, token };
  }

  async function boxOf(person: Person): Promise<Pick<Things, 'device' | 'link' | 'token'> & { readonly registered: Awaited<ReturnType<typeof registerBox>> }> {
    const registered = await registerBox(admin);
    await claim(person, registered);
    const { id: link, token } = await newLink(person, registered.deviceId, 5);
    return { device: registered.deviceId, link, token, registered };
  }

  /** Somebody with a box that is there, something that was delivered, and what they were told of it. */
  async function owner(): Promise<{ readonly person: Person; readonly things: Things; readonly bearer: string }> {
    const person = await account();
    const { registered, ...own } = await boxOf(person);
    const { provisioning, deviceId } = registered;
    const box = createLockbox({ provisioning, firstConnectWithinMs: 0, boltMs: 0 });
    await box.start();
    await box.ready();
    await until('online', async () => (await person.api.get<{ is_online: boolean }>(`/devices/${deviceId}/status`)).is_online);
    const opened = await tap(app.url, own.token);
    if (opened.body.command_id === undefined) throw new Error(`The box did not open: ${JSON.stringify(opened)}`);
    await until('the delivery', async () => (await person.api.call('GET', `/deliveries/${opened.body.command_id}`)).status === 200);
    const told = await until('told', async () => (await person.api.get<{ id: string }[]>('/notifications'))[0]);
    await logIn(person.email, PASSWORD);
    // Switched off again: a box that goes on would lock itself, and take a new key, in the middle of the test.
    await box.stop();
    const things = { ...own, user: person.userId, delivery: opened.body.command_id, session: await sessionOf(person.api), notification: told.id };
    return { person, things, bearer: httpBearer(deriveKeys(Buffer.from(provisioning.device_key, 'hex'), deviceId, provisioning.key_version)) };
  }

  async function administrator(name: string, role: keyof typeof rights, granted: readonly Permission[] = []): Promise<Identity & { readonly email: string }> {
    const email = `${randomUUID()}@example.com`;
    await admin.api.post('/admin/admins', { email, password: PASSWORD, role, permissions: granted });
    const again = () => logIn(email, PASSWORD, '/admin/auth/login');
    return { name, email, bearer: await again(), is: 'account', rights: new Set<Permission>([...rights[role], ...granted]), things: undefined, box: undefined, again };
  }

  const [one, two, three] = await Promise.all([owner(), owner(), account()]);
  const outOfFavour = await boxOf(three);
  await admin.api.put(`/admin/users/${three.userId}/suspend`);
  const gone = await account();
  await gone.api.post('/auth/logout');

  const signer = (secret: string, issuedMsAgo: number) =>
    accessTokens(
      { keys: [{ kid: 'one', secret }], issuer: 'loqey', audiences: { user: 'loqey-api', admin: 'loqey-admin' }, accessSeconds: 1_800 },
      { ...systemClock, now: () => systemClock.now() - issuedMsAgo },
    ).sign({ userId: one.person.userId, sessionId: one.things.session, scope: 'admin' }, 0);
  const [, payload = '', signature = ''] = one.person.token.split('.');
  const unknown = (name: string, bearer: string | undefined): Identity => ({ name, bearer, is: 'unknown', rights: nothing, things: undefined, box: undefined, again: async () => '' });

  const everything = await administrator('a super_admin', 'super_admin');
  const ordinary = await administrator('an admin', 'admin');
  const support = await administrator('support', 'support');
  const single: Identity[] = [];
  for (const right of permissions) {
    if (!(rights.support as readonly Permission[]).includes(right)) single.push(await administrator(`support with ${right}`, 'support', [right]));
  }
  const asUser = () => logIn(everything.email, PASSWORD);

  const mine: Identity = {
    name: 'the owner', bearer: one.person.token, is: 'account', rights: nothing, things: one.things, box: undefined,
    again: () => logIn(one.person.email, PASSWORD),
  };
  const unclaimed = async () => {
    const { serialNumber, pin } = await registerBox(admin);
    return { serial_number: serialNumber, pin };
  };
  return {
    spare: await unclaimed(),
    unclaimed,
    identities: [
      unknown('nobody', undefined),
      unknown('garbage', 'garbage'),
      unknown('a token without a signature', `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${payload}.`),
      unknown('a token with another payload', `${one.person.token.split('.')[0]}.${Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(payload, 'base64url').toString()) as object, scope: 'admin', aud: 'loqey-admin' })).toString('base64url')}.${signature}`),
      unknown('a token signed with another key', signer('another secret of at least thirty-two bytes', 0)),
      unknown('an expired token', signer(secretKey, 3_600_000)),
      unknown('a token of a session that ended', gone.token),
      unknown('the token of a link', one.things.token),
      mine,
      { name: 'another owner', bearer: (await account()).token, is: 'account', rights: nothing, things: undefined, box: undefined, again: async () => (await account()).token },
      { name: 'a suspended owner', bearer: three.token, is: 'suspended', rights: nothing, things: { ...absent(), user: three.userId, device: outOfFavour.device, link: outOfFavour.link, token: outOfFavour.token }, box: undefined, again: async () => three.token },
      everything,
      ordinary,
      support,
      ...single,
      { name: "a super_admin in a user's session", bearer: await asUser(), is: 'account', rights: nothing, things: undefined, box: undefined, again: asUser },
      { name: 'the box', bearer: one.bearer, is: 'box', rights: nothing, things: one.things, box: one.things.device, again: async () => one.bearer },
      { name: 'another box', bearer: two.bearer, is: 'box', rights: nothing, things: undefined, box: two.things.device, again: async () => two.bearer },
    ],
    other: two.things,
    credentials: { email: two.person.email, password: PASSWORD },
    adminCredentials: app.admin,
    admin,
    async fresh(of) {
      if (of?.things === undefined) {
        const person = await newOwner(app.url);
        const { registered: _registered, ...own } = await boxOf(person);
        return { ...absent(), ...own, user: person.userId };
      }
      const token = await of.again();
      const person: Person = { ...one.person, api: client.as(token), token };
      const { registered: _registered, ...own } = await boxOf(person);
      const { id: session } = (await client.as(token).get<{ id: string; current: boolean }[]>('/auth/sessions')).find(({ current }) => current) ?? { id: '' };
      return { ...of.things, ...own, session };
    },
  };
}
