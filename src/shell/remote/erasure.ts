import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { failureOf, RemoteFailure, remoteExit, type Remote } from './client.ts';
import type { Job } from './command.ts';
import { newSecretFile } from './secret-file.ts';
import { theUser } from './users.ts';
import { day, moment } from './words.ts';

/** A long history takes its time. */
const EXPORT_WITHIN_MS = 3_600_000;
/** An opening under way is heard to its end first. */
const RECEIPT_TRIES = 30;
const RECEIPT_EVERY_MS = 2_000;

export const exportUser: Job<[user: string], { out?: string }> = async ({ terminal, remote }, [named], { out }) => {
  const api = await remote();
  const { id, email } = await theUser(api, named);
  const response = await api.raw('GET', `/admin/users/${id}/export`, { withinMs: EXPORT_WITHIN_MS });
  if (!response.ok) throw await failureOf(response);
  const body = Readable.fromWeb(response.body as never);
  if (out === undefined) {
    for await (const piece of body) if (!process.stdout.write(piece as Buffer)) await once(process.stdout, 'drain');
    return 0;
  }
  const file = createWriteStream(out, { flags: 'wx', mode: 0o600 });
  try {
    await pipeline(body, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw new RemoteFailure(remoteExit.usage, `${out} is there already and is left as it is: name a new file.`);
    // What is cut off in the middle looks like the whole.
    if (file.bytesWritten > 0) await rm(out, { force: true });
    throw new RemoteFailure(remoteExit.unexpected, `${out} could not be written: ${(error as Error).message}.`);
  }
  terminal.event('exported', { id, file: out, bytes: file.bytesWritten });
  if (!terminal.json) terminal.out(`Everything that is kept of ${email ?? id} is in ${out}, for your eyes alone.`);
  return 0;
};

interface Preview {
  readonly user_id: string;
  readonly email: string | null;
  readonly devices: readonly { readonly serial_number: string }[];
  readonly active_links: number;
  readonly deliveries: number;
  readonly goes: readonly string[];
  readonly stays: readonly string[];
  readonly backups: { readonly statement: string };
}

interface Erasure {
  readonly erasure_id: string;
  readonly status: 'under_way' | 'completed';
  readonly message: string;
  readonly status_url: string;
  readonly receipt: { readonly completed_at: string; readonly backups: { readonly until: string } } | null;
}

export const erase: Job<[user: string], { ground: string; out?: string; yes?: true }> = async ({ terminal, remote }, [named], { ground, out, yes }) => {
  const api = await remote();
  const { id } = await theUser(api, named);
  const preview = await api.get<Preview>(`/admin/users/${id}/erase`);
  const confirm = yes === true ? (preview.email ?? 'erased@example.invalid') : await typed(terminal, preview);
  if (confirm === undefined) return remoteExit.usage;
  const file = out === undefined ? undefined : await newSecretFile(out);
  try {
    const erasure = await completed(api, await api.send<Erasure>('POST', `/admin/users/${id}/erase`, { confirm, ground }));
    const { receipt } = erasure;
    if (receipt !== null) await file?.write(`${JSON.stringify(receipt, undefined, 2)}\n`);
    terminal.event('erased', { ...erasure });
    if (terminal.json) return receipt === null ? remoteExit.unknown : 0;
    if (receipt === null) {
      terminal.say(`${erasure.message}: loqey api GET ${erasure.status_url}`);
      return remoteExit.unknown;
    }
    terminal.out(`${id} was erased at ${moment(receipt.completed_at)}. Backups hold the data until ${day(receipt.backups.until)}.`);
    if (out === undefined) terminal.out(JSON.stringify(receipt, undefined, 2));
    else terminal.out(`The receipt is in ${out}. Who wants to check it: loqey receipt verify ${out}`);
    return 0;
  } finally {
    await file?.close();
  }
};

/** Says what will happen; the address itself is the answer that goes on. */
async function typed(terminal: Parameters<Job>[0]['terminal'], preview: Preview): Promise<string | undefined> {
  const { email, devices, active_links: links, deliveries, goes, stays, backups, user_id: id } = preview;
  if (email === null) return 'erased@example.invalid'; // erased before: asking again answers how that went
  const impact = [
    `${email} (${id}) is erased for ever.`,
    `  boxes taken off the account: ${devices.length === 0 ? 'none' : devices.map(({ serial_number: serial }) => serial).join(', ')}; active links that end: ${links}; deliveries: ${deliveries}`,
    'What goes:',
    ...goes.map((each) => `  - ${each}`),
    'What stays:',
    ...stays.map((each) => `  - ${each}`),
    backups.statement,
    `A copy first: loqey user export ${email} --out ${id}.json`,
  ].join('\n');
  const answer = await terminal.ask('Type the e-mail address to erase it: ', impact);
  if (answer === undefined) throw new RemoteFailure(remoteExit.usage, `${email} would be erased for ever. Nobody can be asked here.`, ['Without a question: the same with --yes']);
  if (answer.trim().toLowerCase() === email.toLowerCase()) return email;
  terminal.say('That is another address. Nothing was changed.');
  return undefined;
}

async function completed(api: Remote, first: Erasure): Promise<Erasure> {
  let erasure = first;
  for (let tries = 0; erasure.receipt === null && tries < RECEIPT_TRIES; tries++) {
    await new Promise((resolve) => setTimeout(resolve, RECEIPT_EVERY_MS));
    erasure = await api.get<Erasure>(`/erasures/${erasure.erasure_id}`);
  }
  return erasure;
}
