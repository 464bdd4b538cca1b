import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Profiler } from 'node:inspector';
import { table } from '../src/shell/terminal.ts';
import { figures } from './registry.ts';
import { createBench, sizes } from './support/bench.ts';
import type { Figure, Reading } from './support/figure.ts';
import { thisMachine } from './support/machine.ts';
import { flameGraph, framesOf, topCosts, topPaths, topPlaces, type Cost } from './support/profile.ts';
import { missingEngines } from './support/real-engines.ts';
import { reportOf } from './support/report.ts';
import { renewed, rounded, withSpread, withUnit, type Run } from './support/run.ts';

const HELP = `Measures this system, each figure beside its limit on this machine in the same minutes.

  npm run bench                            everything, embedded engines: about 25 minutes
  npm run bench -- --quick                 everything, too short to be believed: three minutes
  npm run bench -- tap reports             two figures
  npm run bench -- --engines real          with EventStoreDB, Mosquitto and Kafka's protocol, where the machine has them
  npm run bench -- tap --profile           and where the time goes: bench/out/tap.svg, bench/out/tap.cpuprofile
  npm run bench -- --report                and bench/report.md with its charts; what is not measured now stays in it as it is

  --quick, --full     short slices, or long ones (default)
  --engines E         embedded (default) or real
  --json FILE         what was measured, as JSON
  --report            writes bench/report.md and what it is made from in bench/report/
  --from FILE         measures nothing: the report from files of --json (may be repeated)
  --profile           once more with the profiler on: flame graph and top costs
  --seed N            of the past that is written into logs (default 1)
  --list              names of the figures
`;

// Each engine and each program ends with this process.
process.setMaxListeners(50);

const folder = fileURLToPath(new URL('.', import.meta.url));
const [out, reportFolder, reportFile] = [join(folder, 'out'), join(folder, 'report'), join(folder, 'report.md')];

const flag = { type: 'boolean', default: false } as const;
const { values: given, positionals: names } = parsed();

function parsed() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: flag,
        full: flag,
        report: flag,
        profile: flag,
        list: flag,
        help: flag,
        engines: { type: 'string', default: 'embedded' },
        json: { type: 'string' },
        from: { type: 'string', multiple: true },
        seed: { type: 'string', default: '1' },
      },
    });
  } catch (error) {
    return refuse((error as Error).message);
  }
}

function refuse(reason: string): never {
  process.stderr.write(`✖ ${reason}\n  How it is used:   npm run bench -- --help\n`);
  process.exit(2);
}

const print = (text: string) => void process.stdout.write(`${text}\n`);

if (given.help) {
  process.stdout.write(HELP);
} else if (given.list) {
  print(table(['figure', 'what, and beside which limit'], figures.map(({ name, about }) => [name, about])));
  const others = readdirSync(folder).filter((name) => name.endsWith('.ts') && !name.endsWith('.tmp.ts') && !['main.ts', 'registry.ts'].includes(name));
  if (others.length > 0) print(`\nBeside these, each a program of its own: ${others.map((name) => `npx node bench/${name}`).join(', ')}`);
} else if (given.from !== undefined) {
  writeReport(given.from.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Run));
} else {
  const run = await measure();
  if (given.json !== undefined) writeFileSync(given.json, `${JSON.stringify(run, null, 2)}\n`);
  if (given.report) writeReport([run]);
  process.exit(run.failures.length > 0 ? 1 : 0);
}

async function measure(): Promise<Run> {
  const { engines } = given;
  if (engines !== 'embedded' && engines !== 'real') refuse(`--engines is embedded or real, not ${engines}`);
  const seed = Number(given.seed);
  if (!Number.isInteger(seed)) refuse(`--seed is a whole number, not ${given.seed}`);
  if (given.quick && given.full) refuse('Either --quick or --full');
  const unknown = names.filter((name) => !figures.some((figure) => figure.name === name));
  if (unknown.length > 0) refuse(`There is no figure ${unknown.join(', ')}. There are: ${figures.map(({ name }) => name).join(', ')}`);
  const missing = engines === 'real' ? missingEngines() : [];
  if (missing.length > 0) refuse(`This machine lacks ${missing.join('; ')}`);

  const mode = given.quick ? 'quick' : 'full';
  const chosen = figures.filter(({ name, engines: measured }) => measured.includes(engines) && (names.length === 0 || names.includes(name)));
  if (chosen.length === 0) refuse(`Not measured with the ${engines} engines: ${names.join(', ')}`);
  const machine = await thisMachine();
  print(`${machine.cores} cores (${machine.processor}), ${machine.memoryGb} GB, Node ${machine.node}, PostgreSQL ${machine.postgres}; ${engines} engines, ${mode}, seed ${seed}`);

  const began = performance.now();
  const at = new Date().toISOString();
  const bench = createBench({ engines, size: sizes[mode], seed, say: (text) => print(`  ${text}`), ...(given.profile ? { onProfile: keepProfile } : {}) });
  const readings: Reading[] = [];
  const failures: { figure: string; reason: string }[] = [];
  try {
    for (const figure of chosen) {
      const found = await measured(figure);
      readings.push(...found);
    }
  } finally {
    await bench.stop();
  }
  const seconds = (performance.now() - began) / 1_000;
  print(`\n${Math.round(seconds)} s${mode === 'quick' ? '. Slices this short tell that everything runs, not how fast.' : '.'}`);
  return { version: 1, at, seconds, engines, mode, seed, figures: chosen.map(({ name }) => name), machine, readings, failures };

  async function measured(figure: Figure): Promise<readonly Reading[]> {
    print(`\n${figure.name}: ${figure.about}`);
    try {
      const found = await figure.run(bench);
      print(shown(found));
      return found;
    } catch (error) {
      const reason = (error as Error).stack ?? String(error);
      failures.push({ figure: figure.name, reason });
      process.stderr.write(`✖ ${figure.name}: ${reason}\n`);
      return [];
    }
  }
}

function shown(readings: readonly Reading[]): string {
  const points = readings.some(({ at }) => at !== undefined);
  return table(
    [...(points ? ['boxes', 'events'] : []), 'what', 'measured', 'p99', 'limit', 'measured', 'times its limit'],
    readings.map(({ what, unit, value, p99, limit, ratio, at }) => [
      ...(points ? [at?.boxes ?? 0, at?.events ?? 0] : []),
      what,
      withSpread(value, (each) => withUnit(each, unit)),
      p99 === undefined ? '' : withUnit(p99, unit),
      limit?.what ?? '',
      limit === undefined ? '' : withUnit(limit.value.median, unit),
      ratio === undefined ? '' : withSpread(ratio),
    ]),
  );
}

function keepProfile(name: string, profile: Profiler.Profile): void {
  mkdirSync(out, { recursive: true });
  writeFileSync(join(out, `${name}.cpuprofile`), JSON.stringify(profile));
  const root = framesOf(profile);
  writeFileSync(join(out, `${name}.svg`), flameGraph(root, `${name}: ${rounded(root.total / 1e6)} s of CPU`));
  const list = (head: string, costs: readonly Cost[]) => table([head, '', '% of CPU'], costs.map(({ name: what, place, share }) => [what, place, Number((share * 100).toFixed(1))]));
  print(`\n  Where ${name} spent its CPU (bench/out/${name}.svg, bench/out/${name}.cpuprofile):\n`);
  print(list('package or file, with the engine for it', topPlaces(root, 12)));
  print(`\n${list('function itself', topCosts(root, 15))}`);
  print(`\n${list('function of ours, with all that it calls', topPaths(root, 25))}`);
}

/** With the last run on the other engines, and with what it had of figures that were not measured now. */
function writeReport(runs: readonly Run[]): void {
  mkdirSync(reportFolder, { recursive: true });
  const file = (engines: Run['engines']) => join(reportFolder, `${engines}.json`);
  const last = (engines: Run['engines']) => (existsSync(file(engines)) ? [JSON.parse(readFileSync(file(engines), 'utf8')) as Run] : []);
  for (const run of runs) {
    const whole = last(run.engines).reduce((_, kept) => renewed(kept, run), run);
    writeFileSync(file(run.engines), `${JSON.stringify(whole, null, 1)}\n`);
  }
  const kept = (['embedded', 'real'] as const).flatMap(last);
  const { markdown, charts } = reportOf(kept, Object.fromEntries(figures.map(({ name, beyond }) => [name, beyond])));
  writeFileSync(reportFile, markdown);
  for (const engines of ['embedded', 'real']) for (const name of ['times', 'rates', 'growth-events', 'growth-boxes']) rmSync(join(reportFolder, `${engines}-${name}.svg`), { force: true });
  for (const [name, svg] of Object.entries(charts)) writeFileSync(join(reportFolder, basename(name)), svg);
  print(`bench/report.md, ${Object.keys(charts).length} charts`);
}
