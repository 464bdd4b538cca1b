import type { Schemas } from '../schemas.ts';
import { SELDOM, wordEntry } from './projection.ts';
import type { Condition, Way } from './search.ts';

/** Where in the log, and which way through it. */
export interface Range {
  /** Exclusive. */
  readonly after?: bigint | undefined;
  /** Exclusive. */
  readonly before?: bigint | undefined;
  /** Inclusive. */
  readonly until?: bigint | undefined;
  readonly order: 'ASC' | 'DESC';
}

/** The SQL of one question: pieces of text that share their parameters. */
export class Sql {
  readonly values: unknown[] = [];
  readonly #audit: string;
  readonly #words: string;
  readonly #people: string;
  readonly #range: Range;
  readonly #placed = new Map<unknown, string>();

  constructor(s: Schemas, range: Range) {
    this.#audit = `${s['audit']}.audit`;
    this.#words = `${s['audit']}.words`;
    this.#people = `${s['people']}.people`;
    this.#range = range;
  }

  place(value: unknown): string {
    const known = this.#placed.get(value) ?? `$${this.values.push(value)}`;
    this.#placed.set(value, known);
    return known;
  }

  /** Positions of the range, of all entries. */
  everything(most: number): string {
    return `SELECT position FROM ${this.#audit} a WHERE ${this.inRange('a.position')} ORDER BY position ${this.#range.order} LIMIT ${most}`;
  }

  /** Positions of the entries that meet a condition, the first `most` in order; each once. */
  first(condition: Condition, most: number): string {
    const ways = condition.map((way) => `(${this.#firstOf(way, most)})`);
    return ways.length === 0 ? 'SELECT NULL::numeric AS position WHERE false' : `SELECT DISTINCT position FROM (${ways.join(' UNION ALL ')}) u ORDER BY position ${this.#range.order} LIMIT ${most}`;
  }

  /** How many entries meet a condition, counted to `most`. One way that alone has so many is enough: no entry is twice in it. */
  total(condition: Condition, most: number): string {
    const [way] = condition;
    if (way === undefined) return '0';
    const counts = condition.map((each) => `(SELECT count(*) FROM (SELECT 1 FROM (${this.#firstOf(each, most, false)}) w LIMIT ${most}) c)`);
    const [count = '0'] = counts;
    if (condition.length === 1) return `${count}::integer`;
    return `CASE WHEN greatest(${counts.join(', ')}) >= ${most} THEN ${most} ELSE (SELECT count(*)::integer FROM (SELECT DISTINCT position FROM (${this.all(condition)}) u LIMIT ${most}) c) END`;
  }

  /** Whether there are more than `most`, wherever: stops counting there. Undefined: cannot be counted without reading the log. */
  countTo(condition: Condition, most: number): string | undefined {
    if (!condition.every(isIndexed)) return undefined;
    const ways = condition.map((way) => `(${this.#firstOf(way, most, false)})`);
    return ways.length === 0 ? '0' : `(SELECT count(*)::integer FROM (SELECT 1 FROM (${ways.join(' UNION ALL ')}) u LIMIT ${most}) c)`;
  }

  /** All positions of the entries that meet a condition; more than once where it is met in several ways. */
  all(condition: Condition): string {
    const ways = condition.map((way) => `(${this.#allOf(way)})`);
    return ways.length === 0 ? 'SELECT NULL::numeric AS position WHERE false' : ways.join(' UNION ALL ');
  }

  /** Asked of one entry, `a`. */
  met(condition: Condition): string {
    return condition.length === 0 ? 'false' : `(${condition.map((way) => this.#metBy(way)).join(' OR ')})`;
  }

  inRange(column: string): string {
    const { after, before, until } = this.#range;
    const bounds = [
      after === undefined ? undefined : `${column} > ${this.place(String(after))}::numeric`,
      before === undefined ? undefined : `${column} < ${this.place(String(before))}::numeric`,
      until === undefined ? undefined : `${column} <= ${this.place(String(until))}::numeric`,
    ].filter((bound) => bound !== undefined);
    return bounds.length === 0 ? 'true' : bounds.join(' AND ');
  }

  #firstOf(way: Way, most: number, ordered = true): string {
    const { order } = this.#range;
    const cut = ordered ? `ORDER BY position ${order} LIMIT ${most}` : `LIMIT ${most}`;
    switch (way.by) {
      case 'word': {
        // In the order of the words' own index, which is that of positions within a word.
        const [low, high] = this.#ends();
        const entries = `SELECT entry FROM ${this.#words} WHERE entry >= v.word || ${low} AND entry <= v.word || ${high} ${ordered ? `ORDER BY entry ${order}` : ''} LIMIT ${most}`;
        return `SELECT right(h.entry, 20)::numeric AS position FROM unnest(${this.place(way.values)}::text[]) v(word) CROSS JOIN LATERAL (${entries}) h`;
      }
      case 'position':
        return `SELECT position FROM unnest(${this.place(way.values)}::numeric[]) p(position) WHERE ${this.inRange('p.position')}`;
      case 'ip':
        return `SELECT position FROM (${this.#ofAddress(way.value)}) p WHERE ${this.inRange('p.position')} ${cut}`;
      case 'action':
      case 'actor_id':
      case 'device_id':
      case 'link_id':
      case 'user_id':
      case 'unlock_id':
      case 'correlation_id': {
        const type = way.by === 'action' || way.by === 'actor_id' ? 'text' : 'uuid';
        const each = `SELECT position FROM ${this.#audit} a WHERE a.${way.by} = v.id AND ${this.inRange('a.position')} ${cut}`;
        return `SELECT h.position FROM unnest(${this.place(way.values)}::${type}[]) v(id) CROSS JOIN LATERAL (${each}) h`;
      }
      case 'time':
        // By the index of times, whose places are put in order: by the log's own index it would be read from its end to that time.
        return ordered ? `SELECT position FROM (${this.#allOf(way)} OFFSET 0) t ${cut}` : `${this.#allOf(way)} ${cut}`;
      default:
        return `SELECT position FROM ${this.#audit} a WHERE ${this.#metBy(way)} AND ${this.inRange('a.position')} ${cut}`;
    }
  }

  #allOf(way: Way): string {
    switch (way.by) {
      case 'word': {
        const [low, high] = this.#ends();
        return `SELECT right(w.entry, 20)::numeric AS position FROM unnest(${this.place(way.values)}::text[]) v(word) JOIN ${this.#words} w ON w.entry >= v.word || ${low} AND w.entry <= v.word || ${high}`;
      }
      case 'position':
        return this.#firstOf(way, 0);
      case 'ip':
        return `SELECT position FROM (${this.#ofAddress(way.value)}) p WHERE ${this.inRange('p.position')}`;
      default:
        return `SELECT position FROM ${this.#audit} a WHERE ${this.#metBy(way)} AND ${this.inRange('a.position')}`;
    }
  }

  #metBy(way: Way): string {
    switch (way.by) {
      case 'word':
        return `EXISTS (SELECT FROM ${this.#words} w WHERE w.entry = ANY (ARRAY(SELECT v.word || ' ' || lpad(a.position::text, 20, '0') FROM unnest(${this.place(way.values)}::text[]) v(word))))`;
      case 'position':
        return `a.position = ANY (${this.place(way.values)}::numeric[])`;
      case 'ip':
        return `a.event_id IN (SELECT ref FROM ${this.#people} WHERE fields->>'ip' = ${this.place(way.value)}::text)`;
      case 'actor_kind':
      case 'source': {
        // As a constant, so that the index of what is seldom is known to have it.
        const seldom: readonly string[] = SELDOM[way.by];
        return `a.${way.by} = ${seldom.includes(way.value) ? `'${way.value}'` : `${this.place(way.value)}::text`}`;
      }
      case 'outcome':
        return `a.outcome = ${this.place(way.value)}::text`;
      case 'time':
        return [
          way.from === undefined ? undefined : `a.occurred_at >= ${this.place(way.from)}::timestamptz`,
          way.to === undefined ? undefined : `a.occurred_at < ${this.place(way.to)}::timestamptz`,
        ]
          .filter((bound) => bound !== undefined)
          .join(' AND ');
      case 'action':
      case 'actor_id':
        return `a.${way.by} = ANY (${this.place(way.values)}::text[])`;
      default:
        return `a.${way.by} = ANY (${this.place(way.values)}::uuid[])`;
    }
  }

  #ofAddress(address: string): string {
    return `SELECT (fields->>'position')::numeric AS position FROM ${this.#people} WHERE fields->>'ip' = ${this.place(address)}::text`;
  }

  /** Of a word's entries, what follows the word. */
  #ends(): readonly [low: string, high: string] {
    const { after, before, until } = this.#range;
    const last = [until, before === undefined ? undefined : before - 1n].filter((each) => each !== undefined).reduce<bigint | undefined>((least, each) => (least === undefined || each < least ? each : least), undefined);
    return [
      `${this.place(after === undefined ? ' ' : wordEntry('', after + 1n))}::text`,
      `${this.place(last === undefined ? ' ~' : wordEntry('', last < 0n ? 0n : last))}::text`,
    ];
  }
}

/** Of these the newest are at one end of an index, however many there are. */
function isIndexed(way: Way): boolean {
  switch (way.by) {
    case 'actor_kind':
    case 'source':
      return (SELDOM[way.by] as readonly string[]).includes(way.value);
    case 'outcome':
    case 'time':
      return false;
    default:
      return true;
  }
}
