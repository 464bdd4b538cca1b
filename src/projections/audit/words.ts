/** What the audit log is searched by, where that is in the events themselves: words of reasons, codes, versions, serial numbers. */

const MOST_WORDS = 60;
const LONGEST = 60;
/** A word, or several that a sign holds together: `link_expired`, `LB-004471`, `1.4.2`, `links.sweep`. */
const WORD = /[\p{L}\p{N}]+(?:[._:/@-][\p{L}\p{N}]+)*/gu;
const JOINT = /[._:/@-]/;

/** In lower case; what a sign holds together as a whole, and each part. */
export function wordsOf(text: string): readonly string[] {
  const words = text.toLowerCase().match(WORD) ?? [];
  return words.flatMap((word) => (JOINT.test(word) ? [word, ...word.split(JOINT)] : [word])).map((word) => word.slice(0, LONGEST));
}

/** Nobody looks for what is in nearly every event of its type, nor for what only a machine reads. */
const UNSAID: ReadonlySet<string> = new Set(['evidence', 'journalId', 'connectIds', 'timeZone', 'root', 'signature', 'kid', 'minute', 'tokenHash', 'pinTag', 'profile']);
const ID_OR_TIME = /^(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z)$/;

/** Each once: the words of the texts in an event's data, without what was sealed. Ids have columns of their own. */
export function wordsOfData(data: Readonly<Record<string, unknown>>): readonly string[] {
  const found = new Set<string>();
  const take = (value: unknown): void => {
    if (typeof value === 'string') {
      if (ID_OR_TIME.test(value)) return;
      for (const word of wordsOf(value.slice(0, 2_000))) {
        if (found.size >= MOST_WORDS) return;
        if (word.length > 1 && !COMMON.has(word)) found.add(word);
      }
    } else if (Array.isArray(value)) value.forEach(take);
    else if (typeof value === 'object' && value !== null) for (const [name, member] of Object.entries(value)) if (!UNSAID.has(name)) take(member);
  };
  take(data);
  return [...found];
}

/** Words that say nothing: left out of what is kept and of what is looked for. */
export const COMMON: ReadonlySet<string> = new Set(
  'a an and are as at be been but by did do for from had has have in into is it its no not of on or out so than that the their them then there this to was were which who will with'.split(' '),
);

/** One thing that is looked for. All of them must be found in an entry. */
export interface Term {
  /** In lower case. */
  readonly text: string;
  /** The same as one word; undefined where it is none. */
  readonly word: string | undefined;
  /** The beginning of an id, hex alone; undefined where it cannot be one. */
  readonly id: string | undefined;
  readonly ip: string | undefined;
}

const MOST_TERMS = 8;
const LEAST_OF_AN_ID = 6;
const IP = /^(?:\d{1,3}(?:\.\d{1,3}){3}|(?=.*:.*:)[0-9a-f:.]{2,45})$/;

/** `refused LB-004471 0198c1de`. Words that say nothing are left out. */
export function termsOf(query: string): readonly Term[] {
  const pieces = query.toLowerCase().split(/[\s,;"'()]+/).filter((piece) => piece !== '' && !COMMON.has(piece));
  return [...new Set(pieces)].slice(0, MOST_TERMS).map((text) => {
    const [word, ...more] = text.match(WORD) ?? [];
    const hex = text.replaceAll('-', '');
    const isId = hex.length >= LEAST_OF_AN_ID && hex.length <= 32 && /^[0-9a-f]+$/.test(hex) && isBeginningOfId(text);
    return { text, word: more.length > 0 ? undefined : word?.slice(0, LONGEST), id: isId ? hex : undefined, ip: IP.test(text) ? text : undefined };
  });
}

/** With its hyphens where they belong, or with none. */
function isBeginningOfId(text: string): boolean {
  if (!text.includes('-')) return true;
  return [...text].every((sign, at) => (sign === '-') === ID_HYPHENS.has(at));
}
const ID_HYPHENS: ReadonlySet<number> = new Set([8, 13, 18, 23]);

export function idOf(hex: string): string {
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
