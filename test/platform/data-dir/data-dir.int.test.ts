import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { notEnoughSpace, openDataDir } from '../../../src/platform/data-dir/data-dir.ts';
import { lockFolder, lockHolder } from '../../../src/platform/data-dir/lock.ts';
import { PortTaken, requireFreePorts } from '../../../src/platform/data-dir/ports.ts';
import { secretsOf } from '../../../src/platform/config.ts';
import { loadSecrets, SecretMissing } from '../../../src/platform/data-dir/secrets.ts';
import { StartFailure } from '../../../src/platform/data-dir/start-failure.ts';

let dataDir: string;
let children: ChildProcess[] = [];

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'loqey-data-'));
});
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  children = [];
  rmSync(dataDir, { recursive: true, force: true });
});

async function runningElsewhere(port: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'lock-holder.ts'), dataDir, `${port}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

async function failureOf(attempt: Promise<unknown>): Promise<StartFailure> {
  const failure = await attempt.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(StartFailure);
  return failure as StartFailure;
}

describe('the lock', () => {
  it('stops a second program with another port (11), and tells one with the same port that it already runs (0)', async () => {
    const holder = await runningElsewhere(8_000);
    const locked = await failureOf(lockFolder({ dataDir, port: 8_010 }));
    expect(locked.exitCode).toBe(11);
    expect(locked.lines).toEqual([
      expect.stringMatching(new RegExp(`^✖ The data folder ${dataDir} is in use by another Loqey \\(pid ${holder.pid}, since \\d\\d:\\d\\d\\)\\.$`)),
      '  Two servers on one folder would damage it, so this one stopped.',
      '  See it:    npm run status        Stop it:   npm run stop',
      '  Use another folder:   DATA_DIR=./data2 PORT=8010 npm start',
    ]);
    const running = await failureOf(lockFolder({ dataDir, port: 8_000 }));
    expect(running.exitCode).toBe(0);
    expect(running.lines[0]).toMatch(new RegExp(`^Loqey is already running here \\(pid ${holder.pid}, since \\d\\d:\\d\\d\\)\\.$`));
    expect(running.lines[1]).toContain('http://localhost:8000');
    expect(await lockHolder(dataDir)).toMatchObject({ pid: holder.pid, url: 'http://localhost:8000' });
  });

  it('of a killed program is taken over, and says whose it was', async () => {
    const holder = await runningElsewhere(8_000);
    holder.kill('SIGKILL');
    await once(holder, 'exit');
    expect(await lockHolder(dataDir)).toBeUndefined();
    const lock = await lockFolder({ dataDir, port: 8_000 });
    expect(lock.abandonedBy?.pid).toBe(holder.pid);
    await lock.release();
    expect(readdirSync(dataDir)).toEqual([]);
  });

  it('whose pid another program has by now is taken over', async () => {
    const lock = await lockFolder({ dataDir, port: 8_000 });
    const written = JSON.parse(readFileSync(join(dataDir, 'lock'), 'utf8')) as object;
    await lock.release();
    writeFileSync(join(dataDir, 'lock'), JSON.stringify({ ...written, token: 'other', startMark: 'another boot:1' }));
    const taken = await lockFolder({ dataDir, port: 8_000 });
    expect(taken.abandonedBy).toBeDefined();
    await taken.release();
  });

  it('of another host is never taken, dead or alive', async () => {
    await lockFolder({ dataDir, port: 8_000, host: 'container-7' });
    const failure = await failureOf(lockFolder({ dataDir, port: 8_000 }));
    expect(failure.exitCode).toBe(11);
    expect(failure.lines[0]).toContain('on container-7');
    expect(failure.lines.join('\n')).toContain(`rm ${join(dataDir, 'lock')}`);
  });

  it('goes to exactly one of many that start at once, also over an abandoned one', async () => {
    const dead = { pid: 2 ** 22 - 1, since: new Date().toISOString(), port: 1, token: 'dead', host: (await import('node:os')).hostname() };
    for (const before of [undefined, JSON.stringify(dead)]) {
      if (before !== undefined) writeFileSync(join(dataDir, 'lock'), before);
      const attempts = await Promise.allSettled(Array.from({ length: 20 }, () => lockFolder({ dataDir, port: 8_000 })));
      const got = attempts.filter((attempt) => attempt.status === 'fulfilled');
      expect(got).toHaveLength(1);
      await got[0]?.value.release();
      expect(readdirSync(dataDir)).toEqual([]);
    }
  });

  it('that is not its own any more is left alone', async () => {
    const lock = await lockFolder({ dataDir, port: 8_000 });
    writeFileSync(join(dataDir, 'lock'), JSON.stringify({ pid: 1, host: 'x', token: 'somebody' }));
    await lock.release();
    lock.releaseNow();
    expect(existsSync(join(dataDir, 'lock'))).toBe(true);
  });

  it('that holds rubbish is replaced once it is old', async () => {
    writeFileSync(join(dataDir, 'lock'), '{"pid": 1');
    const past = new Date(Date.now() - 60_000);
    (await import('node:fs')).utimesSync(join(dataDir, 'lock'), past, past);
    const lock = await lockFolder({ dataDir, port: 8_000 });
    await lock.release();
  });
});

describe('the data folder', () => {
  const open = (programVersion = '1.2.0', folder = dataDir) => openDataDir({ dataDir: folder, programVersion, port: 8_000 });

  it('is made, opened, released and known again', async () => {
    const folder = join(dataDir, 'a', 'b');
    const first = await open('1.2.0', folder);
    expect(first).toMatchObject({ isNew: true, upgradeFrom: undefined, abandonedBy: undefined });
    expect(first.freeBytes).toBeGreaterThan(0);
    await first.recordVersion();
    await first.release();
    const second = await open('1.3.0', folder);
    expect(second).toMatchObject({ isNew: false, upgradeFrom: '1.2.0' });
    await second.release();
  });

  it('of a newer program is not opened (12), and stays unlocked; a newer patch is', async () => {
    writeFileSync(join(dataDir, 'version'), '1.4.0\n');
    const failure = await failureOf(open('1.2.0'));
    expect(failure.exitCode).toBe(12);
    expect(failure.lines).toEqual([
      `✖ ${dataDir} was written by Loqey 1.4.0; this is 1.2.0, which cannot read it.`,
      '  Nothing was changed.',
      '  Run the newer version:  npm install loqey@1.4   then  npm start',
      '  Or keep this one with a fresh folder:  DATA_DIR=./data-1.2 npm start',
    ]);
    expect(readdirSync(dataDir)).toEqual(['version']);
    writeFileSync(join(dataDir, 'version'), '1.2.9\n');
    await (await open('1.2.0')).release();
  });

  it('that cannot be written stops the start (13)', async () => {
    writeFileSync(join(dataDir, 'file'), '');
    const failure = await failureOf(open('1.2.0', join(dataDir, 'file', 'data')));
    expect(failure.exitCode).toBe(13);
    expect(failure.lines[0]).toContain('cannot be written');
  });

  it('on a full disk says how much is free and needed', () => {
    expect(notEnoughSpace('./data', 43_000_000)[0]).toBe('✖ Only 41 MB are free where ./data is; Loqey needs 200 MB to start.');
  });
});

describe('ports', () => {
  it('taken by another program are named with it and with a free one (10)', async () => {
    const child = spawn(process.execPath, ['-e', `const s = require('net').createServer().listen(0, '127.0.0.1', () => console.log(s.address().port))`], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: dataDir,
    });
    children.push(child);
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const port = Number(line.toString());
    const failure = await failureOf(requireFreePorts([{ env: 'PORT', port, host: '127.0.0.1' }]));
    expect(failure).toBeInstanceOf(PortTaken);
    expect(failure.exitCode).toBe(10);
    const freePort = (failure as PortTaken).freePort;
    expect(freePort).toBeGreaterThan(port);
    const known = process.platform === 'linux';
    expect(failure.lines[0]).toMatch(known ? new RegExp(`^✖ Port ${port} is in use by ".+" \\(pid ${child.pid}, ${dataDir}\\)\\.$`) : /is in use by/);
    expect(failure.lines[1]).toBe('  Nothing was started and no data was changed.');
    expect(failure.lines[2]).toBe(`  Use another port:   PORT=${freePort} npm start`);
    if (known) expect(failure.lines[3]).toBe(`  Or stop that one:   kill ${child.pid}`);
  });

  it('that are free stay free', async () => {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    const wanted = [{ env: 'PORT', port, host: '127.0.0.1' }];
    await requireFreePorts(wanted);
    await requireFreePorts(wanted);
  });

  it('on an address that this machine does not have say so', async () => {
    const failure = await failureOf(requireFreePorts([{ env: 'PORT', port: 8_000, host: '192.0.2.1' }]));
    expect(failure.lines[0]).toMatch(/cannot listen on 192\.0\.2\.1/);
  });
});

describe('secrets', () => {
  const none = { secretKey: undefined, dataKeyMaster: undefined, auditSigningKey: undefined };
  const all = secretsOf(['api', 'projector', 'worker', 'bridge']);

  it('are only those that the roles need: a bridge holds none', async () => {
    expect(await loadSecrets({ dataDir, given: none, needed: secretsOf(['bridge']), mayMake: false })).toMatchObject({ ...none, made: [] });
    const given = { ...none, secretKey: 'k'.repeat(32) };
    expect(await loadSecrets({ dataDir, given, needed: secretsOf(['bridge']), mayMake: true })).toMatchObject({ ...none, made: [] });
    expect((await loadSecrets({ dataDir, given: none, needed: secretsOf(['projector']), mayMake: true })).made).toEqual(['DATA_KEY_MASTER']);
    expect(secretsOf(['worker'])).not.toContain('secretKey');
    expect(secretsOf(['api'])).not.toContain('auditSigningKey');
  });

  it('are made once, readable by the owner only', async () => {
    const first = await loadSecrets({ dataDir, given: none, needed: all, mayMake: true });
    expect(first.made).toEqual(['SECRET_KEY', 'DATA_KEY_MASTER', 'AUDIT_SIGNING_KEY']);
    expect(first.dataKeyMaster).toHaveLength(32);
    expect(Buffer.byteLength(first.secretKey ?? '')).toBeGreaterThanOrEqual(32);
    expect(statSync(first.folder).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(first.folder)) expect(statSync(join(first.folder, name)).mode & 0o777).toBe(0o600);
    const second = await loadSecrets({ dataDir, given: none, needed: all, mayMake: true });
    expect(second).toEqual({ ...first, made: [] });
  });

  it('given ones win, and nothing is written for them', async () => {
    const given = { secretKey: 'k'.repeat(32), dataKeyMaster: Buffer.alloc(32, 1), auditSigningKey: Buffer.alloc(32, 2) };
    expect(await loadSecrets({ dataDir, given, needed: all, mayMake: false })).toMatchObject({ ...given, made: [] });
    expect(readdirSync(dataDir)).toEqual([]);
  });

  it('are not made in production', async () => {
    await expect(loadSecrets({ dataDir, given: none, needed: all, mayMake: false })).rejects.toThrow(SecretMissing);
    await expect(loadSecrets({ dataDir, given: none, needed: all, mayMake: false })).rejects.toThrow(/^SECRET_KEY must be set/);
  });

  it('that are damaged stop the start instead of being replaced; open permissions are closed', async () => {
    const { folder } = await loadSecrets({ dataDir, given: none, needed: all, mayMake: true });
    const path = join(folder, 'data-key-master');
    chmodSync(path, 0o644);
    await loadSecrets({ dataDir, given: none, needed: all, mayMake: true });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    writeFileSync(path, 'half');
    await expect(loadSecrets({ dataDir, given: none, needed: all, mayMake: true })).rejects.toThrow(/data-key-master does not hold a DATA_KEY_MASTER/);
    expect(readFileSync(path, 'utf8')).toBe('half');
  });
});
