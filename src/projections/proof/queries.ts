import { consistencyPath, emptyRoot, hashOf, inclusionPath, nodesOf, rootOf, type NodeId, type Range } from '../../audit/merkle.ts';
import type { Uuid } from '../../domain/kernel.ts';
import { caughtUp } from '../caught-up.ts';
import type { Reader, Schemas } from '../schemas.ts';
import { proofProjection, TREE } from './projection.ts';

export interface Tree {
  readonly size: number;
  /** Lower hex, like every hash here. */
  readonly root: string;
  /** Of the last event that it covers; undefined for none. */
  readonly position: bigint | undefined;
}

export interface InclusionProof {
  readonly index: number;
  readonly position: bigint;
  readonly size: number;
  readonly leaf: string;
  readonly path: readonly string[];
}

export interface StoredLeaf {
  readonly index: number;
  readonly position: bigint;
  readonly hash: Buffer;
}

/** The log's Merkle tree as it was projected. It proves nothing by itself: what a head from outside says, counts. */
export interface ProofQueries {
  /** The tree now. */
  tree(): Promise<Tree>;
  /** The root of the first `size` leaves, from the stored subtrees. @throws RangeError beyond the tree */
  rootAt(size: number): Promise<string>;
  /** That an event is in the tree of `size` leaves. Undefined: it is not in it. */
  inclusion(eventId: Uuid, size: number): Promise<InclusionProof | undefined>;
  /** That the tree of `size` leaves begins with the one of `earlier`. @throws RangeError beyond the tree */
  consistency(earlier: number, size: number): Promise<readonly string[]>;
  /** Up to `limit` leaves from `from` on, in order. */
  leaves(from: number, limit: number): Promise<readonly StoredLeaf[]>;
}

const tree = { name: 'proof.tree', text: (s: Schemas) => `SELECT size, position, peaks FROM ${s['proof']}.tree WHERE tree = $1` };
const leafOf = { name: 'proof.leaf', text: (s: Schemas) => `SELECT leaf_index AS index, position, hash FROM ${s['proof']}.leaves WHERE event_id = $1` };
const someLeaves = {
  name: 'proof.leaves',
  text: (s: Schemas) => `SELECT leaf_index AS index, position, hash FROM ${s['proof']}.leaves WHERE leaf_index >= $1 ORDER BY leaf_index LIMIT $2`,
};
const hashes = {
  name: 'proof.hashes',
  text: (s: Schemas) => `
    SELECT node, hash FROM ${s['proof']}.nodes WHERE node = ANY($1::text[])
    UNION ALL SELECT '0:' || leaf_index, hash FROM ${s['proof']}.leaves WHERE leaf_index = ANY($2::bigint[])`,
};

const nameOf = ({ level, index }: NodeId) => `${level}:${index}`;

export function createProofQueries(reader: Reader): ProofQueries {
  async function stored(): Promise<Tree> {
    const row = await reader.first<{ size: string; position: string; peaks: readonly string[] }>(tree, [TREE]);
    if (row === undefined) return { size: 0, root: emptyRoot.toString('hex'), position: undefined };
    return { size: Number(row.size), root: rootOf(row.peaks.map((peak) => Buffer.from(peak, 'hex'))).toString('hex'), position: BigInt(row.position) };
  }

  /** The hashes of ranges, read in one query. */
  async function hashesOf(ranges: readonly Range[]): Promise<readonly string[]> {
    const wanted = ranges.flatMap(nodesOf);
    const rows = await reader.all<{ node: string; hash: Buffer }>(hashes, [
      wanted.filter(({ level }) => level > 0).map(nameOf),
      wanted.filter(({ level }) => level === 0).map(({ index }) => index),
    ]);
    const known = new Map(rows.map(({ node, hash }) => [node, hash]));
    const hash = (id: NodeId): Buffer => {
      const found = known.get(nameOf(id));
      if (found === undefined) throw new RangeError(`The stored tree has no subtree ${nameOf(id)}`);
      return found;
    };
    return ranges.map((range) => hashOf(range, hash).toString('hex'));
  }

  return {
    async tree() {
      await caughtUp(reader, proofProjection.name);
      return stored();
    },
    async rootAt(size) {
      if (size === 0) return emptyRoot.toString('hex');
      return (await hashesOf([{ start: 0, end: size }]))[0] ?? '';
    },
    async inclusion(eventId, size) {
      const row = await reader.first<{ index: string; position: string; hash: Buffer }>(leafOf, [eventId]);
      const index = Number(row?.index ?? size);
      if (row === undefined || index >= size) return undefined;
      return { index, position: BigInt(row.position), size, leaf: row.hash.toString('hex'), path: await hashesOf(inclusionPath(index, size)) };
    },
    async consistency(earlier, size) {
      const path = consistencyPath(earlier, size);
      return path.length === 0 ? [] : hashesOf(path);
    },
    async leaves(from, limit) {
      const rows = await reader.all<{ index: string; position: string; hash: Buffer }>(someLeaves, [from, limit]);
      return rows.map(({ index, position, hash }) => ({ index: Number(index), position: BigInt(position), hash }));
    },
  };
}
