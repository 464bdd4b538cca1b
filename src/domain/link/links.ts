import type { AccessWindow } from '../device/events.ts';
import type { Instant, Uuid } from '../kernel.ts';

/** An access link as the box's stream knows it. */
export interface Link {
  readonly linkId: Uuid;
  /** Whose link it is: the owner of the assignment it was made under. */
  readonly userId: Uuid;
  readonly assignmentId: Uuid;
  /** Suspensions of that owner before it was made: one later ended it. */
  readonly suspensions: number;
  readonly tokenHash: string;
  readonly startsAt: Instant | null;
  readonly expiresAt: Instant;
  readonly maxUses: number;
  readonly requireIdentity: boolean;
  readonly window: AccessWindow | null;
  /** Unlocks it caused that are not proven unopened, those in flight included. */
  readonly uses: number;
  /** When the last of those was requested, or confirmed where it was. */
  readonly usedAt: Instant | null;
  readonly revokedAt: Instant | null;
  readonly deleted: boolean;
  /** True once LinkExpired is written. Before that, the clock alone says it. */
  readonly expiryRecorded: boolean;
}

/**
 * All links a box ever had, by id. A box collects thousands over its years and each use changes one of them, so a copy of
 * the whole map for each event would make a long fold quadratic: this is a trie of 16 × 16 small arrays, of which a change
 * copies three. Plain JSON, like every state.
 */
export type Links = readonly (readonly (readonly Link[])[])[];

const FAN = 16;
const emptyRow: readonly (readonly Link[])[] = Array.from({ length: FAN }, () => []);
export const noLinks: Links = Array.from({ length: FAN }, () => emptyRow);

export function findLink(links: Links, linkId: Uuid): Link | undefined {
  return bucketOf(links, linkId).find((link) => link.linkId === linkId);
}

export function putLink(links: Links, link: Link): Links {
  const bucket = bucketOf(links, link.linkId);
  const index = bucket.findIndex((other) => other.linkId === link.linkId);
  const [high, low] = slots(link.linkId);
  const row = links[high] ?? emptyRow;
  return links.with(high, row.with(low, index < 0 ? [...bucket, link] : bucket.with(index, link)));
}

export function changeLink(links: Links, linkId: Uuid, change: (link: Link) => Link): Links {
  const link = findLink(links, linkId);
  return link === undefined ? links : putLink(links, change(link));
}

export function allLinks(links: Links): readonly Link[] {
  return links.flat(2);
}

function bucketOf(links: Links, linkId: Uuid): readonly Link[] {
  const [high, low] = slots(linkId);
  return links[high]?.[low] ?? [];
}

/** The last two digits of a UUID are random in every version: they spread evenly. */
function slots(id: Uuid): readonly [number, number] {
  return [digit(id.charCodeAt(id.length - 1)), digit(id.charCodeAt(id.length - 2))];
}

function digit(code: number): number {
  return (code <= 57 ? code : code - 87) & (FAN - 1);
}
