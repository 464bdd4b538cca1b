import { randomBytes, randomUUID } from 'node:crypto';
import type { Provisioning } from '../../src/simulator/provisioning.ts';
import { createClient } from '../../test/support/api-client.ts';
import type { BoxLogin } from './boxes.ts';

export interface Admin {
  readonly email: string;
  readonly password: string;
}

export const admin: Admin = { email: 'admin@example.com', password: 'bench password 1' };

/** The people and boxes that are measured: made over HTTP as any others, kept with the folder they are in. */
export interface Cast {
  readonly owners: readonly CastOwner[];
  /** One of each owner, then another one of each, and so on. */
  readonly boxes: readonly OwnedBox[];
  readonly unclaimed: readonly CastBox[];
}

export interface CastOwner {
  readonly email: string;
  readonly password: string;
  readonly userId: string;
}

export interface CastBox {
  readonly deviceId: string;
  readonly provisioning: Provisioning;
}

export interface OwnedBox extends CastBox {
  /** Whose it is, by place in `owners`. */
  readonly owner: number;
}

export interface CastSize {
  readonly owners: number;
  readonly boxesEach: number;
  /** Boxes that nobody has claimed: they report as all others do. */
  readonly more: number;
}

const AT_ONCE = 4;

export async function makeCast(url: string, { owners: count, boxesEach, more }: CastSize): Promise<Cast> {
  const { access_token: token } = await createClient(url).post<{ access_token: string }>('/admin/auth/login', admin);
  const asAdmin = createClient(url).as(token);
  const owners: CastOwner[] = [];
  const boxes: OwnedBox[] = [];
  const unclaimed: CastBox[] = [];
  const register = async () => {
    const serialNumber = `LB-BENCH-${randomBytes(6).toString('hex').toUpperCase()}`;
    const { device_id: deviceId, pin, provisioning } = await asAdmin.post<{ device_id: string; pin: string; provisioning: Provisioning }>('/admin/devices/register', { serial_number: serialNumber });
    return { box: { deviceId, provisioning }, claim: { serial_number: serialNumber, pin } };
  };
  const oneOwner = async (owner: number) => {
    const login = { email: `owner.${randomUUID()}@example.com`, password: `bench ${randomUUID()}` };
    const { access_token: own } = await createClient(url).post<{ access_token: string }>('/auth/register', { ...login, full_name: 'Bench Owner', state: 'Izmir' });
    const api = createClient(url).as(own);
    const { id: userId } = await api.get<{ id: string }>('/auth/me');
    owners[owner] = { ...login, userId };
    for (let n = 0; n < boxesEach; n++) {
      const { box, claim } = await register();
      await api.post('/devices/assign', claim);
      boxes[n * count + owner] = { ...box, owner };
    }
  };
  await inTurn(count, oneOwner);
  await inTurn(more, async () => void unclaimed.push((await register()).box));
  return { owners, boxes, unclaimed };
}

/** A few at once: passwords wait for each other. */
async function inTurn(count: number, one: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < count) await one(next++);
    }),
  );
}

export async function signIn(url: string, { email, password }: CastOwner): Promise<string> {
  const { access_token: token } = await createClient(url).post<{ access_token: string }>('/auth/login', { email, password });
  return token;
}

/** All owners, each with the access token of a new session. */
export async function signInAll(url: string, { owners }: Cast): Promise<readonly string[]> {
  const tokens: string[] = [];
  await inTurn(owners.length, async (index) => void (tokens[index] = await signIn(url, owners[index]!)));
  return tokens;
}

export const loginOf = ({ deviceId, provisioning }: CastBox): BoxLogin => ({ deviceId, master: provisioning.device_key });
