import { randomBytes, randomUUID } from 'node:crypto';
import { createClient, type ApiClient } from './api-client.ts';
import type { Profile } from '../../src/bridge/topics.ts';
import type { Provisioning } from '../../src/simulator/provisioning.ts';

/** An account, and what it is called elsewhere. */
export interface Person {
  readonly api: ApiClient;
  readonly userId: string;
  readonly email: string;
  readonly token: string;
}

export interface RegisteredBox {
  readonly deviceId: string;
  readonly serialNumber: string;
  readonly pin: string;
  readonly provisioning: Provisioning;
}

export async function signInAdmin(url: string, admin: { readonly email: string; readonly password: string }): Promise<Person> {
  const { access_token: token } = await createClient(url).post<{ access_token: string }>('/admin/auth/login', { email: admin.email, password: admin.password });
  const api = createClient(url).as(token);
  const { id } = await api.get<{ id: string }>('/auth/me');
  return { api, userId: id, email: admin.email, token };
}

export async function newOwner(url: string): Promise<Person> {
  const email = `owner.${randomUUID()}@example.com`;
  const body = { email, password: `test ${randomUUID()}`, full_name: 'Test Owner', state: 'Izmir' };
  const { access_token: token } = await createClient(url).post<{ access_token: string }>('/auth/register', body);
  const api = createClient(url).as(token);
  const { id } = await api.get<{ id: string }>('/auth/me');
  return { api, userId: id, email, token };
}

export async function registerBox(admin: Person, body: { readonly profile?: Profile; readonly hardware_id?: string } = {}): Promise<RegisteredBox> {
  const answer = await admin.api.post<{ device_id: string; serial_number: string; pin: string; provisioning: Provisioning }>('/admin/devices/register', {
    serial_number: `LB-${randomBytes(6).toString('hex').toUpperCase()}`,
    ...body,
  });
  return { deviceId: answer.device_id, serialNumber: answer.serial_number, pin: answer.pin, provisioning: answer.provisioning };
}

export async function claim(owner: Person, { serialNumber, pin }: RegisteredBox): Promise<void> {
  await owner.api.post('/devices/assign', { serial_number: serialNumber, pin });
}

export interface MadeLink {
  readonly id: string;
  readonly token: string;
}

export async function newLink(owner: Person, deviceId: string, maxUses: number): Promise<MadeLink> {
  const { id, link_id: token } = await owner.api.post<{ id: string; link_id: string }>('/access/create-link', { device_id: deviceId, max_uses: maxUses });
  return { id, token };
}

export interface UnlockAnswer {
  readonly status: number;
  readonly body: {
    readonly message?: string;
    readonly command_id?: string;
    readonly status?: string;
    readonly delivery_complete?: boolean;
    readonly error?: string;
    readonly details?: Readonly<Record<string, unknown>>;
  };
}

/** A courier's tap, with the key of their page. */
export async function tap(url: string, token: string, key: string = randomUUID(), timeoutMs = 20_000): Promise<UnlockAnswer> {
  const response = await fetch(`${url}/api/v1/delivery/link/${token}/unlock`, {
    method: 'POST',
    headers: { 'idempotency-key': key },
    signal: AbortSignal.timeout(timeoutMs),
  });
  return { status: response.status, body: (await response.json()) as UnlockAnswer['body'] };
}
