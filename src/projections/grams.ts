/**
 * Looking for a part of a text: an index has every three signs of it (`work.grams`), so that what has all of those of the part is
 * found first, and only that is looked at.
 */

/** A shorter part has no three signs: every text is looked at. */
const LEAST = 3;

/** What follows `CREATE INDEX ON table`, of a table with a column `words`. What is new goes in at once: a list of it would be read by every search. */
export const byParts = 'USING gin (work.grams(words)) WITH (fastupdate = off)';

/**
 * A condition: `part` is somewhere in `words`, which are in lower case as it is. Where it is in most of them the planner leaves the
 * index alone; then the cheaper half is asked first, and few texts are taken apart.
 *
 * @param place puts a value among the parameters of the statement and answers where it is
 * @param at where the part is among them
 */
export function hasPart(part: string, place: (value: unknown) => string, at = place(part)): string {
  const exactly = `strpos(words, ${at}::text) > 0`;
  const signs = [...part];
  if (signs.length < LEAST) return exactly;
  const all = signs.slice(LEAST - 1).map((_, at) => signs.slice(at, at + LEAST).join(''));
  return `${exactly} AND work.grams(words) @> ${place([...new Set(all)])}::text[]`;
}
