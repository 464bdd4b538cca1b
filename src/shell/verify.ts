import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHeadFile, HEADS_FILE, PUBLIC_KEY_FILE, readHeads } from '../audit/head-file.ts';
import { verifyLog, type Finding, type LoggedEvent, type Verification } from '../audit/verify.ts';
import { auditFolder } from '../compose/jobs.ts';
import type { EventStore } from '../platform/event-store/port.ts';
import { createProofQueries, type ProofQueries } from '../projections/proof/queries.ts';
import { createReader } from '../projections/schemas.ts';
import { withLocal, type LocalOptions } from './local.ts';
import { configOf } from './start.ts';
import type { Terminal } from './terminal.ts';

export interface VerifyOptions {
  /** Signed heads, one a line. Default: those of this installation. */
  readonly heads?: string;
  /** PEM. Default: that of this installation. */
  readonly publicKey?: string;
}

const LEAVES = 5_000;

/** 0: the log is what was signed; 3: it is not; 5: there is no head to hold it against. */
export async function auditVerify(options: LocalOptions, { heads: headsPath, publicKey: keyPath }: VerifyOptions, terminal: Terminal): Promise<number> {
  const folder = auditFolder(configOf(options.environ));
  const heads = await readHeads(headsPath ?? join(folder, HEADS_FILE));
  if (heads.length === 0) {
    terminal.say(`There is no signed head in ${headsPath ?? createHeadFile(folder).path}. The first is written within ten minutes of the first start; \`loqey jobs run audit.heads\` does it now.`);
    return 5;
  }
  const publicKey = await keyIn(keyPath ?? join(folder, PUBLIC_KEY_FILE));
  const show = (words: string): void => {
    if (terminal.isTty && !terminal.json) process.stderr.write(`\r\u001b[K${words}`);
  };
  const since = performance.now();
  const result = await withLocal({ ...options, mending: true }, ({ ground, db }) =>
    verifyLog({
      events: eventsOf(ground.store),
      logId: ground.logId,
      heads,
      publicKeys: [publicKey],
      leaves: leavesOf(createProofQueries(createReader(db))),
      onProgress: (covered) => show(`${covered.toLocaleString('en')} events`),
    }),
  );
  show('');
  tell(result, heads.length, performance.now() - since, terminal);
  return result.finding === undefined ? 0 : 3;
}

async function keyIn(path: string): Promise<KeyObject> {
  return createPublicKey(await readFile(path));
}

async function* eventsOf(store: EventStore): AsyncGenerator<LoggedEvent> {
  yield* store.readAll();
}

/** None while the read model is built: then the heads alone are held against the log. */
async function* leavesOf(proofs: ProofQueries): AsyncGenerator<Buffer> {
  for (let from = 0; ; from += LEAVES) {
    const page = await proofs.leaves(from, LEAVES).catch(() => []);
    yield* page.map(({ hash }) => hash);
    if (page.length < LEAVES) return;
  }
}

function tell({ covered, root, holds, finding }: Verification, heads: number, ms: number, terminal: Terminal): void {
  terminal.event('verified', {
    ok: finding === undefined,
    events: covered,
    root,
    heads,
    holds_up_to: holds?.size,
    ...(finding === undefined ? {} : { finding: finding.kind, head: finding.head }),
    ...(finding?.kind === 'differs' && finding.first !== undefined ? { first_position: String(finding.first.position), first_index: finding.first.index } : {}),
  });
  if (terminal.json) return;
  const rate = `${covered.toLocaleString('en')} events in ${(ms / 1_000).toFixed(1)} s`;
  const upTo = holds === undefined ? 'Not even the first head holds.' : `Up to event ${holds.size.toLocaleString('en')}, signed ${holds.time}, it is what it was.`;
  if (finding === undefined) {
    terminal.out(`✔ The log is what was signed: ${heads === 1 ? 'one head holds' : `${heads} heads hold`}, ${rate}.`);
    terminal.out(`  ${upTo}${covered > (holds?.size ?? 0) ? ` The ${(covered - (holds?.size ?? 0)).toLocaleString('en')} after it are not signed yet.` : ''}`);
  } else {
    terminal.out(`✖ ${wordsOf(finding)}`);
    terminal.out(`  ${upTo} (${rate})`);
  }
}

function wordsOf(finding: Finding): string {
  const { head } = finding;
  switch (finding.kind) {
    case 'signature':
      return `The head of ${head.size} events, ${head.time}, is not signed by this key, or was changed.`;
    case 'cut':
      return `The log ends after ${finding.covered.toLocaleString('en')} events; ${head.size.toLocaleString('en')} were signed at ${head.time}.`;
    case 'differs':
      return finding.first === undefined
        ? `The log is another one than was signed at ${head.time}.`
        : `The log differs from position ${finding.first.position} on (event ${(finding.first.index + 1).toLocaleString('en')} of the tree).`;
  }
}
