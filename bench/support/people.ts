import { randomBytes, randomUUID } from 'node:crypto';
import { createClient, type ApiClient } from '../../test/support/api-client.ts';
import type { Provisioning } from '../../src/simulator/lockbox.ts';

export interface BenchBox {
  readonly deviceId: string;
  readonly pin: string;
  readonly serialNumber: string;
  readonly provisioning: Provisioning;
}

export async function signInAdmin(url: string, admin: { readonly email: string; readonly password: string }): Promise<ApiClient> {
  const api = createClient(url);
  const { access_token: token } = await api.post<{ access_token: string }>('/admin/auth/login', admin);
  return api.as(token);
}

export async function registerBox(admin: ApiClient): Promise<BenchBox> {
  const answer = await admin.post<{ device_id: string; serial_number: string; pin: string; provisioning: Provisioning }>('/admin/devices/register', {
    serial_number: `LB-BENCH-${randomBytes(6).toString('hex').toUpperCase()}`,
  });
  return { deviceId: answer.device_id, pin: answer.pin, serialNumber: answer.serial_number, provisioning: answer.provisioning };
}

export interface BenchOwner {
  readonly api: ApiClient;
  readonly token: string;
}

export async function registerOwner(url: string): Promise<BenchOwner> {
  const api = createClient(url);
  const body = { email: `owner.${randomUUID()}@example.com`, password: `bench ${randomUUID()}`, full_name: 'Bench Owner', state: 'Izmir' };
  const { access_token: token } = await api.post<{ access_token: string }>('/auth/register', body);
  return { api: api.as(token), token };
}
