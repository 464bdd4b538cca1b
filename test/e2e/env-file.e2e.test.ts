import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const main = new URL('../../src/loqey.js', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'loqey-env-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('takes settings from .env in the working folder; the environment goes before it', () => {
  writeFileSync(join(folder, '.env'), 'PORT=8123\nLOG_LEVEL=DEBUG\n');
  const said = execFileSync(process.execPath, [main, 'config', 'print'], { cwd: folder, env: { PATH: process.env['PATH'], PORT: '8124' }, encoding: 'utf8' });
  expect(said).toMatch(/^PORT=8124$/m);
  expect(said).toMatch(/^LOG_LEVEL=DEBUG$/m);
});
