import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isReceiptSignedBy, receiptOf } from '../audit/erasure-receipt.ts';
import { PUBLIC_KEY_FILE } from '../audit/head-file.ts';
import { auditFolder } from '../compose/jobs.ts';
import { configOf } from './start.ts';
import { details } from './remote/words.ts';
import type { Terminal } from './terminal.ts';

/** 0: signed by this key, and as it was signed; 2: a file cannot be used; 3: it is not. Needs no server and no data. */
export async function receiptVerify(
  environ: Readonly<Record<string, string | undefined>>,
  path: string,
  { publicKey: keyPath = join(auditFolder(configOf(environ)), PUBLIC_KEY_FILE) }: { readonly publicKey?: string },
  terminal: Terminal,
): Promise<number> {
  const trouble = (words: string): number => {
    terminal.say(`✖ ${words}`);
    terminal.event('failed', { exit_code: 2, message: words });
    return 2;
  };
  const text = await readText(path);
  if (text === undefined) return trouble(`${path} cannot be read.`);
  const receipt = receiptOf(parsed(text));
  if (receipt === undefined) return trouble(`${path} is no receipt of an erasure (loqey-erasure-receipt-1).`);
  const pem = await readText(keyPath);
  if (pem === undefined) return trouble(`${keyPath} cannot be read: name the public key of the installation with --public-key.`);
  const key = keyIn(pem);
  if (key === undefined) return trouble(`${keyPath} holds no public key (PEM).`);

  const ok = isReceiptSignedBy(key, receipt);
  const { subject, requested_by: by, requested_at: at, event, completed_at: completed, destroyed, backups, kid } = receipt;
  terminal.event('verified', { ok, subject, event_id: event.id, completed_at: completed, backups_until: backups.until, kid });
  if (terminal.json) return ok ? 0 : 3;
  terminal.out(ok ? '✔ The receipt is what this installation signed.' : '✖ The receipt was changed, or signed with another key.');
  if (!ok) return 3;
  terminal.out(
    details([
      ['Who', subject],
      ['Asked for', `${at}, by the ${by === 'owner' ? 'person' : 'administration'}`],
      ['Completed', completed],
      ['Event', `${event.id}, revision ${event.revision} of ${event.stream}, position ${event.position}`],
      ['Destroyed', `${destroyed.data_keys} data keys, of ${destroyed.deliveries} deliveries besides the person's own; ${destroyed.boxes} boxes taken off the account`],
      ['Backups', `until ${backups.until}`],
      ['Key', kid],
    ]),
  );
  return 0;
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function keyIn(pem: string): KeyObject | undefined {
  try {
    return createPublicKey(pem);
  } catch {
    return undefined;
  }
}
