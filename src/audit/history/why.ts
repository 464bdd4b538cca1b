import type { CourierDetails, UnlockCause } from '../../domain/device/events.ts';
import { deviceDecider } from '../../domain/device/device.ts';
import { noUnlocks, type DeviceState } from '../../domain/device/state.ts';
import { linkStatus, type LinkStatus, type LocalTime } from '../../domain/link/link.ts';
import { findLink, type Link } from '../../domain/link/links.ts';
import type { Instant, Refusal, RefusalCode, Uuid } from '../../domain/kernel.ts';
import { toMs } from '../../domain/time.ts';
import { lastChange } from './diff.ts';
import { isObject, type Fold } from './fold.ts';
import type { History } from './history.ts';
import { shownDevice, shownFactsOfLink, snakeName, type Shown, type ShownValue } from './states.ts';

/**
 * Why a box would open, or would not: the box's own rules, run on the state of then. They are run on a state that notices
 * what is looked at, so the facts that decided are those that the rules asked for, whatever the rules are.
 */

/** Somebody asks for an opening. */
export interface Opening {
  readonly deviceId: Uuid;
  readonly cause: UnlockCause;
  readonly now: Instant;
  /** Absent: nothing was told of the courier. */
  readonly courier?: CourierDetails;
  /** Whether this server lets couriers open boxes of old firmware. */
  readonly level0Deliveries: boolean;
  /** The domain knows no time zones. */
  readonly localTime: (timeZone: string, ms: number) => LocalTime;
}

/** `joined`: the same person's opening is under way, and this one would be that one. */
export type Outcome = 'allowed' | 'joined' | RefusalCode;

export interface Verdict {
  readonly outcome: Outcome;
  readonly refusal: Refusal | undefined;
  /** JSON pointers of the facts that the rules looked at; those of the link begin with `/link/`. */
  readonly looked: readonly string[];
}

export interface Fact {
  readonly path: string;
  readonly value: ShownValue;
  /** Of the event that made it so. */
  readonly revision: number | undefined;
}

export interface Reason extends Verdict {
  readonly facts: readonly Fact[];
  /** The event since which the answer is what it is, with the same question before it; undefined where no event decided, or it is too far back. */
  readonly decidedBy: { readonly revision: bigint; readonly before: Outcome } | undefined;
}

/** The opening that is asked for has an id that no other one has. */
const NOBODYS = '00000000-0000-0000-0000-000000000000';
/** Changes of what the rules look at that are gone back over. */
const MOST_STEPS = 64;

/** The box's answer to this question in this state. */
export function decideOpening(state: DeviceState, opening: Opening): Verdict {
  const { deviceId, cause, now, courier, level0Deliveries, localTime } = opening;
  const linkId = cause.kind === 'link' ? cause.id : undefined;
  const zone = linkId === undefined || state.kind === 'unregistered' ? undefined : findLink(state.links, linkId)?.window?.timeZone;
  const { value, looked } = noticing(state, linkId, (watched) =>
    deviceDecider.decide(
      watched,
      {
        type: 'RequestUnlock',
        data: {
          deviceId,
          unlockId: NOBODYS,
          cause,
          ttlMs: 1_000,
          level0Deliveries,
          ...(courier === undefined ? {} : { courier }),
          ...(zone === undefined ? {} : { localTime: localTime(zone, toMs(now)) }),
        },
      },
      now,
    ),
  );
  const { events, refusal } = value;
  return { outcome: refusal?.code ?? (events.length > 0 ? 'allowed' : 'joined'), refusal, looked };
}

/**
 * The answer as of a fold, the facts it stands on, and the event since which it is that answer, for the same question at
 * the same time. An opening under way makes a box busy for seconds: unless it is the reason, it is left out of the search.
 */
export async function whyOpening(history: Pick<History, 'at'>, fold: Fold, opening: Opening): Promise<Reason> {
  const verdict = decideOpening(fold.state as DeviceState, opening);
  const idle = decideIdle(fold.state as DeviceState, opening);
  const isIdle = idle.outcome === verdict.outcome;
  const question = (state: DeviceState) => (isIdle ? decideIdle(state, opening) : decideOpening(state, opening));
  const { refusal, looked } = isIdle ? idle : verdict;
  return {
    outcome: verdict.outcome,
    refusal,
    looked,
    facts: factsOf(fold, opening, looked),
    decidedBy: await decidedBy(history, fold, opening, question),
  };
}

async function decidedBy(history: Pick<History, 'at'>, from: Fold, { deviceId, cause }: Opening, question: (state: DeviceState) => Verdict): Promise<Reason['decidedBy']> {
  const links = cause.kind === 'link' ? [cause.id] : [];
  const { outcome } = question(from.state as DeviceState);
  let fold = from;
  for (let step = 0; step < MOST_STEPS; step++) {
    // Nothing that the rules look at changed after the last of these: up to it, the answer is the same.
    const last = Math.max(...question(fold.state as DeviceState).looked.map((path) => revisionOf(fold, cause, path) ?? -1));
    if (last < 0) return undefined;
    const revision = BigInt(last);
    const earlier = await history.at('device', deviceId, { kind: 'revision', revision: revision - 1n }, links);
    if (earlier.kind !== 'state') return { revision, before: 'device_not_found' };
    const before = question(earlier.fold.state as DeviceState).outcome;
    if (before !== outcome) return { revision, before };
    fold = earlier.fold;
  }
  return undefined;
}

function decideIdle(state: DeviceState, opening: Opening): Verdict {
  const verdict = decideOpening(state.kind === 'unregistered' ? state : { ...state, unlocks: noUnlocks }, opening);
  return { ...verdict, looked: verdict.looked.filter((path) => !path.startsWith('/unlocks')) };
}

function revisionOf(fold: Fold, cause: UnlockCause, path: string): number | undefined {
  if (!path.startsWith('/link/')) return lastChange(fold.since, path);
  return lastChange(fold.sinceOfLink(cause.id) ?? {}, path.slice('/link'.length));
}

/** Leaves only: that there is an owner is said by who it is. */
function factsOf(fold: Fold, { cause }: Opening, looked: readonly string[]): readonly Fact[] {
  const state = fold.state as DeviceState;
  const link = state.kind === 'registered' && cause.kind === 'link' ? findLink(state.links, cause.id) : undefined;
  const shown: Shown = { ...shownDevice(state), ...(link === undefined ? {} : { link: shownFactsOfLink(link) }) };
  return looked.flatMap((path) => {
    const value = at(shown, path);
    // Which link it is was asked for, not decided on.
    return value === undefined || isObject(value) || path === '/link/link_id' ? [] : [{ path, value, revision: revisionOf(fold, cause, path) }];
  });
}

function at(shown: Shown, path: string): ShownValue | undefined {
  return path
    .slice(1)
    .split('/')
    .reduce<ShownValue | undefined>((value, name) => (isObject(value) ? value[name] : undefined), shown);
}

/**
 * The status of a link is said by the clock too, and by its box's owner: the last event that touched what it follows from.
 * Undefined: none did; time passed.
 */
export function lastChangeOfStatus(fold: Fold, linkId: Uuid, now: Instant): number | undefined {
  const state = fold.state as DeviceState;
  if (state.kind === 'unregistered' || findLink(state.links, linkId) === undefined) return undefined;
  const { looked } = noticing<LinkStatus>(state, linkId, (watched) => (watched.kind === 'unregistered' ? 'void' : linkStatus(watched, findLink(watched.links, linkId) as Link, now)));
  const cause = { kind: 'link', id: linkId } as const;
  return Math.max(...looked.map((path) => revisionOf(fold, cause, path) ?? -1));
}

/** Runs `work` on a state that notices which of its members are read. */
function noticing<T>(state: DeviceState, linkId: Uuid | undefined, work: (watched: DeviceState) => T): { readonly value: T; readonly looked: readonly string[] } {
  const looked = new Set<string>();
  const notice = (owner: object, path: readonly string[]): void => {
    const [top = '', , , , member] = path;
    if (top !== 'links') looked.add(`/${path.map(snakeName).join('/')}`);
    // Links lie in rows of rows. Which one it is says the link itself; the others are passed over on the way to it.
    else if (member !== undefined && path.length === 5 && (owner as Partial<Link>).linkId === linkId) looked.add(`/link/${snakeName(member)}`);
  };
  const value = work(watch(state, [], notice));
  return { value, looked: [...looked] };
}

function watch<T extends object>(target: T, path: readonly string[], notice: (owner: object, path: readonly string[]) => void): T {
  return new Proxy(target, {
    get(owner, name) {
      const value: unknown = Reflect.get(owner, name);
      if (typeof name === 'symbol' || typeof value === 'function') return value;
      const inner = [...path, name];
      notice(owner, inner);
      return typeof value === 'object' && value !== null ? watch(value, inner, notice) : value;
    },
  });
}
