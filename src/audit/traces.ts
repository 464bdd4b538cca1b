import type { LoggedEvent } from './verify.ts';

/** A stream's revisions are 0, 1, 2, …: what is missing or there twice is a difference, whoever wrote it. */
export interface Gap {
  readonly kind: 'missing' | 'again';
  readonly stream: string;
  /** The first that is missing, or the one that is there again. */
  readonly revision: bigint;
  /** Where the stream was before; undefined: nowhere. */
  readonly after: bigint | undefined;
  /** Where it goes on. The log is another one here at the latest. */
  readonly upTo: bigint;
}

/** Where an export's own numbers and hashes do not fit. Nobody signed them: they show the place only of what was done without them. */
export interface Trace {
  /** Of the leaf that is not where it belongs. */
  readonly index: number;
  /** Undefined where the numbers leave more than one place: then between these two. */
  readonly position: bigint | undefined;
  readonly after: bigint | undefined;
  readonly before: bigint;
}

/**
 * What a log says by itself about where it was changed, since the last head that holds. It is no proof that it was: that
 * is for heads to say. Holds one entry for each stream.
 */
export class Traces {
  gap: Gap | undefined;
  trace: Trace | undefined;
  readonly #streams = new Map<string, { readonly revision: bigint; readonly position: bigint }>();
  #position: bigint | undefined;
  #size = 0;
  /** Whether the log is an export that has hashes, and whether it has numbers. */
  #hashed = false;
  #numbered = false;

  /** @param leaf what its leaf is */
  add(event: LoggedEvent, leaf: Buffer): void {
    this.gap ??= this.#gapBefore(event);
    this.trace ??= this.#traceAt(event, leaf);
    const { stream, revision, position } = event;
    this.#streams.set(stream, { revision, position });
    this.#position = position;
    this.#size = (event.index ?? this.#size) + 1;
    this.#hashed ||= event.leaf !== undefined;
    this.#numbered ||= event.index !== undefined;
  }

  /** A head holds: up to here nothing was changed. */
  forget(): void {
    this.gap = undefined;
    this.trace = undefined;
  }

  #gapBefore({ stream, revision, position }: LoggedEvent): Gap | undefined {
    const last = this.#streams.get(stream);
    const next = (last?.revision ?? -1n) + 1n;
    if (revision === next) return undefined;
    return { kind: revision > next ? 'missing' : 'again', stream, revision: revision > next ? next : revision, after: last?.position, upTo: position };
  }

  #traceAt({ position, index, leaf: recorded }: LoggedEvent, leaf: Buffer): Trace | undefined {
    const after = this.#position;
    if (recorded === undefined ? this.#hashed || index !== undefined : !recorded.equals(leaf)) return { index: this.#size, position, after, before: position };
    if ((index === undefined && this.#numbered) || (after !== undefined && position <= after)) return { index: this.#size, position, after, before: position };
    if (index === undefined || index === this.#size) return undefined;
    if (index < this.#size) return { index, position, after, before: position };
    // Positions are counted one by one in PostgreSQL: one was between these two.
    return { index: this.#size, position: after !== undefined && position - after === 2n ? position - 1n : undefined, after, before: position };
  }
}
