import { grow, isCovered, leafHash } from '../../audit/merkle.ts';
import type { RecordedEvent } from '../../platform/event-store/port.ts';
import { defineProjection, defineTable, type RowsOf } from '../projection.ts';

interface LeafRow {
  readonly leaf_index: number;
  readonly position: string;
  readonly event_id: string;
  /** `\x` and hex, as PostgreSQL writes bytes. */
  readonly hash: string;
}

/** A complete subtree of two leaves or more. */
interface NodeRow {
  /** `level:index`. */
  readonly node: string;
  readonly hash: string;
}

interface TreeRow {
  readonly tree: string;
  readonly size: number;
  readonly position: string;
  /** Hex, from left to right. */
  readonly peaks: readonly string[];
}

const tables = {
  leaves: defineTable<LeafRow>({
    name: 'leaves',
    key: 'leaf_index',
    kind: 'append',
    columns: { leaf_index: 'bigint NOT NULL', position: 'numeric(20, 0) NOT NULL', event_id: 'uuid NOT NULL', hash: 'bytea NOT NULL' },
    indexes: ['(event_id)'],
  }),
  nodes: defineTable<NodeRow>({
    name: 'nodes',
    key: 'node',
    kind: 'append',
    columns: { node: 'text NOT NULL', hash: 'bytea NOT NULL' },
    indexes: [],
  }),
  tree: defineTable<TreeRow>({
    name: 'tree',
    key: 'tree',
    columns: { tree: 'text NOT NULL', size: 'bigint NOT NULL', position: 'numeric(20, 0) NOT NULL', peaks: 'jsonb NOT NULL' },
    indexes: [],
  }),
};

/** There is one. */
export const TREE = 'log';

function take(event: RecordedEvent, { leaves, nodes, tree }: RowsOf<typeof tables>): void {
  if (!isCovered(event.stream)) return;
  const before = tree.get(TREE);
  const size = Number(before?.size ?? 0);
  const leaf = leafHash(event);
  // The last peaks alone grow together with the leaf: the others stay as they are written.
  const peaks = before?.peaks ?? [];
  const kept = peaks.length - joined(size);
  const grown = grow(size, peaks.slice(kept).map((peak) => Buffer.from(peak, 'hex')), leaf);
  const position = String(event.position);
  leaves.put({ leaf_index: size, position, event_id: event.eventId, hash: `\\x${leaf.toString('hex')}` });
  for (const { id, hash } of grown.finished.slice(1)) nodes.put({ node: `${id.level}:${id.index}`, hash: `\\x${hash.toString('hex')}` });
  tree.put({ tree: TREE, size: size + 1, position, peaks: [...peaks.slice(0, kept), ...grown.peaks.map((peak) => peak.toString('hex'))] });
}

/** How many peaks of a tree of this size the next leaf is joined with. */
function joined(size: number): number {
  let peaks = 0;
  for (let rest = size; rest % 2 === 1; rest = (rest - 1) / 2) peaks++;
  return peaks;
}

/** The Merkle tree of the log: what its signed heads and proofs are made of. */
export const proofProjection = defineProjection({
  name: 'proof',
  version: 1,
  group: 'background',
  categories: [],
  tables,
  on: {},
  always: (want) => want.tree(TREE),
  every: take,
});
