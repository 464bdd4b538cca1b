import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import pg from 'pg';
import { createClient } from '../support/api-client.ts';
import { embeddedPostgresUrl } from '../../src/platform/postgres/embedded.ts';
import { isAlive } from '../../src/platform/data-dir/processes.ts';
import { table } from '../../src/platform/config-table.ts';
import { cleanUp, dataFolder, finish, freePort, postgresPid, processesOf, run, startServerProcess, type Program } from '../support/server-process.ts';
import { until } from '../support/until.ts';

// What a person who starts, stops and breaks the server sees: real processes, the words on the screen, the exit codes.

afterAll(cleanUp);

const secretsOf = (folder: string) => Object.fromEntries(readdirSync(join(folder, 'secrets')).map((name) => [name, readFileSync(join(folder, 'secrets', name), 'utf8')]));
const logOf = (folder: string) => readdirSync(join(folder, 'logs')).map((name) => readFileSync(join(folder, 'logs', name), 'utf8')).join('');

const ready = (program: Program) => until('"Ready" on the screen', () => (program.stderr.includes('Ctrl+C stops it') ? true : undefined), 60_000);

/** Somebody else's program on a port. */
async function occupy(): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer();
  await new Promise<void>((settle) => server.listen({ port: 0, host: '127.0.0.1' }, settle));
  return { port: (server.address() as { port: number }).port, server };
}

describe('the first start and the second', () => {
  let folder: string;
  let port: number;
  let mqttPort: number;
  let password: string;
  let first: Program;

  beforeAll(async () => {
    folder = await dataFolder({ prepared: false });
    [port, mqttPort] = [await freePort(), await freePort()];
  });
  const settings = () => ({ DATA_DIR: folder, PORT: `${port}`, MQTT_BROKER_PORT: `${mqttPort}` });

  test('the first says where each thing listens, and the password it made', async () => {
    first = run(['start'], settings());
    await ready(first);
    const said = first.stderr;
    expect(said).toContain(`data ${folder} (new)`);
    for (const step of ['checks', 'event store', 'read models', 'relay', 'device broker']) expect(said).toMatch(new RegExp(`^  ✔ ${step} .* \\d+\\.\\d s$`, 'm'));
    expect(said).toContain(`  API               http://localhost:${port}/api/v1\n`);
    expect(said).toContain(`  Boxes connect to  mqtt://127.0.0.1:${mqttPort}\n`);
    expect(said).toContain(`  Log               ${join(folder, 'logs', 'loqey.log')}\n`);
    expect(said).toContain(`  Keys in ${join(folder, 'secrets')}: back this up:`);
    password = /First administrator, shown once: admin@example\.com {3}(\S+)/.exec(said)?.[1] ?? '';
    expect(password.length).toBeGreaterThan(10);
    expect(first.stdout).toBe('');
    const { access_token: token } = await createClient(`http://localhost:${port}`).post<{ access_token: string }>('/admin/auth/login', { email: 'admin@example.com', password });
    expect(token).toBeTruthy();
  });

  test('each line fits a terminal of 80 columns, but for what a long path makes of it', () => {
    const fixed = first.stderr.replaceAll(folder, './data');
    expect(fixed.split('\n').filter((line) => [...line].length > 80)).toEqual([]);
  });

  test('secrets are files that nobody else reads', () => {
    expect(statSync(join(folder, 'secrets')).mode & 0o077).toBe(0);
    for (const name of readdirSync(join(folder, 'secrets'))) expect(statSync(join(folder, 'secrets', name)).mode & 0o077).toBe(0);
    expect(Object.keys(secretsOf(folder)).sort()).toEqual(['audit-signing-key', 'data-key-master', 'postgres-password', 'secret-key']);
  });

  test('status says that it runs, how it is and how it is stopped', async () => {
    const { code, stdout } = await finish(['status'], settings());
    expect(code).toBe(0);
    expect(stdout).toContain(`Loqey runs on ${folder} (pid ${first.pid}, since `);
    expect(stdout).toContain(`http://localhost:${port}/api/v1`);
    expect(stdout).toMatch(/^database +healthy$/m);
    expect(stdout).toContain('Stop it: npm run stop');
  });

  test('commands get in beside a server whose pools are full', async () => {
    const url = (await embeddedPostgresUrl(folder)) ?? '';
    const others = Array.from({ length: 60 }, () => new pg.Client({ connectionString: url }));
    try {
      await Promise.all(others.map((client) => client.connect()));
      expect((await finish(['projections', 'status'], settings())).code).toBe(0);
    } finally {
      await Promise.all(others.map((client) => client.end()));
    }
  });

  test('a start beside it on the same port is not an error', async () => {
    const { code, stderr } = await finish(['start'], settings());
    expect(code).toBe(0);
    expect(stderr).toMatch(new RegExp(`^Loqey is already running here \\(pid ${first.pid}, since \\d\\d:\\d\\d\\)\\.\n.*Stop it: npm run stop\n$`));
  });

  test('a start beside it on another port is refused (11)', async () => {
    const other = `${await freePort()}`;
    const { code, stderr } = await finish(['start'], { ...settings(), PORT: other });
    expect(code).toBe(11);
    expect(stderr.replace(/since \d\d:\d\d/, 'since 09:02')).toBe(
      [
        `✖ The data folder ${folder} is in use by another Loqey (pid ${first.pid}, since 09:02).`,
        '  Two servers on one folder would damage it, so this one stopped.',
        '  See it:    npm run status        Stop it:   npm run stop',
        `  Use another folder:   DATA_DIR=./data2 PORT=${other} npm start`,
        '',
      ].join('\n'),
    );
  });

  test('Ctrl+C stops it, and nothing is left running', async () => {
    const postgres = postgresPid(folder) ?? 0;
    expect(isAlive(postgres)).toBe(true);
    first.signal('SIGINT');
    expect(await first.exited).toEqual({ code: 0, signal: null });
    expect(first.stderr).toMatch(/Stopping….*\nStopped\. Bye\.\n$/);
    expect(isAlive(postgres)).toBe(false);
    expect(processesOf(folder)).toEqual([]);
    expect(existsSync(join(folder, 'lock'))).toBe(false);
  });

  test('the second start says no password, and everything is still there', async () => {
    const secrets = secretsOf(folder);
    const second = run(['start'], settings());
    await ready(second);
    expect(second.stderr).not.toContain('First administrator');
    expect(second.stderr).not.toContain('Keys in');
    expect(second.stderr).not.toContain('(new)');
    expect(secretsOf(folder)).toEqual(secrets);
    await createClient(`http://localhost:${port}`).post('/admin/auth/login', { email: 'admin@example.com', password });

    // `loqey stop`, from anywhere else.
    const { code, stderr } = await finish(['stop'], settings());
    expect(code).toBe(0);
    expect(stderr).toBe(`Stopped (pid ${second.pid}).\n`);
    expect(await second.exited).toEqual({ code: 0, signal: null });
    expect(processesOf(folder)).toEqual([]);
  });

  test('no log file has the password', () => {
    expect(logOf(folder)).not.toContain(password);
    expect(logOf(folder)).toContain('"component"');
  });

  test('stopped: status says so (7), stop has nothing to do (0)', async () => {
    const status = await finish(['status'], settings());
    expect([status.code, status.stdout]).toEqual([7, `No Loqey runs on ${folder}.\nStart it: npm start\n`]);
    const stop = await finish(['stop'], settings());
    expect([stop.code, stop.stderr]).toEqual([0, `No Loqey runs on ${folder}: there is nothing to stop.\n`]);
  });

  test('a wrong DATA_KEY_MASTER stops the start and is named; nothing stays behind', async () => {
    const { code, stderr } = await finish(['start'], { ...settings(), DATA_KEY_MASTER: randomBytes(32).toString('base64url') });
    expect(code).toBe(1);
    expect(stderr).toContain('✖');
    expect(stderr).toContain('DATA_KEY_MASTER');
    expect(stderr).not.toMatch(/^ +at /m);
    expect(processesOf(folder)).toEqual([]);
    expect(existsSync(join(folder, 'lock'))).toBe(false);
  });

  test('data of a newer version is left alone (12)', async () => {
    const version = readFileSync(join(folder, 'version'), 'utf8').trim();
    writeFileSync(join(folder, 'version'), '99.4.0\n');
    const { code, stderr } = await finish(['start'], settings());
    writeFileSync(join(folder, 'version'), `${version}\n`);
    expect(code).toBe(12);
    expect(stderr).toBe(
      [
        `✖ ${folder} was written by Loqey 99.4.0; this is ${version}, which cannot read it.`,
        '  Nothing was changed.',
        '  Run the newer version:  npm install loqey@99.4   then  npm start',
        `  Or keep this one with a fresh folder:  DATA_DIR=./data-${version.split('.').slice(0, 2).join('.')} npm start`,
        '',
      ].join('\n'),
    );
    expect(existsSync(join(folder, 'lock'))).toBe(false);
  });

  test('reset sets the folder aside, and asks first', async () => {
    const asked = await finish(['reset'], settings());
    expect([asked.code, asked.stderr]).toEqual([2, '✖ To start over without a question:   npm run reset -- --yes\n']);
    expect(existsSync(folder)).toBe(true);

    const { code, stderr } = await finish(['reset', '--yes'], settings());
    expect(code).toBe(0);
    const aside = readdirSync(join(folder, '..')).find((name) => name.startsWith('data.old-'));
    expect(stderr).toContain(`${folder} is now ${join(folder, '..', aside ?? '?')}`);
    expect(existsSync(folder)).toBe(false);
    expect(readdirSync(join(folder, '..', aside ?? ''))).toContain('secrets');
    const again = await finish(['reset', '--yes'], settings());
    expect([again.code, again.stderr]).toEqual([0, `No Loqey runs on ${folder}: there is nothing to stop.\nThere is no ${folder}: nothing to reset.\n`]);
  });
});

describe('a server that was killed', () => {
  let folder: string;
  const settings = () => ({ DATA_DIR: folder, PORT: '0', MQTT_BROKER_PORT: '0', ADMIN_EMAIL: 'admin@example.com', ADMIN_PASSWORD: 'correct horse battery' });

  beforeAll(async () => {
    folder = await dataFolder();
  });

  test('its database server lives on, and the next start takes it over and says what happened', async () => {
    const killed = await startServerProcess(settings());
    const postgres = postgresPid(folder) ?? 0;
    killed.signal('SIGKILL');
    await killed.exited;
    expect(isAlive(postgres)).toBe(true);

    const next = run(['start'], settings());
    await ready(next);
    expect(next.stderr).toContain(`The last run ended without closing (pid ${killed.pid} is gone).`);
    expect(postgresPid(folder)).toBe(postgres);
    next.signal('SIGTERM');
    expect(await next.exited).toEqual({ code: 0, signal: null });
    expect(isAlive(postgres)).toBe(false);
    expect(processesOf(folder)).toEqual([]);
  });

  test('with its database server killed as well, it starts all the same', async () => {
    const killed = await startServerProcess(settings());
    killed.signal('SIGKILL');
    process.kill(postgresPid(folder) ?? 0, 'SIGKILL');
    await killed.exited;
    const next = await startServerProcess(settings());
    await createClient(next.url).post('/admin/auth/login', { email: 'admin@example.com', password: 'correct horse battery' });
    next.signal('SIGTERM');
    await next.exited;
    expect(processesOf(folder)).toEqual([]);
  });

  test('Ctrl+C in the middle of a start leaves nothing running', async () => {
    const program = run(['start', '--json'], settings());
    await until('the database server to be there', () => processesOf(folder).length > 0);
    program.signal('SIGINT');
    expect(await program.exited).toEqual({ code: 130, signal: null });
    expect(processesOf(folder)).toEqual([]);
    expect(existsSync(join(folder, 'lock'))).toBe(false);
  });

  test('PORT=0 takes any free port, in the JSON as on the screen', async () => {
    const server = await startServerProcess(settings());
    expect(server.url).toMatch(/^http:\/\/localhost:[1-9]\d*$/);
    expect(server.mqtt).toMatch(/^mqtt:\/\/127\.0\.0\.1:[1-9]\d*$/);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    expect(server.events.at(-1)).toMatchObject({ event: 'ready', pid: server.pid, data: folder });
    expect(server.stderr).toBe('');
    server.signal('SIGTERM');
    await server.exited;
    expect(server.events.at(-1)).toEqual({ event: 'stopped' });
  });
});

describe('what stops a start before it begins', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await dataFolder({ prepared: false });
  });

  test.each([
    [['strat'], "error: unknown command 'strat'\n(Did you mean start?)\n(help: loqey --help)\n"],
    [['devcie', 'list'], "error: unknown command 'devcie'\n(Did you mean device?)\n(help: loqey --help)\n"],
    [['device', 'shw'], "error: unknown command 'shw'\n(Did you mean show?)\n(help: loqey device --help)\n"],
    [['device', 'list', '--onlien'], "error: unknown option '--onlien'\n(Did you mean --online?)\n(help: loqey device list --help)\n"],
    [['admin', 'create', 'ana'], '✖ ana is no e-mail address. Nothing was changed.\n  loqey admin create ana@example.com\n'],
  ])('a slip of the keyboard: loqey %s', async (args, words) => {
    expect(await finish(args, { DATA_DIR: folder })).toMatchObject({ code: 2, stdout: '', stderr: words });
    expect(existsSync(folder)).toBe(false);
  });

  test('--help says how loqey is typed where nothing is installed', async () => {
    const { code, stdout } = await finish(['--help'], { DATA_DIR: folder });
    expect(code).toBe(0);
    expect(stdout).toContain("alias loqey='npm run --silent loqey --'");
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  test('a port that another program has (10), in exact words', async () => {
    const { port, server } = await occupy();
    const { code, stderr } = await finish(['start'], { DATA_DIR: folder, PORT: `${port}`, MQTT_BROKER_PORT: '0' });
    server.close();
    expect(code).toBe(10);
    const free = /PORT=(\d+) npm start/.exec(stderr)?.[1];
    expect(stderr).toBe(
      [
        `✖ Port ${port} is in use by "${basename(process.execPath)}" (pid ${process.pid}, ${process.cwd()}).`,
        '  Nothing was started and no data was changed.',
        `  Use another port:   PORT=${free} npm start`,
        `  Or stop that one:   kill ${process.pid}`,
        '',
      ].join('\n'),
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test('the port of the broker, named by its setting', async () => {
    const { port, server } = await occupy();
    const { code, stderr } = await finish(['start'], { DATA_DIR: folder, PORT: '0', MQTT_BROKER_PORT: `${port}` });
    server.close();
    expect(code).toBe(10);
    expect(stderr).toMatch(/Use another port: {3}MQTT_BROKER_PORT=\d+ npm start/);
  });

  test('wrong settings are named, all of them, and what may hold a password is not repeated (2)', async () => {
    const wrong = { PORT: 'eighty', UNLOCK_TTL_SECONDS: '31', DATABASE_URL: 'mysql://somewhere', LOG_LEVEL: 'LOUD', MQTT_BROKR_PORT: '1' };
    const { code, stderr } = await finish(['start'], { DATA_DIR: folder, ...wrong });
    expect(code).toBe(2);
    for (const name of Object.keys(wrong)) expect(stderr).toMatch(new RegExp(`^✖ ${name} `, 'm'));
    expect(stderr).toContain('Did you mean MQTT_BROKER_PORT?');
    expect(stderr).toContain('Nothing was started and no data was changed.');
    expect(stderr).not.toContain('mysql://somewhere');
    expect(existsSync(join(folder, 'postgres'))).toBe(false);
  });

  test('the same in JSON', async () => {
    const { code, stdout } = await finish(['start', '--json'], { DATA_DIR: folder, BCRYPT_ROUNDS: '99' });
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ event: 'failed', exit_code: 2, message: expect.stringContaining('✖ BCRYPT_ROUNDS') as string });
  });

  test('a log that cannot be written', async () => {
    const { code, stderr } = await finish(['start'], { DATA_DIR: folder, PORT: '0', MQTT_BROKER_PORT: '0', LOG_FILE_PATH: folder });
    expect(code).toBe(13);
    expect(stderr).toContain(`✖ The log ${folder} cannot be written`);
    expect(stderr).toContain('LOG_FILE_PATH=');
  });

  test('--help lists every setting', async () => {
    const { code, stdout } = await finish(['start', '--help'], {});
    expect(code).toBe(0);
    const missing = Object.values(table).map(({ env }) => env).filter((env) => !new RegExp(`^  ${env} `, 'm').test(stdout));
    expect(missing).toEqual([]);
    expect(stdout.split('\n').filter((line) => [...line].length > 100)).toEqual([]);
  });

  test('a command that there is not', async () => {
    const { code, stderr } = await finish(['strat'], {});
    expect(code).toBe(2);
    expect(stderr).toContain('loqey --help');
  });
});
