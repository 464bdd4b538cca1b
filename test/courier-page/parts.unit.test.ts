import { describe, expect, test } from 'vitest';
import { referenceOf } from '../../src/api/reference.ts';
import { courierWords, stateWords } from '../../src/api/words.ts';
import { html } from '../../src/courier-page/html.ts';
import { catalogues, type Words } from '../../src/courier-page/words.ts';

/** Every text of a catalogue by its place in it. */
function textsOf(value: unknown, path = ''): [string, string][] {
  if (typeof value === 'string') return [[path, value]];
  return Object.entries(value as object).flatMap(([name, each]) => textsOf(each, `${path}/${name}`));
}

describe('words', () => {
  const en = new Map(textsOf(catalogues.en));
  const tr = new Map(textsOf(catalogues.tr));
  test('are there in both languages, and different', () => {
    expect([...tr.keys()]).toEqual([...en.keys()]);
    expect([...en].filter(([path, text]) => tr.get(path) === text)).toEqual([]);
  });
  test('have the same places to fill in, but for a link that ends without a time', () => {
    const places = (text = '') => new Set(text.match(/\{\w+\}/g));
    for (const [path, text] of en) expect(places(tr.get(path)), path).toEqual(places(text));
  });
  test('are short: twelve to a sentence, sixteen at the most', () => {
    for (const [path, text] of [...en, ...tr]) {
      for (const sentence of text.split(/[.:?!…]\s/)) expect(sentence.split(/\s+/).length, `${path}: ${sentence}`).toBeLessThanOrEqual(16);
    }
  });
  test('do not promise what is not known', () => {
    for (const [path, text] of en) expect(text, path).not.toMatch(/has been told|will be told/);
  });

  /** What programs show of a refusal and what the page says have the same headings. */
  test.each([
    ['link_not_found', 'unknownToken'],
    ['link_expired', 'expired'],
    ['link_used', 'used'],
    ['link_revoked', 'cancelled'],
    ['link_void', 'gone'],
    ['device_busy', 'busy'],
    ['device_offline', 'offline'],
    ['device_in_maintenance', 'maintenance'],
    ['identity_required', 'identity'],
  ] as const satisfies readonly (readonly [keyof typeof courierWords, keyof Words])[])('%s has one heading', (code, name) => {
    expect(catalogues.en[name].heading).toBe(courierWords[code]?.heading);
  });
  test.each([
    ['requested', 'asking'],
    ['acknowledged', 'opening'],
    ['opened', 'open'],
    ['expired', 'notOpened'],
    ['unknown', 'unsure'],
  ] as const)('%s has one heading', (state, name) => {
    expect(catalogues.en[name].heading).toBe(stateWords(state).heading);
  });
});

describe('a reference', () => {
  test('is six signs that are not taken for one another', () => {
    expect(referenceOf('01a1fe44-ad98-7405-a1dd-2978a40fb2a4')).toMatch(/^[2-9A-HJ-NP-Z]{6}$/);
    expect(referenceOf('00000000-0000-0000-0000-000000000000')).toBe('222222');
    expect(referenceOf('00000000-0000-0000-0000-00003fffffff')).toBe('ZZZZZZ');
    expect(referenceOf('00000000000000000000000000000001')).toBe('222223');
  });
});

describe('html', () => {
  test('escapes what is put in, wherever it is put', () => {
    expect(html`<p title="${`"'><script>`}">${'<b>&'}${[html`<i>${1}</i>`, false, undefined]}</p>`.text).toBe('<p title="&quot;&#39;&gt;&lt;script&gt;">&lt;b&gt;&amp;<i>1</i></p>');
  });
});
