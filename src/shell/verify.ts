import { createPublicKey, type KeyObject } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { exportChunks, NotAnExport, readExport } from '../audit/export.ts';
import { HEADS_FILE, PUBLIC_KEY_FILE, readHeads } from '../audit/head-file.ts';
import type { SignedHead } from '../audit/heads.ts';
import { verifyLog, type Finding, type Verification, type Where } from '../audit/verify.ts';
import { auditFolder } from '../compose/jobs.ts';
import type { RecordedEvent } from '../platform/event-store/port.ts';
import { createProofs, type Proofs } from '../projections/proof/proofs.ts';
import { createProofQueries, type ProofQueries, type StoredLeaf } from '../projections/proof/queries.ts';
import { createReader } from '../projections/schemas.ts';
import { withLocal, type LocalOptions } from './local.ts';
import { NoLog, withLog } from './log.ts';
import { configOf } from './start.ts';
import type { Terminal } from './terminal.ts';

export interface VerifyOptions {
  /** Signed heads, one a line. Default: those of this installation. */
  readonly heads?: string;
  /** PEM. Default: that of this installation. */
  readonly publicKey?: string;
  /** An export instead of the log of this installation: needs no database. */
  readonly export?: string;
  /** A backup instead: a copied data folder, or the URL of a PostgreSQL or EventStoreDB that one was restored into. */
  readonly backup?: string;
  /** Only heads that were signed until then: for a copy that was made then. */
  readonly until?: string;
}

const LEAVES = 5_000;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** 0: the log is what was signed; 2: a file that was named cannot be used; 3: it is not; 5: there is no head to hold it against. */
export function auditVerify(options: LocalOptions, given: VerifyOptions, terminal: Terminal): Promise<number> {
  return withFiles(terminal, () => verify(options, given, terminal));
}

/** A file that cannot be read or written is told in words, with exit code 2; anything else is thrown on. */
async function withFiles(terminal: Terminal, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    const words = fileTrouble(error);
    if (words === undefined) throw error;
    terminal.say(`✖ ${words}`);
    terminal.event('failed', { exit_code: 2, message: words });
    return 2;
  }
}

class Unusable extends Error {
  override readonly name = 'Unusable';
}

function fileTrouble(error: unknown): string | undefined {
  if (error instanceof Unusable || error instanceof NoLog) return error.message;
  if (error instanceof NotAnExport) return `That is no export of a log: ${error.message}.`;
  const { code, path } = error as NodeJS.ErrnoException;
  if (code === 'EISDIR') return `${path ?? 'What was named'} is a folder.`; // a read of one does not say of which
  if (path === undefined) return undefined; // a socket may be missing, too: that is another mistake
  switch (code) {
    case 'ENOENT':
      return `There is no ${path}.`;
    case 'EEXIST':
      return `${path} exists already and is left as it is: name a new file.`;
    case 'EACCES':
      return `${path} cannot be used: it is not yours to use.`;
    default:
      return undefined;
  }
}

async function verify(options: LocalOptions, { heads: headsPath, publicKey: keyPath, export: exported, backup, until }: VerifyOptions, terminal: Terminal): Promise<number> {
  if (exported !== undefined && backup !== undefined) throw new Unusable('--export and --backup name two logs: one at a time.');
  const config = configOf(options.environ);
  const folder = auditFolder(config);
  const all = await readHeads(headsPath ?? join(folder, HEADS_FILE));
  if (all.length === 0) {
    const first = ' The first is written within ten minutes of the first start; `loqey jobs run audit.heads` does it now.';
    terminal.say(`There is no signed head in ${headsPath ?? join(folder, HEADS_FILE)}.${headsPath === undefined ? first : ''}`);
    return 5;
  }
  const heads = signedUntil(all, until);
  if (heads.length === 0) {
    terminal.say(`No head was signed until ${until}: the first is of ${all[0]?.time}.`);
    return 5;
  }
  const publicKey = await keyIn(keyPath ?? join(folder, PUBLIC_KEY_FILE));
  const show = (words: string): void => {
    if (terminal.isTty && !terminal.json) process.stderr.write(`\r\u001b[K${words}`);
  };
  const since = performance.now();
  const against = { heads, publicKeys: [publicKey], onProgress: (covered: number) => show(`${covered.toLocaleString('en')} events`) };
  const result =
    exported === undefined
      ? await withLog(config, options.version, backup, ({ logId, events, proofs }) => verifyLog({ ...against, logId, events: events(), leaves: proofs === undefined ? undefined : leavesOf(proofs) }))
      : await verifyLog({ ...against, ...(await readExport(createInterface({ input: createReadStream(exported), crlfDelay: Infinity }))) });
  show('');
  const copy = exported !== undefined || backup !== undefined;
  tell(result, { heads: heads.length, ms: performance.now() - since, copy, from: headsPath === undefined ? 'here' : 'elsewhere' }, terminal);
  return result.finding === undefined ? 0 : 3;
}

/** A copy is as old as it is: what was signed after it was made says nothing of it. */
function signedUntil(heads: readonly SignedHead[], until: string | undefined): readonly SignedHead[] {
  if (until === undefined) return heads;
  const latest = Date.parse(until);
  if (Number.isNaN(latest)) throw new Unusable(`--until ${until} is no time: 2026-11-21T10:30:00Z, or 2026-11-21 for its beginning in UTC.`);
  return heads.filter(({ time }) => Date.parse(time) <= latest);
}

/** The whole log as it is stored, a line for each event, in constant memory. 0 when the last byte is out; 2: it cannot be written there. */
export function auditExport(options: LocalOptions, path: string | undefined, backup: string | undefined, terminal: Terminal): Promise<number> {
  return withFiles(terminal, () => exportTo(options, path, backup, terminal));
}

async function exportTo(options: LocalOptions, path: string | undefined, backup: string | undefined, terminal: Terminal): Promise<number> {
  let events = 0;
  await withLog(configOf(options.environ), options.version, backup, async (log) => {
    async function* counted(): AsyncGenerator<RecordedEvent> {
      for await (const event of log.events()) {
        events++;
        yield event;
      }
    }
    const lines = exportChunks(log.logId, counted());
    if (path === undefined) await pipeline(lines, process.stdout, { end: false }).catch(unlessReadEnough);
    else await pipeline(lines, createWriteStream(path, { flags: 'wx', mode: 0o600 }));
  });
  terminal.say(`${events.toLocaleString('en')} events${path === undefined ? '' : ` in ${path}`}. What is personal is sealed in it as in the log.`);
  return 0;
}

/**
 * What shows that one event was in the log when a head was signed: for verify/loqey-verify.mjs.
 *
 * @param size of the head; default: the newest
 * @returns 2: no event id, no size; 5: it is not in it, or there is no such head
 */
export async function auditProof(options: LocalOptions, eventId: string, size: string | undefined, terminal: Terminal): Promise<number> {
  if (!UUID.test(eventId)) {
    terminal.say(`✖ ${eventId} is no event id. \`loqey audit list --json\` shows them as event_id.`);
    return 2;
  }
  return withProofs(options, terminal, async (proofs) => {
    const head = await headOf(proofs, size);
    const proof = await proofs.ofEvent(eventId.toLowerCase(), head);
    if (proof === undefined) throw new NoHead(`No event ${eventId} is among the ${head.size.toLocaleString('en')} that were signed at ${head.time}.`);
    return proof;
  });
}

/** What shows that the log of one head begins with the log of an earlier one: for verify/loqey-verify.mjs. Codes as above. */
export async function auditConsistency(options: LocalOptions, from: string, to: string | undefined, terminal: Terminal): Promise<number> {
  return withProofs(options, terminal, async (proofs) => {
    const [earlier, later] = [await headOf(proofs, from), await headOf(proofs, to)];
    if (later.size < earlier.size) throw new Unusable(`The head of ${later.size} events is older than the one of ${earlier.size}.`);
    return proofs.between(earlier, later);
  });
}

class NoHead extends Error {
  override readonly name = 'NoHead';
}

async function withProofs(options: LocalOptions, terminal: Terminal, make: (proofs: Proofs) => Promise<object>): Promise<number> {
  return withFiles(terminal, () =>
    withLocal({ ...options, mending: true }, async ({ ground: { store, logId }, db }) => {
      try {
        terminal.out(JSON.stringify(await make(createProofs({ store, logId, queries: createProofQueries(createReader(db)) })), undefined, 2));
        return 0;
      } catch (error) {
        if (!(error instanceof NoHead)) throw error;
        terminal.say(error.message);
        return 5;
      }
    }),
  );
}

async function headOf(proofs: Proofs, size: string | undefined): Promise<SignedHead> {
  if (size !== undefined && !/^[1-9]\d{0,14}$/.test(size)) throw new Unusable(`${size} is no size of a head: it is a number of events, as in heads.ndjson.`);
  const head = await proofs.head(size === undefined ? undefined : Number(size));
  if (head !== undefined) return head;
  throw new NoHead(size === undefined ? 'Nothing is signed yet: `loqey jobs run audit.heads` does it now.' : `No head of ${Number(size).toLocaleString('en')} events was signed.`);
}

/** `loqey audit export | head`: whoever read had enough, and that is no mistake. */
function unlessReadEnough(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}

async function keyIn(path: string): Promise<KeyObject> {
  const pem = await readFile(path);
  try {
    return createPublicKey(pem);
  } catch (error) {
    throw new Unusable(`${path} holds no public key (PEM).`, { cause: error });
  }
}

/** None while the read model is built, or not in a backup: then the heads alone are held against the log. */
async function* leavesOf(proofs: ProofQueries): AsyncGenerator<StoredLeaf> {
  for (let from = 0; ; from += LEAVES) {
    const page = await proofs.leaves(from, LEAVES).catch(() => []);
    yield* page;
    if (page.length < LEAVES) return;
  }
}

interface Circumstances {
  readonly heads: number;
  readonly ms: number;
  /** An export or a backup: it may rightly be older than the last head. */
  readonly copy: boolean;
  readonly from: 'here' | 'elsewhere';
}

function tell({ covered, root, holds, finding }: Verification, { heads, ms, copy, from }: Circumstances, terminal: Terminal): void {
  terminal.event('verified', {
    ok: finding === undefined,
    events: covered,
    root,
    heads,
    holds_up_to: holds?.size,
    ...(finding === undefined ? {} : { finding: finding.kind, head: finding.head }),
    ...(finding === undefined || finding.kind === 'signature' ? {} : whereOf(finding)),
  });
  if (terminal.json) return;
  const rate = `${covered.toLocaleString('en')} events in ${(ms / 1_000).toFixed(1)} s`;
  const upTo = holds === undefined ? 'Not even the first head holds.' : `Up to event ${holds.size.toLocaleString('en')}, signed ${holds.time}, it is what it was.`;
  if (finding === undefined) {
    terminal.out(`✔ The log is what was signed: ${heads === 1 ? 'one head holds' : `${heads.toLocaleString('en')} heads hold`}, ${rate}.`);
    terminal.out(`  ${upTo}${covered > (holds?.size ?? 0) ? ` The ${(covered - (holds?.size ?? 0)).toLocaleString('en')} after it are not signed yet.` : ''}`);
    if (from === 'here') terminal.say('  These heads are beside the log. Only heads that were kept elsewhere (--heads) show that nobody cut it, or wrote all of it anew.');
  } else {
    wordsOf(finding).forEach((words, n) => terminal.out(`${n === 0 ? '✖' : ' '} ${words}`));
    if (copy && finding.kind === 'cut') terminal.out('  If this copy was made before that, hold it against the heads of its own time: --until <time>.');
    terminal.out(`  ${upTo} (${rate})`);
  }
}

function whereOf({ first, after, upTo, gap, trace }: Where): Readonly<Record<string, unknown>> {
  const positionOf = (position: bigint | undefined) => (position === undefined ? null : String(position));
  return {
    after_position: positionOf(after),
    ...(upTo === undefined ? {} : { not_later_than_position: String(upTo) }),
    ...(first === undefined ? {} : { first_position: String(first.position), first_index: first.index }),
    ...(gap === undefined ? {} : { gap: { kind: gap.kind, stream: gap.stream, revision: String(gap.revision), after_position: positionOf(gap.after), position: String(gap.upTo) } }),
    ...(trace === undefined ? {} : { trace: { index: trace.index, position: positionOf(trace.position), after_position: positionOf(trace.after), before_position: String(trace.before) } }),
  };
}

function wordsOf(finding: Finding): readonly string[] {
  if (finding.kind === 'signature') return [`The head of ${finding.head.size} events, ${finding.head.time}, is not signed by this key for this log, or was changed.`];
  if (finding.kind === 'unsigned') return ['What is signed of the log holds; what came after it does not fit together.', ...signsOf(finding)];
  const { head, first, after, upTo } = finding;
  const place = first === undefined ? '' : `position ${first.position} (event ${(first.index + 1).toLocaleString('en')} of the tree)`;
  if (finding.kind === 'cut') {
    const counts = `The log has ${finding.covered.toLocaleString('en')} events; ${head.size.toLocaleString('en')} were signed at ${head.time}.`;
    return first === undefined ? [counts, ...signsOf(finding)] : [`${counts} The first that is missing or another one was at ${place}.`];
  }
  if (first !== undefined) return [`The log differs from ${place} on.`];
  return [`The log differs from what was signed at ${head.time}: after ${placeOf(after)} and not later than position ${upTo ?? 0n}.`, ...signsOf(finding)];
}

const placeOf = (position: bigint | undefined) => (position === undefined ? 'its beginning' : `position ${position}`);

/** What the log says by itself where leaves that hold are not at hand. */
function signsOf({ gap, trace, ...finding }: Exclude<Finding, { kind: 'signature' }>): readonly string[] {
  const signs: string[] = [];
  if (gap?.kind === 'missing') signs.push(`The stream ${gap.stream} lacks its revision ${gap.revision}, which was after ${placeOf(gap.after)} and before position ${gap.upTo}.`);
  if (gap?.kind === 'again') signs.push(`The stream ${gap.stream} has its revision ${gap.revision} once more at position ${gap.upTo}; before that it was at ${placeOf(gap.after)}.`);
  const whose = 'What the export says of itself, which nobody signed, does not fit';
  if (trace?.position !== undefined) signs.push(`${whose} at position ${trace.position} (event ${(trace.index + 1).toLocaleString('en')} of the tree).`);
  else if (trace !== undefined) signs.push(`${whose} after ${placeOf(trace.after)} and before position ${trace.before} (event ${(trace.index + 1).toLocaleString('en')} of the tree).`);
  if (signs.length === 0 && finding.kind === 'cut') signs.push(`Nothing that is there shows a gap: it may be the end that is missing, after ${placeOf(finding.last)}.`);
  return signs;
}
