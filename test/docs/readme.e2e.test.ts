import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { cleanUp, dataFolder, startServerProcess } from '../support/server-process.ts';

const root = join(import.meta.dirname, '../..');
afterAll(cleanUp);

it('"Open a box yourself" does what the README says', { timeout: 120_000 }, async () => {
  const [, block = ''] = /```bash\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? [];
  const server = await startServerProcess({
    DATA_DIR: await dataFolder(),
    PORT: '0',
    MQTT_BROKER_PORT: '0',
    ADMIN_EMAIL: 'admin@example.com',
    ADMIN_PASSWORD: 'a password of this test',
  });
  const script = block.replace('http://localhost:8000/', `${server.url}/`).replace('what npm start printed', 'a password of this test');
  expect(script).not.toBe(block);

  const shell = spawn('bash', ['-euc', script], { cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  shell.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  shell.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise((resolve) => shell.once('exit', resolve));
  process.kill(-shell.pid!); // the simulated box, which goes on
  server.signal('SIGTERM');
  await server.exited;

  expect([code, said]).toEqual([0, expect.stringContaining('"message":"Device unlocked successfully"')]);
  for (const part of ['Device assigned successfully', '"is_valid":true', 'Access link has already been used', '"delivery_person_name":"Jo"', 'UnlockConfirmed']) {
    expect(said).toContain(part);
  }
});
