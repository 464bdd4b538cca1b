import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mailFiles } from '../platform/mail/folder.ts';
import { readMail } from '../platform/mail/read.ts';
import { table, type Terminal } from './terminal.ts';

const NONE = 'No mail is kept here. Mails go to a folder only where no mail server is set (SMTP_HOST).';

export async function mailList(dataDir: string, terminal: Terminal): Promise<number> {
  const folder = join(dataDir, 'mail');
  const rows: string[][] = [];
  for (const name of await names(folder)) {
    const { headers } = readMail(await readFile(join(folder, name), 'utf8'));
    const row = { name: name.replace(/(?:\.[0-9a-f-]{36})?\.eml$/, ''), date: headers['date'] ?? '', to: headers['to'] ?? '', subject: headers['subject'] ?? '' };
    terminal.event('mail', row);
    rows.push([row.name, row.to, row.subject]);
  }
  if (terminal.json) return 0;
  if (rows.length === 0) terminal.say(NONE);
  // The beginning of a name is enough to show it.
  else terminal.out(table(['NAME', 'TO', 'SUBJECT'], rows, { columns: terminal.columns, flexible: [0, 1, 2] }));
  return 0;
}

/** 0: shown; 2: more than one is meant; 5: there is no such mail. */
export async function mailShow(dataDir: string, name: string, terminal: Terminal): Promise<number> {
  const folder = join(dataDir, 'mail');
  const all = await names(folder);
  const found = name === 'last' ? all.slice(-1) : all.filter((each) => each.startsWith(name));
  const [file, other] = found;
  if (file === undefined || other !== undefined) {
    const missing = file === undefined;
    const words = all.length === 0 ? NONE : missing ? `There is no mail ${name}. See: loqey mail list` : `${found.length} mails begin with ${name}: say more of the name.`;
    const code = missing ? 5 : 2;
    terminal.event('failed', { exit_code: code, message: words });
    terminal.say(`✖ ${words}`);
    return code;
  }
  const { headers, text } = readMail(await readFile(join(folder, file), 'utf8'));
  terminal.event('mail', { name: file, ...headers, text });
  if (!terminal.json) terminal.out(['from', 'to', 'date', 'subject'].map((header) => `${`${header}:`.padEnd(9)}${headers[header] ?? ''}`).join('\n') + `\n\n${text}`);
  return 0;
}

async function names(folder: string): Promise<readonly string[]> {
  return (await mailFiles(folder)).filter((name) => name.endsWith('.eml'));
}
