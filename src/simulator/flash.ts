import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { DeviceConfig } from '../bridge/protocol/commands.ts';
import type { ExecutedResult } from '../bridge/protocol/reports.ts';
import type { ReportKind } from '../bridge/protocol/signature.ts';

/** All that a box keeps over a loss of power. One image, replaced as a whole. */
export interface FlashImage {
  readonly bootCount: number;
  readonly journal: Journal;
  readonly outbox: readonly OutboxEntry[];
  readonly keys: StoredKeys;
  readonly configVersion: number;
  readonly config: DeviceConfig;
  /** What of that version was refused: said again with every answer to it. */
  readonly configRejected?: readonly string[];
}

export interface Journal {
  /** 16 hex, random at its creation: a journal that forgot is another journal. */
  readonly id: string;
  /** Milliseconds since the epoch, set at the first trusted time. */
  readonly createdAt?: number;
  readonly lastSeq: number;
  /** Oldest first, at most 16. */
  readonly ring: readonly RingEntry[];
}

export interface RingEntry {
  readonly commandId: string;
  readonly seq: number;
  readonly result: ExecutedResult;
  /** Trusted time of the result. */
  readonly at?: string;
  /** The signed response as it was made, sent again when the command comes again. */
  readonly answer?: string;
}

export interface OutboxEntry {
  readonly reportSeq: number;
  readonly kind: ReportKind;
  /** The signed bytes: a repeat is the same report. */
  readonly payload: string;
  readonly commandId?: string;
  /** False: this response is the only proof that a command was not executed. */
  readonly executed?: boolean;
}

export interface StoredKeys {
  readonly current: StoredKey;
  /** Both are kept until the broker has accepted the new one. */
  readonly pending?: StoredKey & {
    readonly commandId: string;
    readonly seq: number;
    readonly issuedAt: number;
    /** Whether `applied` has been said: only then is the new key used. */
    readonly answered: boolean;
  };
}

export interface StoredKey {
  readonly version: number;
  /** 64 lower hex. */
  readonly master: string;
}

/** Synchronous, as flash is to a firmware: when `commit` returns, the image survives; when it throws, the old one does. */
export interface Flash {
  read(): FlashImage | undefined;
  commit(image: FlashImage): void;
}

export class FlashFailed extends Error {
  override readonly name = 'FlashFailed';
}

export function memoryFlash(image?: FlashImage): Flash {
  let stored = image;
  return {
    read: () => stored,
    commit(next) {
      stored = next; // images are never changed in place
    },
  };
}

/**
 * Two slots, `<path>.0` and `<path>.1`, written in turn, each with a counter and a checksum. A write that was torn by a
 * loss of power leaves the other slot, which is the image before it.
 */
export function fileFlash(path: string): Flash {
  const slots = [`${path}.0`, `${path}.1`] as const;
  const read = slots.map(readSlot);
  let newest = (read[1]?.count ?? -1) > (read[0]?.count ?? -1) ? 1 : 0;
  let count = read[newest]?.count ?? 0;
  return {
    read: () => readSlot(slots[newest]!)?.image,
    commit(image) {
      const slot = 1 - newest;
      const body = JSON.stringify({ count: count + 1, image });
      try {
        const file = openSync(slots[slot]!, 'w', 0o600); // it holds the device key
        try {
          writeSync(file, `${checksum(body)}\n${body}`);
          fsyncSync(file);
        } finally {
          closeSync(file);
        }
      } catch (error) {
        throw new FlashFailed(`Cannot write ${slots[slot]}`, { cause: error });
      }
      newest = slot;
      count++;
    },
  };
}

function readSlot(path: string): { readonly count: number; readonly image: FlashImage } | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
  const end = text.indexOf('\n');
  const body = text.slice(end + 1);
  return end === 64 && text.slice(0, end) === checksum(body) ? (JSON.parse(body) as { count: number; image: FlashImage }) : undefined;
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

/** Flash that fails on request. */
export interface FaultyFlash extends Flash {
  /** The next `count` commits fail and change nothing. */
  failCommits(count: number): void;
  /** True time passes during each commit. */
  onCommit: (() => void) | undefined;
}

export function faultyFlash(flash: Flash): FaultyFlash {
  let failing = 0;
  return {
    onCommit: undefined,
    read: () => flash.read(),
    failCommits(count) {
      failing = count;
    },
    commit(image) {
      if (failing > 0) {
        failing--;
        throw new FlashFailed('The flash refused the write, as it was told to');
      }
      flash.commit(image);
      this.onCommit?.();
    },
  };
}
