import type { DeviceEvent } from '../../domain/device/events.ts';
import { lifecycleOf } from '../../domain/device/rules.ts';
import type { DeviceState } from '../../domain/device/state.ts';
import type { DomainEvent } from '../../domain/events.ts';
import type { Instant, Uuid } from '../../domain/kernel.ts';
import { findLink, noLinks, putLink, type Link, type Links } from '../../domain/link/links.ts';
import { deviceAggregate, recordedOf, userAggregate, type Aggregate } from '../../domain/registry.ts';
import type { RecordedEvent } from '../../platform/event-store/port.ts';
import { evolveDelivery } from './delivery.ts';
import { shownFactsOfLink, shownMember, snakeName, type Shown, type ShownCategory, type ShownValue } from './states.ts';

/**
 * A fold that remembers, for each fact that it shows, which event last changed it. So a difference names its events, and a
 * decision the event that decided, without reading more than the fold itself.
 */
export interface Fold {
  readonly category: ShownCategory;
  readonly state: unknown;
  /** The event that it ends with; undefined: nothing was folded. */
  readonly end: Place | undefined;
  /** JSON pointer of a shown fact → revision of the event that last changed it. */
  readonly since: Since;
  /** The same of each link. */
  sinceOfLink(linkId: Uuid): Since | undefined;
  /** @throws UnknownEvent of a newer build */
  take(event: RecordedEvent): void;
  /** Links that the events since the last call changed, as they are now. */
  takeChangedLinks(): readonly LinkPart[];
  /** Everything but the links. Plain JSON; later events do not change it. */
  core(): Core;
  /** Whether this link's past is in the fold: made in it, or put there. */
  knowsLink(linkId: Uuid): boolean;
  putLink(linkId: Uuid, part: Omit<LinkPart, 'linkId'> | undefined): void;
}

export interface Place {
  readonly revision: bigint;
  readonly position: bigint;
  readonly eventId: Uuid;
  readonly type: string;
  readonly occurredAt: Instant;
}

export type Since = Readonly<Record<string, number>>;

/** A box collects links for years: they are kept one by one, so that a milestone is small. */
export interface LinkPart {
  readonly linkId: Uuid;
  readonly link: Link;
  readonly since: Since;
}

export interface Core {
  readonly state: unknown;
  readonly since: Since;
}

/** Raise it when `since` or what is shown changes its meaning: older milestones are then not used. */
const FOLD_VERSION = 1;

export function aggregateOf(category: 'device' | 'user'): Aggregate {
  return (category === 'device' ? deviceAggregate : userAggregate) as unknown as Aggregate;
}

/** Names what a kept fold is good for: the shape of the state, and the meaning of the rest. */
export function foldVersionOf(category: 'device' | 'user'): string {
  return `${aggregateOf(category).stateVersion}.${FOLD_VERSION}`;
}

/** @param from a milestone to go on from, and the event it ended with */
export function createFold(category: ShownCategory, from?: { readonly core: Core; readonly end: Place }): Fold {
  const evolve = evolveOf(category);
  let state = from === undefined ? initialOf(category) : from.core.state;
  let end = from?.end;
  const since: Record<string, number> = { ...from?.core.since };
  const links = new Map<Uuid, Since | undefined>();
  const changed = new Set<Uuid>();

  /** Only what is another value is looked at: an event changes one or two members of a state. */
  function changedFacts(before: unknown, after: unknown, revision: number): void {
    const was = members(before);
    const is = members(after);
    if (is === undefined) return;
    for (const name of Object.keys(is)) {
      if (was?.[name] === is[name]) continue;
      const shown = shownMember(category, name, is[name]);
      if (shown !== undefined) note(since, `/${snakeName(name)}`, was === undefined ? undefined : shownMember(category, name, was[name]), shown, revision);
    }
    if (category !== 'device') return;
    const [stoodAt, standsAt] = [standing(before as DeviceState), standing(after as DeviceState)];
    if (stoodAt !== standsAt) since['/lifecycle_status'] = revision;
  }

  function changedLinks(before: DeviceState, after: DeviceState, revision: bigint): void {
    for (const [was, is] of differences(linksOf(before), linksOf(after))) {
      const changes = { ...links.get(is.linkId) };
      for (const [name, value] of Object.entries(shownFactsOfLink(is))) note(changes, `/${name}`, was === undefined ? undefined : shownFactsOfLink(was)[name], value, Number(revision));
      links.set(is.linkId, changes);
      changed.add(is.linkId);
    }
  }

  return {
    category,
    get state() {
      return state;
    },
    get end() {
      return end;
    },
    get since() {
      return since;
    },
    sinceOfLink: (linkId) => links.get(linkId),

    take(event) {
      const { revision, position, eventId, type, metadata } = event;
      const before = state;
      state = evolve(state, recordedOf(event), metadata.occurredAt);
      end = { revision, position, eventId, type, occurredAt: metadata.occurredAt };
      if (state === before) return;
      changedFacts(before, state, Number(revision));
      if (category === 'device') changedLinks(before as DeviceState, state as DeviceState, revision);
    },

    takeChangedLinks() {
      const parts = [...changed].map((linkId) => ({ linkId, link: findLink(linksOf(state as DeviceState), linkId)!, since: links.get(linkId) ?? {} }));
      changed.clear();
      return parts;
    },

    core: () => ({ state: category === 'device' && (state as DeviceState).kind === 'registered' ? { ...(state as object), links: noLinks } : state, since: { ...since } }),

    knowsLink: (linkId) => links.has(linkId),

    putLink(linkId, part) {
      links.set(linkId, part?.since);
      const box = state as DeviceState;
      if (part !== undefined && box.kind === 'registered') state = { ...box, links: putLink(box.links, part.link) };
    },
  };
}

/** The links whose past an event needs: those that it names. Those of openings under way are in the state. */
export function linksNamedBy({ data }: Pick<RecordedEvent, 'data'>): readonly Uuid[] {
  const { linkId, cause } = data as { readonly linkId?: unknown; readonly cause?: { readonly kind?: unknown; readonly id?: unknown } };
  return [linkId, cause?.kind === 'link' ? cause.id : undefined].filter((id) => typeof id === 'string');
}

/** An opening that ends gives a use back to the link that caused it. */
export function linksUnderWay(state: unknown): readonly Uuid[] {
  const box = state as DeviceState;
  if (box.kind !== 'registered') return [];
  const { current, unknown } = box.unlocks;
  return [...(current === null ? [] : [current]), ...unknown].flatMap(({ cause }) => (cause.kind === 'link' ? [cause.id] : []));
}

function initialOf(category: ShownCategory): unknown {
  return category === 'delivery' ? null : aggregateOf(category).decider.initialState;
}

function evolveOf(category: ShownCategory): (state: unknown, event: DomainEvent, at: Instant) => unknown {
  if (category === 'delivery') return (state, event, at) => evolveDelivery(state as never, event as DeviceEvent, at);
  const { decider } = aggregateOf(category);
  return (state, event, at) => decider.evolve(state, event as never, at);
}

function linksOf(state: DeviceState): Links {
  return state.kind === 'registered' ? state.links : noLinks;
}

/** By what the two do not share: a change copies three short arrays. Links are added and changed, never removed. */
function* differences(before: Links, after: Links): Generator<readonly [was: Link | undefined, is: Link]> {
  if (before === after) return;
  for (const [high, row] of after.entries()) {
    if (row === before[high]) continue;
    for (const [low, bucket] of row.entries()) {
      const old = before[high]?.[low];
      if (bucket === old) continue;
      for (const [index, link] of bucket.entries()) if (link !== old?.[index]) yield [old?.[index], link];
    }
  }
}

type Leaves = Readonly<Record<string, ShownValue>>;

/** Each fact by its JSON pointer. A list is one fact. */
export function leavesOf(shown: Shown | null): Leaves {
  const leaves: Record<string, ShownValue> = {};
  if (shown !== null) collect('', shown, leaves);
  return leaves;
}

function collect(path: string, shown: Shown, leaves: Record<string, ShownValue>): void {
  for (const name of Object.keys(shown)) {
    const value = shown[name] as ShownValue;
    if (isObject(value)) collect(`${path}/${name}`, value, leaves);
    else leaves[`${path}/${name}`] = value;
  }
}

export function isObject(value: ShownValue | undefined): value is Shown {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function sameValue(a: ShownValue | undefined, b: ShownValue | undefined): boolean {
  return a === b || (typeof a === 'object' && typeof b === 'object' && JSON.stringify(a) === JSON.stringify(b));
}

/** Writes down, for each fact at a path and below it that is another one now, that it is since this revision. */
function note(since: Record<string, number>, path: string, was: ShownValue | undefined, is: ShownValue, revision: number): void {
  if (isObject(is)) {
    if (!isObject(was)) delete since[path];
    for (const name of Object.keys(is)) note(since, `${path}/${name}`, isObject(was) ? was[name] : undefined, is[name] as ShownValue, revision);
    return;
  }
  if (was !== undefined && sameValue(was, is)) return;
  if (isObject(was)) for (const each of Object.keys(since)) if (each.startsWith(`${path}/`)) delete since[each];
  since[path] = revision;
}

/** Undefined: there is nothing yet. */
function members(state: unknown): Readonly<Record<string, unknown>> | undefined {
  const known = state as { readonly kind?: string } | null;
  return known === null || known.kind === 'unregistered' ? undefined : (known as Readonly<Record<string, unknown>>);
}

function standing(state: DeviceState): string | undefined {
  return state.kind === 'unregistered' ? undefined : lifecycleOf(state);
}
