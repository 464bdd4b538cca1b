import { parseArgs } from 'node:util';
import { createDice, type Dice } from './dice.ts';
import { smallDiskMissing, startEmbedded } from './embedded.ts';
import { enginesMissing, startOnEngines } from './engines.ts';
import { faults as allFaults, type Fault } from './faults.ts';
import { invariants, stateOf } from './invariants.ts';
import { eraseSomebody, restoreFromBackup } from './last-acts.ts';
import { comeToRest } from './liveness.ts';
import { startLoad } from './load.ts';
import { createModel, pause, type Model } from './model.ts';
import { gather, type Crew } from './people.ts';
import { count, createReporter, createTally, type Finding } from './report.ts';
import type { World } from './world.ts';

const HELP = `Breaks a whole installation at random while people use it, and checks after each round that what must be true is true.

  npm run chaos -- [options]

  --set embedded|engines   one process with everything in it (default), or a process for each role on EventStoreDB,
                           PostgreSQL, Kafka and Mosquitto
  --faults <n>             ends after so many faults (default 30)
  --minutes <m>            ends after so many minutes, whichever comes first
  --seed <n>               the run with that number again: the same faults in the same order, the same people
  --round <n>              so many faults between two looks, instead of 1 to 4
  --brief                  without what is done at the end of each installation: a restored backup, an erasure
  --only <part of a name>  only faults with that in their name; more than once: any of them
  --list                   the faults and the invariants, and what of them this machine cannot have
  --json                   one JSON object a line
  --keep                   keeps the folder of every installation, not only of those with a finding

Exit code 0: nothing was found. 1: something was; it says how to run it again, and where the logs are. 2: usage.

  npm run chaos -- --faults 500 --minutes 90        the long run
  npm run chaos -- --seed 7 --only 'kill -9'        one kind, again`;

const { values, problem } = read();
const reporter = createReporter(values?.json === true);
const { terminal } = reporter;

function read() {
  try {
    const { values: given } = parseArgs({
      options: {
        set: { type: 'string', default: 'embedded' },
        faults: { type: 'string', default: '30' },
        minutes: { type: 'string', default: '1000' },
        seed: { type: 'string', default: `${Date.now() % 1_000_000_000}` },
        round: { type: 'string', default: '0' },
        brief: { type: 'boolean', default: false },
        only: { type: 'string', multiple: true, default: [] },
        list: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const wrong = (['faults', 'minutes', 'seed', 'round'] as const).find((name) => !(Number(given[name]) >= 0));
    if (wrong !== undefined) return { values: given, problem: `--${wrong} ${given[wrong]} is not a number.` };
    return { values: given, problem: ['embedded', 'engines'].includes(given.set) ? undefined : `--set ${given.set}: there are embedded and engines.` };
  } catch (error) {
    return { values: undefined, problem: (error as Error).message };
  }
}

/** A world is left for a new one after so many faults: a long run sees many, and none grows without end. */
const FAULTS_PER_WORLD = 30;
/** The log, the read models and their write-ahead log of one world, and room to breathe. */
const SMALL_DISK = 700 * 1_048_576;
const FAULTS_PER_ROUND = [1, 4] as const;

async function run(options: NonNullable<typeof values>): Promise<number> {
  const seed = Number(options.seed);
  const most = Number(options.faults);
  const until = performance.now() + Number(options.minutes) * 60_000;
  const began = performance.now();
  const tally = createTally(seed);
  const kept: string[] = [];
  const chosen = allFaults.filter(({ name }) => options.only.length === 0 || options.only.some((part) => name.includes(part)));
  if (chosen.length === 0) {
    terminal.say(`No fault has any of ${options.only.join(', ')} in its name. There are:\n${allFaults.map(({ name }) => `  ${name}`).join('\n')}`);
    return 2;
  }
  const missing = options.set === 'engines' ? enginesMissing() : [];
  if (missing.length > 0) {
    terminal.say(`The engines are not all here: ${missing.join('; ')}. --set embedded needs none of them.`);
    return 2;
  }
  terminal.say(`chaos: seed ${seed}, ${most} faults, ${options.set}`);
  let struck = 0;
  const over = () => struck >= most || performance.now() > until || interrupted;

  for (let number = 0; !over(); number++) {
    const dice = createDice(seed).of(`world ${number}`);
    const model = createModel();
    const world = await startWorld(number, model);
    const before = tally.findings.length;
    const strikes = struck;
    let crew: Crew | undefined;
    try {
      await Promise.all(world.roles.map((role) => role.start()));
      crew = await gather(world, model, { owners: 2, boxes: 4, seed: dice.between(1, 1_000_000) });
      const draw = bagOf(chosen, world, dice.of('faults'));
      for (let here = 0; here < FAULTS_PER_WORLD && !over() && tally.findings.length === before; ) {
        const next = Array.from({ length: Math.min(most - struck, Number(options.round) > 0 ? Number(options.round) : dice.between(...FAULTS_PER_ROUND)) }, draw);
        if (next.some((fault) => fault === undefined)) break;
        await round(world, model, crew, next as Fault[], dice);
        here += next.length;
        struck += next.length;
      }
      if (tally.findings.length === before && options.only.length === 0 && !options.brief) await lastActs(world, model, crew, dice);
    } catch (error) {
      note({ of: 'trouble', text: (error as Error).stack ?? String(error), round: tally.rounds, faults: [], world: world.name });
    }
    tally.requests += model.asked.length;
    tally.events += model.log.length;
    tally.openings += model.boxes.reduce((sum, { opened }) => sum + opened.length, 0);
    await crew?.stop().catch(() => undefined);
    const folder = await world.stop(options.keep || tally.findings.length > before);
    if (folder !== undefined) kept.push(folder);
    if (struck === strikes) break; // a world in which nothing can strike, or that nobody could begin in
  }

  const again = `npm run chaos -- --set ${options.set} --seed ${seed} --faults ${most}${options.round === '0' ? '' : ` --round ${options.round}`}${options.brief ? ' --brief' : ''}${options.only.map((part) => ` --only '${part}'`).join('')}`;
  reporter.summary(tally, again, kept, (performance.now() - began) / 1_000);
  return tally.findings.length === 0 ? 0 : 1;

  async function round(world: World, model: Model, crew: Crew, next: readonly Fault[], dice: Dice): Promise<void> {
    tally.rounds++;
    const number = tally.rounds;
    const names = next.map(({ name }) => name);
    const at = { round: number, faults: names, world: world.name };
    const progress = (what: string) => reporter.now(`${Math.round((performance.now() - began) / 1_000)} s  round ${number}, fault ${struck} of ${most}, ${tally.findings.length} findings: ${what}`);
    const load = startLoad(world, model, crew.admin, dice.of(`load ${number}`));
    await pause(dice.between(300, 1_000));
    for (const fault of next) {
      progress(fault.name);
      count(tally.faults, fault.name);
      await fault.strike({ world, model, crew, dice });
      await pause(dice.between(100, 800));
    }
    progress('everything comes to rest');
    const resting = comeToRest(world, model, crew);
    await load.stop();
    const first = await resting;
    // What the last of them asked when the rest had begun.
    const second = await comeToRest(world, model, crew);
    const ms = first.ms + second.ms;
    tally.askedAgain += first.askedAgain + second.askedAgain;
    if (ms > tally.longest.ms) tally.longest = { ms, round: number, last: first.ms > second.ms ? first.last : second.last };
    count(tally.checks, 'liveness');
    for (const text of second.findings) note({ of: 'liveness', text, ...at });

    progress('looking');
    await look(world, model, crew, at);
    terminal.event('round', { ...at, findings: tally.findings.length, ms: Math.round(ms), last: first.last });
  }

  /** A restored server, and somebody who is erased. */
  async function lastActs(world: World, model: Model, crew: Crew, dice: Dice): Promise<void> {
    tally.rounds++;
    const at = { round: tally.rounds, faults: ['server restored from a backup'], world: world.name };
    if (world.backUp === undefined) tally.leftOut.set(`server restored from a backup, ${world.name}`, 'done where log and vault are one folder');
    else {
      count(tally.faults, 'server restored from a backup');
      reporter.now(`round ${at.round}, ${tally.findings.length} findings: the server is put back to a backup`);
      await restoreFromBackup(world, model, crew, dice);
      const { findings } = await comeToRest(world, model, crew);
      count(tally.checks, 'liveness');
      for (const text of findings) note({ of: 'liveness', text, ...at });
      await look(world, model, crew, at);
    }
    count(tally.checks, 'I14');
    reporter.now(`round ${at.round}, ${tally.findings.length} findings: somebody is erased`);
    for (const text of await eraseSomebody(world, model, crew)) note({ of: 'I14', text, ...at });
    terminal.event('last acts', { ...at, findings: tally.findings.length });
  }

  async function look(world: World, model: Model, crew: Crew, at: Omit<Finding, 'of' | 'text'>): Promise<void> {
    // Whether everything has come to its end or not: what is looked at is the log as it is.
    const state = await stateOf(world, model, crew);
    for (const { id, check } of invariants) {
      count(tally.checks, id);
      reporter.now(`round ${at.round}, ${tally.findings.length} findings: looking at ${id}`);
      const found = await Promise.resolve(check(state)).catch((error: unknown) => [`it could not be looked at: ${(error as Error).stack}`]);
      for (const text of found.slice(0, MOST_OF_A_KIND)) note({ of: id, text, ...at });
    }
    count(tally.checks, 'trouble');
    const ours = model.asked.filter(({ answer }) => answer !== undefined && answer.status >= 500).map(({ path, answer }) => `${path} was answered ${JSON.stringify(answer)}`);
    for (const text of [...model.troubles.splice(0), ...ours]) note({ of: 'trouble', text, ...at });
  }

  function startWorld(number: number, model: Model): Promise<World> {
    const onTrouble = (what: string) => void model.troubles.push(what);
    if (options.set === 'engines') return startOnEngines({ onTrouble });
    const small = smallDiskMissing() === undefined ? { diskBytes: SMALL_DISK } : {};
    return startEmbedded(number % 2 === 0 ? { database: 'own', onTrouble, ...small } : { database: 'apart', onTrouble });
  }

  /** All of them in a random order, again and again: each comes as often as the others. */
  function bagOf(from: readonly Fault[], world: World, dice: Dice): () => Fault | undefined {
    const here = from.filter((fault) => {
      const why = fault.missing?.(world);
      if (why !== undefined) tally.leftOut.set(fault.name, why);
      return why === undefined;
    });
    let bag: Fault[] = [];
    return () => {
      if (bag.length === 0) bag = dice.shuffled(here);
      return bag.pop();
    };
  }

  function note(finding: Finding): void {
    tally.findings.push(finding);
    reporter.finding(finding);
  }
}

const MOST_OF_A_KIND = 5;
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    if (interrupted) process.exit(130);
    interrupted = true;
    terminal.say('\nStopping after this round. Once more: at once.');
  });
}

if (values?.help === true) terminal.out(HELP);
else if (problem !== undefined || values === undefined) {
  terminal.say(`✖ ${problem}\n\n${HELP}`);
  process.exitCode = 2;
} else if (values.list) {
  terminal.out([...allFaults.map(({ name }) => `  ${name}`), '', ...invariants.map(({ id, text }) => `  ${id.padEnd(4)} ${text}`)].join('\n'));
} else process.exitCode = await run(values);
