import { ignoredNames } from './config-names.ts';
import { fallbackOf, sections, table, type Setting } from './config-table.ts';
import type { Config } from './config.ts';

const WIDTH = 100;
const basis = { environment: 'development', port: 8_000, tls: false } as const;
const entries = Object.entries(table) as [keyof typeof table, Setting<unknown>][];

function defaultText(entry: Setting<unknown>): string {
  if (entry.fallbackText !== undefined) return entry.fallbackText;
  const fallback = fallbackOf(entry, basis);
  return fallback === undefined ? '' : entry.schema.format(fallback);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** Every setting, grouped, with its default; at most 100 columns. For `npm start -- --help`. */
export function helpText(): string {
  const indent = Math.max(...entries.map(([, entry]) => entry.env.length)) + 4;
  const lines: string[] = [];
  for (const section of sections) {
    lines.push('', section);
    for (const [, entry] of entries.filter(([, each]) => each.section === section)) {
      const fallback = defaultText(entry);
      const also = entry.aliases.length > 0 ? ` Also ${entry.aliases.join(', ')}.` : '';
      const text = `${entry.doc}${also}${fallback === '' ? '' : ` [${fallback}]`}`;
      wrap(text, WIDTH - indent).forEach((line, i) => lines.push(`${(i === 0 ? `  ${entry.env}` : '').padEnd(indent)}${line}`));
    }
  }
  return ['Settings, from the environment or a file .env; [default]', ...lines, ''].join('\n');
}

/** The file `.env.example`: every setting commented out with its default. `npm run config:print` writes it. */
export function envExample(): string {
  const lines = [
    '# Every setting of Loqey with its default. Copy to .env and uncomment what you change.',
    '# Made by `npm run config:print > .env.example`; a test compares them.',
  ];
  for (const section of sections) {
    lines.push('', `# --- ${section} ---`);
    for (const [, entry] of entries.filter(([, each]) => each.section === section)) {
      const fallback = fallbackOf(entry, basis);
      const also = entry.aliases.length > 0 ? ` Also ${entry.aliases.join(', ')}.` : '';
      const note = entry.fallbackText === undefined ? '' : ` Default: ${entry.fallbackText}.`;
      lines.push('', ...wrap(`${entry.doc}${also}${note}`, WIDTH - 2).map((line) => `# ${line}`));
      lines.push(`#${entry.env}=${fallback === undefined ? '' : entry.schema.format(fallback)}`);
    }
  }
  lines.push('', '# --- Accepted and without effect ---', ...wrap(Object.keys(ignoredNames).join(', '), WIDTH - 2).map((line) => `# ${line}`), '');
  return lines.join('\n');
}

/** What this process runs with, secrets hidden: `loqey config print`. */
export function printConfig(config: Config): string {
  const lines = sections.flatMap((section) => [
    `# ${section}`,
    ...entries
      .filter(([, entry]) => entry.section === section)
      .map(([name, entry]) => {
        const value = config[name];
        const shown = value === undefined ? '' : entry.secret ? '(set)' : entry.schema.format(value as never);
        return `${entry.env}=${shown}${config.given.includes(name) ? '' : '   # default'}`;
      }),
    '',
  ]);
  return lines.join('\n');
}
