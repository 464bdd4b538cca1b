import type { KeyObject } from 'node:crypto';
import type { Uuid } from '../domain/kernel.ts';
import { isSignedBy, type SignedHead } from './heads.ts';
import { emptyRoot, grow, isCovered, leafHash, rootOf, type LeafEvent } from './merkle.ts';

export interface LoggedEvent extends LeafEvent {
  readonly position: bigint;
  /** Its leaf as it was recorded with it, in an export. Believed only where heads bear it out. */
  readonly leaf?: Buffer | undefined;
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
  /** The log ends before what was signed. */
  | { readonly kind: 'cut'; readonly head: SignedHead; readonly covered: number }
  /** `first`: where the log is another one for the first time, if leaves that hold tell; else it is beyond `holds`. */
  | { readonly kind: 'differs'; readonly head: SignedHead; readonly first: { readonly index: number; readonly position: bigint } | undefined };

/** Hashes of leaves as they were recorded elsewhere, in order from the first. They are believed only where heads bear them out. */
export type RecordedLeaves = AsyncIterable<Buffer>;

export interface VerifyOptions {
  /** Every event of the log or of an export, in the order of the log. */
  readonly events: AsyncIterable<LoggedEvent>;
  readonly logId: Uuid;
  /** From outside the database: only such a one reveals a log that was cut or written anew. In any order. */
  readonly heads: readonly SignedHead[];
  readonly publicKeys: readonly KeyObject[];
  readonly leaves?: RecordedLeaves;
  readonly onProgress?: (covered: number) => void;
}

/** Reads everything once, in constant memory. */
export async function verifyLog({ events, logId, heads, publicKeys, leaves, onProgress }: VerifyOptions): Promise<Verification> {
  const forged = heads.find((head) => !publicKeys.some((key) => isSignedBy(key, logId, head)));
  const expected = heads.filter((head) => head !== forged).sort((a, b) => a.size - b.size);
  const log = new Tree();
  const recorded = new Tree();
  const told = leaves?.[Symbol.asyncIterator]();
  let apart: { readonly index: number; readonly position: bigint } | undefined;
  let holds: SignedHead | undefined;
  let finding: Finding | undefined = forged === undefined ? undefined : { kind: 'signature', head: forged };
  let next = 0;

  function meet(): void {
    for (; next < expected.length && expected[next]!.size === log.size; next++) {
      const head = expected[next]!;
      if (log.root === head.root) {
        if (finding === undefined) holds = head;
        continue;
      }
      const first = apart !== undefined && recorded.size === log.size && recorded.root === head.root ? apart : undefined;
      finding ??= { kind: 'differs', head, first };
    }
  }

  meet();
  for await (const event of events) {
    if (!isCovered(event.stream)) continue;
    const leaf = leafHash(event);
    const other = event.leaf ?? (told === undefined ? undefined : ((await told.next()).value as Buffer | undefined));
    if (other !== undefined) {
      if (!other.equals(leaf)) apart ??= { index: log.size, position: event.position };
      recorded.add(other);
    }
    log.add(leaf);
    meet();
    if (log.size % 10_000 === 0) onProgress?.(log.size);
  }
  const beyond = expected[next];
  if (beyond !== undefined) finding ??= { kind: 'cut', head: beyond, covered: log.size };
  return { covered: log.size, root: log.root, holds, finding };
}

class Tree {
  size = 0;
  #peaks: readonly Buffer[] = [];

  add(leaf: Buffer): void {
    this.#peaks = grow(this.size, this.#peaks, leaf).peaks;
    this.size++;
  }

  get root(): string {
    return (this.size === 0 ? emptyRoot : rootOf(this.#peaks)).toString('hex');
  }
}
