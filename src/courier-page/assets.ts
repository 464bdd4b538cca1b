import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** Style and script of the page, as they stand in it: one request brings all. */
export interface Assets {
  readonly style: string;
  readonly script: string;
  /** Another one: the page was changed since a visitor opened it. */
  readonly version: string;
  readonly contentSecurityPolicy: string;
}

export function loadAssets(): Assets {
  const style = compact(read('page.css'));
  const script = compact(read('page.js'));
  return {
    style,
    script,
    version: createHash('sha256').update(style).update(script).digest('base64url').slice(0, 8),
    // Nothing but what is in the page itself, known by its hash; and words only with the server that it came from.
    contentSecurityPolicy: [
      "default-src 'none'",
      `style-src '${hashOf(style)}'`,
      `script-src '${hashOf(script)}'`,
      'img-src data:',
      "connect-src 'self'",
      "form-action 'self'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
    ].join('; '),
  };
}

const read = (file: string): string => readFileSync(new URL(`browser/${file}`, import.meta.url), 'utf8');
const hashOf = (text: string): string => `sha256-${createHash('sha256').update(text).digest('base64')}`;

/** Without comments and indentation. Both files are written so that this is safe: no text in them looks like a comment. */
function compact(source: string): string {
  return source
    .replaceAll(/\/\*[\s\S]*?\*\/ ?/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('//'))
    .join('\n');
}
