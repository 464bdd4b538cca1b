import { hash } from 'node:crypto';
import { canonicalJson } from './canonical.ts';

/** A Merkle tree as in RFC 6962 §2.1 over the events of the log: 32-byte SHA-256 hashes, lower hex outside of here. */

/** What a leaf is made of. The order of the leaves is the log's. Sealed values are in it as ciphertext: erasing changes nothing. */
export interface LeafEvent {
  readonly stream: string;
  readonly revision: bigint;
  readonly eventId: string;
  readonly type: string;
  readonly data: unknown;
  readonly metadata: unknown;
}

/** Streams about the log itself are not covered: a head cannot cover itself. */
export function isCovered(stream: string): boolean {
  return !stream.startsWith('$') && stream !== 'system-log' && stream !== 'audit-head';
}

/** SHA-256(0x00 ‖ canonical JSON of the six members). Revision as text: it may exceed a double. */
export function leafHash({ stream, revision, eventId, type, data, metadata }: LeafEvent): Buffer {
  const [d, m] = [canonicalJson(data), canonicalJson(metadata)];
  // The members in their order: what canonicalJson makes of the six together.
  const text = `{"data":${d},"eventId":${JSON.stringify(eventId)},"metadata":${m},"revision":"${String(revision)}","stream":${JSON.stringify(stream)},"type":${JSON.stringify(type)}}`;
  return hash('sha256', `\0${text}`, 'buffer');
}

const node = Buffer.alloc(65, 1);

/** SHA-256(0x01 ‖ left ‖ right). */
export function parentHash(left: Buffer, right: Buffer): Buffer {
  left.copy(node, 1);
  right.copy(node, 33);
  return hash('sha256', node, 'buffer');
}

/** The root of the tree of no events. */
export const emptyRoot: Buffer = hash('sha256', '', 'buffer');

/** A complete subtree: of `2 ** level` leaves, the `index`-th of its kind from the left. */
export interface NodeId {
  readonly level: number;
  readonly index: number;
}

export interface Grown {
  /** Of the tree with the new leaf. */
  readonly peaks: readonly Buffer[];
  /** The complete subtrees that the leaf finished, itself first. */
  readonly finished: readonly { readonly id: NodeId; readonly hash: Buffer }[];
}

/** Appends a leaf to a tree that is known by its peaks. */
export function grow(size: number, peaks: readonly Buffer[], leaf: Buffer): Grown {
  const next = [...peaks];
  const finished = [{ id: { level: 0, index: size }, hash: leaf }];
  let top = leaf;
  for (let level = 0, index = size; index % 2 === 1; level++) {
    const left = next.pop();
    if (left === undefined) throw new RangeError(`A tree of ${size} leaves has more peaks`);
    top = parentHash(left, top);
    index = (index - 1) / 2;
    finished.push({ id: { level: level + 1, index }, hash: top });
  }
  next.push(top);
  return { peaks: next, finished };
}

/** A tree that only its root is asked of. */
export class Tree {
  size = 0;
  readonly #peaks: Buffer[] = [];

  add(leaf: Buffer): void {
    let top = leaf;
    for (let index = this.size; index % 2 === 1; index = (index - 1) / 2) top = parentHash(this.#peaks.pop() as Buffer, top);
    this.#peaks.push(top);
    this.size++;
  }

  get root(): string {
    return rootOf(this.#peaks).toString('hex');
  }
}

export function rootOf(peaks: readonly Buffer[]): Buffer {
  return peaks.length === 0 ? emptyRoot : peaks.reduceRight((right, left) => parentHash(left, right));
}

/** Leaves `start` up to, not including, `end`: a subtree in the sense of RFC 6962. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** The subtrees whose hashes prove that leaf `index` is in the tree of `size` leaves, the leaf's neighbour first. */
export function inclusionPath(index: number, size: number): readonly Range[] {
  if (index < 0 || index >= size) throw new RangeError(`A tree of ${size} leaves has no leaf ${index}`);
  const path: Range[] = [];
  for (let start = 0, end = size; end - start > 1; ) {
    const middle = start + splitOf(end - start);
    if (index < middle) {
      path.push({ start: middle, end });
      end = middle;
    } else {
      path.push({ start, end: middle });
      start = middle;
    }
  }
  return path.reverse();
}

/** The subtrees whose hashes prove that the tree of `size` leaves begins with the one of `earlier` leaves. */
export function consistencyPath(earlier: number, size: number): readonly Range[] {
  if (earlier < 0 || earlier > size) throw new RangeError(`A tree of ${size} leaves does not begin with one of ${earlier}`);
  if (earlier === 0 || earlier === size) return [];
  const path: Range[] = [];
  let start = 0;
  let end = size;
  // Until the earlier tree's edge is the edge of a subtree.
  while (earlier !== end) {
    const middle = start + splitOf(end - start);
    if (earlier <= middle) {
      path.push({ start: middle, end });
      end = middle;
    } else {
      path.push({ start, end: middle });
      start = middle;
    }
  }
  // The verifier has the earlier root: it needs no hash of a subtree that is the whole earlier tree.
  if (start > 0) path.push({ start, end });
  return path.reverse();
}

/** The complete subtrees that a range is made of, from left to right. */
export function nodesOf({ start, end }: Range): readonly NodeId[] {
  const nodes: NodeId[] = [];
  for (let at = start; at < end; ) {
    let level = 0;
    for (let width = 2; at % width === 0 && at + width <= end; width *= 2) level++;
    nodes.push({ level, index: at / 2 ** level });
    at += 2 ** level;
  }
  return nodes;
}

/** The hash of a range whose complete subtrees are known. Its first leaf must be where a subtree of that size can begin. */
export function hashOf(range: Range, known: (id: NodeId) => Buffer): Buffer {
  return rootOf(nodesOf(range).map(known));
}

/** The largest power of two below `size`. */
function splitOf(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}
