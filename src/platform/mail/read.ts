/** What is needed to show a mail that this program made: its headers and its plain text. No parser for the mails of others. */
export function readMail(eml: string): { readonly headers: Readonly<Record<string, string>>; readonly text: string } {
  const { headers, body } = part(eml);
  const boundary = /boundary="?([^";]+)"?/i.exec(headers['content-type'] ?? '')?.[1];
  const parts = boundary === undefined ? [{ headers, body }] : body.split(`--${boundary}`).slice(1, -1).map((each) => part(each.replace(/^\r?\n/, '')));
  const plain = parts.find((each) => (each.headers['content-type'] ?? 'text/plain').startsWith('text/plain'));
  return { headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, words(value)])), text: plain === undefined ? '' : decoded(plain) };
}

interface Part {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

function part(source: string): Part {
  const [, head = '', body = ''] = /^([\s\S]*?)\r?\n\r?\n([\s\S]*)$/.exec(source) ?? [];
  const lines = head.replace(/\r?\n[ \t]+/g, ' ').split(/\r?\n/);
  return { headers: Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()])), body };
}

function decoded({ headers, body }: Part): string {
  switch (headers['content-transfer-encoding']?.toLowerCase()) {
    case 'base64':
      return Buffer.from(body, 'base64').toString();
    case 'quoted-printable':
      return quoted(body.replace(/=\r?\n/g, ''));
    default:
      return body.replaceAll('\r\n', '\n');
  }
}

function quoted(text: string): string {
  return Buffer.from(text.replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))), 'latin1').toString().replaceAll('\r\n', '\n');
}

/** RFC 2047: `=?UTF-8?Q?…?=`. Two encoded words in a row stand without the space between them. */
function words(value: string): string {
  return value
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?utf-8\?([BQ])\?([^?]*)\?=/gi, (_, kind: string, text: string) =>
      kind.toUpperCase() === 'B' ? Buffer.from(text, 'base64').toString() : quoted(text.replaceAll('_', ' ')),
    );
}
