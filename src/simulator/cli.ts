import { readFile, writeFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { StartFailure } from '../platform/data-dir/start-failure.ts';
import { seconds, table, type Terminal } from '../shell/terminal.ts';
import type { Fleet } from './fleet.ts';
import type { LockboxOptions } from './lockbox.ts';
import type { Provisioning } from './provisioning.ts';
import type { Amount } from './random.ts';

interface SimulateOptions {
  readonly devices: number;
  readonly api?: string;
  readonly email?: string;
  readonly password?: string;
  readonly provisioning?: string;
  readonly save?: string;
  readonly url?: string;
  readonly level: 0 | 1;
  readonly transport: 'mqtt' | 'http';
  readonly loss: number;
  readonly duplicates: number;
  readonly delay?: Amount;
  readonly clockSkew: number;
  readonly batteryDrain: number;
  readonly jam: number;
  readonly rate: number;
  readonly seed: number;
  readonly duration?: number;
}

/** The server of the data folder of this machine; whoever may write there needs no password to register boxes. */
export interface ServerHere {
  readonly url: string;
  lendAdmin(): Promise<{ readonly email: string; readonly password: string; giveBack(): Promise<void> }>;
}

const DEFAULT_API = 'http://127.0.0.1:8000';
const STATUS_EVERY_MS = 500;
const PACE_MS = 100;

/** `loqey simulate`: a fleet of boxes against any broker, until Ctrl+C or for `--duration`. */
export function registerSimulateCommand(program: Command, terminalOf: (command: Command) => Terminal, serverHere: () => Promise<ServerHere | undefined> = async () => undefined): void {
  program
    .command('simulate')
    .description('run simulated lockboxes against a server: they connect, report and open as real ones do')
    .option('--devices <n>', 'how many boxes', whole(1, 10_000), 10)
    .option('--api <url>', `where boxes are registered (default: the server of this data folder, else ${DEFAULT_API})`)
    .addOption(new Option('--email <address>', 'the admin who registers them; on the server of this data folder none is needed').env('ADMIN_EMAIL'))
    .addOption(new Option('--password <password>', 'and the password').env('ADMIN_PASSWORD'))
    .option('--provisioning <file>', 'take boxes that were registered before, one provisioning block a line')
    .option('--save <file>', 'write the provisioning blocks there (they are the keys of the boxes)')
    .option('--url <url>', 'another broker than the provisioned one')
    .addOption(new Option('--transport <how>', 'http: where MQTT does not get through, over --api').choices(['mqtt', 'http']).default('mqtt'))
    .option('--level <0|1>', '0: old firmware without signatures', level, 1)
    .option('--loss <p>', 'probability that a message is lost, each way', probability, 0)
    .option('--duplicates <p>', 'probability that a message comes twice, each way', probability, 0)
    .option('--delay <ms>', 'delay of each message, `50` or `50..400`', range)
    .option('--clock-skew <time>', "how wrong the boxes' own clocks are, up to `120s` either way", duration, 0)
    .option('--battery-drain <percent>', 'battery used per hour', decimal, 0)
    .option('--jam <p>', 'probability that the bolt jams', probability, 0)
    .option('--rate <n>', 'heartbeats per second of all boxes together, beside their own', decimal, 0)
    .option('--seed <n>', 'the same number makes the same losses, delays and jams', whole(0, 2 ** 32 - 1), 1)
    .option('--duration <time>', 'stop after this long: `60s`, `10m`; default: at Ctrl+C', duration)
    .addHelpText('after', '\nExamples:\n  npm run simulate -- --devices 200\n  npm run simulate -- --devices 20 --loss 0.05 --delay 50..400 --jam 0.02 --duration 10m\n  npm run simulate -- --provisioning boxes.ndjson')
    .action(async (options: SimulateOptions, command: Command) => {
      await simulate(options, terminalOf(command), serverHere);
    });
}

async function simulate(options: SimulateOptions, terminal: Terminal, serverHere: () => Promise<ServerHere | undefined>): Promise<void> {
  const stopped = stopSignal();
  const here = options.api === undefined ? await serverHere() : undefined;
  const api = options.api ?? here?.url ?? DEFAULT_API;
  const provisionings = options.provisioning === undefined ? await register(options, api, here, stopped.asked, terminal) : await load(options.provisioning, options.devices);
  if (stopped.asked()) throw new StartFailure(130, [`Stopped: ${provisionings.length} of ${options.devices} boxes were registered and stay in the history; none was switched on.`]);
  if (options.save !== undefined) {
    await writeFile(options.save, provisionings.map((block) => `${JSON.stringify(block)}\n`).join(''), { mode: 0o600 });
    terminal.say(`Saved ${provisionings.length} provisioning blocks to ${options.save}. Whoever has it is these boxes.`);
  }
  // Loaded here: the server's own command line registers this command too.
  const { createFleet } = await import('./fleet.ts');
  const { httpConnector } = await import('./http-connector.ts');
  const connect = options.transport === 'http' ? { connect: httpConnector({ api }) } : {};
  const fleet = createFleet(provisionings.map((provisioning, n) => ({ ...lockboxOptions(options, provisioning, n), ...connect })));
  const started = performance.now();
  const status = statusLine(terminal, fleet, started);
  const pacer = pace(fleet, options.rate);
  for (const box of fleet.boxes) await box.start();
  if (options.duration !== undefined) stopped.after(options.duration);
  await stopped.promise;
  clearInterval(pacer);
  status.stop();
  stopped.release();
  terminal.say('Stopping…');
  await fleet.stop();
  report(terminal, fleet, performance.now() - started);
}

function lockboxOptions(options: SimulateOptions, provisioning: Provisioning, n: number): LockboxOptions {
  const { level, loss, duplicates, delay, clockSkew, batteryDrain, jam, seed, url } = options;
  return {
    provisioning,
    level,
    jam,
    seed: (seed * 1_000_003 + n) >>> 0,
    drainPerHour: batteryDrain,
    // Spread over the range, so that some are ahead and some behind.
    rtcSkewMs: Math.round((((n * 0.618_034) % 1) * 2 - 1) * clockSkew),
    network: { loss, duplicates, ...(delay === undefined ? {} : { delayMs: delay }) },
    ...(url === undefined ? {} : { url }),
  };
}

async function register(options: SimulateOptions, api: string, here: ServerHere | undefined, asked: () => boolean, terminal: Terminal): Promise<readonly Provisioning[]> {
  const { email, password, devices } = options;
  const { registerBoxes } = await import('./register-boxes.ts');
  const registerAs = (admin: { readonly email: string; readonly password: string }): Promise<readonly Provisioning[]> =>
    registerBoxes({ api, ...admin, count: devices, asked, progress: (done) => terminal.isTty && !terminal.json && process.stderr.write(`\r  Registering boxes ${done}/${devices} `) }).finally(() => {
      if (terminal.isTty && !terminal.json) process.stderr.write('\r\u001b[K');
    });
  if (email !== undefined && password !== undefined) return registerAs({ email, password });
  if (here === undefined) {
    throw new StartFailure(2, [
      options.api === undefined ? '✖ No server runs on this data folder. Start it: npm start' : `✖ Who registers the boxes at ${api}? Give --email and --password, or set ADMIN_EMAIL and ADMIN_PASSWORD.`,
      ...(options.api === undefined ? ['  One elsewhere:   --api <url> --email <address> --password <password>'] : []),
      '  Boxes that are registered already:   --provisioning <file>, written by --save',
    ]);
  }
  terminal.say(`${devices} boxes are registered at ${here.url}; they stay in its history. Ctrl+C switches them off.`);
  const admin = await here.lendAdmin();
  try {
    return await registerAs(admin);
  } finally {
    await admin.giveBack();
  }
}

async function load(file: string, count: number): Promise<readonly Provisioning[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new StartFailure(2, [code === 'ENOENT' ? `✖ There is no file ${file}: it holds what the registration of a box answered as "provisioning", a line for each` : `✖ Cannot read ${file}: ${message}`]);
  }
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.slice(0, count).map((line, n) => {
    try {
      return JSON.parse(line) as Provisioning;
    } catch {
      throw new StartFailure(2, [`✖ ${file}, line ${n + 1}, is not a provisioning block. Each line is the "provisioning" member of one registration.`]);
    }
  });
}

function statusLine(terminal: Terminal, fleet: Fleet, started: number): { stop(): void } {
  if (!terminal.isTty || terminal.json) return { stop: () => undefined };
  const { paint } = terminal;
  const timer = setInterval(() => {
    const { connected, sent, acknowledged, openings, refusals, failures } = fleet.totals();
    const all = fleet.boxes.length;
    const parts = [
      `${connected === all ? paint.green('●') : paint.yellow('●')} ${connected}/${all} connected`,
      `${sent.toLocaleString('en')} sent`,
      `${acknowledged.toLocaleString('en')} acknowledged`,
      `${openings} opened`,
      `${total(refusals)} refused`,
      ...(failures > 0 ? [paint.red(`${failures} failed`)] : []),
      seconds(performance.now() - started),
    ];
    process.stderr.write(`\r\u001b[K  ${parts.join(paint.dim(' · '))}`);
  }, STATUS_EVERY_MS);
  return {
    stop() {
      clearInterval(timer);
      process.stderr.write('\r\u001b[K');
    },
  };
}

/** Spreads the extra heartbeats evenly over the boxes and the time. */
function pace(fleet: Fleet, perSecond: number): NodeJS.Timeout | undefined {
  if (perSecond === 0) return undefined;
  let owed = 0;
  let next = 0;
  return setInterval(() => {
    owed += (perSecond * PACE_MS) / 1000;
    for (; owed >= 1; owed--) fleet.boxes[next++ % fleet.boxes.length]?.sendHeartbeat();
  }, PACE_MS);
}

function report(terminal: Terminal, fleet: Fleet, ms: number): void {
  const totals = fleet.totals();
  const { sent, acknowledged, acked, received, connections, openings, failures, movements, refusals, rejects } = totals;
  terminal.event('simulated', { boxes: fleet.boxes.length, ms: Math.round(ms), ...totals });
  if (terminal.json) return;
  const rows: [string, number, string][] = [
    ['reports sent', sent, ''],
    ['… acknowledged by the broker', acknowledged, percent(acknowledged, sent)],
    ['… acknowledged by the server', acked, 'those that must arrive'],
    ['messages received', received, ''],
    ['connections', connections, connections > fleet.boxes.length ? 'some came back' : ''],
    ['openings', openings, ''],
    ['bolt failures', failures, ''],
    ['bolt movements, relocks included', movements, ''],
    ...counted('refused', refusals),
    ...counted('met with silence', rejects),
  ];
  terminal.out(`\n${fleet.boxes.length} boxes, ${seconds(ms)}\n\n${table(['what', 'count', ''], rows)}`);
}

function counted(title: string, counts: Readonly<Record<string, number>>): [string, number, string][] {
  return Object.entries(counts)
    .sort(([, one], [, other]) => other - one)
    .map(([reason, count]) => [`${title}: ${reason.replaceAll('_', ' ')}`, count, '']);
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '' : `${((part / whole) * 100).toFixed(1)} %`;
}

function total(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Resolves at the first signal or when the time is over; a second signal ends the process at once. */
function stopSignal(): { readonly promise: Promise<void>; asked(): boolean; after(ms: number): void; release(): void } {
  let stop: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => (stop = resolve));
  let signals = 0;
  let timer: NodeJS.Timeout | undefined;
  const onSignal = (): void => {
    if (++signals > 1) process.exit(130);
    stop();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    promise,
    asked: () => signals > 0,
    after: (ms) => (timer = setTimeout(stop, ms)),
    release: () => clearTimeout(timer),
  };
}

function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < min || value > max) throw new InvalidArgumentError(`It takes a whole number from ${min} to ${max}.`);
    return value;
  };
}

function decimal(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) throw new InvalidArgumentError('It takes a number of 0 or more.');
  return value;
}

function probability(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1)) throw new InvalidArgumentError('It takes a probability from 0 to 1, such as 0.05.');
  return value;
}

function level(text: string): 0 | 1 {
  if (text === '0') return 0;
  if (text === '1') return 1;
  throw new InvalidArgumentError('It takes 0 or 1.');
}

function range(text: string): Amount {
  const [min, max] = (/^(\d+)(?:\.\.(\d+))?(?:ms)?$/.exec(text) ?? []).slice(1).map((part) => (part === undefined ? undefined : Number(part)));
  if (min === undefined || (max !== undefined && max < min)) throw new InvalidArgumentError('It takes milliseconds: 50, or a range 50..400.');
  return max === undefined ? min : [min, max];
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function duration(text: string): number {
  const [, amount, unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text) ?? [];
  if (amount === undefined) throw new InvalidArgumentError('It takes a time: 500ms, 60s, 10m, 1h.');
  return Number(amount) * unitMs[unit]!;
}
