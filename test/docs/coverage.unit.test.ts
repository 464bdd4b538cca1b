import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { liveChannels } from '../../src/api/schemas/live.ts';
import { routeTable } from '../../src/api/table.ts';
import { isJobName } from '../../src/jobs/catalogue.ts';
import { table as settings } from '../../src/platform/config-table.ts';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/coverage.md'), 'utf8');
const rows = [...page.matchAll(/^\| ((?:S0|X)-\d+) \|(.*)\|$/gm)].map(([, label = '', rest = '']) => {
  const [capability = '', served = '', shown = '', status = ''] = rest.split('|').map((cell) => cell.trim());
  return { label, capability, served, shown, status };
});
const quoted = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);

describe('docs/coverage.md', () => {
  it('has every capability once', () => {
    expect(rows.filter(({ label }) => label.startsWith('S0')).map(({ label }) => label)).toEqual(Array.from({ length: 101 }, (_, n) => `S0-${n + 1}`));
    expect(new Set(rows.map(({ label }) => label)).size).toBe(rows.length);
  });

  it('says of each how it stands; what does not just work says why', () => {
    expect(rows.filter(({ status }) => !/^(?:works|differs: .|part: .|in work|not: .)/.test(status))).toEqual([]);
    expect(rows.filter(({ capability, served, shown }) => capability === '' || served === '' || shown === '')).toEqual([]);
  });

  it('names tests that exist', () => {
    const tests = rows.flatMap(({ shown }) => quoted(shown));
    expect([...new Set(tests)].filter((file) => !existsSync(join(root, file)))).toEqual([]);
    expect(rows.filter(({ shown, status }) => status.startsWith('works') && quoted(shown).length === 0).map(({ label }) => label)).toEqual(['S0-89', 'S0-93']);
  });

  it('names routes, sockets, jobs and settings that exist', () => {
    const routes = new Set(routeTable.flatMap(({ method, path, aliases = [] }) => [`${method} ${path}`, ...aliases.map((each) => `${each.method} ${each.path}`), ...liveChannels.map((each) => `WS ${each.path}`)]));
    const env = new Set(Object.values(settings).map((setting) => setting.env));
    const named = rows.flatMap(({ served }) => quoted(served));
    expect(named.filter((name) => /^(?:GET|POST|PUT|PATCH|DELETE|WS) /.test(name) && !routes.has(name))).toEqual([]);
    expect(named.filter((name) => /^[A-Z][A-Z0-9_]+$/.test(name) && !env.has(name))).toEqual([]);
    const jobs = rows.flatMap(({ served }) => [...served.matchAll(/job `([^`]+)`/g)].map(([, name = '']) => name));
    expect(jobs.filter((name) => !isJobName(name))).toEqual([]);
  });
});
