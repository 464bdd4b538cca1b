import { parseArgs } from 'node:util';
import { commandFilters, uplinkFilters } from '../src/bridge/topics.ts';
import { createTerminal, table } from '../src/shell/terminal.ts';
import { cleanUp } from '../test/support/server-process.ts';
import { mosquittoMissing, mosquittoServices, startMosquitto } from '../test/support/servers-mosquitto.ts';
import { describeFailure, fuzzHttp } from './http/run.ts';
import { fuzzMqtt } from './mqtt/run.ts';
import { startFuzzServer, type FuzzServer } from './server.ts';
import { fuzzSockets } from './ws/run.ts';

const HELP = `Sends what nobody should send to a server of its own, and holds every answer against what is published.

  npm run fuzz -- http|mqtt|ws|all [options]

  http   every operation of the OpenAPI document, older names included, with values that are right, nearly right and hostile,
         by everybody: an answer is as declared, in time, no 5xx but a 503 that says why, and tells nobody what is not theirs
  mqtt   reports on every topic, signed rightly and wrongly, and bytes that are no MQTT: the broker lives, other boxes are
         served, and nothing is in the log that no rightly signed report allows
  ws     frames and messages that no client sends: sockets of others go on

  --seed <n>           the run with that number again (default: another one each time)
  --requests <n>       how many: requests, messages, connections (default 20000; with all, a tenth of it for ws)
  --lanes <n>          so many at the same time (default 12); 1 sends the same bytes in the same order
  --slow <ms>          an answer that takes longer, twice, is a failure (default 2000)
  --broker mosquitto   for mqtt: on a Mosquitto of its own instead of the embedded broker
  --no-fold            leaves out the rebuild of every read model at the end
  --json               one JSON object a line

Exit code 0: nothing was found. 1: something was; each with what was sent, to the byte. 2: usage.

  npm run fuzz -- http --requests 200000      some ten minutes on two cores that have nothing else to do
  npm run fuzz -- mqtt --requests 1000000     some twenty minutes: 250 boxes, of each of which five messages a second are taken`;

const { uplink, downlink, provisioner } = mosquittoServices;
const mosquittoLogins = {
  MQTT_USERNAME: uplink.username, MQTT_PASSWORD: uplink.password,
  MQTT_DOWNLINK_USERNAME: downlink.username, MQTT_DOWNLINK_PASSWORD: downlink.password,
  MQTT_ADMIN_USERNAME: provisioner.username, MQTT_ADMIN_PASSWORD: provisioner.password,
};

const kinds = ['http', 'mqtt', 'ws'] as const;
type Kind = (typeof kinds)[number];

const { values, chosen, problem } = read();
const terminal = createTerminal({ json: values?.json === true, stdout: process.stdout, stderr: process.stderr, color: undefined });

function read() {
  try {
    const { values: given, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        seed: { type: 'string', default: `${Date.now() % 1_000_000_000}` },
        requests: { type: 'string', default: '20000' },
        lanes: { type: 'string', default: '12' },
        slow: { type: 'string', default: '2000' },
        broker: { type: 'string', default: 'embedded' },
        'no-fold': { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
    const [what = given.help ? 'all' : ''] = positionals;
    const all: readonly Kind[] = what === 'all' ? kinds : kinds.filter((kind) => kind === what);
    const wrong = (['seed', 'requests', 'lanes', 'slow'] as const).find((name) => !/^\d+$/.test(given[name]) || (name !== 'seed' && Number(given[name]) === 0));
    const said = positionals.length > 1 || all.length === 0 ? `${positionals.length === 0 ? 'Say what' : `"${positionals.join(' ')}"`}: there are http, mqtt, ws and all. --help says more.` : undefined;
    const missing = given.broker === 'mosquitto' ? mosquittoMissing() : undefined;
    if (!['embedded', 'mosquitto'].includes(given.broker)) return { values: given, chosen: all, problem: `--broker ${given.broker}: there are embedded and mosquitto.` };
    if (missing !== undefined) return { values: given, chosen: all, problem: `There is no Mosquitto here: ${missing}.` };
    return { values: given, chosen: all, problem: wrong === undefined ? said : `--${wrong} ${given[wrong]} is not a number above 0.` };
  } catch (error) {
    return { values: undefined, chosen: [], problem: (error as Error).message };
  }
}

/** What one kind found, in words and in figures. */
interface Result {
  readonly kind: Kind;
  readonly sent: number;
  readonly seconds: number;
  readonly failures: readonly string[];
  readonly notes: readonly string[];
}

interface Options {
  readonly seed: number;
  readonly requests: number;
  readonly lanes: number;
  readonly slowMs: number;
}

const MOST_FAILURES = 25;

function progress(kind: Kind, total: number) {
  const began = performance.now();
  let told = began;
  return (done: number, failures: number): void => {
    const now = performance.now();
    if (now - told < 5_000) return;
    told = now;
    const rate = done / ((now - began) / 1_000);
    terminal.say(`${kind}: ${done.toLocaleString('en')} of ${total.toLocaleString('en')} · ${Math.round(rate).toLocaleString('en')}/s · ${Math.ceil((total - done) / rate / 60)} min left · ${failures} found`);
    terminal.event('progress', { kind, done, total, failures });
  };
}

async function http(server: FuzzServer, { seed, requests, lanes, slowMs }: Options): Promise<Result> {
  const report = await fuzzHttp(server, { seed, requests, lanes, slowMs, mostFailures: MOST_FAILURES, onProgress: progress('http', requests), onFound });
  const { statuses, operations, reached, never, unavailable, slowest, memory } = report;
  const grown = memory === undefined || memory.warm === 0 ? 0 : memory.end - memory.warm;
  const mb = (bytes: number): string => `${Math.round(bytes / 1_048_576)} MB`;
  return {
    kind: 'http',
    sent: report.requests,
    seconds: report.seconds,
    failures: [...report.failures.map(describeFailure), ...(grown > MOST_GROWTH ? [`✖ the server's memory grew from ${mb(memory?.warm ?? 0)} to ${mb(memory?.end ?? 0)}`] : [])],
    notes: [
      `answers: ${Object.entries(statuses).map(([status, count]) => `${status} × ${count.toLocaleString('en')}`).join(', ')}`,
      `operations: ${operations} tried, ${reached} of them with success${never.length === 0 ? '' : `; never: ${never.join(', ')}`}`,
      ...Object.entries(unavailable).map(([message, count]) => `503 × ${count}: ${message}`),
      `slowest: ${slowest.map(({ ms, operation }) => `${operation} ${ms} ms`).join(', ')}`,
      ...(report.busy === 0 ? [] : [`${report.busy} answers were late, and so was one that needs nothing: the machine had too much to do`]),
      ...(memory === undefined ? [] : [`memory of the server: ${mb(memory.warm)} after a tenth, ${mb(memory.end)} at the end, ${mb(memory.most)} at most`]),
    ],
  };
}

const told = new Set<string>();

/** Once each, and at once: a long run may be ended by hand. */
function onFound(failure: string): void {
  if (!told.has(failure)) terminal.say(`\n${failure}`);
  told.add(failure);
}

/** Caches fill: what grows beyond it does not end. */
const MOST_GROWTH = 400 * 1_048_576;

const run: Readonly<Record<Kind, (server: FuzzServer, options: Options) => Promise<Result>>> = {
  http,
  mqtt: async (server, options) => ({ kind: 'mqtt', ...(await fuzzMqtt(server, { ...options, tellsAll: values?.broker !== 'mosquitto', onProgress: progress('mqtt', options.requests), onFound })) }),
  ws: async (server, options) => ({ kind: 'ws', ...(await fuzzSockets(server, { ...options, onProgress: progress('ws', options.requests), onFound })) }),
};

async function main(): Promise<number> {
  if (problem !== undefined || values === undefined) {
    process.stderr.write(`${problem ?? ''}\n`);
    return 2;
  }
  if (values.help) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  const given = { seed: Number(values.seed), requests: Number(values.requests), lanes: Number(values.lanes), slowMs: Number(values.slow) };
  const results: (Result & { readonly alive: string })[] = [];
  for (const kind of chosen) {
    const requests = kind === 'ws' && chosen.length > 1 ? Math.ceil(given.requests / 10) : given.requests;
    const options = { ...given, requests };
    terminal.say(`${kind}: seed ${options.seed}, ${options.requests.toLocaleString('en')} to send. A server is being started.`);
    const mosquitto = kind === 'mqtt' && values.broker === 'mosquitto' ? await startMosquitto({ uplinkFilters, downlinkTopics: commandFilters }) : undefined;
    const server = await startFuzzServer(mosquitto === undefined ? {} : { MQTT_URL: mosquitto.url, ...mosquittoLogins });
    const result = await run[kind](server, options);
    const left = [...server.errors()].map((line) => `✖ the server logged an error: ${line.slice(0, 2_000)}`);
    const alive = await livesOn(server);
    const folds = values['no-fold'] ? undefined : await server.foldsAgain();
    const failures = [...result.failures, ...left, ...(alive === 'yes' ? [] : [`✖ afterwards the server was not well: ${alive}`]), ...(folds === undefined ? [] : [`✖ a read model is not what the log says:\n${folds}`])];
    results.push({ ...result, failures, alive, notes: [...result.notes, ...(values['no-fold'] || folds !== undefined ? [] : ['every read model is what a rebuild makes of the log'])] });
    await server.stop();
    await mosquitto?.stop();
    for (const failure of failures) onFound(failure);
    terminal.event('result', { ...result, failures, alive });
  }
  if (!terminal.json) {
    terminal.out(`\n${table(['kind', 'sent', 'per second', 'minutes', 'found', 'server well'], results.map(({ kind, sent, seconds, failures, alive }) => [kind, sent.toLocaleString('en'), Math.round(sent / seconds).toLocaleString('en'), (seconds / 60).toFixed(1), failures.length, alive]))}`);
    for (const { kind, notes } of results) terminal.out(`\n${kind}\n${notes.map((note) => `  ${note}`).join('\n')}`);
  }
  const found = results.reduce((sum, { failures }) => sum + failures.length, 0);
  if (found > 0) terminal.say(`\nAgain: npm run fuzz -- ${chosen.length === 1 ? chosen[0] : 'all'} --seed ${given.seed} --requests ${given.requests} --lanes ${given.lanes}`);
  return found > 0 ? 1 : 0;
}

async function livesOn(server: FuzzServer): Promise<string> {
  const ended = server.ended();
  if (ended !== undefined) return ended;
  try {
    const response = await fetch(`${server.url}/health/ready`, { signal: AbortSignal.timeout(10_000) });
    return response.status === 200 ? 'yes' : `${response.status} ${await response.text()}`;
  } catch (error) {
    return String(error);
  }
}

// Ended by hand: what was found is said already, and nothing is left running.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void cleanUp().finally(() => process.exit(130)));

let code = 1;
try {
  code = await main();
} finally {
  await cleanUp();
}
process.exit(code);
