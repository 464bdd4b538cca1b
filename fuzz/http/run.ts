import { conformance } from '../../test/support/conformance.ts';
import { diceOf } from '../dice.ts';
import type { Target } from '../target.ts';
import { KnownThings } from './known.ts';
import { operations } from './operations.ts';
import { CANARY, gatherPeople } from './people.ts';
import { makeRequest, type Tried } from './requests.ts';
import { openLane, type Lane, type Outcome, type RawAnswer } from './wire.ts';

export interface HttpOptions {
  readonly seed: number;
  readonly requests: number;
  /** At the same time. */
  readonly lanes: number;
  /** Milliseconds in which an answer must be there, where waiting is not what was asked for. */
  readonly slowMs: number;
  readonly onProgress: (done: number, failures: number) => void;
  /** As soon as it is found. */
  readonly onFound?: (what: string) => void;
  /** Stops early after so many. */
  readonly mostFailures: number;
}

export interface Failure {
  readonly number: number;
  readonly seed: number;
  readonly what: string;
  readonly tried: Tried;
  readonly answer: RawAnswer | undefined;
}

export interface HttpReport {
  readonly requests: number;
  readonly seconds: number;
  readonly failures: readonly Failure[];
  readonly statuses: Readonly<Record<string, number>>;
  /** Of the operations: how many were answered with success, how many at all. */
  readonly operations: number;
  readonly reached: number;
  readonly never: readonly string[];
  readonly unavailable: Readonly<Record<string, number>>;
  readonly slowest: readonly { readonly ms: number; readonly operation: string }[];
  /** Slow twice, on a machine that was slow altogether. */
  readonly busy: number;
  readonly memory: { readonly warm: number; readonly end: number; readonly most: number } | undefined;
}

/** What the program says of itself and of its machine is in no answer. */
const INTERNALS = /\.(?:ts|js|mjs):\d+|node:internal|node_modules|\bat [\w.<>]+ \(|SQLSTATE|syntax error at or near|ECONNREFUSED|duplicate key value|violates [\w-]+ constraint|invalid input syntax|\$2[aby]\$\d\d\$/;

/** A 503 is deliberate where it says what is not available. */
const deliberate: readonly RegExp[] = [/^The service is catching up/, /^The service is not available right now/, /^The registration took too long/, /^It is not known whether/, /^The report could not be stored/, /^What was written last cannot be read yet/];

/** Answers that wait for a box, each as long as it may. */
const patient: readonly (readonly [RegExp, number])[] = [
  [/^(?:linkUnlock)/, 20_000],
  // Another opening of the same box is waited for.
  [/^(?:unlockDevice|emergencyUnlock)/, 7_000],
  [/^deviceCommands/, 27_000],
  // Files that grow with the log.
  [/^export/, 20_000],
  [/^(?:unlinkDevice|adminUnlink|deleteLink|deactivateLink|suspendUser|startMaintenance|decommission|eras)/, 6_000],
];

const HANG_MS = 50_000;

export async function fuzzHttp(target: Target, options: HttpOptions): Promise<HttpReport> {
  const { seed, requests, lanes, slowMs } = options;
  const check = conformance();
  const { all, schemas } = operations();
  const known = new KnownThings();
  const people = await gatherPeople(target, known);
  for (const name of ['cleanup', 'devices.health', 'audit.heads', 'links.sweep', 'notifications.tidy', 'devices', 'links', 'audit', 'users']) known.learn('name', name);
  const { hostname, port } = new URL(target.url);
  const failures: Failure[] = [];
  const found = (failure: Failure): void => {
    failures.push(failure);
    options.onFound?.(describeFailure(failure));
  };
  const statuses: Record<string, number> = {};
  const reached = new Set<string>();
  const unavailable: Record<string, number> = {};
  const slowest: { ms: number; operation: string }[] = [];
  const memory = { warm: 0, end: 0, most: 0 };
  const began = performance.now();
  let next = 0;
  let done = 0;
  let busy = 0;

  const isMeant = (answer: RawAnswer): boolean => {
    const { message = '' } = JSON.parse(answer.body.toString()) as { message?: string };
    unavailable[message] = (unavailable[message] ?? 0) + 1;
    return deliberate.some((pattern) => pattern.test(message));
  };

  /** What is wrong with an answer; nothing where all is well. */
  function judge(tried: Tried, outcome: Outcome): string | undefined {
    const { operation, request, asker } = tried;
    if (outcome.kind === 'hang') return `no answer within ${HANG_MS} ms`;
    // Whoever says a wrong length and goes away need not be answered, nor to the end.
    if (outcome.kind === 'garbled') return request.crooked && outcome.what === 'cut off' ? undefined : `unreadable answer: ${outcome.what}`;
    if (outcome.kind === 'closed') return request.crooked ? undefined : 'the connection was closed without an answer';
    const { status, headers, body, ms } = outcome.answer;
    const text = body.toString();
    const most = patient.find(([pattern]) => pattern.test(operation.id))?.[1] ?? slowMs;
    if (ms > most) return `took ${Math.round(ms)} ms`;
    if (INTERNALS.test(text)) return `tells internals: ${INTERNALS.exec(text)?.[0]}`;
    if (target.secrets.some((secret) => text.includes(secret))) return 'tells a secret';
    if (text.includes(people.canaryToken) && asker.name !== 'the canary' && !request.target.includes(people.canaryToken)) return "tells the token of somebody else's link";
    if (text.includes(CANARY) && asker.name !== 'the canary' && !operation.isAdmin && !mayKnow.has(asker.name) && !requestSays(tried, CANARY)) return "tells what is somebody else's";
    if (headers.some(([name]) => /^x-injected$/i.test(name))) return 'a header was injected';
    const byApi = headers.some(([name]) => name.toLowerCase() === 'x-request-id');
    if (!byApi) {
      // Answered before anything of ours saw a request: what cannot be read as HTTP, and what asks for a WebSocket.
      if (request.method === 'OPTIONS' && status === 204) return undefined;
      if (![400, 401, 403, 404, 405, 408, 413, 417, 431].includes(status)) return `status ${status} without a request id`;
      return request.method === 'HEAD' || /^\{"error":"\w+","message":"/.test(text) ? undefined : `is not in the envelope: ${text.slice(0, 100)}`;
    }
    if (status >= 500 && !(status === 503 && (/\/health/.test(request.target) || isMeant(outcome.answer)))) return `status ${status}`;
    let of: Headers;
    try {
      of = new Headers(headers.map(([name, value]): [string, string] => [name, value]));
    } catch (error) {
      return `header that is none: ${String(error)}`;
    }
    // A path of one name is also the path of a parameter: which of the two it is, the router says with what it allows.
    if (status === 405 && of.get('allow')?.split(', ').includes(request.method) === false) return undefined;
    const path = request.target.startsWith('/') ? request.target : `/${request.target}`;
    const problems = isPage(path, of) ? [] : check({ method: request.method, path: path.split('?', 1)[0]!, status, headers: of, body: new Uint8Array(body) });
    return problems.length === 0 ? undefined : problems.join('; ');
  }

  function note(tried: Tried, answer: RawAnswer): void {
    const { operation, asker, faults, request } = tried;
    statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
    if (answer.status < 300) reached.add(operation.id);
    if (slowest.length < 5 || answer.ms > slowest.at(-1)!.ms) {
      slowest.push({ ms: Math.round(answer.ms), operation: operation.id });
      slowest.sort((a, b) => b.ms - a.ms).splice(5);
    }
    if (answer.status < 300 && asker.name !== 'the canary' && answer.body.length > 0 && answer.body.length < 200_000 && answer.headers.some(([name, value]) => name === 'Content-Type' && value.startsWith('application/json')) && request.method !== 'HEAD') {
      const body = JSON.parse(answer.body.toString()) as { access_token?: string };
      if (operation.id.startsWith('changePassword') && typeof body.access_token === 'string') {
        asker.bearer = body.access_token;
        asker.password = (JSON.parse(request.body.toString().replace(/^\ufeff/, '')) as { new_password: string }).new_password;
      }
      known.learnFrom(operation, asker.name, body, answer.headers);
    }
    if (answer.status === 401 && faults === 0 && asker.renew !== undefined) renewals.add(asker);
  }

  const renewals = new Set<Tried['asker']>();
  const renewing = new Map<Tried['asker'], Promise<void>>();
  async function renew(): Promise<void> {
    for (const asker of renewals) {
      renewals.delete(asker);
      const under = renewing.get(asker) ?? asker.renew?.().catch(() => undefined).finally(() => renewing.delete(asker)) ?? Promise.resolve();
      renewing.set(asker, under);
      await under;
    }
  }

  /** What needs nothing but a free processor takes its time as well: then it is the machine. */
  async function isBusy(lane: Lane): Promise<boolean> {
    const outcome = await lane.send({ method: 'GET', target: '/health/live', headers: [['Host', 'localhost']], body: Buffer.alloc(0), crooked: false });
    return outcome.kind === 'answer' && outcome.answer.ms > slowMs / 20;
  }

  async function work(): Promise<void> {
    const lane = openLane(hostname, Number(port), HANG_MS);
    while (next < requests && failures.length < options.mostFailures) {
      const number = next++;
      const dice = diceOf(seed, 'http', number);
      const operation = all[number % all.length]!;
      const tried = makeRequest(operation, dice, people, known, schemas);
      let outcome = await lane.send(tried.request);
      let problem = judge(tried, outcome);
      if (problem?.startsWith('took') === true) {
        // Once more by itself: a machine that stands still is not a server that does.
        outcome = await lane.send(tried.request);
        problem = judge(tried, outcome);
        if (problem?.startsWith('took') === true && (await isBusy(lane))) problem = void busy++;
      }
      const answer = outcome.kind === 'answer' ? outcome.answer : undefined;
      if (problem !== undefined) found({ number, seed, what: problem, tried, answer });
      if (answer !== undefined) note(tried, answer);
      await renew();
      done++;
      if (done % 2_000 === 0) await people.replenish();
      if (done % 500 === 0) {
        const now = target.memory() ?? 0;
        memory.most = Math.max(memory.most, now);
        if (memory.warm === 0 && done >= requests / 10) memory.warm = now;
        memory.end = now;
        for (const error of target.errors()) found({ number, seed, what: `the server logged an error: ${error}`, tried, answer });
        options.onProgress(done, failures.length);
      }
    }
    lane.close();
  }

  try {
    await Promise.all(Array.from({ length: lanes }, work));
  } finally {
    await people.stop();
  }
  const never = all.filter(({ id, deprecated }) => !deprecated && !reached.has(id)).map(({ id }) => id);
  const seconds = (performance.now() - began) / 1_000;
  return { requests: done, seconds, failures, statuses, operations: all.length, reached: reached.size, never, unavailable, slowest, busy, memory: memory.most === 0 ? undefined : memory };
}

const mayKnow: ReadonlySet<string> = new Set(['a super_admin', 'an admin', 'support', 'support with a right']);

function requestSays({ request }: Tried, text: string): boolean {
  return request.target.includes(text) || request.body.includes(text);
}

function isPage(path: string, headers: Headers): boolean {
  return !path.startsWith('/api') && !(headers.get('content-type') ?? '').startsWith('application/json');
}

/** As it can be sent again. */
export function describeFailure({ number, seed, what, tried, answer }: Failure): string {
  const { request, operation, asker } = tried;
  const lines = [
    `✖ ${what}`,
    `  case ${number} of seed ${seed}: ${operation.id}, by ${asker.name}`,
    `  ${request.method} ${request.target.slice(0, 1_000)}`,
    ...request.headers.map(([name, value]) => `  ${JSON.stringify(name).slice(1, -1)}: ${JSON.stringify(value).slice(1, -1).slice(0, 1_200)}`).slice(0, 20),
    ...(request.body.length === 0 ? [] : [`  body (${request.body.length} bytes${request.body.length > 1_500 ? ', cut off here' : ''}): ${JSON.stringify(request.body.subarray(0, 1_500).toString('latin1'))}`]),
    ...(answer === undefined ? [] : [`  → ${answer.status} in ${Math.round(answer.ms)} ms: ${answer.body.subarray(0, 600).toString()}`]),
  ];
  return lines.join('\n');
}
