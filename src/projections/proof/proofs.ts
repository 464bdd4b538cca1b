import { keyOf, type PublicKey, type SignedHead } from '../../audit/heads.ts';
import type { LeafEvent } from '../../audit/merkle.ts';
import type { Uuid } from '../../domain/kernel.ts';
import { auditHeadStream } from '../../domain/system/stream.ts';
import type { EventStore, Json, JsonObject, RecordedEvent } from '../../platform/event-store/port.ts';
import type { Page, Paged } from '../read-models.ts';
import type { ProofQueries } from './queries.ts';

export type { SignedHead };

/** What verify/loqey-verify.mjs reads: the forms are in verify/README.md, for ever. */
export interface EventProof {
  readonly logId: Uuid;
  readonly event: Omit<LeafEvent, 'revision' | 'data' | 'metadata'> & { readonly revision: string; readonly data: JsonObject; readonly metadata: JsonObject };
  readonly index: number;
  readonly size: number;
  readonly path: readonly string[];
  /** The one that it was made for. One that was kept elsewhere says more. */
  readonly head: SignedHead;
}

export interface ConsistencyProof {
  readonly logId: Uuid;
  readonly from: SignedHead;
  readonly to: SignedHead;
  readonly path: readonly string[];
}

/** Heads of the log and what is proved by them. */
export interface Proofs {
  /** Newest first. */
  heads(page: Page): Promise<Paged<SignedHead>>;
  /** The head of so many events, or the newest. */
  head(size?: number): Promise<SignedHead | undefined>;
  /** Of every key that a worker signed with, the newest last. */
  keys(): Promise<readonly PublicKey[]>;
  /** That an event was in the log when this head was signed. Undefined: it was not, or there is no such event. */
  ofEvent(eventId: Uuid, head: SignedHead): Promise<EventProof | undefined>;
  /** That the log of the later head begins with the log of the earlier one. */
  between(from: SignedHead, to: SignedHead): Promise<ConsistencyProof>;
}

type Log = Pick<EventStore, 'readAll' | 'readStream' | 'readStreamMetadata'>;

export function createProofs({ store, queries, logId }: { readonly store: Log; readonly queries: ProofQueries; readonly logId: Uuid }): Proofs {
  /** From the newest of them on, older and older. */
  async function some(from: bigint | undefined, limit: number): Promise<readonly { readonly revision: bigint; readonly head: SignedHead }[]> {
    const found = [];
    for await (const event of store.readStream(auditHeadStream, { direction: 'backwards', limit, ...(from === undefined ? {} : { from }) })) {
      found.push({ revision: event.revision, head: headOf(event) });
    }
    return found;
  }

  return {
    async heads({ limit, offset }) {
      const [newest] = await some(undefined, 1);
      if (newest === undefined) return { rows: [], total: 0 };
      const from = newest.revision - BigInt(offset);
      const rows = from < 0n || limit === 0 ? [] : await some(from, limit);
      return { rows: rows.map(({ head }) => head), total: Number(newest.revision) + 1 };
    },

    /** Each is larger than the one before: halved until it is found. */
    async head(size) {
      const [newest] = await some(undefined, 1);
      if (newest === undefined || size === undefined || newest.head.size === size) return newest?.head;
      let [low, high] = [0n, newest.revision - 1n];
      while (low <= high) {
        const middle = (low + high) / 2n;
        const [tried] = await some(middle, 1);
        if (tried === undefined) return undefined;
        if (tried.head.size === size) return tried.head;
        if (tried.head.size < size) low = middle + 1n;
        else high = middle - 1n;
      }
      return undefined;
    },

    async keys() {
      const { custom = {} } = await store.readStreamMetadata(auditHeadStream);
      return Object.values(keysIn(custom)).map(keyOf);
    },

    async ofEvent(eventId, head) {
      const proof = await queries.inclusion(eventId, head.size);
      if (proof === undefined) return undefined;
      const { index, position, size, path } = proof;
      // A store may know no position but those of events: the one before is one.
      const [before] = index === 0 ? [] : await queries.leaves(index - 1, 1);
      for await (const event of store.readAll(before === undefined ? {} : { after: before.position })) {
        if (event.position > position) break;
        if (event.position === position) return { logId, event: leafEventOf(event), index, size, path, head };
      }
      return undefined;
    },

    between: async (from, to) => ({ logId, from, to, path: await queries.consistency(from.size, to.size) }),
  };
}

/** As `audit.heads` appended it. */
export function headOf({ data }: Pick<RecordedEvent, 'data'>): SignedHead {
  const { size, root, time, kid, signature } = data as Record<'size' | 'root' | 'time' | 'kid' | 'signature', string>;
  return { size: Number(size), root, time, kid, signature };
}

function leafEventOf({ stream, revision, eventId, type, data, metadata }: RecordedEvent): EventProof['event'] {
  return { stream, revision: String(revision), eventId, type, data, metadata: metadata as unknown as JsonObject };
}

function keysIn(custom: JsonObject): Readonly<Record<string, string>> {
  const { publicKeys } = custom as { readonly publicKeys?: Json };
  return typeof publicKeys === 'object' && publicKeys !== null && !Array.isArray(publicKeys) ? (publicKeys as Readonly<Record<string, string>>) : {};
}

/**
 * Leaves the public key beside the heads in the log, where every process that answers for them finds it: only workers have
 * the private one.
 */
export async function publishKey(store: Pick<EventStore, 'readStreamMetadata' | 'writeStreamMetadata'>, { kid, x }: Pick<PublicKey, 'kid' | 'x'>): Promise<void> {
  const { custom = {}, ...rest } = await store.readStreamMetadata(auditHeadStream);
  const known = keysIn(custom);
  if (known[kid] === x) return;
  await store.writeStreamMetadata(auditHeadStream, { ...rest, custom: { ...custom, publicKeys: { ...known, [kid]: x } } });
}
