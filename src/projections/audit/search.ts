import type { Instant, Uuid } from '../../domain/kernel.ts';
import { hasPart } from '../grams.ts';
import type { AuditFilter, AuditSearched } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';
import { actionOf } from './actions.ts';
import { actionsOf, actionsWith, hasWord, type Told } from './summary.ts';
import { idOf, termsOf, wordsOfData, type Term } from './words.ts';

/**
 * How entries are found. Everything that is asked for becomes a condition that has the entries in order of position: by an
 * index of the audit table, or by the words that are kept beside it. So the newest of a word that is in half of the log cost
 * as little as those of one that is nowhere, and nothing is counted further than it is told.
 */

/** One way in which an entry may be what is asked for. */
export type Way =
  | { readonly by: 'action'; readonly values: readonly string[] }
  | { readonly by: 'device_id' | 'link_id' | 'user_id' | 'unlock_id' | 'correlation_id'; readonly values: readonly Uuid[] }
  | { readonly by: 'actor_id'; readonly values: readonly string[] }
  | { readonly by: 'position'; readonly values: readonly string[] }
  | { readonly by: 'ip'; readonly value: string }
  /** Of what the log has words of, as they are kept. */
  | { readonly by: 'word'; readonly values: readonly string[] }
  | { readonly by: 'actor_kind' | 'source' | 'outcome'; readonly value: string }
  | { readonly by: 'time'; readonly from: string | undefined; readonly to: string | undefined };

/** Any of these ways; none: nothing can be it. */
export type Condition = readonly Way[];

export interface Found extends AuditSearched {
  readonly conditions: readonly Condition[];
}

/** Of one name: people, boxes, links, openings. What happened to the newest of them is what comes first. */
const MOST_NAMED = 500;
/** What an administrator said of something, from its row in `people`. */
export const saidIn = (fields: string) => `concat_ws(' ', ${fields}->>'reason', ${fields}->>'remark')`;

/** Links, couriers and what administrators say have no index of their words, for it would be written with each: so many of the newest are looked through at once. */
const LOOKED_THROUGH = 10_000;
const WITHOUT_INDEX = ['link', 'courier', 'reason'] as const;
const MOST_WORDS = 50;
/** Kinds of actors that a person would type. */
const KINDS: readonly (readonly [word: string, kind: string])[] = [['administrator', 'admin'], ['courier', 'courier']];
const LEAST_OF_A_KIND = 4;

/** What the filter asks, ready to be found. Names are those of now. */
export async function conditionsOf(reader: Reader, filter: AuditFilter): Promise<Found> {
  const terms = filter.q === undefined ? [] : termsOf(filter.q);
  const named = await namesOf(reader, terms, filter.namedBefore);
  const given: Condition[] = [
    ...(filter.action === undefined ? [] : [[{ by: 'action', values: [filter.action] } as const]]),
    ...(filter.types === undefined ? [] : [[{ by: 'action', values: filter.types.map(actionOf) } as const]]),
    ...(filter.outcome === undefined ? [] : [outcomeCondition(filter.outcome)]),
    ...(filter.deviceId === undefined ? [] : [[{ by: 'device_id', values: [filter.deviceId] } as const]]),
    ...(filter.linkId === undefined ? [] : [[{ by: 'link_id', values: [filter.linkId] } as const]]),
    ...(filter.unlockId === undefined ? [] : [[{ by: 'unlock_id', values: [filter.unlockId] } as const]]),
    ...(filter.correlationId === undefined ? [] : [[{ by: 'correlation_id', values: [filter.correlationId] } as const]]),
    ...(filter.actorId === undefined ? [] : [[{ by: 'actor_id', values: [filter.actorId] } as const]]),
    ...(filter.userId === undefined ? [] : [[{ by: 'user_id', values: [filter.userId] } as const, { by: 'actor_id', values: [filter.userId] } as const]]),
    ...(filter.ip === undefined ? [] : [[{ by: 'ip', value: filter.ip } as const]]),
    ...(filter.actorKind === undefined ? [] : [[{ by: 'actor_kind', value: filter.actorKind } as const]]),
    ...(filter.source === undefined ? [] : [[{ by: 'source', value: filter.source } as const]]),
    ...(filter.from === undefined && filter.to === undefined ? [] : [[{ by: 'time', from: filter.from, to: filter.to } as const]]),
    ...terms.map((term, at) => termCondition(term, (kind) => named.of(at, kind))),
  ];
  return { conditions: withActionsTogether(given), partial: named.partial || named.since !== undefined, namedSince: named.since };
}

function outcomeCondition(outcome: NonNullable<AuditFilter['outcome']>): Condition {
  return outcome === 'accepted' ? [{ by: 'outcome', value: outcome }] : [{ by: 'action', values: actionsOf(outcome) }];
}

function termCondition(term: Term, of: (kind: Kind) => readonly string[]): Condition {
  const actions = term.word === undefined ? [] : actionsWith(term.word);
  const users = of('user');
  const whole = term.id?.length === 32 ? [idOf(term.id)] : [];
  const ways: readonly Way[] = [
    { by: 'action', values: actions },
    { by: 'device_id', values: [...whole, ...of('device')] },
    { by: 'user_id', values: [...whole, ...users] },
    { by: 'actor_id', values: [...whole, ...users, ...of('device')] },
    { by: 'link_id', values: [...whole, ...of('link')] },
    { by: 'unlock_id', values: [...whole, ...of('unlock')] },
    { by: 'correlation_id', values: [...whole, ...of('correlation')] },
    { by: 'position', values: of('position') },
    ...(term.ip === undefined ? [] : [{ by: 'ip' as const, value: term.ip }]),
    { by: 'word', values: of('word') },
    ...kindsOf(term).map((kind) => ({ by: 'actor_kind' as const, value: kind })),
  ];
  return ways.filter((way) => !('values' in way) || way.values.length > 0);
}

function kindsOf({ text }: Term): readonly string[] {
  return text.length < LEAST_OF_A_KIND ? [] : KINDS.filter(([word]) => word.startsWith(text)).map(([, kind]) => kind);
}

/** What asks for actions alone is one condition: `battery refused` is known to be nothing before anything is read. */
function withActionsTogether(conditions: readonly Condition[]): readonly Condition[] {
  let actions: readonly string[] | undefined;
  const others: Condition[] = [];
  for (const condition of conditions) {
    const [way, ...more] = condition;
    if (way?.by !== 'action' || more.length > 0) others.push(condition);
    else actions = actions === undefined ? way.values : actions.filter((action) => way.values.includes(action));
  }
  if (actions === undefined) return others;
  return [actions.length === 0 ? [] : [{ by: 'action', values: [...new Set(actions)] }], ...others];
}

type Kind = 'user' | 'device' | 'link' | 'unlock' | 'position' | 'correlation' | 'word' | 'since';

interface Named {
  readonly of: (term: number, kind: Kind) => readonly string[];
  readonly partial: boolean;
  readonly since: Instant | undefined;
}

/** Who and what has such a name, id, serial number or address, and which words of the log begin so. */
async function namesOf(reader: Reader, terms: readonly Term[], before: Instant | undefined): Promise<Named> {
  const found = new Map<string, string[]>();
  let partial = false;
  const values: unknown[] = [];
  const place = (value: unknown) => `$${values.push(value)}`;
  const pieces: ((s: Schemas) => string)[] = [];
  /** People and boxes of a name, looked through once. */
  const called: ((s: Schemas) => string)[] = [];
  const piece = (term: number, kind: Kind, text: (s: Schemas) => string) =>
    pieces.push((s) => `(SELECT ${term} AS term, '${kind}' AS kind, found::text AS id FROM (${text(s)}) f(found) LIMIT ${MOST_NAMED + 1})`);

  const older = before === undefined ? 'true' : `since < ${place(before)}::timestamptz`;
  if (terms.some(({ text }) => text.length >= 2)) {
    // Each kind down to where it was looked through, if anything is before that; the latest of them, so that none is left out.
    piece(0, 'since', (s) => {
      const last = `SELECT since FROM ${s['people']}.people p WHERE p.kind = k.kind AND ${older} ORDER BY since DESC OFFSET ${LOOKED_THROUGH - 1} LIMIT 1`;
      return `
        SELECT to_char(max(since) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
          FROM (VALUES ${WITHOUT_INDEX.map((kind) => `('${kind}')`).join(', ')}) k(kind) CROSS JOIN LATERAL (${last}) l
         WHERE EXISTS (SELECT FROM ${s['people']}.people p WHERE p.kind = k.kind AND p.since < l.since)`;
    });
  }
  terms.forEach((term, n) => {
    if (term.text.length >= 2) {
      const at = place(term.text);
      const hasIt = hasPart(term.text, place, at);
      called.push((s) => `called${n} AS MATERIALIZED (SELECT ref FROM ${s['people']}.people WHERE ${hasIt})`);
      piece(n, 'user', (s) => `SELECT user_id FROM called${n} JOIN ${s['users']}.users ON user_id = ref`);
      // A box's words end with a blank and its id, of which an entry is found by the beginning alone, below.
      piece(n, 'device', (s) => `
        SELECT device_id FROM ${s['devices']}.fleet WHERE ${hasIt} AND strpos(left(words, -37), ${at}::text) > 0
         UNION SELECT device_id FROM ${s['devices']}.fleet WHERE assignment_id IN (SELECT ref FROM called${n})`);
      // With all of one instant, so that what is before it is all that is left.
      const newest = (s: Schemas, kind: (typeof WITHOUT_INDEX)[number]) => `SELECT ref, fields FROM ${s['people']}.people WHERE kind = '${kind}' AND ${older} ORDER BY since DESC FETCH FIRST ${LOOKED_THROUGH} ROWS WITH TIES`;
      piece(n, 'link', (s) => `SELECT ref FROM (${newest(s, 'link')}) p WHERE strpos(lower(fields->>'name'), ${at}::text) > 0`);
      piece(n, 'position', (s) => `SELECT fields->>'position' FROM (${newest(s, 'reason')}) p WHERE strpos(lower(${saidIn('fields')}), ${at}::text) > 0`);
      piece(n, 'unlock', (s) => `SELECT ref FROM (${newest(s, 'courier')}) p WHERE strpos(lower(concat_ws(' ', fields->>'name', fields->>'company')), ${at}::text) > 0`);
    }
    if (term.word !== undefined && term.word.length >= 2) {
      // From one word to the next: the entries between are not read.
      const [from, to] = [place(term.word), place(`${term.word}\u{10ffff}`)];
      piece(n, 'word', (s) => `
        WITH RECURSIVE each(word) AS (
          (SELECT left(entry, -21) FROM ${s['audit']}.words WHERE entry >= ${from}::text AND entry < ${to}::text ORDER BY entry LIMIT 1)
          UNION ALL
          SELECT (SELECT left(entry, -21) FROM ${s['audit']}.words w WHERE w.entry > each.word || ' ~' AND w.entry < ${to}::text ORDER BY entry LIMIT 1) FROM each WHERE each.word IS NOT NULL
        ) SELECT word FROM each WHERE word IS NOT NULL LIMIT ${MOST_WORDS + 1}`);
    }
    if (term.id !== undefined && term.id.length < 32) {
      const [low, high] = [place(idOf(term.id.padEnd(32, '0'))), place(idOf(term.id.padEnd(32, 'f')))];
      const begins = (column: string) => `${column} BETWEEN ${low}::uuid AND ${high}::uuid`;
      piece(n, 'device', (s) => `SELECT device_id FROM ${s['devices']}.devices WHERE ${begins('device_id')} LIMIT ${MOST_NAMED}`);
      piece(n, 'user', (s) => `SELECT user_id FROM ${s['users']}.users WHERE ${begins('user_id')} LIMIT ${MOST_NAMED}`);
      piece(n, 'link', (s) => `SELECT link_id FROM ${s['links']}.links WHERE ${begins('link_id')} ORDER BY link_id DESC LIMIT ${MOST_NAMED}`);
      piece(n, 'unlock', (s) => `SELECT unlock_id FROM ${s['unlocks']}.unlocks WHERE ${begins('unlock_id')} ORDER BY unlock_id DESC LIMIT ${MOST_NAMED}`);
      piece(n, 'correlation', (s) => `SELECT DISTINCT correlation_id FROM (SELECT correlation_id FROM ${s['audit']}.audit WHERE ${begins('correlation_id')} ORDER BY correlation_id DESC LIMIT 5000) c LIMIT ${MOST_NAMED}`);
      piece(n, 'position', (s) => `SELECT position FROM ${s['proof']}.leaves WHERE ${begins('event_id')} ORDER BY event_id DESC LIMIT ${MOST_NAMED}`);
    } else if (term.id !== undefined) {
      const at = place(idOf(term.id));
      piece(n, 'position', (s) => `SELECT position FROM ${s['proof']}.leaves WHERE event_id = ${at}::uuid`);
    }
  });
  if (pieces.length > 0) {
    const listed = (s: Schemas, texts: readonly ((s: Schemas) => string)[], between: string) => texts.map((text) => text(s)).join(between);
    const text = (s: Schemas) => `${called.length === 0 ? '' : `WITH ${listed(s, called, ', ')} `}${listed(s, pieces, ' UNION ALL ')}`;
    const rows = await reader.all<{ term: number; kind: Kind; id: string | null }>({ name: 'audit.names', text, once: true }, values);
    for (const { term, kind, id } of rows) {
      if (id === null) continue;
      const key = `${term} ${kind}`;
      const list = found.get(key) ?? [];
      found.set(key, list);
      if (list.length >= (kind === 'word' ? MOST_WORDS : MOST_NAMED)) partial = true;
      else list.push(id);
    }
  }
  return { of: (term, kind) => found.get(`${term} ${kind}`) ?? [], partial, since: found.get('0 since')?.[0] };
}

/** What of an entry is compared with what is looked for; all in lower case. */
export interface Searched extends Told {
  readonly eventId: Uuid;
  readonly correlationId: Uuid;
  readonly ip: string | null;
  readonly names: string;
}

/** Whether an entry that was read is one that the terms look for: the same question as `conditionsOf`, asked of one entry. */
export function isFound(entry: Searched, terms: readonly Term[]): boolean {
  return terms.every((term) => isIn(entry, term));
}

function isIn(entry: Searched, term: Term): boolean {
  const { text, word, id, ip } = term;
  if (ip !== undefined && entry.ip === ip) return true;
  if (kindsOf(term).includes(entry.actorKind)) return true;
  if (id !== undefined && [entry.deviceId, entry.userId, entry.linkId, entry.unlockId, entry.actorId, entry.correlationId, entry.eventId].some((each) => each?.replaceAll('-', '').startsWith(id) === true)) return true;
  if (text.length >= 2 && entry.names.includes(text)) return true;
  if (word === undefined) return false;
  const begins = (each: string) => each.startsWith(word);
  return hasWord(entry.type, word) || (word.length >= 2 && wordsOfData(entry.data).some(begins));
}
