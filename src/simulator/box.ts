import type { CommandAction } from '../bridge/protocol/commands.ts';
import type { ReportKind } from '../bridge/protocol/signature.ts';
import type { Movement } from './hardware.ts';

/** What a box met with silence, as it counts it in its heartbeats. */
export type RejectReason = 'bad_signature' | 'retained' | 'too_large' | 'malformed';

/** What a test, a demo or a status line can watch a box do. */
export type BoxEvent =
  | { readonly type: 'booted'; readonly bootCount: number }
  | { readonly type: 'power_cut'; readonly step: string }
  | { readonly type: 'connected'; readonly connectId: string }
  | { readonly type: 'disconnected'; readonly reason: string }
  | { readonly type: 'time'; readonly now: number }
  | { readonly type: 'command'; readonly action: CommandAction; readonly commandId: string }
  | { readonly type: 'rejected'; readonly reason: RejectReason }
  | { readonly type: 'moved'; readonly movement: Movement }
  | { readonly type: 'opened'; readonly commandId: string | undefined }
  | { readonly type: 'failed'; readonly commandId: string; readonly reason: string }
  | { readonly type: 'refused'; readonly commandId: string; readonly reason: string }
  | { readonly type: 'published'; readonly kind: ReportKind; readonly payload: Buffer }
  | { readonly type: 'acked'; readonly reportSeq: number }
  | { readonly type: 'config'; readonly version: number; readonly rejected: readonly string[] }
  | { readonly type: 'key'; readonly version: number };

export type BoxEventType = BoxEvent['type'];
export type BoxEventOf<T extends BoxEventType> = Extract<BoxEvent, { type: T }>;

export interface Connecting {
  readonly password: string;
  /** The same key's, for HTTP. */
  readonly bearer: string;
  readonly will: { readonly kind: ReportKind; readonly payload: Buffer };
  /** When the broker refuses this password, another one may be good. */
  readonly otherPassword: boolean;
}

/** The firmware of a box from power-on to power-off, of either level, without a network. */
export interface BoxCore {
  /** A new connection is about to be made. */
  connecting(): Connecting;
  /** Connected, and every subscription granted. */
  connected(): void;
  /** The broker said "not authorised". */
  refused(): void;
  disconnected(): void;
  message(payload: Buffer, retain: boolean): void;
  /** Someone opens the box at the box. `unknown`: by force. */
  openLocally(cause: 'manual' | 'keypad' | 'unknown'): void;
  /** A sensor of the hardware changed. */
  sensed(what: 'tamper' | 'parcel' | 'door'): void;
  batteryChanged(): void;
  /** A heartbeat's payload, for whoever wants many. */
  heartbeat(): Buffer;
  bye(): void;
  stop(): void;
}
