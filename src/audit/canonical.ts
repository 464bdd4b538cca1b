/**
 * The one text of a JSON value (RFC 8785): members sorted by UTF-16 code units, no space, numbers and strings as ECMAScript
 * writes them. What was parsed from JSON has no other values than these.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  let text = '';
  for (const name of Object.keys(value).sort()) {
    const member = (value as Readonly<Record<string, unknown>>)[name];
    if (member !== undefined) text += `${text === '' ? '' : ','}${quoted(name)}:${canonicalJson(member)}`;
  }
  return `{${text}}`;
}

/** Of the names that members have, which are few: who sends many gets no memory for them. */
const names = new Map<string, string>();

function quoted(name: string): string {
  let text = names.get(name);
  if (text === undefined) {
    text = JSON.stringify(name);
    if (names.size < 1_000) names.set(name, text);
  }
  return text;
}
