import type { Links } from '../link/links.ts';
import type { Instant, Uuid } from '../kernel.ts';
import type { DeviceProfile, DeviceSettings, LockStatus, UnlockCause } from './events.ts';

/**
 * What a box's stream folds to: what decisions need, and nothing personal. Plain JSON, bounded except for the links.
 * Raise `deviceStateVersion` when its shape or meaning changes: older snapshots are then not used.
 */
export const deviceStateVersion = 2;

export type DeviceState = UnregisteredDevice | RegisteredDevice;

export interface UnregisteredDevice {
  readonly kind: 'unregistered';
}

export interface RegisteredDevice {
  readonly kind: 'registered';
  readonly deviceId: Uuid;
  readonly serialNumber: string;
  readonly profile: DeviceProfile;
  readonly decommissioned: boolean;
  readonly maintenance: boolean;
  /** True once the box was heard of. */
  readonly seen: boolean;
  readonly pin: PinState;
  readonly assignment: Assignment | null;
  /** Whose it was before, so that an unlink asked for twice is quiet the second time. */
  readonly previousOwnerId: Uuid | null;
  readonly links: Links;
  readonly unlocks: UnlocksState;
  readonly reported: ReportedState;
  readonly settings: SettingsState;
  readonly protocol: ProtocolState;
  readonly keys: KeysState;
}

export interface PinState {
  readonly tag: string;
  readonly expiresAt: Instant;
  /** Ended for everyone: by an unlink, or by too many guesses. An admin issues a new one. */
  readonly void: boolean;
  /** Wrong guesses of this PIN, whoever made them. */
  readonly guesses: number;
  /** Wrong guesses of the last 15 minutes, of this PIN or the one before: they lock an account, not a PIN. */
  readonly refusals: readonly { readonly userId: Uuid; readonly at: Instant }[];
}

export interface Assignment {
  readonly assignmentId: Uuid;
  readonly userId: Uuid;
  readonly assignedAt: Instant;
  readonly suspended: boolean;
  /** Links made before the last one are void for good. */
  readonly suspensions: number;
  readonly unlinkRequested: boolean;
}

export interface UnlocksState {
  /** At most one: requested, or dispatched and without an outcome. */
  readonly current: OpenUnlock | null;
  /** Dispatched, and the outcome is not known. Oldest first; the oldest is forgotten beyond `UNKNOWNS_KEPT`. */
  readonly unknown: readonly OpenUnlock[];
  /** Ended lately, oldest first: what a repeat or a late report is recognised by. */
  readonly ended: readonly EndedUnlock[];
  /** The highest command number that this box was ever given. */
  readonly lastSeq: number;
}

/** Their uses stay counted in their links; only a settlement so late would find nothing to settle. */
export const UNKNOWNS_KEPT = 64;
export const ENDED_KEPT = 64;

export interface OpenUnlock {
  readonly unlockId: Uuid;
  readonly cause: UnlockCause;
  readonly assignmentId: Uuid | null;
  readonly issuedAt: Instant;
  readonly expiresAt: Instant;
  readonly phase: 'requested' | 'dispatched' | 'published' | 'acknowledged';
  readonly dispatch: Dispatch | null;
}

/** The claim, and what was known of the box at that moment. */
export interface Dispatch {
  readonly at: Instant;
  readonly level: 0 | 1;
  readonly seq: number | null;
  readonly keyVersion: number | null;
  readonly journalId: string | null;
  readonly reportSeq: number | null;
}

export interface EndedUnlock {
  readonly unlockId: Uuid;
  /** False where it was never dispatched, or is proven unopened. */
  readonly mayHaveOpened: boolean;
}

export interface ReportedState {
  /** `unknown` until the box says. Never set by what was asked of it. */
  readonly lockStatus: LockStatus;
  readonly lockStatusAt: Instant | null;
  readonly online: boolean;
  readonly battery: number | null;
  readonly doorOpen: boolean | null;
  readonly parcelPresent: boolean | null;
  readonly tampered: boolean;
  readonly firmwareVersion: string | null;
  readonly capabilities: readonly string[];
  readonly protocols: readonly number[];
  /** Openings already reported as unexplained: command ids or report numbers, the last 16. */
  readonly unexplained: readonly string[];
  /** The last suspicion of a clone under the present key. */
  readonly cloneSuspectedAt: Instant | null;
}

export interface SettingsState {
  readonly desired: DeviceSettings;
  /** 0 = as delivered: nothing was ever asked of the box. */
  readonly version: number;
  readonly applied: number | null;
}

export interface ProtocolState {
  readonly level: 0 | 1;
  /** An admin accepted that couriers open this box although its firmware is old. */
  readonly level0Deliveries: boolean;
}

export interface KeysState {
  readonly version: number;
  readonly rotatingTo: number | null;
  /** The box was claimed after the last rotation began: whoever had it before may know the key, also one on its way. */
  readonly due: boolean;
}

export const unregistered: DeviceState = { kind: 'unregistered' };

/** What a box does as delivered. */
export const defaultSettings: DeviceSettings = {
  autoLockEnabled: true,
  autoLockDelay: 30,
  silentMode: false,
  ledEnabled: true,
  heartbeatSeconds: 60,
};

export const noUnlocks: UnlocksState = { current: null, unknown: [], ended: [], lastSeq: 0 };

export const nothingReported: ReportedState = {
  lockStatus: 'unknown',
  lockStatusAt: null,
  online: false,
  battery: null,
  doorOpen: null,
  parcelPresent: null,
  tampered: false,
  firmwareVersion: null,
  capabilities: [],
  protocols: [],
  unexplained: [],
  cloneSuspectedAt: null,
};
