import { refusalsSubject, userSubject, type Subject } from '../codec.ts';
import type { Actor, Instant } from '../kernel.ts';
import { dayOf } from '../time.ts';

/** Streams that decide nothing: they are only appended to, at any revision. */
export const systemLogStream = 'system-log';
export const auditHeadStream = 'audit-head';
const refusalCategory = 'refusal';

/** Refusals of one day spread over so many streams: many processes append to them at once. */
export const REFUSAL_SHARDS = 16;

/** @param source who was refused: one source's refusals of a day are in one stream, in order */
export function refusalStream(at: Instant, source: string): string {
  return `${refusalCategory}-${dayOf(at)}-${shardOf(source)}`;
}

/** FNV-1a, folded to a shard. For ever: it spreads, it hides nothing. */
function shardOf(source: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < source.length; index++) {
    hash = Math.imul(hash ^ source.charCodeAt(index), 0x01000193) >>> 0;
  }
  return hash % REFUSAL_SHARDS;
}

/** Where a refused request came from: the account's own, and without one it is kept with the refusals of that day. */
export function originSubjectOfRefusal(actor: Actor, at: Instant): Subject {
  return actor.kind === 'user' || actor.kind === 'admin' ? userSubject(actor.id) : refusalsSubject(dayOf(at));
}
