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
  return state.kind === 'unregistered' ? null : { ...members('device', state), lifecycle_status: lifecycleOf(state) };
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
  return state.kind === 'unregistered' ? null : members('user', state);
}

/** One opening. Past its time without an outcome it is still what the log says: only events end it. */
export function shownDelivery(state: DeliveryState): Shown | null {
  return state === null ? null : members('delivery', state);
}

function members(category: ShownCategory, state: object): Shown {
  const shown: Record<string, ShownValue> = {};
  for (const [name, value] of Object.entries(state)) {
    const member = shownMember(category, name, value);
    if (member !== undefined) shown[snakeName(name)] = member;
  }
  return shown;
}

/** One member of a state, as it is shown; undefined: it is not. What is shown of each follows from it alone. */
export function shownMember(category: ShownCategory, name: string, value: unknown): ShownValue | undefined {
  if (name === 'kind') return undefined;
  if (category === 'device') {
    switch (name) {
      case 'links':
        return undefined;
      case 'pin': {
        const { expiresAt, void: isVoid, guesses } = value as RegisteredDevice['pin'];
        return { expires_at: expiresAt, void: isVoid, guesses };
      }
      case 'unlocks': {
        const { current, unknown, lastSeq } = value as RegisteredDevice['unlocks'];
        return { current: shownValue(current), unknown: unknown.map(({ unlockId }) => unlockId), last_seq: lastSeq };
      }
      case 'reported': {
        const { unexplained: _unexplained, ...said } = value as RegisteredDevice['reported'];
        return shownValue(said);
      }
    }
  }
  return shownValue(value);
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
