import type { KeyObject } from 'node:crypto';
import type { Uuid } from '../domain/kernel.ts';
import { isSignedBy, type SignedHead } from './heads.ts';
import { isCovered, leafHash, Tree, type LeafEvent } from './merkle.ts';
import { Traces, type Gap, type Trace } from './traces.ts';

export interface LoggedEvent extends LeafEvent {
  readonly position: bigint;
  /** Its leaf as it was recorded with it, in an export. Believed only where heads bear it out. */
  readonly leaf?: Buffer | undefined;
  /** Of its leaf, from 0 on, as an export numbers it. Nobody signed it. */
  readonly index?: number | undefined;
}

export interface Verification {
  /** Events that the tree covers, and the root over them. */
  readonly covered: number;
  readonly root: string;
  /** The last head that holds: everything up to `size` is as it was when it was signed. */
  readonly holds: SignedHead | undefined;
  /** The first finding; undefined when every head holds. */
  readonly finding: Finding | undefined;
}

export type Finding =
  /** Somebody else signed it, or it was changed. */
  | { readonly kind: 'signature'; readonly head: SignedHead }
  /** The log has fewer events than were signed: some are missing, at its end or before. `last`: the position of the last that is there. */
  | (Where & { readonly kind: 'cut'; readonly head: SignedHead; readonly covered: number; readonly last: bigint | undefined })
  | (Where & { readonly kind: 'differs'; readonly head: SignedHead })
  /** Every head holds, and what came after the last of them, `head`, does not fit together. */
  | (Where & { readonly kind: 'unsigned'; readonly head: SignedHead | undefined });

/** Where the log is another one than was signed, for the first time. */
export interface Where {
  /** The very place, or that of what is missing there, if leaves that a head bears out tell. */
  readonly first: Place | undefined;
  /** In any case after the event at this position (undefined: anywhere from the beginning on), … */
  readonly after: bigint | undefined;
  /** … and not later than at this one (undefined: at the end). */
  readonly upTo: bigint | undefined;
  /** What the revisions of a stream say about it. Another change before it may have left no such gap. */
  readonly gap: Gap | undefined;
  /** What the numbers and hashes of an export say about it. */
  readonly trace: Trace | undefined;
}

export interface Place {
  readonly index: number;
  readonly position: bigint;
}

/** Leaves as they were recorded elsewhere, in order from the first. They are believed only where heads bear them out. */
export type RecordedLeaves = AsyncIterable<RecordedLeaf>;

export interface RecordedLeaf {
  readonly hash: Buffer;
  readonly position: bigint;
}

export interface VerifyOptions {
  /** Every event of the log or of an export, in the order of the log. */
  readonly events: AsyncIterable<LoggedEvent>;
  readonly logId: Uuid;
  /** From outside the database: only such a one reveals a log that was cut or written anew. In any order. */
  readonly heads: readonly SignedHead[];
  readonly publicKeys: readonly KeyObject[];
  readonly leaves?: RecordedLeaves | undefined;
  readonly onProgress?: (covered: number) => void;
}

/** Reads everything once, and keeps of it where each stream is. */
export async function verifyLog({ events, logId, heads, publicKeys, leaves, onProgress }: VerifyOptions): Promise<Verification> {
  const forged = heads.find((head) => !publicKeys.some((key) => isSignedBy(key, logId, head)));
  const expected = heads.filter((head) => head !== forged).sort((a, b) => a.size - b.size);
  const log = new Tree();
  const recorded = new Tree();
  const traces = new Traces();
  const told = leaves?.[Symbol.asyncIterator]();
  let apart: Place | undefined;
  let holds: SignedHead | undefined;
  /** Of the last event, and of the last one under a head that holds. */
  let position: bigint | undefined;
  let held: bigint | undefined;
  let finding: Finding | undefined = forged === undefined ? undefined : { kind: 'signature', head: forged };
  let next = 0;

  function meet(): void {
    for (; next < expected.length && expected[next]!.size === log.size; next++) {
      const head = expected[next]!;
      if (log.root === head.root) {
        if (finding === undefined) [holds, held] = [head, position];
        traces.forget();
        continue;
      }
      const first = apart !== undefined && recorded.size === log.size && recorded.root === head.root ? apart : undefined;
      finding ??= { kind: 'differs', head, ...where(first, position) };
    }
  }

  function where(first: Place | undefined, upTo: bigint | undefined): Where {
    const { gap, trace } = traces;
    return { first, after: held, upTo: gap?.upTo ?? upTo, gap, trace };
  }

  /** The record goes on where the log ends: up to the head, which says whether it may be believed. */
  async function firstMissing({ size, root }: SignedHead): Promise<Place | undefined> {
    let missing = apart;
    while (recorded.size < size) {
      const next = await told?.next();
      if (next === undefined || next.done === true) return undefined;
      missing ??= { index: recorded.size, position: next.value.position };
      recorded.add(next.value.hash);
    }
    return recorded.root === root ? missing : undefined;
  }

  meet();
  for await (const event of events) {
    if (!isCovered(event.stream)) continue;
    const leaf = leafHash(event);
    const other = event.leaf !== undefined ? { hash: event.leaf, position: event.position } : told === undefined ? undefined : ((await told.next()).value as RecordedLeaf | undefined);
    if (other !== undefined) {
      // Of one that was taken out the log has no position: the record has.
      if (!other.hash.equals(leaf)) apart ??= { index: log.size, position: other.position < event.position ? other.position : event.position };
      recorded.add(other.hash);
    }
    log.add(leaf);
    traces.add(event, leaf);
    ({ position } = event);
    meet();
    if (log.size % 10_000 === 0) onProgress?.(log.size);
  }
  const beyond = expected[next];
  if (beyond !== undefined && finding === undefined) finding = { kind: 'cut', head: beyond, covered: log.size, last: position, ...where(await firstMissing(beyond), undefined) };
  if (traces.gap !== undefined || traces.trace !== undefined) finding ??= { kind: 'unsigned', head: holds, ...where(undefined, position) };
  return { covered: log.size, root: log.root, holds, finding };
}
