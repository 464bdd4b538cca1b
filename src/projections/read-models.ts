import type { AdminRole, UserProfile } from '../domain/user/events.ts';
import type { AccessWindow, CourierDetails, DeviceProfile, DeviceSettings, LockStatus, UnlockCause } from '../domain/device/events.ts';
import type { Instant, Sealed, Uuid } from '../domain/kernel.ts';

/**
 * The questions that the read side answers, and the rows it answers with. Personal data comes from the one read model
 * `people` by a join at the time of the query; `null` means that there is none or that it was erased.
 */
export interface ReadModels {
  readonly devices: DeviceQueries;
  readonly links: LinkQueries;
  readonly deliveries: DeliveryQueries;
  readonly unlocks: UnlockQueries;
  readonly users: UserQueries;
  readonly people: PeopleQueries;
  readonly audit: AuditQueries;
  readonly activity: ActivityQueries;
}

export interface Page {
  readonly limit: number;
  readonly offset: number;
}
/** A row's place in a list that is in the order of time. */
export interface PlaceInTime {
  readonly at: Instant;
  /** Of rows of the same instant. */
  readonly id: Uuid;
}

export interface Paged<Row> {
  readonly rows: readonly Row[];
  readonly total: number;
}

export type DeviceLifecycle = 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';

/** One box: what it is, whose, and what it last said. */
export interface DeviceRow {
  readonly deviceId: Uuid;
  readonly serialNumber: string;
  readonly model: string;
  readonly profile: DeviceProfile;
  readonly lifecycle: DeviceLifecycle;
  readonly ownerId: Uuid | null;
  readonly ownerSuspended: boolean;
  readonly assignmentId: Uuid | null;
  readonly assignedAt: Instant | null;
  readonly name: string | null;
  readonly address: string | null;
  readonly latitude: number | null;
  readonly longitude: number | null;
  readonly registeredAt: Instant;
  readonly pin: Sealed | null;
  readonly pinExpiresAt: Instant | null;
  readonly protocolLevel: 0 | 1;
  /** An administrator lets couriers open it although it is old firmware. */
  readonly deliveriesAccepted: boolean;
  readonly keyVersion: number;
  /** The key version that it is being given. */
  readonly rotatingTo: number | null;
  /** Since when it has the present key. */
  readonly keysRotatedAt: Instant | null;
  readonly lockStatus: LockStatus;
  readonly lockStatusAt: Instant | null;
  readonly doorOpen: boolean | null;
  /** Null: its sensor has not said, or there is none. */
  readonly parcelPresent: boolean | null;
  readonly batteryLevel: number | null;
  readonly firmwareVersion: string | null;
  /** From the events of going on- and offline; the exact age of the last report is in `lastHeardAt`. */
  readonly online: boolean;
  /** Joined from `work.device_live`: the last report of any kind. */
  readonly lastHeardAt: Instant | null;
  /** dBm, as it was last reported. */
  readonly signalStrength: number | null;
  /** Since the box started, when it said so last. */
  readonly uptimeSeconds: number | null;
  readonly lastUnlockAt: Instant | null;
  /** What the owner wants, and since when. */
  readonly settings: DeviceSettings;
  readonly configVersion: number;
  readonly settingsChangedAt: Instant | null;
  /** What the box runs on, as far as it has said so; of the last version that it took over, what it refused, by its own names. */
  readonly reportedSettings: DeviceSettings;
  readonly refusedSettings: readonly string[];
  readonly appliedConfigVersion: number | null;
  readonly settingsAppliedAt: Instant | null;
  readonly alerts: DeviceAlerts;
  /** The owner asked support to take the box off the account. */
  readonly unlinkRequestedAt: Instant | null;
  readonly unlinkReason: string | null;
}

/** What somebody should look at, and since when. */
export interface DeviceAlerts {
  /** The last opening that nobody asked for, under the present owner. */
  readonly unexplainedOpeningAt: Instant | null;
  /** Two boxes seem to use its keys; over with a new key. */
  readonly cloneSuspectedAt: Instant | null;
  /** It is being tampered with. */
  readonly tamperedAt: Instant | null;
}

export interface DeviceFilter {
  readonly lifecycle?: DeviceLifecycle;
  readonly assigned?: boolean;
  /** `true`: online and heard of since. */
  readonly online?: { readonly is: boolean; readonly heardSince: Instant };
  /** Below so many percent; boxes that have said nothing of their battery are left out. */
  readonly batteryBelow?: number;
  readonly model?: string;
  readonly firmware?: string;
  readonly unlinkRequested?: boolean;
  /** Part of serial number, id, name, or of the owner's e-mail address or name. */
  readonly search?: string;
  /** Only what comes after it in the list. */
  readonly after?: PlaceInTime;
}

export interface DeviceQueries {
  byId(deviceId: Uuid): Promise<DeviceRow | undefined>;
  bySerial(serialNumber: string): Promise<DeviceRow | undefined>;
  ofOwner(userId: Uuid): Promise<readonly DeviceRow[]>;
  /** Newest first. `atLeast`: so many are called so that the total was not counted to its end. */
  list(filter: DeviceFilter, page: Page): Promise<Paged<DeviceRow & { readonly ownerEmail: string | null }> & { readonly atLeast: boolean }>;
  counts(): Promise<{ readonly total: number; readonly active: number }>;
}

export type LinkStatus = 'active' | 'expired' | 'used' | 'revoked';

export interface LinkRow {
  readonly linkId: Uuid;
  readonly deviceId: Uuid;
  readonly ownerId: Uuid;
  readonly assignmentId: Uuid;
  readonly tokenHash: string;
  /** Opened with the owner's key when the owner's own page needs it; a read model holds no token. */
  readonly token: Sealed | null;
  readonly name: string | null;
  /** As recorded; `status` below is computed against the clock at the time of the query. */
  readonly status: LinkStatus;
  readonly isActive: boolean;
  readonly createdAt: Instant;
  readonly startsAt: Instant | null;
  readonly expiresAt: Instant;
  readonly maxUses: number;
  /** Uses that are not proven unopened, those in flight included. */
  readonly currentUses: number;
  readonly usedAt: Instant | null;
  readonly endedAt: Instant | null;
  readonly deleted: boolean;
  readonly requireIdentity: boolean;
  readonly window: AccessWindow | null;
}

export interface LinkFilter {
  readonly deviceId?: Uuid;
  readonly active?: boolean;
  readonly status?: LinkStatus;
  /** Part of the name. */
  readonly search?: string;
  /** Only what comes after it in the list. */
  readonly after?: PlaceInTime;
}

export interface LinkQueries {
  byId(linkId: Uuid): Promise<LinkRow | undefined>;
  byTokenHash(tokenHash: string): Promise<LinkRow | undefined>;
  /** Newest first, without what was deleted. */
  ofOwner(userId: Uuid, filter: LinkFilter, page: Page): Promise<Paged<LinkRow>>;
}

export type UnlockState =
  | 'requested'
  | 'dispatched'
  | 'published'
  | 'acknowledged'
  | 'opened'
  | 'failed'
  | 'unknown'
  | 'cancelled'
  | 'expired';

/** One request to open, from tap to bolt. */
export interface UnlockRow {
  readonly unlockId: Uuid;
  readonly deviceId: Uuid;
  readonly cause: UnlockCause;
  readonly state: UnlockState;
  /** True when the use was never taken for good: proven unopened. */
  readonly useReturned: boolean;
  readonly reason: string | null;
  readonly requestedAt: Instant;
  readonly expiresAt: Instant;
  readonly dispatchedAt: Instant | null;
  readonly publishedAt: Instant | null;
  readonly acknowledgedAt: Instant | null;
  readonly openedAt: Instant | null;
  readonly endedAt: Instant | null;
  readonly correlationId: Uuid;
}

export interface UnlockQueries {
  byId(unlockId: Uuid): Promise<UnlockRow | undefined>;
  lastOfLink(linkId: Uuid): Promise<UnlockRow | undefined>;
}

/** A courier's unlock, seen as a delivery. `deliveryId` is the unlock id. */
export interface DeliveryRow extends UnlockRow {
  readonly linkId: Uuid;
  readonly linkName: string | null;
  readonly ownerId: Uuid;
  readonly courier: CourierDetails | null;
}

export interface DeliveryFilter {
  readonly deviceId?: Uuid;
  readonly linkId?: Uuid;
  readonly states?: readonly UnlockState[];
  /** When the courier asked. */
  readonly from?: Instant;
  /** Not included. */
  readonly to?: Instant;
  /** Part of the courier's name, company or number, or of the link's name. */
  readonly search?: string;
  /** Only what comes after it in the list. */
  readonly after?: PlaceInTime;
}

export interface DeliveryQueries {
  byId(deliveryId: Uuid): Promise<DeliveryRow | undefined>;
  /** Newest first. */
  ofOwner(userId: Uuid, filter: DeliveryFilter, page: Page): Promise<Paged<DeliveryRow>>;
  /** Completed ones since that instant. */
  countSince(since: Instant): Promise<number>;
  /** Days are those of the time zone, both ends included, `YYYY-MM-DD`. */
  statistics(from: string, to: string, timeZone: string): Promise<DeliveryStatistics>;
}

export interface DeliveryCount {
  /** Asked for by couriers, whatever came of it. */
  readonly attempted: number;
  /** The bolt moved. */
  readonly completed: number;
}

/** Days and hours without any are left out; in order. */
export interface DeliveryStatistics {
  readonly days: readonly (DeliveryCount & { readonly date: string })[];
  /** 0–23 by the clocks of the time zone. */
  readonly hours: readonly (DeliveryCount & { readonly hour: number })[];
}

export interface UserRow {
  readonly userId: Uuid;
  /** Null once erased. */
  readonly profile: UserProfile | null;
  /** When the profile became what it is. */
  readonly profileAt: Instant | null;
  readonly registeredAt: Instant;
  readonly emailVerified: boolean;
  readonly suspended: boolean;
  readonly erased: boolean;
  readonly adminRole: AdminRole | null;
  readonly permissions: readonly string[];
  readonly lastLoginAt: Instant | null;
  /** Grows with each suspension, role change, password change: a token made before it is no longer good. */
  readonly accessVersion: number;
}

export interface UserQueries {
  byId(userId: Uuid): Promise<UserRow | undefined>;
  /** `search`: part of the e-mail address or name. */
  list(filter: { active?: boolean; search?: string; admins?: boolean }, page: Page): Promise<Paged<UserRow & { readonly deviceCount: number }>>;
  count(): Promise<number>;
  /** Whether anyone has an admin role: until then the first start makes one. */
  hasAdmin(): Promise<boolean>;
}

/** Words of one person about one thing: a profile, a box, a link, or from where somebody acted. */
export interface PersonalRow {
  /** What they describe: user, assignment, link, unlock or event id. */
  readonly ref: Uuid;
  readonly kind: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly since: Instant;
}

export interface PeopleQueries {
  /** Everything that can be read of what was sealed for one subject, by `ref`. */
  ofSubject(subject: string, after: Uuid | undefined, limit: number): Promise<readonly PersonalRow[]>;
  /** Why an administrator asked for this opening, as long as it can be read. */
  reason(unlockId: Uuid): Promise<string | undefined>;
}

/** Every event as one line: who, what, on what, when, from where, caused by what. */
export interface AuditRow {
  readonly position: bigint;
  readonly eventId: Uuid;
  readonly type: string;
  /** Who did what to what, and why, in one sentence, with the names of now. */
  readonly summary: string;
  /** S0-style action name, as `device_unlock`, `link_created`. */
  readonly action: string;
  /** `accepted` for facts, `refused`, `failed`. */
  readonly outcome: 'accepted' | 'refused' | 'failed';
  readonly actorKind: string;
  readonly actorId: string;
  /** Of a person with an account; null once erased. */
  readonly actorEmail: string | null;
  readonly actorName: string | null;
  /** From where a person acted; null for boxes and the system, and once forgotten. */
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly source: string;
  readonly deviceId: Uuid | null;
  readonly serialNumber: string | null;
  readonly linkId: Uuid | null;
  readonly linkName: string | null;
  /** Whom it concerns. */
  readonly userId: Uuid | null;
  readonly userName: string | null;
  readonly unlockId: Uuid | null;
  /** Of a delivery: who came, as they said. */
  readonly courierName: string | null;
  readonly occurredAt: Instant;
  readonly recordedAt: Instant;
  readonly commandId: Uuid;
  readonly correlationId: Uuid;
  readonly causationId: Uuid;
  readonly stream: string;
  readonly revision: bigint;
  /** The event's data with sealed values left out. */
  readonly data: Readonly<Record<string, unknown>>;
}

export interface AuditFilter {
  /** Words, names, serial numbers, addresses, ids or beginnings of them: all of these. */
  readonly q?: string;
  readonly action?: string;
  readonly types?: readonly string[];
  readonly actorId?: string;
  readonly actorKind?: string;
  readonly source?: string;
  readonly ip?: string;
  readonly deviceId?: Uuid;
  readonly userId?: Uuid;
  readonly linkId?: Uuid;
  readonly unlockId?: Uuid;
  readonly correlationId?: Uuid;
  readonly outcome?: AuditRow['outcome'];
  readonly from?: Instant;
  readonly to?: Instant;
  readonly before?: bigint;
  readonly after?: bigint;
  /** Included. */
  readonly until?: bigint;
  /** Of what has no index of its words, for `q`: only what was called so before this, exclusive. */
  readonly namedBefore?: Instant;
}

/** How much of what has a name was looked at for `q`. */
export interface AuditSearched {
  /** True: more than was looked for is called so, or more is called anything than was looked through. What happened to the newest of it was found. */
  readonly partial: boolean;
  /** Links, couriers and what administrators said were looked through down to this, included; `namedBefore` goes on from it. Undefined: all of them. */
  readonly namedSince: Instant | undefined;
}

export interface AuditQueries {
  /**
   * Newest first unless `after` is given. `atLeast`: the total was not counted to its end.
   */
  list(filter: AuditFilter, page: Page): Promise<Paged<AuditRow> & AuditSearched & { readonly atLeast: boolean }>;
  /** Everything up to a position, oldest first, piece by piece: for exports. */
  pages(filter: AuditFilter, until: bigint): Promise<AuditSearched & { readonly pieces: AsyncIterable<readonly AuditRow[]> }>;
  /** What came after a position, in order: the first `limit` entries are looked at, and `through` says how far that went. */
  news(filter: AuditFilter, after: bigint, until: bigint, limit: number): Promise<{ readonly rows: readonly AuditRow[]; readonly through: bigint }>;
  /** How far the audit log is; -1 before its first entry. */
  head(): Promise<bigint>;
  byEvent(eventId: Uuid): Promise<AuditRow | undefined>;
  /** Every event of one cause chain, oldest first. */
  chain(correlationId: Uuid): Promise<readonly AuditRow[]>;
}

/** What an owner sees of a box: sentences come from the type and its data. */
export interface ActivityRow {
  readonly position: bigint;
  readonly deviceId: Uuid;
  readonly activityType: 'device_control' | 'access_link' | 'user_action' | 'system_event';
  readonly action: string;
  readonly source: string;
  readonly success: boolean;
  readonly description: string;
  readonly userId: Uuid | null;
  readonly occurredAt: Instant;
}

export interface ActivityFilter {
  readonly deviceId?: Uuid;
  readonly type?: ActivityRow['activityType'];
  readonly action?: string;
  readonly source?: string;
  readonly success?: boolean;
  readonly from?: Instant;
  /** Not included. */
  readonly to?: Instant;
  /** Part of the sentence, or of the action. */
  readonly search?: string;
  readonly before?: bigint;
}

export interface ActivityQueries {
  /** Of every box while it was this owner's, newest first. */
  ofOwner(userId: Uuid, filter: ActivityFilter, page: Page): Promise<Paged<ActivityRow>>;
  ofDevice(deviceId: Uuid, since: Instant | undefined, page: Page): Promise<Paged<ActivityRow>>;
}

/** A change that others must hear of, written in the projection's own transaction (design: live changes). */
export interface LiveChange {
  readonly position: bigint;
  readonly eventId: Uuid;
  /** `device:<id>`, `unlock:<id>`, `link:<id>`, `user:<id>`, `admin`. */
  readonly topics: readonly string[];
  readonly type: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** What an API process hears of the live group, from this process or another. */
export interface LiveFeed {
  /** Resolves true once the named read models have passed `position`; false when `timeoutMs` went by first. */
  reached(position: bigint, timeoutMs: number): Promise<boolean>;
  /** Resolves true once they have passed all that the log has now, whoever wrote it; false when `timeoutMs` went by first. */
  current(timeoutMs: number): Promise<boolean>;
  /** Calls back for every change of the topic until the returned function is called. */
  on(topic: string, listener: (change: LiveChange) => void): () => void;
  /** Whether the log reaches to `position`: it does not where it was put back to an older backup. */
  has(position: bigint): Promise<boolean>;
  /**
   * Changes after `position` that are still kept (24 h), for a socket that resumes; undefined when that is too long ago, or
   * beyond the end of the log.
   */
  since(topic: string, position: bigint): Promise<readonly LiveChange[] | undefined>;
}
