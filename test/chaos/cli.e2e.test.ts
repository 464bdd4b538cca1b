import { execFile } from 'node:child_process';
import { expect, test } from 'vitest';

const program = new URL('../../chaos/main.ts', import.meta.url).pathname;
const chaos = (...args: readonly string[]) =>
  new Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>((resolve) => {
    execFile(process.execPath, [program, ...args], (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }));
  });

test('chaos says how it is used, and what it can do', async () => {
  const help = await chaos('--help');
  expect([help.code, help.stdout]).toEqual([0, expect.stringContaining('npm run chaos -- --faults 500')]);
  const list = await chaos('--list');
  expect(list.stdout).toContain('kill -9 of a process');
  expect(list.stdout).toMatch(/I1 .*2xx/);
  expect(help.stdout.split('\n').filter((line) => line.length > 120)).toEqual([]);
});

test.each([
  [['--set', 'cloud'], 'there are embedded and engines'],
  [['--faults', 'many'], '--faults many is not a number'],
  [['--sed', '1'], '--sed'],
  [['--only', 'no such fault'], 'No fault has any of no such fault in its name'],
] as const)('chaos %j is a mistake that is named (2)', async (args, words) => {
  const { code, stderr } = await chaos(...args);
  expect([code, stderr]).toEqual([2, expect.stringContaining(words)]);
});
