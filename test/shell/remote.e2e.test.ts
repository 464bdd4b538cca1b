import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { deriveKeys, httpBearer } from '../../src/bridge/protocol/keys.ts';
import { createCli } from '../../src/cli.ts';
import { createLockbox } from '../../src/simulator/lockbox.ts';
import type { Provisioning } from '../../src/simulator/provisioning.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { claim, newLink, newOwner, registerBox, signInAdmin, tap, type Person } from '../support/people.ts';
import { until } from '../support/until.ts';

/** The command line as a person uses it, against a whole server. */
let app: RunningApp;
let root: Person;
let folder: string;
const home = process.cwd();
beforeAll(async () => {
  app = await startApp();
  root = await signInAdmin(app.url, app.admin);
  folder = mkdtempSync(join(tmpdir(), 'loqey-cli-'));
  process.chdir(folder); // files are named from there
  await cli(['login', app.admin.email, '--password-stdin'], `${app.admin.password}\n`);
});
afterAll(async () => {
  process.chdir(home);
  rmSync(folder, { recursive: true, force: true });
  await app.stop();
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly said: string;
}

const environOf = (more: Record<string, string> = {}) => {
  const { PATH = '', HOME = '' } = process.env;
  return { PATH, HOME, XDG_CONFIG_HOME: folder, LOQEY_URL: app.url, DATA_DIR: join(folder, 'none'), ...more };
};

/** In this process, as most of what a program of its own takes is its start; with `input`, as a program. */
async function cli(args: readonly string[], input?: string, environ: Record<string, string> = {}): Promise<Ran> {
  if (input !== undefined) return program(args, input, environ);
  const [out, said]: [string[], string[]] = [[], []];
  const into = (texts: string[]) => (chunk: string | Uint8Array, encoding?: unknown, done?: unknown) => {
    texts.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
    const called = typeof encoding === 'function' ? encoding : done;
    if (typeof called === 'function') queueMicrotask(() => void called());
    return true;
  };
  const spies = [vi.spyOn(process.stdout, 'write').mockImplementation(into(out)), vi.spyOn(process.stderr, 'write').mockImplementation(into(said))];
  try {
    const code = await createCli({ environ: environOf(environ), version: '0.0.0' }).run(args);
    return { code, out: out.join(''), said: said.join('') };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

function program(args: readonly string[], input = '', environ: Record<string, string> = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/loqey.js'), ...args], { env: environOf(environ), cwd: folder });
    const [out, said]: [string[], string[]] = [[], []];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => said.push(chunk.toString()));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code: code ?? -1, out: out.join(''), said: said.join('') }));
    child.stdin.end(input);
  });
}
const lines = ({ out }: Ran) => out.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);

describe('signing in', () => {
  test('keeps a session for this user alone, and says what is wrong with an exit code', async () => {
    expect(statSync(join(folder, 'loqey/session.json')).mode & 0o777).toBe(0o600);
    expect((await cli(['whoami'])).out).toMatch(/E-mail\s+admin@example.com\n(.|\n)*Role\s+super_admin/);
    expect(await cli(['login', app.admin.email], undefined, { LOQEY_PASSWORD: 'wrong one', XDG_CONFIG_HOME: join(folder, 'x') })).toMatchObject({ code: 3, said: expect.stringContaining('✖ Invalid email or password') as string });
    expect(await cli(['device', 'list'], undefined, { XDG_CONFIG_HOME: join(folder, 'x') })).toMatchObject({ code: 4, out: '', said: expect.stringContaining('loqey login') as string });
    expect(await cli(['device', 'list'], undefined, { LOQEY_URL: 'http://127.0.0.1:1', LOQEY_TOKEN: 'x' })).toMatchObject({ code: 7 });
    expect((await cli(['device', 'list'], undefined, { LOQEY_TOKEN: root.token })).code).toBe(0);
    expect((await cli(['device', 'lst'])).said).toContain('Did you mean');
  });

  test('lasts beyond an access token', async () => {
    const path = join(folder, 'loqey/session.json');
    const session = JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>;
    writeFileSync(path, JSON.stringify({ ...session, access_token: 'old' }));
    expect((await cli(['whoami'])).code).toBe(0);
    expect((JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>)['refresh_token']).not.toBe(session['refresh_token']);
  });
});

describe('boxes', () => {
  test('are registered, found, looked at and taken out of service', async () => {
    const [made] = lines(await cli(['device', 'register', 'lb-cli-1', '--model', 'V2', '--json']));
    expect(made).toMatchObject({ event: 'registered', serial_number: 'LB-CLI-1', pin: expect.stringMatching(/^\d{6}$/) as string, provisioning: { protocol: 1 } });
    expect((await cli(['device', 'list', '--search', 'cli-1'])).out).toBe('SERIAL    NAME  STATE      BATTERY  LAST HEARD  OWNER\nLB-CLI-1  -     available  -        -           -\n');
    expect((await cli(['device', 'show', 'lb-cli'])).out).toMatch(/Serial\s+LB-CLI-1\n(.|\n)*Model\s+V2/);
    expect((await cli(['device', 'pin', 'LB-CLI-1'])).out.trim()).toBe(made?.['pin']);
    expect((await cli(['device', 'pin', 'LB-CLI-1', '--new'])).code).toBe(2);
    expect((await cli(['device', 'pin', 'LB-CLI-1', '--new', '--yes'])).out.trim()).toMatch(/^\d{6}$/);
    expect(await cli(['device', 'maintenance', 'LB-CLI-1', '--reason', 'hinge', '--yes'])).toMatchObject({ code: 0, out: 'Device is in maintenance\n' });
    expect(await cli(['device', 'maintenance', 'LB-CLI-1', '--end'])).toMatchObject({ code: 0, out: 'Device is back in service\n' });
    expect(await cli(['device', 'unlock', 'LB-CLI-1', '--yes', '--json'])).toMatchObject({ code: 3, said: expect.stringContaining('✖ Device is offline') as string });
    expect(lines(await cli(['device', 'unlock', 'LB-CLI-1', '--yes', '--json']))).toMatchObject([{ event: 'failed', exit_code: 3, error: 'conflict', message: 'Device is offline' }]);
    expect(await cli(['device', 'decommission', 'LB-CLI-1', '--yes'])).toMatchObject({ code: 0 });
    expect(await cli(['device', 'show', 'nothing'])).toMatchObject({ code: 5, out: '' });
  });

  test('get new keys, which are shown once or put into a new file', async () => {
    const { serialNumber: serial, provisioning } = await registerBox(root);
    const keys = join(folder, 'keys.json');
    const reprovision = ['device', 'reprovision', serial, '--reason', 'new board'];
    expect(await cli(['device', 'reprovision', serial, '--yes'])).toMatchObject({ code: 2, said: expect.stringContaining("required option '--reason <text>'") as string });
    expect(await cli([...reprovision, '--out', keys])).toMatchObject({ code: 2, said: expect.stringContaining(`Every key of ${serial} ends at once`) as string });
    expect(await cli([...reprovision, '--out', keys, '--yes'])).toMatchObject({ code: 0, out: expect.stringMatching(/^Device provisioned anew.*\n$/) as string });
    expect(statSync(keys).mode & 0o777).toBe(0o600);
    const first = JSON.parse(readFileSync(keys, 'utf8')) as Provisioning;
    expect(first).toMatchObject({ mqtt: { client_id: provisioning.mqtt.client_id }, key_version: provisioning.key_version + 1 });
    expect(await cli([...reprovision, '--out', keys, '--yes'])).toMatchObject({ code: 2, said: expect.stringContaining('is there already') as string });
    const [told] = lines(await cli([...reprovision, '--yes', '--json']));
    expect(told).toMatchObject({ event: 'reprovisioned', serial_number: serial, provisioning: { key_version: first.key_version + 1 } });

    const { out, said } = await cli(['device', 'history', serial.toLowerCase(), '--limit', '2']);
    expect(said).toBe('2 of 3 events\n');
    expect(out).toMatch(new RegExp(`^(.* ${serial} has a new key, version \\d, flashed anew .*\n){2}$`));
    expect((await cli(['device', 'history', serial, '--from', '2026-01-01', '--to', '2026-01-02'])).said).toBe('0 events\n');
  });

  test('change their key when they are told to', async () => {
    const { serialNumber: serial, provisioning } = await registerBox(root);
    const rotate = ['device', 'rotate-keys', serial];
    // What has never signed anything may be old firmware, which has no use for a key.
    expect((await cli([...rotate, '--yes'])).code).toBe(3);
    const box = createLockbox({ provisioning, firstConnectWithinMs: 0, boltMs: 5 });
    try {
      await box.start();
      await box.ready();
      await until('it is online', async () => (await cli(['device', 'check', serial])).out.startsWith(`${serial} is online: it was heard of `));
      expect(await cli(rotate)).toMatchObject({ code: 2, out: '', said: expect.stringContaining(`${serial} is given a new key`) as string });
      expect(lines(await cli([...rotate, '--yes', '--json']))).toMatchObject([{ event: 'changed', serial_number: serial, key_version: 1, rotating_to: 2 }]);
      await until('it has its new key', () => box.state?.keyVersion === 2);
      await until('the server knows', async () => (await cli(['device', 'history', serial])).out.includes('has a new key, version 2'));
    } finally {
      await box.stop();
    }
  });

  test('leave no empty file behind where they were refused new keys', async () => {
    const { serialNumber: serial } = await registerBox(root);
    await cli(['device', 'decommission', serial, '--yes']);
    const keys = join(folder, 'none.json');
    expect((await cli(['device', 'reprovision', serial, '--reason', 'again', '--out', keys, '--yes'])).code).toBe(3);
    expect(existsSync(keys)).toBe(false);
  });

  test('tell whether they are heard of, and what they sent in vain', async () => {
    const { deviceId, serialNumber: serial, provisioning } = await registerBox(root);
    expect(await cli(['device', 'check', serial])).toMatchObject({ code: 0, out: `${serial} is offline: it has never been heard of\n` });
    expect(await cli(['device', 'rejected', serial])).toMatchObject({ code: 0, out: '', said: `Nothing of ${serial} was rejected.\n` });
    const bearer = httpBearer(deriveKeys(Buffer.from(provisioning.device_key, 'hex'), deviceId, provisioning.key_version));
    const send = (authorization: string) => fetch(`${app.url}/api/v1/devices/${deviceId}/status`, { method: 'POST', headers: { authorization }, body: 'rub\u001b[31mbish' });
    expect([(await send(`Bearer ${bearer}`)).status, (await send('Bearer wrong')).status]).toEqual([202, 401]);
    const own = await until('its message is there', async () => {
      const ran = await cli(['device', 'rejected', serial]);
      return ran.out.startsWith('TIME') && ran; // the count of it may be there first
    });
    expect(own.out).toMatch(/^TIME \(UTC\) +REASON +VIA +ABOUT +BYTES +BEGINS WITH\n.* http /);
    expect(own.out).not.toContain('\u001b');
    expect(own.out).toMatch(/REASON +IN ALL +LAST \(UTC\)\n\w+ +1 /);
    const strangers = await until('the stranger is there', async () => {
      const found = lines(await cli(['device', 'rejected', '--json']));
      return found.some(({ claimed }) => claimed === deviceId) && found;
    });
    expect(strangers).toContainEqual(expect.objectContaining({ event: 'rejected_count', reason: 'wrong_credential' }));
    expect((await cli(['device', 'rejected'])).out).toMatch(/CALLS ITSELF +FROM/);
  });

  test('of old firmware open for couriers where that was accepted', async () => {
    const { serialNumber: serial } = await registerBox(root, { profile: 'loqey_serial' });
    expect((await cli(['device', 'accept-deliveries', serial, '--yes'])).code).toBe(2);
    expect(await cli(['device', 'accept-deliveries', serial, '--reason', 'the owner knows', '--yes'])).toMatchObject({ code: 0, out: 'Couriers may open this box\n' });
  });

  test('of which there are many are printed to the last one, into a pipe too', async () => {
    const csv = join(folder, 'many.csv');
    writeFileSync(csv, `serial_number\n${Array.from({ length: 2_000 }, (_, i) => `LB-MANY-${i}`).join('\n')}\n`);
    const { code, out } = await cli(['device', 'register', '--file', csv, '--dry-run', '--json']);
    const printed = out.trim().split('\n');
    expect([code, printed.length, JSON.parse(printed.at(-1) ?? '')]).toMatchObject([0, 2_001, { event: 'imported', rows: 2_000, would_register: 2_000 }]);
  });

  test('come from a file, with their secrets in a new one', async () => {
    const [csv, out] = [join(folder, 'boxes.csv'), join(folder, 'secrets.csv')];
    writeFileSync(csv, 'serial_number,device_model\nLB-F-1,=cmd\nLB-F-2,\nLB-F-1,\n');
    expect((await cli(['device', 'register', '--file', csv, '--dry-run'])).out).toContain('would_register');
    const first = await cli(['device', 'register', '--file', csv, '--out', out]);
    expect(first).toMatchObject({ code: 0, said: expect.stringContaining('3 rows, 2 registered, 1 twice in the file') as string });
    expect(first.out).toMatch(/2 {2}LB-F-1 {2}registered {2}\d{6}/);
    expect(statSync(out).mode & 0o777).toBe(0o600);
    expect(readFileSync(out, 'utf8')).toContain('""device_key""');
    // What is in the file is all there is of those secrets: it is not written over.
    expect(await cli(['device', 'register', '--file', csv, '--out', out])).toMatchObject({ code: 2 });
    expect((await cli(['device', 'register', '--file', csv, '--json'])).out).toContain('"result":"exists"');
    expect(await cli(['device', 'register', '--file', csv, 'LB-F-9'])).toMatchObject({ code: 2 });
  });
});

describe('the past', () => {
  test('is shown as past, with what changed and why', async () => {
    const { deviceId, serialNumber: serial } = await registerBox(root);
    await cli(['device', 'maintenance', serial, '--reason', 'hinge', '--yes']);
    const [then] = lines(await cli(['device', 'show', serial, '--at', '0s', '--json']));
    expect(then).toMatchObject({ event: 'device', past: true, device_id: deviceId, state: { maintenance: true }, ends_with: { type: 'MaintenanceStarted' } });
    await cli(['device', 'maintenance', serial, '--end']);
    const { position } = then!['ends_with'] as { position: string };
    const shown = await cli(['device', 'show', serial, '--at', position]);
    expect(shown.out).toMatch(new RegExp(`^${serial} +as it was at 20..-..-.. ..:..:.. UTC\n(.|\n)*Lifecycle +maintenance\n(.|\n)*Last event +MaintenanceStarted`));
    const diff = await cli(['device', 'diff', serial, '--from', position]);
    expect(diff.out).toMatch(/FACT +WAS +IS +BY +WHEN \(UTC\)\n(.|\n)*maintenance +true +false +MaintenanceEnded/);
    expect(diff.said).toBe('2 facts changed\n');
    const why = await cli(['device', 'why', serial, '--at', position]);
    expect(why.out).toMatch(/✖ refused: Device not found or access denied \(not_the_owner\)\n/);
    const refused = await cli(['device', 'unlock', serial, '--yes', '--json']);
    const [{ trace_id: request } = {}] = lines(refused) as { trace_id?: string }[];
    const trace = await until('the refusal is in the audit log', async () => {
      const ran = await cli(['unlock', 'trace', request ?? '']);
      return ran.code === 0 && ran;
    });
    expect(trace.out).toMatch(/^REFUSED (.|\n)*✖ asked (.|\n)*✖ It was refused: Device is offline\. Nothing was sent to the box\./);
    expect((await cli(['unlock', 'why', request ?? ''])).out).toMatch(/✔ allowed: The box would have been told to open\n(.|\n)*recorded: refused \(device_offline\), and the rules agree/);
  });

  test('of one delivery is drawn, and explained', async () => {
    const owner = await newOwner(app.url);
    const registered = await registerBox(root);
    const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: [5, 20] });
    await box.start();
    await box.ready();
    await claim(owner, registered);
    await until('its hello to be acknowledged', () => box.stats.sent > 0 && box.stats.acknowledged >= box.stats.sent);
    const { id: linkId, token } = await newLink(owner, registered.deviceId, 1);
    const opened = await tap(app.url, token);
    expect(opened.status).toBe(200);
    const id = opened.body.command_id ?? '';
    await box.stop();
    const trace = await until('the audit log has all of it', async () => {
      const ran = await cli(['unlock', 'trace', id.slice(0, 13)]);
      return ran.out.includes('✔ delivered') && ran;
    });
    expect(trace.out).toMatch(new RegExp(`^OPENED .* ${id}\n(.|\n)* ✔ request (.|\n)* ✔ asked .* allowed, use 1 of 1\n(.|\n)* ✔ confirmed (.|\n)*✔ The bolt moved \\d+ ms after it was asked for\\.`));
    const used = await cli(['link', 'explain', linkId]);
    expect(used.out).toMatch(/✖ refused: Access link has already been used \(link_used\)\n {2}since .* by UnlockRequested, courier .*\n {2}before that event: allowed\n(.|\n)*link\/uses +1 +UnlockRequested/);
    expect((await cli(['delivery', 'show', id])).out).toMatch(/State +opened\n(.|\n)*Use +counted\n/);
    expect((await cli(['unlock', 'why', id])).out).toMatch(/✔ allowed: (.|\n)*recorded: allowed, and the rules agree\n/);
  });

  test('is of accounts, links and openings too, and mistakes are told', async () => {
    const owner = await newOwner(app.url);
    expect((await cli(['user', 'show', owner.email, '--at', '0s'])).out).toMatch(new RegExp(`^${owner.email} +as it was at (.|\n)*State +active\n`));
    expect(await cli(['user', 'diff', owner.email, '--from', '0s'])).toMatchObject({ code: 0, said: 'Nothing changed.\n' });
    expect(await cli(['user', 'show', owner.email, '--at', '1d'])).toMatchObject({ code: 5, said: expect.stringMatching(/^✖ There was no such account yet: exists since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n/) as string });
    expect(await cli(['user', 'show', owner.email, '--at', 'tomorrow'])).toMatchObject({ code: 2, said: expect.stringContaining('tomorrow is no moment.') as string });
    expect(await cli(['user', 'show', owner.email, '--at', '2099-01-01'])).toMatchObject({ code: 2, said: expect.stringContaining('is in the future') as string });
    expect(await cli(['link', 'explain', '0198ffff'])).toMatchObject({ code: 5, said: expect.stringContaining('begins with 0198ffff') as string });
    expect(await cli(['delivery', 'show', 'what?'])).toMatchObject({ code: 2, said: expect.stringContaining('no id of an opening') as string });
    expect(await cli(['link', 'show', '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50'])).toMatchObject({ code: 5, said: expect.stringContaining('Access link not found') as string });
    expect(await cli(['unlock', 'trace', '4bf92f3577b34da6a3ce929d0e0e4736'])).toMatchObject({ code: 5 });
  });
});

describe('playback', () => {
  test('shows the past in its order with the states beside it, and what is wrong with what was asked', async () => {
    const [shown, listed] = [lines(await cli(['audit', 'playback', '--json'])), lines(await cli(['audit', 'list', '--limit', '1000', '--json']))];
    const frames = shown.filter(({ event }) => event === 'playback_frame') as unknown as { entry: { event_id: string; type: string }; states: { kind: string; state: object | null }[] }[];
    expect(frames.slice(0, listed.length).map(({ entry }) => entry.event_id)).toEqual(listed.map(({ event_id: id }) => id).slice(0, frames.length));
    expect(shown.at(-1)).toMatchObject({ event: 'playback_state', state: 'ended' });
    const registered = frames.find(({ entry }) => entry.type === 'UserRegistered');
    expect(registered?.states[0]).toMatchObject({ kind: 'user', state: { suspended: false } });
    expect((await cli(['audit', 'playback', '--type', 'UserRegistered', '--to', '2020-01-01T00:00:00Z'])).said).toContain('0 events.');
    const wrong: readonly (readonly [string, string, string])[] = [
      ['--speed', 'fast', 'is no speed'],
      ['--from', 'yesterday', 'is no moment'],
      ['--skip-idle', '-3', 'is a number of seconds'],
      ['--device', 'LB-NOWHERE', 'LB-NOWHERE'],
    ];
    for (const [option, value, said] of wrong) {
      const ran = await cli(['audit', 'playback', `${option}=${value}`]);
      expect([ran.out, ran.said], option).toEqual(['', expect.stringContaining(said)]);
      expect([2, 5], option).toContain(ran.code);
    }
    expect((await cli(['audit', 'playback', '--step'])).said).toContain('needs a terminal');
    expect((await cli(['audit', 'playback', '--help'])).out).toMatch(/projections\s+rebuild/);
  });
});

describe('accounts, rights and what happened', () => {
  test('are shown and changed', async () => {
    const owner = await newOwner(app.url);
    expect((await cli(['user', 'list', '--search', owner.email])).out).toContain('Test Owner');
    expect((await cli(['user', 'show', owner.email])).out).toMatch(/State\s+active/);
    expect(await cli(['user', 'suspend', owner.email, '--yes'])).toMatchObject({ code: 0, out: 'User account suspended\n' });
    expect((await owner.api.call('GET', '/auth/me')).status).toBe(403);
    expect(await cli(['user', 'activate', owner.userId])).toMatchObject({ code: 0 });
    expect(await cli(['admin', 'grant', owner.email, '--role', 'support', '--permission', 'devices:pin', '--yes'])).toMatchObject({ code: 0 });
    expect(lines(await cli(['api', 'GET', `/admin/admins/${owner.userId}`]))).toMatchObject([{ role: 'support', permissions: ['devices:pin'] }]);
    expect(await cli(['admin', 'revoke', owner.email, '--yes'])).toMatchObject({ code: 0, out: 'Administrator removed\n' });
    expect(await cli(['admin', 'revoke', root.email, '--yes'])).toMatchObject({ code: 3, said: expect.stringContaining('The last super_admin cannot be removed') as string });
    const audit = await cli(['audit', 'list', '--user', owner.email, '--limit', '4']);
    expect(audit.out).toMatch(/^(?:[0-9a-f]{8} {2}\d\d-\d\d [\d:]{8} {2}.+\n){4}$/);
    expect(audit.out).toMatch(/Administrator .+ revoked the administrator role of Test Owner {2}127\.0\.0\.1\n/);
    // Found by words, shown with what led to it, and by the beginning of its id.
    const [found] = lines(await cli(['audit', 'search', 'granted', 'test', 'owner', '--user', owner.email, '--json']));
    expect(found).toMatchObject({ event: 'audit', type: 'AdminRoleGranted', summary: expect.stringMatching(/granted Test Owner an administrator role: support$/) as string });
    const entry = await cli(['audit', 'show', String(found?.['event_id']).slice(0, 8)]);
    expect(entry.out).toMatch(/^Administrator .+ granted Test Owner an administrator role: support\n\nTime +2\d{3}(.|\n)*Account +[0-9a-f-]{36}(.|\n)*Details +\{/);
    expect(await cli(['audit', 'show', 'xyz'])).toMatchObject({ code: 2, said: expect.stringContaining('neither the id of an event') as string });
    expect(await cli(['audit', 'show', '00000000-0000-4000-8000-000000000000'])).toMatchObject({ code: 5 });
    expect(await cli(['audit', 'list', '--device', 'LB-NOT-THERE'])).toMatchObject({ code: 5, out: '' });
    expect(await cli(['audit', 'search', 'zeppelin'])).toMatchObject({ code: 0, out: '', said: '0 events\n' });
    expect(await cli(['api', 'GET', '/admin/nothing'])).toMatchObject({ code: 5 });
  });

  test('are a file to read, whole or not at all', async () => {
    const [csv, ndjson] = [join(folder, 'audit.csv'), join(folder, 'audit.ndjson')];
    expect(await cli(['audit', 'download', 'registered', '--out', csv])).toMatchObject({ code: 0, out: '', said: expect.stringMatching(/audit\.csv: \d+ kB of CSV/) as string });
    const text = readFileSync(csv, 'utf8');
    expect(text).toMatch(/^\u{feff}timestamp,summary,action,outcome,/u);
    expect(text.split('\r\n').slice(1, -1).every((line) => line.includes('registered'))).toBe(true);
    expect(statSync(csv).mode & 0o777).toBe(0o600);
    expect(await cli(['audit', 'download', '-o', csv])).toMatchObject({ code: 2, said: expect.stringContaining('exists already') as string });
    expect(await cli(['audit', 'download', '-o', join(folder, 'no/such.csv')])).toMatchObject({ code: 2, said: expect.stringContaining('no folder') as string });
    expect(await cli(['audit', 'download', '-o', ndjson])).toMatchObject({ code: 0 });
    const entries = readFileSync(ndjson, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line) as { summary: string });
    expect(entries[0]?.summary).toMatch(/^The log was started/);
    expect((await cli(['audit', 'download', '--format', 'ndjson', '--action', 'log_started'])).out.trimEnd().split('\n').map((line) => (JSON.parse(line) as { type: string }).type)).toEqual(['LogStarted']);
    expect(readdirSync(folder).filter((name) => name.endsWith('.part'))).toEqual([]);
    // That they left is in the log: by what each was narrowed, and nothing of what was typed.
    const left = () => cli(['audit', 'list', '--action', 'audit_export_started', '--json']);
    await until('the three of them', async () => (await left()).out.trimEnd().split('\n').length >= 3);
    const { out } = await left();
    expect(out).toContain('began to export the audit log as csv, narrowed by q');
    expect(out).toContain('began to export the audit log as ndjson, narrowed by action');
    expect(out.toLowerCase()).not.toContain('registered');
  });

  test('are followed as they happen', async () => {
    const { PATH = '', HOME = '' } = process.env;
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/loqey.js'), 'audit', 'tail', 'registered', '-n', '1', '--json'], { env: { PATH, HOME, XDG_CONFIG_HOME: folder, LOQEY_URL: app.url }, cwd: folder });
    try {
      const heard: string[] = [];
      child.stdout.on('data', (chunk: Buffer) => heard.push(...chunk.toString().trimEnd().split('\n')));
      await until('what was before', () => heard.length === 1);
      const boxes: string[] = [];
      for (let n = 0; n < 2; n++) {
        const { serialNumber } = await registerBox(root);
        boxes.push(serialNumber);
        await until('the next one', () => heard.some((line) => line.includes(serialNumber)));
      }
      expect(heard.slice(1).map((line) => (JSON.parse(line) as { serial_number: string }).serial_number)).toEqual(boxes);
    } finally {
      child.kill();
    }
    expect(await cli(['audit', 'tail', '-n', 'many'])).toMatchObject({ code: 2 });
    expect(await cli(['audit', 'tail'], undefined, { LOQEY_URL: 'http://127.0.0.1:1', LOQEY_TOKEN: 'x' })).toMatchObject({ code: 7 });
  });

  test('are counted, by day too', async () => {
    expect((await cli(['dashboard'])).out).toMatch(/Boxes +[\d,]+, \d+ of them active\nAccounts +\d+\nDeliveries today +\d+\nSystem +\w+\n/);
    const chart = await cli(['analytics', 'deliveries', '--from', '2020-11-01', '--to', '2020-11-03', '--tz', 'Europe/Istanbul']);
    expect(chart).toMatchObject({ code: 0, out: '2020-11-01  0\n2020-11-02  0\n2020-11-03  0\n', said: '0 completed of 0 that were tried.\n' });
    expect(lines(await cli(['analytics', 'deliveries', '--json']))[0]).toMatchObject({ event: 'deliveries', total_deliveries: expect.any(Number) as number });
    expect(await cli(['analytics', 'deliveries', '--tz', 'Mars/Olympus'])).toMatchObject({ code: 2, out: '' });
  });

  test('depend on parts that are looked at', async () => {
    const { code, out } = await cli(['system', 'health']);
    expect(out).toMatch(/PART +STATE +ANSWERS IN +DETAIL\ndatabase +healthy +[\d.]+ms(.|\n)*READ MODEL +STATE +BEHIND +LAST EVENT +ERROR\n(.|\n)*The API answers half of its requests in [\d.]+ms/);
    expect(code).toBe(/ (down|degraded|stopped) /.test(out) ? 1 : 0);
    expect(lines(await cli(['system', 'health', '--json']))).toMatchObject([{ event: 'health', database: 'healthy' }]);
    expect((await cli(['admin', 'roles'])).out).toMatch(/^super_admin\n {2}\S+:\S+\n/);
  });

  test('an account is copied and erased, and its receipt verified without a server', async () => {
    const owner = await newOwner(app.url);
    const [copy, receipt, key] = ['copy.json', 'receipt.json', 'key.pem'].map((name) => join(folder, name)) as [string, string, string];
    expect(await cli(['user', 'export', owner.email, '--out', copy])).toMatchObject({ code: 0 });
    expect(JSON.parse(readFileSync(copy, 'utf8'))).toMatchObject({ format: 'loqey-personal-data-1', account: { email: owner.email }, complete: true });
    expect(await cli(['user', 'erase', owner.email, '--ground', 'requested'])).toMatchObject({ code: 2, said: expect.stringContaining('--yes') as string });
    expect((await owner.api.call('GET', '/auth/me')).status).toBe(200);
    expect(await cli(['user', 'erase', owner.email, '--ground', 'requested', '--yes', '--out', receipt])).toMatchObject({ code: 0, out: expect.stringContaining('Backups hold the data until') as string });
    expect((await owner.api.call('GET', '/auth/me')).status).toBe(401);

    copyFileSync(join(app.config.dataDir, 'audit/public-key.pem'), key);
    expect(await cli(['receipt', 'verify', receipt, '--public-key', key])).toMatchObject({ code: 0, out: expect.stringMatching(new RegExp(`✔ (.|\\n)*user:${owner.userId}`)) as string });
    writeFileSync(receipt, readFileSync(receipt, 'utf8').replace('"boxes": 0', '"boxes": 3'));
    expect(lines(await cli(['receipt', 'verify', receipt, '--public-key', key, '--json']))).toMatchObject([{ event: 'verified', ok: false }]);
    expect(await cli(['receipt', 'verify', copy, '--public-key', key])).toMatchObject({ code: 2, said: expect.stringContaining('no receipt') as string });
  });

  test('every command says what it is for, with examples, before its flags', async () => {
    for (const name of [['device', 'list'], ['device', 'unlock'], ['user', 'suspend'], ['audit', 'tail'], ['audit', 'download'], ['audit', 'show'], ['admin', 'grant'], ['login'], ['api'], ['unlock', 'trace'], ['device', 'reprovision'], ['analytics', 'deliveries'], ['system', 'health']]) {
      const { code, out } = await cli([...name, '--help']);
      expect(code).toBe(0);
      expect(out.indexOf('Examples:'), name.join(' ')).toBeGreaterThan(0);
      expect(out.indexOf('Examples:')).toBeLessThan(out.indexOf('Options:'));
      expect(out).toContain('--json');
    }
  });

  test('signing out ends it', async () => {
    expect((await cli(['logout'])).code).toBe(0);
    expect((await cli(['whoami'])).code).toBe(4);
  });
});
