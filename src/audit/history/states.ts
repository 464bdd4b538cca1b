import type { DeviceState, RegisteredDevice } from '../../domain/device/state.ts';
import { lifecycleOf } from '../../domain/device/rules.ts';
import type { Instant, Uuid } from '../../domain/kernel.ts';
import { linkStatus, usesLeft } from '../../domain/link/link.ts';
import { findLink, type Link } from '../../domain/link/links.ts';
import type { UserState } from '../../domain/user/state.ts';
import type { DeliveryState } from './delivery.ts';

/**
 * What a reader is shown of a state of the past: facts, ids and instants. Nothing secret (tags, hashes, tokens) and nothing
 * sealed; who an id is, is looked up where somebody may know it. Names are those of the state, in snake case.
 */

export type ShownCategory = 'device' | 'user' | 'delivery';

export type Shown = { readonly [name: string]: ShownValue };
export type ShownValue = string | number | boolean | null | readonly ShownValue[] | Shown;

/**
 * @param category of the stream that was folded, or `delivery` for the fold of one opening's own events
 * @returns null where there is nothing yet, or nothing of that kind
 */
export function shownState(category: string, state: unknown): Shown | null {
  switch (category) {
    case 'device':
      return shownDevice(state as DeviceState);
    case 'user':
      return shownUser(state as UserState);
    case 'delivery':
      return shownDelivery(state as DeliveryState);
    default:
      return null;
  }
}

export function shownDevice(state: DeviceState): Shown | null {
  if (state.kind === 'unregistered') return null;
  const { kind: _kind, links: _links, pin, unlocks, reported, ...facts } = state;
  const { unexplained: _unexplained, ...said } = reported;
  return snakeCase({
    ...facts,
    lifecycleStatus: lifecycleOf(state),
    pin: { expiresAt: pin.expiresAt, void: pin.void, guesses: pin.guesses },
    unlocks: { current: unlocks.current, unknown: unlocks.unknown.map(({ unlockId }) => unlockId), lastSeq: unlocks.lastSeq },
    reported: said,
  });
}

/** One link, as its box's stream knows it. Null where it was not made yet. */
export function shownLink(state: DeviceState, linkId: Uuid, at: Instant): Shown | null {
  const link = state.kind === 'unregistered' ? undefined : findLink(state.links, linkId);
  return link === undefined ? null : { ...shownFactsOfLink(link), status: linkStatus(state as RegisteredDevice, link, at) };
}

/** What of a link only its own events change. */
export function shownFactsOfLink(link: Link): Shown {
  const { tokenHash: _hash, ...facts } = link;
  return snakeCase({ ...facts, usesLeft: usesLeft(link) });
}

export function shownUser(state: UserState): Shown | null {
  if (state.kind === 'unregistered') return null;
  const { kind: _kind, logins, ...facts } = state;
  return snakeCase({ ...facts, logins: { refusals: logins.refusals, wrongInARow: logins.wrongInARow } });
}

/** One opening. Past its time without an outcome it is still what the log says: only events end it. */
export function shownDelivery(state: DeliveryState): Shown | null {
  return state === null ? null : snakeCase({ ...state });
}

type Plain = { readonly [name: string]: unknown };

function snakeCase(value: Plain): Shown {
  const shown: Record<string, ShownValue> = {};
  for (const name of Object.keys(value)) shown[snakeName(name)] = shownValue(value[name]);
  return shown;
}

function shownValue(value: unknown): ShownValue {
  if (value === null || value === undefined) return null;
  if (Array.isArray(value)) return value.map(shownValue);
  return typeof value === 'object' ? snakeCase(value as Plain) : (value as string | number | boolean);
}

const names = new Map<string, string>();

/** `lockStatusAt` → `lock_status_at`. */
export function snakeName(name: string): string {
  let snake = names.get(name);
  // Names of members, of which there are few; should they ever be many, the memory of them is not worth it.
  if (snake === undefined) {
    snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    if (names.size < 1_000) names.set(name, snake);
  }
  return snake;
}
