import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCli } from '../../src/cli.ts';
import { newId } from '../../src/platform/ids.ts';
import { projectionsCancel, projectionsPerform, projectionsShow, projectionsSkip, projectionsStatus } from '../../src/shell/projections.ts';
import { createTerminal } from '../../src/shell/terminal.ts';
import { startReadSide, type ReadSide } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';

let postgres: TestPostgres;
let side: ReadSide;
let folder: string;
let options: { readonly environ: Record<string, string>; readonly version: string };
const never = new AbortController().signal;

beforeAll(async () => {
  postgres = await startPostgres();
  side = await startReadSide(postgres);
  folder = mkdtempSync(join(tmpdir(), 'loqey-test-projections-'));
  options = { environ: { DATABASE_URL: side.db.url, DATA_DIR: folder, DATA_KEY_MASTER: randomBytes(32).toString('hex') }, version: '0.0.0-test' };
  const deviceId = newId();
  const data = { deviceId, serialNumber: deviceId, model: 'm', profile: 'loqey', keyVersion: 1, pin: '1', pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } as const;
  await side.happened(`device-${deviceId}`, [{ type: 'DeviceRegistered', data }]);
});
afterAll(async () => {
  await side?.stop();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What a command writes in a terminal of so many columns, and its exit code or what it throws. */
async function said(work: (terminal: ReturnType<typeof createTerminal>) => Promise<number>, { json = false, columns = 80 } = {}): Promise<{ out: string; err: string; code: number }> {
  const texts = { out: '', err: '' };
  const into = (name: 'out' | 'err') => {
    const stream = new Writable({
      write(chunk: Buffer, _encoding, done) {
        texts[name] += chunk.toString();
        done();
      },
    });
    return Object.assign(stream, { isTTY: name === 'out', columns });
  };
  const terminal = createTerminal({ json, stdout: into('out'), stderr: into('err'), color: false });
  try {
    return { code: await work(terminal), ...texts };
  } catch (error) {
    const { exitCode, message } = error as { exitCode: number; message: string };
    return { code: exitCode, out: texts.out, err: message };
  }
}

describe('loqey projections', () => {
  it('shows how far each is, on a narrow screen and for programs', async () => {
    const { out, code } = await said((terminal) => projectionsStatus(options, terminal));
    expect(code).toBe(0);
    expect(out).toMatch(/^READ MODEL +STATE +POSITION +LAG +GENERATION +LAST EVENT +SIZE\n/);
    expect(out).toMatch(/devices +live +\d+ +- +1 /);
    expect(Math.max(...out.split('\n').map(({ length }) => length))).toBeLessThanOrEqual(80);
    const lines = (await said((terminal) => projectionsStatus(options, terminal), { json: true })).out.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toHaveLength(side.projections.length);
    expect(lines.find(({ name }) => name === 'devices')).toMatchObject({ event: 'projection', state: 'running', behind: 0, lag_seconds: 0, generation: 1, generations: [{ state: 'active' }] });
    expect(await said((terminal) => projectionsShow(options, 'weather', terminal))).toMatchObject({ code: 5, err: expect.stringContaining('There are: activity, audit') as unknown });
  });

  it('rebuilds, compares, switches and goes back, each with words and an exit code', async () => {
    const perform = (action: 'rebuild' | 'compare' | 'switch' | 'rollback', asked = {}, name = 'devices') => said((terminal) => projectionsPerform(options, name, action, asked, terminal, never), { columns: 120 });
    expect(await perform('rollback')).toMatchObject({ code: 3, err: 'devices has no former generation to go back to: they are kept for 24 hours.' });
    const kept = await perform('rebuild', { switch: false, compare: true });
    expect(kept).toMatchObject({ code: 0, err: expect.stringContaining('loqey projections switch <name>') as unknown });
    expect(kept.out).toMatch(/devices: generation 1 \(version \d+\) and 2 \(version \d+\) at position \d+: the same/);
    expect((await said((terminal) => projectionsShow(options, 'devices', terminal))).out).toMatch(/State +live; 2 waits to be switched to/);
    expect(await perform('switch')).toMatchObject({ code: 0 });
    expect(await perform('rollback')).toMatchObject({ code: 0 });
    const { rows } = await side.db.pool.query<{ schema: string }>(`SELECT format('read_devices_%s_%s', version, generation) AS schema FROM work.projections WHERE name = 'devices'`);
    await side.db.pool.query(`UPDATE ${rows[0]?.schema}.devices SET owner_id = gen_random_uuid()`);
    const differs = await perform('rebuild', { compare: true });
    expect(differs).toMatchObject({ code: 3, err: expect.stringContaining('--accept-differences') as unknown });
    expect(differs.out).toMatch(/devices [0-9a-f-]{36}: owner_id/);
    expect(await perform('switch', { acceptDifferences: true })).toMatchObject({ code: 0 });
    expect(await perform('switch', { generation: 9 })).toMatchObject({ code: 3, err: 'devices has no generation 9: it was dropped, or never was.' });
    expect(await perform('rebuild', {}, 'weather')).toMatchObject({ code: 5 });
    const asked = await side.reads.audit.list({ types: ['ProjectionActionRequested'] }, { limit: 20, offset: 0 });
    expect(new Set(asked.rows.map(({ actorKind }) => actorKind))).toEqual(new Set(['system']));
    expect(asked.rows.length).toBeGreaterThanOrEqual(5);
  });

  it('skips and takes back nothing that there is not', async () => {
    expect(await said((terminal) => projectionsSkip(options, 'devices', { position: '3', reason: 'why not' }, terminal))).toMatchObject({ code: 3, err: 'devices does not stand before position 3. It is not stopped.' });
    expect(await said((terminal) => projectionsSkip(options, 'devices', { position: 'three', reason: 'x' }, terminal))).toMatchObject({ code: 2 });
    expect(await said((terminal) => projectionsSkip(options, 'devices', { position: '3', reason: ' ' }, terminal))).toMatchObject({ code: 2 });
    expect(await said((terminal) => projectionsCancel(options, 'devices', terminal))).toMatchObject({ code: 3, err: 'Nothing waits or runs for devices.' });
  });

  it('has help with an example for every command', async () => {
    const written: string[] = [];
    const write = process.stdout.write.bind(process.stdout);
    for (const name of ['rebuild', 'compare', 'switch', 'rollback', 'cancel', 'skip']) {
      process.stdout.write = (text: string | Uint8Array) => (written.push(String(text)), true);
      try {
        expect(await createCli(options).run(['projections', name, '--help'])).toBe(0);
      } finally {
        process.stdout.write = write;
      }
      expect(written.splice(0).join('')).toContain(`loqey projections ${name} `);
    }
  });
});
