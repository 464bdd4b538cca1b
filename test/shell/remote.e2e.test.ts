import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type RunningApp } from '../support/app.ts';
import { newOwner, signInAdmin, type Person } from '../support/people.ts';

/** The command line as a person uses it, against a whole server. */
let app: RunningApp;
let root: Person;
let folder: string;
beforeAll(async () => {
  app = await startApp();
  root = await signInAdmin(app.url, app.admin);
  folder = mkdtempSync(join(tmpdir(), 'loqey-cli-'));
  await cli(['login', app.admin.email, '--password-stdin'], `${app.admin.password}\n`);
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await app.stop();
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly said: string;
}

function cli(args: readonly string[], input = '', environ: Record<string, string> = {}): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const { PATH = '', HOME = '' } = process.env;
    const child = spawn(process.execPath, [join(import.meta.dirname, '../../src/main.ts'), ...args], { env: { PATH, HOME, XDG_CONFIG_HOME: folder, LOQEY_URL: app.url, DATA_DIR: join(folder, 'none'), ...environ }, cwd: folder });
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
    expect(await cli(['login', app.admin.email], '', { LOQEY_PASSWORD: 'wrong one', XDG_CONFIG_HOME: join(folder, 'x') })).toMatchObject({ code: 3, said: expect.stringContaining('✖ Invalid email or password') as string });
    expect(await cli(['device', 'list'], '', { XDG_CONFIG_HOME: join(folder, 'x') })).toMatchObject({ code: 4, out: '', said: expect.stringContaining('loqey login') as string });
    expect(await cli(['device', 'list'], '', { LOQEY_URL: 'http://127.0.0.1:1', LOQEY_TOKEN: 'x' })).toMatchObject({ code: 7 });
    expect((await cli(['device', 'list'], '', { LOQEY_TOKEN: root.token })).code).toBe(0);
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
    expect(audit.out).toMatch(/TIME \(UTC\) +ACTION +OUTCOME +WHO +BOX +FROM\n(.+\n)+.* admin_role_revoked +accepted +admin@example.com/);
    expect(await cli(['api', 'GET', '/admin/nothing'])).toMatchObject({ code: 5 });
  });

  test('every command says what it is for, with examples, before its flags', async () => {
    for (const name of [['device', 'list'], ['device', 'unlock'], ['user', 'suspend'], ['audit', 'tail'], ['admin', 'grant'], ['login'], ['api'], ['unlock', 'trace']]) {
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
