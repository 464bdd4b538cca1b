import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

// What an idle server weighs is mostly what of Node and of packages it has loaded. These are heavy, and easily come back by one import.

const folder = mkdtempSync(join(tmpdir(), 'loqey-entry-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const source = (name: string) => new URL(`../../src/${name}`, import.meta.url);
/** Node names what it has loaded of itself. */
const tell = `data:text/javascript,process.on('exit',()=>process.stdout.write(JSON.stringify(process.moduleLoadList)))`;

function loadedBy(...args: readonly string[]): readonly string[] {
  const said = execFileSync(process.execPath, ['--import', tell, ...args], { cwd: folder, env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: join(folder, 'compiled') }, encoding: 'utf8' });
  return (JSON.parse(said.slice(said.indexOf('['))) as string[]).map((name) => name.split(' ').at(-1) ?? '');
}

describe('the program', () => {
  it('is started without what strips types, once its files were stripped', () => {
    const start = () => loadedBy(source('loqey.js').pathname, '--version');
    expect(start()).toContain('internal/deps/amaro/dist/index');
    expect(start()).not.toContain('internal/deps/amaro/dist/index');
  });

  it('loads neither the client behind fetch nor HTTP/2 into the server', () => {
    const parts = ['cli.ts', 'compose.ts', 'compose/api.ts'].map((name) => `await import(${JSON.stringify(source(name).href)});`);
    const loaded = loadedBy('--input-type=module', '--eval', parts.join(''));
    expect(loaded).toContain('http');
    expect(loaded.filter((name) => name === 'internal/deps/undici/undici' || name === 'http2')).toEqual([]);
  });
});
