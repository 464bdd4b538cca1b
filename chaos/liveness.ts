import { createClient } from '../test/support/api-client.ts';
import { historyOf } from './history.ts';
import { settle } from './load.ts';
import { pause, type Model } from './model.ts';
import { signIn, type Crew } from './people.ts';
import type { Lockbox } from '../src/simulator/lockbox.ts';
import { calm, query, type World } from './world.ts';

/**
 * The other half of what must be true: once nothing is wrong any more, everything comes to its end. Generous, because a
 * machine may be slow; what takes longer is a finding of its own kind, never one of safety.
 */
const DEADLINE_MS = 90_000;

export interface Rest {
  /** What has not come to its end. */
  readonly findings: readonly string[];
  readonly ms: number;
  /** What was waited for last. */
  readonly last: string;
  /** Requests that had no answer when it began. */
  readonly askedAgain: number;
}

/** Ends all faults and waits until everything has caught up. Answers what has not, and how long the rest took. */
export async function comeToRest(world: World, model: Model, { crowd }: Crew): Promise<Rest> {
  const began = performance.now();
  calm(world);
  await Promise.all(world.roles.filter(({ pid }) => pid === undefined).map((role) => role.start()));
  const askedAgain = await settle(world, model, DEADLINE_MS);
  let waiting: readonly string[] = [];
  let last = 'answers';
  do {
    waiting = await whatIsMissing(world, model, crowd).catch((error: unknown) => [`the state could not be read: ${(error as Error).message}`]);
    if (waiting.length === 0) break;
    last = waiting[0]!;
    await pause(200);
  } while (performance.now() - began < DEADLINE_MS);
  await signInAgain(world, model);
  return { findings: waiting, ms: performance.now() - began, last, askedAgain };
}

/** A suspension that was asked for twice, or was read late, may have ended a session that was newer than it. */
export async function signInAgain({ url }: World, model: Model): Promise<void> {
  for (const owner of model.owners) {
    const me = await createClient(url, owner.token).call('GET', '/auth/me').catch(() => undefined);
    if (me?.status === 401) owner.token = await signIn(url, owner, 'user').catch(() => owner.token);
  }
}

async function whatIsMissing(world: World, model: Model, crowd: readonly Lockbox[]): Promise<readonly string[]> {
  for (const role of world.roles) {
    const ready = await fetch(`${role.url}/health/ready`, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
    if (ready?.status !== 200) return [`${role.name} is not ready: ${ready === undefined ? 'no answer' : (await ready.text()).slice(0, 500)}`];
  }
  const boxes = model.boxes.flatMap(({ deviceId, lockbox: { connected, state, moving } }) => {
    if (!connected) return [`${deviceId} is not connected`];
    if (state?.outbox !== 0) return [`${deviceId} has ${state?.outbox} reports that nobody acknowledged`];
    if (state.now === undefined) return [`${deviceId} does not know the time`];
    return moving ? [`${deviceId} is moving its bolt`] : [];
  });
  if (boxes.length > 0) return boxes;
  const away = crowd.filter(({ connected }) => !connected).length;
  if (away > 0) return [`${away} of ${crowd.length} boxes of the crowd are not connected`];

  await readLog(world, model);
  const open = [...historyOf(model.log).unlocks.values()].filter(({ end, deviceId, dispatched }) => end === undefined || (end.type === 'UnlockOutcomeUnknown' && !mayStayUnknown(model, deviceId, dispatched?.recordedAt)));
  if (open.length > 0) return open.map(({ id, deviceId, end }) => `${id} of ${deviceId} has not come to its end${end === undefined ? '' : ': it is unknown'}`);

  const end = model.log.at(-1)?.position ?? 0n;
  const behind = await query<{ name: string; position: string; state: string }>(await world.databaseUrl(), 'SELECT name, position::text, state FROM work.projections WHERE position < $1::numeric OR state <> $2', [String(end), 'running']);
  return behind.map(({ name, position, state }) => `the read model ${name} is ${state} at ${position}, the log ends at ${end}`);
}

/** A box that lost its memory or its power meanwhile may never tell. */
function mayStayUnknown(model: Model, deviceId: string, dispatchedAt: string | undefined): boolean {
  const since = Date.parse(dispatchedAt ?? '');
  return model.boxes.find((box) => box.deviceId === deviceId)?.lapses.some((at) => at > since - 1_000) === true;
}

/** Goes on from where the model's copy of the log ends. */
export async function readLog(world: World, model: Model): Promise<void> {
  const store = await world.openStore();
  try {
    const after = model.log.at(-1)?.position;
    for await (const event of store.readAll(after === undefined ? {} : { after })) model.log.push(event);
  } finally {
    await store.stop();
  }
}
