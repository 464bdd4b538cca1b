import type { Instant, Uuid } from '../kernel.ts';
import type {
  AccessWindow,
  CourierDetails,
  DeviceLocation,
  DeviceProfile,
  DeviceSettings,
  LockStatus,
  ReportEvidence,
  UnlockCause,
  UnlockEvidence,
} from './events.ts';

/**
 * What may be asked of a box. Ids, keyed tags and facts of other streams enter as data: a decider looks nothing up.
 * Ownership is decided here from the box's own stream, never from a list in a token.
 */
export type DeviceCommand =
  | C<'RegisterDevice', {
      serialNumber: string;
      model: string;
      profile: DeviceProfile;
      hardwareId?: string;
      keyVersion: number;
      pin: string;
      pinTag: string;
      pinExpiresAt: Instant;
    }>
  | C<'RegeneratePin', { pin: string; pinTag: string; pinExpiresAt: Instant }>
  | C<'ViewPin', object>
  | C<'StartMaintenance', { reason?: string }>
  | C<'EndMaintenance', object>
  | C<'DecommissionDevice', { reason?: string }>
  | C<'AssignDevice', { assignmentId: Uuid; userId: Uuid; pinTag: string; name: string }>
  | C<'RenameDevice', { userId: Uuid; name: string }>
  | C<'ChangeDeviceLocation', { userId: Uuid; location: DeviceLocation }>
  | C<'RequestUnlink', { userId: Uuid; reason?: string }>
  /** `userId` absent: an admin's. */
  | C<'UnlinkDevice', { userId?: Uuid; reason?: string; /** Default: the owner, where `userId` is given. */ by?: 'owner' | 'admin' }>
  | C<'SuspendOwner', { userId: Uuid }>
  | C<'ActivateOwner', { userId: Uuid }>
  | C<'ChangeSettings', { userId: Uuid; changes: Partial<DeviceSettings> }>
  /** The box reported a higher version than we ever asked for (a restored server): ours jumps beyond it. */
  | C<'ReportSettingsVersion', { configVersion: number; rejected?: readonly string[] }>
  /** `ifDue`: only where the box was claimed since the last one began. */
  | C<'StartKeyRotation', { ifDue?: true }>
  | C<'CompleteKeyRotation', { keyVersion: number; by: 'device' | 'reprovisioning' }>
  | C<'PinProtocol', object>
  | C<'UnpinProtocol', { reason: string }>
  | C<'AcceptLevel0Deliveries', { reason: string }>
  | C<'CreateLink', {
      linkId: Uuid;
      userId: Uuid;
      token: string;
      tokenHash: string;
      name?: string;
      startsAt?: Instant;
      expiresAt: Instant;
      /** The furthest `expiresAt` that is allowed at this moment. */
      latestExpiry: Instant;
      maxUses: number;
      requireIdentity: boolean;
      window?: AccessWindow;
    }>
  | C<'UpdateLink', {
      linkId: Uuid;
      userId: Uuid;
      name?: string;
      expiresAt?: Instant;
      latestExpiry: Instant;
      maxUses?: number;
      requireIdentity?: boolean;
      window?: AccessWindow | 'always';
    }>
  | C<'RevokeLink', { linkId: Uuid; userId: Uuid }>
  | C<'DeleteLink', { linkId: Uuid; userId: Uuid }>
  | C<'ExpireLink', { linkId: Uuid }>
  | C<'RequestUnlock', {
      unlockId: Uuid;
      cause: UnlockCause;
      courier?: CourierDetails;
      reason?: string;
      /** Milliseconds that this request may still be carried out. */
      ttlMs: number;
      /** True where this server lets couriers open a box of old firmware (development). */
      level0Deliveries: boolean;
      /** `HH:MM` and 1–7 in the link's time zone, where the link has a window. The domain knows no time zones. */
      localTime?: { readonly weekday: number; readonly time: string; readonly timeZone?: string };
    }>
  /** The dispatcher's claim. Refused or turned into an end of the unlock when it may no longer open. */
  | C<'DispatchUnlock', {
      unlockId: Uuid;
      level: 0 | 1;
      keyVersion?: number;
      journalId?: string;
      reportSeq?: number;
      /** Highest command number the box ever reported; 0 when it reported none. */
      reportedSeq?: number;
    }>
  | C<'CancelUnlock', { unlockId: Uuid; reason: 'device_unreachable' | 'undeliverable' }>
  | C<'RecordUnlockPublished', { unlockId: Uuid; publishedAt?: Instant }>
  | C<'RecordUnlockAnswer', UnlockAnswer>
  /** No answer until its deadline: ends REQUESTED as expired, DISPATCHED as unknown. */
  | C<'ExpireUnlock', { unlockId: Uuid }>
  /** A later signed status, held against every unlock whose outcome is unknown. */
  | C<'SettleUnlocks', { status: JournalStatus }>
  | C<'CloseUnknownUnlock', { unlockId: Uuid; outcome: 'opened' | 'not_opened'; remark: string }>
  | C<'RecordReport', DeviceReport>
  | C<'RecordOffline', { lastHeardAt: Instant }>
  | C<'RecordCloneSuspicion', { connectIds: readonly string[] }>;

interface C<Type extends string, Data> {
  readonly type: Type;
  readonly data: Readonly<Data & { deviceId: Uuid }>;
}

export type DeviceCommandType = DeviceCommand['type'];
export type DeviceCommandOf<T extends DeviceCommandType> = Extract<DeviceCommand, { type: T }>;

/** A `responses` report that names an unlock, verified before it came here. */
export interface UnlockAnswer {
  readonly unlockId: Uuid;
  readonly phase: 'accepted' | 'final';
  /** As in the device protocol, section 6. */
  readonly result: 'accepted' | 'opened' | 'failed' | 'interrupted' | 'refused';
  readonly reason?: string;
  readonly executed?: boolean;
  readonly evidence?: UnlockEvidence;
  readonly newStatus?: LockStatus;
  readonly journalId?: string;
  readonly seq?: number;
  readonly durationMs?: number;
  readonly signed: boolean;
  /** When the broker had the command, where that is not recorded yet: one append then tells both. */
  readonly publishedAt?: Instant;
}

/** What a signed status says of the box's journal (device protocol, section 8). */
export interface JournalStatus {
  readonly reportSeq: number;
  readonly journalId: string;
  readonly lastSeq: number;
  readonly lastExecuted: readonly { readonly commandId: Uuid; readonly seq: number; readonly result: string }[];
  readonly timeOk: boolean;
  readonly timestamp?: Instant;
}

/** The facts of one report. Absent = not said. Only what differs from the folded state becomes an event. */
export interface DeviceReport {
  readonly evidence: ReportEvidence;
  readonly reportSeq?: number;
  /** Told after newer reports: it changes no fact of now, but an opening that nobody asked for is still one. */
  readonly past?: true;
  readonly lockStatus?: LockStatus;
  readonly cause?: string;
  readonly commandId?: Uuid;
  readonly doorOpen?: boolean;
  readonly parcelPresent?: boolean;
  readonly tamper?: boolean;
  readonly battery?: number;
  readonly firmwareVersion?: string;
  readonly capabilities?: readonly string[];
  readonly protocols?: readonly number[];
  readonly online?: boolean;
}

/** What `in_flight` tells whoever revoked too late to stop an opening under way. */
export interface InFlightUnlock {
  readonly unlockId: Uuid;
  readonly expiresAt: Instant;
}

