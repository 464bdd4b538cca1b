import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

/** The import directions of docs/architecture.md, held against every file of src. */
const src = join(import.meta.dirname, '../src');

interface Import {
  readonly from: string;
  /** Path below src, or the package. */
  readonly to: string;
  readonly typeOnly: boolean;
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .sort();
const sources = new Map(files.map((file) => [file, readFileSync(join(src, file), 'utf8')]));
const imports: readonly Import[] = files.flatMap((file) => importsOf(file, sources.get(file) ?? ''));

function importsOf(file: string, source: string): readonly Import[] {
  const statements = source.matchAll(/^(?:import|export)\s+(type\s)?(?:[^'";]*?\sfrom\s+)?'([^']+)'/gm);
  const dynamic = source.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g);
  return [
    ...[...statements].map(([, type, target]) => ({ from: file, to: resolved(file, target ?? ''), typeOnly: type !== undefined })),
    ...[...dynamic].map(([, target]) => ({ from: file, to: resolved(file, target ?? ''), typeOnly: false })),
  ];
}

function resolved(file: string, target: string): string {
  return target.startsWith('.') ? relative(src, join(src, dirname(file), target)) : target;
}

const roomOf = (path: string): string => path.split('/')[0] ?? path;
const found = (wrong: readonly Import[]): readonly string[] => wrong.map(({ from, to }) => `${from} imports ${to}`);

/** They wire the rooms together, or talk to people in a terminal. So do the files directly under src. */
const wiring: readonly string[] = ['compose', 'shell', 'demo'];

/** A room may import itself and these. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  domain: [],
  commands: ['domain', 'platform'],
  // What proves the log, pure but for the file that heads go to; and what it folded to at any time.
  audit: ['domain', 'platform'],
  projections: ['domain', 'audit', 'platform'],
  api: ['domain', 'commands', 'audit', 'projections', 'platform'],
  // Pages over the routes of the API; what they know of the read side they know as types.
  'courier-page': ['domain', 'commands', 'projections', 'api', 'platform'],
  bridge: ['domain', 'commands', 'platform'],
  // Can be copied into an app as it is: not even a package.
  client: [],
  jobs: ['domain', 'commands', 'audit', 'projections', 'platform'],
  platform: ['domain'],
  // The device side: what it shares with the server is the contract between them, and the client that carries it.
  simulator: ['domain', 'bridge', 'platform', 'shell'],
};

/** Everyone but those who wire knows the port alone. */
const adapters = [
  'platform/event-store/postgres.ts',
  'platform/event-store/postgres-reader.ts',
  'platform/event-store/eventstoredb.ts',
  'platform/relay/in-process.ts',
  'platform/relay/kafka.ts',
  'platform/mqtt/client.ts',
  'platform/mqtt/embedded-broker.ts',
  'platform/mqtt/dynamic-security.ts',
  'platform/postgres/embedded.ts',
  'platform/jobs/pg-boss.ts',
  'platform/mail/nodemailer.ts',
];

/** A library with a single way in: one file, or those that share its name. */
const onlyIn: readonly (readonly [library: string, file: string])[] = [
  ['@eventstore/db-client', 'platform/event-store/eventstoredb'],
  ['kafkajs', 'platform/relay/kafka'],
  ['pg-boss', 'platform/jobs/pg-boss'],
  ['nodemailer', 'platform/mail/nodemailer'],
];

/** Code without its comments: they may speak of what the code must not do. */
function code(file: string): string {
  return (sources.get(file) ?? '').replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');
}

describe('rooms', () => {
  it.each(Object.entries(allowed))('%s imports only itself and %j', (room, others) => {
    const wrong = imports.filter(
      ({ from, to }) => roomOf(from) === room && files.includes(to) && roomOf(to) !== room && !others.includes(roomOf(to)),
    );
    expect(found(wrong)).toEqual([]);
  });
  it('are all known here', () => {
    const rooms = new Set(files.filter((file) => file.includes('/')).map(roomOf));
    expect([...rooms].filter((room) => !(room in allowed) && !wiring.includes(room))).toEqual([]);
  });
  it('platform knows nothing of the domain but its kernel, and that as types', () => {
    const wrong = imports.filter(({ from, to, typeOnly }) => roomOf(from) === 'platform' && roomOf(to) === 'domain' && !(to === 'domain/kernel.ts' && typeOnly));
    expect(found(wrong)).toEqual([]);
  });
  it('playback has nothing in its hands that could have an effect: pure folds, and ports as types', () => {
    const isPlayback = ({ from }: Import) => from.startsWith('audit/playback/');
    const wrong = imports.filter((each) => isPlayback(each) && !(['audit', 'domain'].includes(roomOf(each.to)) || (each.to === 'platform/event-store/port.ts' && each.typeOnly)));
    expect(found(wrong)).toEqual([]);
    expect(imports.some(isPlayback)).toBe(true);
  });
  it('api takes queries from projections, never a runner', () => {
    const wrong = imports.filter(({ from, to, typeOnly }) => ['api', 'courier-page'].includes(roomOf(from)) && roomOf(to) === 'projections' && !typeOnly);
    expect(found(wrong)).toEqual([]);
  });
});

describe('domain', () => {
  const domain = files.filter((file) => roomOf(file) === 'domain');
  it('imports no package', () => {
    expect(found(imports.filter(({ from, to }) => roomOf(from) === 'domain' && roomOf(to) !== 'domain'))).toEqual([]);
  });
  it.each([
    ['a clock', /\bDate\b|\bperformance\b/, ['domain/time.ts']],
    ['randomness', /\brandom|\bcrypto\b/i, []],
    ['waiting', /\basync\b|\bawait\b|\bPromise\b|\bsetTimeout\b/, []],
    ['the process', /\bprocess\.\w|\bconsole\b/, []],
  ] as const)('has no %s', (_, forbidden, except: readonly string[]) => {
    expect(domain.filter((file) => !except.includes(file) && forbidden.test(code(file)))).toEqual([]);
  });
  it('asks no clock in the one file that counts with instants', () => {
    expect(code('domain/time.ts')).not.toMatch(/Date\.now|new Date\(\)/);
  });
});

describe('adapters', () => {
  it('are built where things are wired together, nowhere else', () => {
    const wrong = imports.filter(
      ({ from, to, typeOnly }) => !typeOnly && adapters.includes(to) && from.includes('/') && !['platform', ...wiring].includes(roomOf(from)),
    );
    expect(found(wrong)).toEqual([]);
  });
  it.each(onlyIn)('%s is imported only by %s', (library, file) => {
    const wrong = imports.filter(({ from, to }) => (to === library || to.startsWith(`${library}/`)) && from !== `${file}.ts` && !from.startsWith(`${file}-`));
    expect(found(wrong)).toEqual([]);
  });
});

describe('environment', () => {
  it('is read only by the entries', () => {
    const entries = ['main.ts', 'cli.ts'];
    expect(files.filter((file) => !entries.includes(file) && /\bprocess\.env\b/.test(code(file)))).toEqual([]);
  });
});

describe('cycles', () => {
  it('there are none between modules; types may speak of each other', () => {
    const loads = imports.filter(({ to, typeOnly }) => !typeOnly && files.includes(to));
    const next = new Map(files.map((file) => [file, loads.filter(({ from }) => from === file).map(({ to }) => to)]));
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) {
        cycles.push([...path.slice(path.indexOf(file)), file].join(' → '));
        return;
      }
      if (done.has(file)) return;
      for (const target of next.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });
});

describe('what is not the program', () => {
  it('is not in it: src imports neither its tests nor what breaks or measures it', () => {
    const outside = imports.filter(({ to }) => to.startsWith('../') && !to.startsWith('../migrations/') && !to.startsWith('../package.json'));
    expect(found(outside).filter((each) => /\.\.\/(test|chaos|bench|fuzz|scripts)\//.test(each))).toEqual([]);
  });
  it('chaos tells history by itself: of the domain it knows nothing, but through what it starts', () => {
    const folder = join(src, '../chaos');
    const told = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
    expect(told.filter((file) => /from '[./]*\/src\/domain\//.test(readFileSync(join(folder, file), 'utf8')))).toEqual([]);
  });
});
