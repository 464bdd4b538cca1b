import type { Instant, RefusalCode, Uuid } from '../kernel.ts';

/** Streams that decide nothing: `system-log`, `refusal-<yyyymmdd>-<0..15>`, `audit-head`. Wire form, for ever. */
export type SystemEvent =
  /** The log's first event: its identity. Every checkpoint, signed head and position token carries it. */
  | E<'LogStarted', { logId: Uuid; version: string }>
  | E<'ProjectionEventSkipped', { projection: string; position: string; reason: string }>
  /** An administrator asked for it, or took it back. `projection` may be `all`. */
  | E<'ProjectionActionRequested', { projection: string; action: 'rebuild' | 'compare' | 'switch' | 'rollback' | 'cancel'; generation?: number; acceptDifferences?: boolean }>
  | E<'KeysRewrapped', { count: number }>
  /** Somebody asked for a run of a job outside its times. */
  | E<'JobRequested', { job: string }>
  | E<'CommandRefused', { command: string; target: RefusalTarget; reason: RefusalCode; details?: Readonly<Record<string, string | number | boolean>> }>
  /** Beyond the limit of one source and reason: how many more there were in that minute. */
  | E<'RefusalsSuppressed', { command: string; reason: RefusalCode; count: number; minute: Instant }>
  | E<'AuditHeadSigned', { size: string; root: string; time: Instant; kid: string; signature: string }>;

export interface RefusalTarget {
  readonly kind: 'device' | 'link' | 'unlock' | 'user';
  readonly id: string;
}

interface E<Type extends string, Data> {
  readonly type: Type;
  readonly data: Readonly<Data>;
}

