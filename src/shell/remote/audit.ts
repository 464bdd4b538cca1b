import { pause } from '../../platform/backoff.ts';
import type { Terminal } from '../terminal.ts';
import { RemoteFailure, remoteExit, type Query, type Remote } from './client.ts';
import type { Job } from './command.ts';
import { theDevice } from './devices.ts';
import { theUser } from './users.ts';
import { details, moment, shown } from './words.ts';

interface Entry {
  readonly timestamp: string;
  readonly summary: string;
  readonly action: string;
  readonly type: string;
  readonly outcome: string;
  readonly actor: { readonly kind: string; readonly id: string; readonly email: string | null };
  readonly source: string;
  readonly serial_number: string | null;
  readonly device_id: string | null;
  readonly link_id: string | null;
  readonly user_id: string | null;
  readonly unlock_id: string | null;
  readonly ip_address: string | null;
  readonly user_agent: string | null;
  readonly event_id: string;
  readonly correlation_id: string;
  readonly stream: string;
  readonly revision: string;
  readonly position: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface AuditOptions {
  readonly actor?: string;
  readonly device?: string;
  readonly user?: string;
  readonly link?: string;
  readonly unlock?: string;
  readonly action?: string;
  readonly type?: string;
  readonly outcome?: string;
  readonly ip?: string;
  readonly from?: string;
  readonly to?: string;
  readonly namedBefore?: string;
  readonly limit?: string;
}

const LOG = '/admin/logs/audit';
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** What the list, the tail and the file take alike. */
export async function auditQuery(api: Remote, words: readonly string[], options: AuditOptions): Promise<Query> {
  // People name boxes by their serial numbers, and one another by their addresses.
  const device = options.device === undefined || UUID.test(options.device) ? options.device : (await theDevice(api, options.device)).id;
  const person = async (named: string | undefined) => (named?.includes('@') === true ? (await theUser(api, named)).id : named);
  return {
    q: words.length === 0 ? undefined : words.join(' '),
    actor: await person(options.actor),
    device_id: device,
    user_id: await person(options.user),
    link_id: options.link,
    unlock_id: options.unlock,
    action: options.action,
    type: options.type,
    outcome: options.outcome,
    ip: options.ip,
    named_before: options.namedBefore,
    date_from: options.from,
    date_to: options.to,
  };
}

export const list: Job<[words?: readonly string[]], AuditOptions> = async ({ terminal, remote }, [words = []], options) => {
  const api = await remote();
  const { rows, total, headers } = await api.list<Entry>(LOG, { ...(await auditQuery(api, words, options)), limit: options.limit ?? 50 });
  // The newest at the end, where the eye is.
  for (const row of [...rows].reverse()) print(terminal, row);
  terminal.say(`${shown(rows.length, total, 'event')}${headers.get('loqey-count') === 'at_least' ? ' or more' : ''}`);
  tellSearched(terminal, headers);
  return 0;
};

/** Where not everything was looked through: that, and how to go on. */
export function tellSearched({ say }: Pick<Terminal, 'say'>, headers: Headers): void {
  const since = headers.get('loqey-search-since');
  if (since !== null) say(`Names of links and couriers, and what administrators said, were looked for back to ${moment(since)} UTC. Older ones: the same with --named-before ${since}`);
  else if (headers.get('loqey-search') === 'partial') say('Many have such a name: only what happened to the newest of them was looked for.');
}

export const history: Job<[device: string], Pick<AuditOptions, 'from' | 'to' | 'limit'>> = async (context, [named], options) => {
  const { id } = await theDevice(await context.remote(), named);
  return list(context, [], { ...options, device: id });
};

interface TailMessage {
  readonly type: string;
  readonly position?: string;
  readonly entry?: Entry;
}

const TRY_AGAIN_MS = 1_000;

/**
 * Until Ctrl+C. What comes is asked for from the last place on, over any number of connections: nothing is missed and
 * nothing shown twice.
 */
export const tail: Job<[words?: readonly string[]], Omit<AuditOptions, 'limit'> & { readonly lines?: string }> = async ({ terminal, remote }, [words = []], options) => {
  const before = Number(options.lines ?? 10);
  if (!Number.isInteger(before) || before < 0 || before > 1_000) throw new RemoteFailure(remoteExit.usage, '--lines is a number from 0 to 1,000.');
  const api = await remote();
  const query = await auditQuery(api, words, options);
  let after = (await api.list<Entry>(LOG, { limit: 1 })).rows[0]?.position;
  const last = before === 0 ? [] : (await api.list<Entry>(LOG, { ...query, limit: before })).rows;
  const told = new Set(last.map(({ event_id: id }) => id)); // some of them may have come after that place
  for (const row of [...last].reverse()) print(terminal, row);
  let wasThere = false;
  // A pipe whose reader has gone ends it too.
  while (!process.stdout.destroyed) {
    const socket = await api.socket('/ws/admin/audit', { ...query, after }).catch((error: unknown) => {
      if (wasThere && error instanceof RemoteFailure && error.exitCode === remoteExit.unreachable) return undefined;
      throw error;
    });
    wasThere = true;
    const end = await socket?.each((text) => {
      const { type, position, entry } = JSON.parse(text) as TailMessage;
      after = position ?? after;
      if (type === 'resync') terminal.say('The log was put back to an older backup: what was shown since then is no longer in it. This goes on from where it is.');
      if (type === 'audit_entry' && entry !== undefined && !told.delete(entry.event_id)) print(terminal, entry);
      return !process.stdout.destroyed;
    });
    if (end === 'refused') throw new RemoteFailure(remoteExit.refused, 'The server ended this: the right to read the audit log is gone.');
    if (process.stdout.destroyed) break;
    if (end !== undefined) terminal.say('The connection is gone; trying again. Nothing will be missed.');
    await pause(TRY_AGAIN_MS);
  }
  return 0;
};

interface Explained {
  readonly entry: Entry;
  readonly causes: readonly Entry[];
  readonly chain: readonly Entry[];
}

/** One entry, what led to it, and what else came of the same request. */
export const show: Job<[event: string]> = async ({ terminal, remote }, [given]) => {
  const api = await remote();
  const found = await api.get<Explained>(`${LOG}/${await theEvent(api, given)}`);
  terminal.event('entry', { ...found });
  if (terminal.json) return 0;
  const { entry, causes, chain } = found;
  const { actor } = entry;
  terminal.out(`${entry.summary}\n`);
  terminal.out(
    details([
      ['Time', `${moment(entry.timestamp)} UTC`],
      ['Action', `${entry.action} (${entry.type}), ${entry.outcome}`],
      ['Who', `${actor.kind} ${actor.email ?? actor.id}`],
      ['From', [entry.source, entry.ip_address, entry.user_agent].filter((each) => each !== null).join(', ')],
      ...([['Box', entry.serial_number ?? entry.device_id], ['Link', entry.link_id], ['Account', entry.user_id], ['Opening', entry.unlock_id]] as const).filter(([, value]) => value !== null),
      ['Event', entry.event_id],
      ['Stream', `${entry.stream}, revision ${entry.revision}`],
      ['Request', entry.correlation_id],
      ['Details', JSON.stringify(entry.details)],
    ]),
  );
  if (chain.length > 1) {
    terminal.out('\nOf the same request (● led to it):');
    const first = Date.parse(chain[0]?.timestamp ?? entry.timestamp);
    const led = new Set([...causes, entry].map(({ event_id: id }) => id));
    for (const each of chain) {
      const head = `${led.has(each.event_id) ? '●' : ' '} ${`+${Date.parse(each.timestamp) - first} ms`.padStart(10)}  ${each.event_id.slice(0, SHORT)}  `;
      printLines(terminal, head, each.summary);
    }
  }
  if (entry.unlock_id !== null) terminal.say(`\nThis opening, hop by hop: loqey unlock trace ${entry.unlock_id}`);
  return 0;
};

async function theEvent(api: Remote, given: string): Promise<string> {
  if (UUID.test(given)) return given;
  if (!/^[0-9a-f-]{6,35}$/i.test(given)) throw new RemoteFailure(remoteExit.usage, `${given} is neither the id of an event nor 6 signs or more of its beginning.`, ['Lines of `loqey audit list` begin with them.']);
  const { rows } = await api.list<Entry>(LOG, { q: given, limit: 100 });
  const [found, ...more] = rows.filter(({ event_id: id }) => id.startsWith(given.toLowerCase()));
  if (found === undefined) throw new RemoteFailure(remoteExit.notFound, `There is no event whose id begins with ${given}.`);
  if (more.length > 0) throw new RemoteFailure(remoteExit.usage, `More than one event begins with ${given}: ${[found, ...more].slice(0, 5).map(({ event_id: id }) => id).join(', ')}.`);
  return found.event_id;
}

/** As much of an event's id as is shown, and found again. */
const SHORT = 8;

/** `3f2a9c01  11-21 10:00:05  Ana Smith created the link “Parcel” to LB-004471  198.51.100.7` */
function print(terminal: Terminal, row: Entry): void {
  terminal.event('audit', { ...row });
  if (terminal.json) return;
  const text = `${row.outcome === 'accepted' ? '' : '✖ '}${row.summary}${row.ip_address === null ? '' : `  ${row.ip_address}`}`;
  printLines(terminal, `${row.event_id.slice(0, SHORT)}  ${moment(row.timestamp).slice(5)}  `, text, row.outcome === 'accepted' ? undefined : terminal.paint.red);
}

/** On a screen a long line goes on below its own text; elsewhere it is one line. */
function printLines({ columns, out, paint }: Terminal, head: string, text: string, coloured: (line: string) => string = (line) => line): void {
  const space = columns === undefined ? Infinity : columns - head.length;
  const lines: string[] = [''];
  for (const word of space < LEAST_COLUMNS ? [text] : text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && line.length + 1 + word.length > space) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  out(lines.map((line, n) => (n === 0 ? paint.dim(head) : ' '.repeat(head.length)) + coloured(line.trimEnd())).join('\n'));
}

const LEAST_COLUMNS = 24;
