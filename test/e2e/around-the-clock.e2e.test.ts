import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobNames } from '../../src/jobs/catalogue.ts';
import { claim, newOwner, registerBox, signInAdmin, type Person } from '../support/people.ts';
import { cleanUp, dataFolder, finish, startServerProcess, type ServerProcess, type Settings } from '../support/server-process.ts';
import { until } from '../support/until.ts';

const admin = { email: 'admin@example.com', password: 'correct horse battery' };
let folder: string;
let server: ServerProcess;
let settings: Settings;
let boss: Person;

beforeAll(async () => {
  folder = await dataFolder();
  settings = { DATA_DIR: folder, PORT: '0', MQTT_BROKER_PORT: '0', ADMIN_EMAIL: admin.email, ADMIN_PASSWORD: admin.password };
  server = await startServerProcess(settings);
  boss = await signInAdmin(server.url, admin);
});
afterAll(cleanUp);

interface Job {
  readonly name: string;
  readonly state: string;
  readonly runs: number;
  readonly next_run: string | null;
  readonly result: Readonly<Record<string, unknown>> | null;
}
const job = async (name: string) => (await boss.api.get<readonly Job[]>('/admin/jobs')).find((each) => each.name === name);

describe('around the clock', () => {
  it('says at the start where mails go', () => {
    expect(server.events.find(({ event, name }) => event === 'step' && name === 'mail')).toMatchObject({ detail: `to the folder ${join(folder, 'mail')}` });
  });

  it('runs jobs on request of an administrator, who is in the audit log', async () => {
    expect((await boss.api.get<readonly Job[]>('/admin/jobs')).map(({ name }) => name)).toEqual([...jobNames, 'notifications.mail']);
    for (const name of jobNames) {
      expect(await boss.api.post(`/admin/jobs/${name}/run`, {})).toMatchObject({ name });
      // One whose time has just come ran by itself as well.
      await until(name, async () => ((await job(name))?.runs ?? 0) >= 1);
    }
    expect((await job('links.sweep'))?.result).toEqual({ success: true, expired_count: 0 });
    expect((await job('devices.health'))?.result).toEqual({ checked_devices: 0, offline_count: 0 });
    expect((await job('cleanup'))?.result).toMatchObject({ idempotency_keys: 0, couriers: 0 });
    const audit = await until('the audit log', async () => {
      const rows = await boss.api.get<readonly { action: string; actor: { id: string }; details: object }[]>('/admin/logs/audit?type=JobRequested');
      return rows.length === jobNames.length ? rows : undefined;
    });
    expect(audit.at(-1)).toMatchObject({ action: 'job_requested', actor: { id: boss.userId }, details: { job: 'links.sweep' } });
  });

  it('and on the command line, beside the running server', async () => {
    const list = await finish(['jobs', 'list'], settings);
    expect(list.code).toBe(0);
    expect(list.stdout).toMatch(/links\.sweep +idle +0 \* \* \* \*/);
    expect(list.stdout).toContain('expired_count=0');
    const run = await finish(['jobs', 'run', 'links.sweep'], settings);
    expect([run.code, run.stderr]).toEqual([0, expect.stringContaining('links.sweep is queued')]);
    await until('it ran', async () => ((await job('links.sweep'))?.runs ?? 0) >= 2);
    expect(await finish(['jobs', 'run', 'no.such'], settings)).toMatchObject({ code: 5, stderr: expect.stringContaining('There is no job no.such') as string });
  }, 60_000);

  it('keeps the mails that nobody sends, and shows them', async () => {
    const owner = await newOwner(server.url);
    const box = await registerBox(boss);
    await claim(owner, box);
    await fetch(`${server.url}/api/v1/admin/devices/${box.deviceId}/unlink`, { method: 'DELETE', headers: { authorization: `Bearer ${boss.token}` } });
    await until('the mail', async () => {
      try {
        return readdirSync(join(folder, 'mail')).some((name) => name.endsWith('.eml'));
      } catch {
        return false;
      }
    });
    const list = await finish(['mail', 'list'], settings);
    expect(list.stdout).toContain(owner.email);
    expect(list.stdout).toContain(`${box.serialNumber} was removed from your account`);
    const shown = await finish(['mail', 'show', 'last'], settings);
    expect(shown.stdout).toContain('Hello Test,');
    expect(shown.stdout).toContain('by support');
    expect(await finish(['mail', 'show', 'zzz'], settings)).toMatchObject({ code: 5, stderr: '✖ There is no mail zzz. See: loqey mail list\n' });
    const inbox = await owner.api.get<readonly { kind: string; title: string }[]>('/notifications');
    expect(inbox).toMatchObject([{ kind: 'unlink_done', title: `${box.serialNumber} was removed from your account` }]);
  }, 60_000);

  it('stops without waiting for anything', async () => {
    server.signal('SIGTERM');
    expect(await server.exited).toMatchObject({ code: 0 });
  });
});
