import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLogFile } from '../../src/shell/log-file.ts';
import { until } from '../support/until.ts';

const DAY_MS = 86_400_000;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'loqey-log-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (over: Partial<Parameters<typeof openLogFile>[0]> = {}) => openLogFile({ path: join(folder, 'loqey.log'), rotateAtBytes: 1_000, keepDays: 30, ...over });
const ended = () => readdirSync(folder).filter((name) => name !== 'loqey.log').sort();
const lines = (name: string) => readFileSync(join(folder, name), 'utf8').split('\n').filter((line) => line !== '');

describe('the log file', () => {
  test('every line is there, once and in order, over rotations', async () => {
    const log = await open();
    const written = Array.from({ length: 200 }, (_, index) => `line ${index} ${'.'.repeat(20)}`);
    for (const [index, line] of written.entries()) {
      log.write(`${line}\n`);
      if (index % 10 === 9) await new Promise((resolve) => setImmediate(resolve));
    }
    await log.close();
    expect(ended().length).toBeGreaterThan(0);
    const numbered = (name: string) => Number(name.split('.').at(-2));
    expect([...ended().sort((a, b) => numbered(a) - numbered(b)), 'loqey.log'].flatMap(lines)).toEqual(written);
  });

  test('a new start goes on in the same file, and begins another when that one is full', async () => {
    const first = await open();
    first.write('of the first run\n');
    await first.close();
    const second = await open();
    second.write('of the second run\n');
    await second.close();
    expect(lines('loqey.log')).toEqual(['of the first run', 'of the second run']);
    expect(ended()).toEqual([]);

    writeFileSync(join(folder, 'loqey.log'), `${'x'.repeat(2_000)}\n`);
    const third = await open();
    third.write('of the third run\n');
    await third.close();
    expect(lines('loqey.log')).toEqual(['of the third run']);
    expect(ended()).toHaveLength(1);
  });

  test('a file of an earlier day is ended at the start', async () => {
    writeFileSync(join(folder, 'loqey.log'), 'of yesterday\n');
    const yesterday = (Date.now() - DAY_MS) / 1_000;
    utimesSync(join(folder, 'loqey.log'), yesterday, yesterday);
    const log = await open();
    log.write('of today\n');
    await log.close();
    expect(lines('loqey.log')).toEqual(['of today']);
    expect(ended()).toEqual([`loqey-${new Date(yesterday * 1_000).toISOString().slice(0, 10)}.1.log`]);
    expect(ended().flatMap(lines)).toEqual(['of yesterday']);
  });

  test('files older than the days they are kept go, and nothing else does', async () => {
    const old = 'loqey-2026-01-01.1.log';
    const recent = 'loqey-2026-01-02.1.log';
    const foreign = ['loqey-notes.log', 'postgres.log', 'other-2026-01-01.1.log'];
    for (const name of [old, recent, ...foreign]) writeFileSync(join(folder, name), 'kept\n');
    const longAgo = (Date.now() - 31 * DAY_MS) / 1_000;
    for (const name of [old, ...foreign]) utimesSync(join(folder, name), longAgo, longAgo);
    const log = await open();
    await log.close();
    expect(ended()).toEqual([recent, ...foreign].sort());
  });

  test('only its owner and group read it, and the folder is made', async () => {
    const log = await open({ path: join(folder, 'a', 'b', 'loqey.log') });
    await log.close();
    expect(statSync(join(folder, 'a', 'b', 'loqey.log')).mode & 0o007).toBe(0);
  });

  test('what cannot be opened says so at the start', async () => {
    mkdirSync(join(folder, 'loqey.log'));
    await expect(open()).rejects.toThrow(/not a file/);
  });

  test('lines beyond what may wait are dropped and counted, the program goes on', async () => {
    const log = await open({ rotateAtBytes: 1_000_000, maxWaiting: 100 });
    for (let index = 0; index < 50; index++) log.write(`line ${index}\n`);
    await until('the loss to be noted', () => lines('loqey.log').some((line) => line.includes('dropped')));
    log.write('after\n');
    await log.close();
    const all = lines('loqey.log');
    expect(all).toContain('after');
    const dropped = Number(/"dropped":(\d+)/.exec(all.join())?.[1]);
    expect(all.filter((line) => line.startsWith('line ')).length + dropped).toBe(50);
  });
});
