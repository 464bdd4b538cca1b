import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

/** What the documents say of files is true: links lead somewhere, names exist, snippets are what the files say. */
const root = join(import.meta.dirname, '../..');
const documents = ['README.md', 'CHANGELOG.md', ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.md')).map((file) => `docs/${file}`)];
const text = (path: string) => readFileSync(join(root, path), 'utf8');

/** As GitHub makes them from headings. */
function anchorsOf(path: string): readonly string[] {
  const headings = text(path).replaceAll(/```[\s\S]*?```/g, '').matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, heading = '']) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'));
}

it('each decision is in the index', () => {
  const records = readdirSync(join(root, 'docs/decisions')).filter((file) => /^\d{4}-/.test(file));
  expect(records.filter((file) => !text('docs/decisions/README.md').includes(`(${file})`))).toEqual([]);
  expect(new Set(records.map((file) => file.slice(0, 4))).size).toBe(records.length);
});

describe.each(documents)('%s', (path) => {
  const source = text(path);
  const prose = source.replaceAll(/```[\s\S]*?```/g, '');

  it('links to what is there', () => {
    const links = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link).filter((link) => !/^[a-z]+:/.test(link));
    const broken = links.filter((link) => {
      const [file = '', anchor] = link.split('#');
      const target = file === '' ? path : join(dirname(path), file);
      return !existsSync(join(root, target)) || (anchor !== undefined && !anchorsOf(target).includes(anchor));
    });
    expect(broken).toEqual([]);
  });

  it('names files that exist', () => {
    const named = [...prose.matchAll(/`((?:src|test|docs|deploy|contracts|migrations|bench|scripts|\.ci)\/[\w./-]*)`/g)].map(([, file = '']) => file);
    // Made, and not in git.
    expect(named.filter((file) => file !== 'deploy/secrets' && !existsSync(join(root, file)))).toEqual([]);
  });

  it('quotes files as they are', () => {
    const snippets = [...source.matchAll(/^( *)```ts (\S+)\n([\s\S]*?)^ *```$/gm)];
    for (const [, indent = '', file = '', body = ''] of snippets) {
      const quoted = body.split('\n').map((line) => line.slice(indent.length));
      const parts = quoted.join('\n').split(/^\s*\/\/ …\n/m);
      for (const part of parts) expect(text(file)).toContain(part.trimEnd());
    }
  });
});
