import type { Instant, Sensitive, Uuid } from '../kernel.ts';

/**
 * Everything that is ever written to `device-<id>`: the box, who has it, who may open it, each opening, and what the box
 * reported of itself. This union is the wire form of each type's present schema version (`codec.ts`), member for member. It is
 * for ever: a member may be added, none renamed or given another meaning.
 */
export type DeviceEvent =
  // The box itself
  | E<'DeviceRegistered', {
      deviceId: Uuid;
      /** Upper case. `deviceId` is derived from it. */
      serialNumber: string;
      model: string;
      profile: DeviceProfile;
      /** What an old firmware calls itself in topics or bodies, where that is neither id nor serial (profile smartlock). */
      hardwareId?: string;
      keyVersion: number;
      pin: Sensitive<string>;
      /** Keyed tag of the PIN: claims are compared by it, the PIN itself stays sealed. */
      pinTag: string;
      pinExpiresAt: Instant;
    }>
  | E<'DevicePinRegenerated', { pin: Sensitive<string>; pinTag: string; pinExpiresAt: Instant }>
  | E<'DevicePinViewed', Empty>
  | E<'DevicePinRefused', { userId: Uuid }>
  /** The hundredth wrong guess ends this PIN for everyone, until an admin issues a new one. */
  | E<'DevicePinVoided', { reason: 'too_many_guesses' }>
  // What an administrator says in words of their own is sealed for whoever has the box then, else for the box. Version 1 had it in clear.
  | E<'MaintenanceStarted', { reason?: Sensitive<string> }>
  | E<'MaintenanceEnded', Empty>
  | E<'DeviceDecommissioned', { reason?: Sensitive<string> }>
  // Who has it
  | E<'DeviceAssigned', { assignmentId: Uuid; userId: Uuid; name: Sensitive<string> }>
  | E<'DeviceRenamed', { assignmentId: Uuid; name: Sensitive<string> }>
  | E<'DeviceLocationChanged', { assignmentId: Uuid; location: Sensitive<DeviceLocation> }>
  | E<'DeviceUnlinkRequested', { assignmentId: Uuid; userId: Uuid; reason?: Sensitive<string> }>
  /** Ends the assignment and with it every grant made under it, and the PIN. */
  | E<'DeviceUnlinked', { assignmentId: Uuid; userId: Uuid; by: 'owner' | 'admin'; reason?: Sensitive<string> }>
  | E<'OwnerSuspended', { assignmentId: Uuid; userId: Uuid }>
  | E<'OwnerActivated', { assignmentId: Uuid; userId: Uuid }>
  // Settings and keys
  | E<'DeviceSettingsChanged', { configVersion: number; desired: DeviceSettings }>
  | E<'DeviceSettingsApplied', { configVersion: number; rejected?: readonly string[] }>
  | E<'DeviceKeyRotationStarted', { keyVersion: number }>
  | E<'DeviceKeysRotated', { keyVersion: number; by: 'device' | 'reprovisioning' }>
  /** From here on nothing unsigned counts from this box. */
  | E<'DeviceProtocolPinned', { level: 1 }>
  | E<'DeviceProtocolUnpinned', { reason: Sensitive<string> }>
  | E<'Level0DeliveriesAccepted', { reason: Sensitive<string> }>
  // Access links
  | E<'LinkCreated', {
      linkId: Uuid;
      assignmentId: Uuid;
      /** SHA-256("loqey-link-1|" + token), lower hex. */
      tokenHash: string;
      token: Sensitive<string>;
      name?: Sensitive<string>;
      startsAt?: Instant;
      expiresAt: Instant;
      maxUses: number;
      requireIdentity: boolean;
      window?: AccessWindow;
    }>
  | E<'LinkUpdated', {
      linkId: Uuid;
      name?: Sensitive<string>;
      expiresAt?: Instant;
      maxUses?: number;
      requireIdentity?: boolean;
      /** `always`: it has no hours any more. */
      window?: AccessWindow | 'always';
    }>
  | E<'LinkRevoked', { linkId: Uuid }>
  | E<'LinkDeleted', { linkId: Uuid }>
  /** Recorded at its instant; that it no longer opens follows from the clock alone. */
  | E<'LinkExpired', { linkId: Uuid }>
  // Openings
  | E<'UnlockRequested', {
      unlockId: Uuid;
      cause: UnlockCause;
      assignmentId?: Uuid;
      issuedAt: Instant;
      expiresAt: Instant;
      courier?: Sensitive<CourierDetails>;
      /** Why an admin opened it. Version 1 had it in clear, and `no reason given` where none was. */
      reason?: Sensitive<string>;
    }>
  /** An administrator opened the box and did not say why: the owner and every super_admin are to hear of it. */
  | E<'EmergencyUnlockUnexplained', { unlockId: Uuid; adminId: Uuid; userId?: Uuid }>
  /** The claim: durable before the first byte leaves. From here on the box may open. */
  | E<'UnlockDispatched', {
      unlockId: Uuid;
      level: 0 | 1;
      /** The command's number in the box's journal (level 1). */
      seq?: number;
      keyVersion?: number;
      /** What was known of the box at that moment; an unknown outcome is settled against it. */
      journalId?: string;
      reportSeq?: number;
    }>
  /** The broker has it, since `publishedAt`; absent in what is recorded the moment it happened. */
  | E<'UnlockPublished', { unlockId: Uuid; publishedAt?: Instant }>
  /** The box has it. */
  | E<'UnlockAcknowledged', { unlockId: Uuid }>
  /** The bolt moved, as the box says. */
  | E<'UnlockConfirmed', { unlockId: Uuid; evidence: UnlockEvidence; durationMs?: number }>
  | E<'UnlockFailed', { unlockId: Uuid; reason: string; executed?: boolean; useReturned: boolean }>
  | E<'UnlockOutcomeUnknown', { unlockId: Uuid; reason: UnknownReason }>
  | E<'UnlockSettled', {
      unlockId: Uuid;
      outcome: 'opened' | 'not_opened';
      by: 'device' | 'admin';
      evidence?: UnlockEvidence;
      useReturned: boolean;
      /** By the device: its code. */
      reason?: string;
      /** By an admin: what they say of it. Version 1 had it in clear, as `reason`. */
      remark?: Sensitive<string>;
    }>
  | E<'UnlockCancelled', { unlockId: Uuid; reason: CancelReason }>
  | E<'UnlockExpired', { unlockId: Uuid }>
  | E<'UnexplainedOpening', { reportedCause: string; commandId?: Uuid; reportSeq?: number; evidence: ReportEvidence }>
  // What the box reported of itself, where it changed a fact
  | E<'LockStateReported', { lockStatus: LockStatus; cause?: string; commandId?: Uuid; evidence: ReportEvidence; reportSeq?: number }>
  | E<'DoorStateReported', { doorOpen: boolean; evidence: ReportEvidence; reportSeq?: number }>
  | E<'BatteryLevelChanged', { level: number; evidence: ReportEvidence }>
  | E<'FirmwareReported', { version: string; capabilities?: readonly string[]; protocols?: readonly number[]; evidence: ReportEvidence }>
  | E<'DeviceWentOnline', { evidence: ReportEvidence }>
  | E<'DeviceWentOffline', { lastHeardAt: Instant }>
  | E<'DeviceTampered', { evidence: ReportEvidence; reportSeq?: number }>
  /** The tamper contact rests again: the next tampering is a new fact. */
  | E<'DeviceTamperCleared', { evidence: ReportEvidence; reportSeq?: number }>
  | E<'DeviceCloneSuspected', { connectIds: readonly string[] }>
  | E<'ParcelDetected', { evidence: ReportEvidence; reportSeq?: number }>
  | E<'ParcelRemoved', { evidence: ReportEvidence; reportSeq?: number }>;

interface E<Type extends string, Data> {
  readonly type: Type;
  readonly data: Readonly<Data>;
}
type Empty = Record<never, never>;

export type DeviceEventType = DeviceEvent['type'];
export type DeviceEventOf<T extends DeviceEventType> = Extract<DeviceEvent, { type: T }>;

export type DeviceProfile = 'loqey' | 'loqey_serial' | 'smartlock' | 'transisttag';
export type LockStatus = 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
export type ReportEvidence = 'signed' | 'unsigned';
export type UnlockEvidence = 'sensor' | 'actuator' | 'unsigned';
export type UnknownReason = 'no_answer' | 'interrupted' | 'unproven_refusal';
export type CancelReason =
  | 'link_revoked'
  | 'link_expired'
  | 'assignment_ended'
  | 'owner_suspended'
  | 'device_in_maintenance'
  | 'device_decommissioned'
  | 'device_unreachable'
  | 'undeliverable';

export interface UnlockCause {
  readonly kind: 'link' | 'owner' | 'admin' | 'schedule';
  /** Link id, user id of the owner, user id of the admin, schedule id. */
  readonly id: Uuid;
}

export interface CourierDetails {
  readonly name?: string;
  readonly personId?: string;
  readonly company?: string;
  readonly phone?: string;
  readonly notes?: string;
}

export interface DeviceLocation {
  readonly latitude?: number;
  readonly longitude?: number;
  readonly address?: string;
}

export interface DeviceSettings {
  readonly autoLockEnabled: boolean;
  /** Seconds, 5–600. */
  readonly autoLockDelay: number;
  readonly silentMode: boolean;
  readonly ledEnabled: boolean;
  /** 30–120. */
  readonly heartbeatSeconds: number;
}

/** Recurring hours in which a link opens, in a named time zone. `days`: 1 = Monday … 7 = Sunday; times `HH:MM`, end exclusive. */
export interface AccessWindow {
  readonly timeZone: string;
  readonly days: readonly number[];
  readonly from: string;
  readonly to: string;
}
