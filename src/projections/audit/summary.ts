import type { DomainEvent, DomainEventType } from '../../domain/events.ts';
import type { RefusalCode } from '../../domain/kernel.ts';
import { actionOf, outcomeOf } from './actions.ts';
import { COMMON, wordsOf } from './words.ts';

/** What one sentence needs of an entry. Names are those of now; null where there are none or they were forgotten. */
export interface Told {
  readonly type: string;
  readonly actorKind: string;
  readonly actorId: string;
  readonly actorName: string | null;
  readonly actorEmail: string | null;
  readonly deviceId: string | null;
  readonly serialNumber: string | null;
  readonly linkId: string | null;
  readonly linkName: string | null;
  readonly userId: string | null;
  readonly userName: string | null;
  readonly courierName: string | null;
  readonly unlockId: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

type DataOf<T extends DomainEventType> = Extract<DomainEvent, { type: T }>['data'];
/** As it was stored: of any version, and without what was sealed. So anything may be missing, or be something else. */
type Stored<T extends DomainEventType> = { readonly [K in keyof DataOf<T>]?: unknown };
type Sentences = { readonly [T in DomainEventType]: (data: Stored<T>, entry: Told) => string };

/**
 * Who did what to what, and why, of every event, on one line. The same words in the API, the command line and exports.
 * With nothing known of the data a sentence is still one: its words are also what the log is searched by.
 */
const sentences: Sentences = {
  DeviceRegistered: ({ model }, e) => `${who(e)} registered ${box(e)}${given(' as ', model)}`,
  DevicePinRegenerated: (_, e) => `${who(e)} issued a new PIN for ${box(e)}`,
  DevicePinViewed: (_, e) => `${who(e)} looked at the PIN of ${box(e)}`,
  DevicePinRefused: (_, e) => `${whom(e)} tried to claim ${box(e)} with a wrong PIN and was refused`,
  DevicePinVoided: (_, e) => `the PIN of ${box(e)} ended: too many wrong guesses`,
  MaintenanceStarted: ({ reason }, e) => `${who(e)} took ${box(e)} into maintenance${why(reason)}`,
  MaintenanceEnded: (_, e) => `${who(e)} ended the maintenance of ${box(e)}`,
  DeviceDecommissioned: ({ reason }, e) => `${who(e)} decommissioned ${box(e)}, out of service for good${why(reason)}`,
  DeviceAssigned: (_, e) => `${whom(e)} claimed ${box(e)}: it is assigned to them`,
  DeviceRenamed: (_, e) => `${who(e)} renamed ${box(e)}`,
  DeviceLocationChanged: (_, e) => `${who(e)} changed the location of ${box(e)}`,
  DeviceUnlinkRequested: (_, e) => `${whom(e)} asked support to unlink ${box(e)}`,
  DeviceUnlinked: ({ by }, e) => `${who(e)} unlinked ${box(e)} from ${by === 'owner' ? 'their account' : whom(e)}`,
  OwnerSuspended: (_, e) => `the owner of ${box(e)}, ${whom(e)}, was suspended: its links stopped`,
  OwnerActivated: (_, e) => `the owner of ${box(e)}, ${whom(e)}, was activated again`,
  DeviceSettingsChanged: ({ configVersion }, e) => `${who(e)} changed the settings of ${box(e)}${given(', version ', configVersion)}`,
  DeviceSettingsApplied: ({ configVersion, rejected }, e) =>
    `${box(e)} applied its settings${given(', version ', configVersion)}${Array.isArray(rejected) && rejected.length > 0 ? `, but rejected ${rejected.map(plain).join(', ')}` : ''}`,
  DeviceKeyRotationStarted: ({ keyVersion }, e) => `${who(e)} began to rotate the key of ${box(e)}${given(' to version ', keyVersion)}`,
  DeviceKeysRotated: ({ keyVersion, by }, e) => `${box(e)} has a new key${given(', version ', keyVersion)}${by === 'reprovisioning' ? ', flashed anew' : ''}`,
  DeviceProtocolPinned: (_, e) => `${box(e)} signs its reports from now on: nothing unsigned counts from it any more`,
  DeviceProtocolUnpinned: ({ reason }, e) => `${who(e)} let ${box(e)} report unsigned again${why(reason)}`,
  Level0DeliveriesAccepted: ({ reason }, e) => `${who(e)} accepted deliveries to ${box(e)} although its firmware is old${why(reason)}`,

  LinkCreated: ({ maxUses, expiresAt }, e) => `${who(e)} created ${link(e)} to ${box(e)}${uses(maxUses)}${until(expiresAt)}`,
  LinkUpdated: ({ maxUses, expiresAt }, e) => `${who(e)} changed ${link(e)} to ${box(e)}${uses(maxUses)}${until(expiresAt)}`,
  LinkRevoked: (_, e) => `${who(e)} revoked ${link(e)} to ${box(e)}`,
  LinkDeleted: (_, e) => `${who(e)} deleted ${link(e)} to ${box(e)}`,
  LinkExpired: (_, e) => `${link(e)} to ${box(e)} expired`,

  UnlockRequested: ({ cause, reason }, e) => {
    const kind = (cause as { readonly kind?: unknown } | undefined)?.kind;
    const how = kind === 'link' ? ` by ${link(e)}` : kind === 'admin' ? ' in an emergency' : kind === 'schedule' ? ' by a schedule' : '';
    return `${who(e)} asked to unlock ${box(e)}${how}${why(reason)}`;
  },
  EmergencyUnlockUnexplained: (_, e) => `alert: an administrator asked to open ${box(e)} in an emergency and gave no reason`,
  UnlockDispatched: (_, e) => `the command to unlock ${box(e)} was dispatched`,
  UnlockPublished: (_, e) => `the command to unlock ${box(e)} was published: the broker has it`,
  UnlockAcknowledged: (_, e) => `${box(e)} acknowledged the command to unlock`,
  UnlockConfirmed: ({ evidence }, e) => `${box(e)} opened: it confirmed that its bolt moved${evidence === 'unsigned' ? ', unsigned' : ''}`,
  UnlockFailed: ({ reason, useReturned }, e) => `${box(e)} failed to unlock${why(reason)}${returned(useReturned)}`,
  UnlockOutcomeUnknown: ({ reason }, e) => `it is unknown whether ${box(e)} opened${why(reason)}`,
  UnlockSettled: ({ outcome, by, reason, remark, useReturned }, e) =>
    `settled later by ${by === 'admin' ? who(e) : box(e)}: it ${outcome === 'not_opened' ? 'had not opened' : 'had opened'}${why(remark ?? reason)}${returned(useReturned)}`,
  UnlockCancelled: ({ reason }, e) => `the request to unlock ${box(e)} was cancelled before it left${why(reason)}`,
  UnlockExpired: (_, e) => `the request to unlock ${box(e)} expired before it left`,
  UnexplainedOpening: (_, e) => `alert: unexplained opening: ${box(e)} opened and nobody here had asked for it`,

  LockStateReported: ({ lockStatus, cause }, e) => `${box(e)} reported its lock${given(': ', lockStatus)}${typeof cause === 'string' ? ` (${plain(cause)})` : ''}`,
  DoorStateReported: ({ doorOpen }, e) => `${box(e)} reported its door${typeof doorOpen === 'boolean' ? (doorOpen ? ': open' : ': closed') : ''}`,
  BatteryLevelChanged: ({ level }, e) => `${box(e)} reported its battery${typeof level === 'number' ? `: ${level} %` : ''}`,
  FirmwareReported: ({ version }, e) => `${box(e)} reported its firmware${given(': ', version)}`,
  DeviceWentOnline: (_, e) => `${box(e)} went online`,
  DeviceWentOffline: ({ lastHeardAt }, e) => `${box(e)} went offline${given(', last heard at ', lastHeardAt)}`,
  DeviceTampered: (_, e) => `alert: ${box(e)} reported that somebody tampered with it`,
  DeviceTamperCleared: (_, e) => `${box(e)} reported that nobody tampers with it any more: cleared`,
  DeviceCloneSuspected: (_, e) => `alert: clone suspected: two boxes may use the identity of ${box(e)}`,
  ParcelDetected: (_, e) => `${box(e)} detected a parcel`,
  ParcelRemoved: (_, e) => `${box(e)} reported that the parcel was removed`,

  UserRegistered: (_, e) => `${whom(e)} registered an account`,
  ProfileChanged: (_, e) => `${who(e)} changed the profile of ${whom(e)}`,
  EmailVerified: (_, e) => `the e-mail address of ${whom(e)} was verified`,
  PasswordChanged: ({ by }, e) => `the password of ${whom(e)} was changed${by === 'reset' ? ' by a reset' : by === 'admin' ? ' by an administrator' : ''}`,
  LoginSucceeded: ({ scope }, e) => `${whom(e)} signed in: login succeeded${scope === 'admin' ? ', as an administrator' : ''}`,
  LoginRefused: ({ reason }, e) => `a login as ${whom(e)} was refused${why(reason === 'password' ? 'wrong password' : reason === 'role' ? 'no administrator' : reason)}`,
  SessionEnded: ({ reason }, e) => `a session of ${whom(e)} ended${why(reason)}`,
  RefreshTokenReused: (_, e) => `alert: an old refresh token of ${whom(e)} was reused: refused, and the session ended`,
  UserSuspended: ({ reason }, e) => `${who(e)} suspended ${whom(e)}${why(reason)}`,
  UserActivated: (_, e) => `${who(e)} activated ${whom(e)} again`,
  AdminRoleGranted: ({ role }, e) => `${who(e)} granted ${whom(e)} an administrator role${given(': ', role)}`,
  AdminRoleRevoked: (_, e) => `${who(e)} revoked the administrator role of ${whom(e)}`,
  AuditExportStarted: ({ format, filters }, e) => `${who(e)} began to export the audit log${given(' as ', format)}${narrowed(filters)}`,
  PersonalDataExportStarted: (_, e) => `${who(e)} began to export the personal data of ${whom(e)}`,
  SubjectErased: ({ requestedBy }, e) => `the person ${whom(e)} was erased${requestedBy === 'owner' ? ', as they asked' : requestedBy === 'admin' ? ' by an administrator' : ''}: what was personal can be read by nobody`,

  LogStarted: ({ version }) => `the log was started${given(' by version ', version)}`,
  ProjectionEventSkipped: ({ projection, reason }, e) => `${who(e)} let a read model skip an event${given(': ', projection)}${why(reason)}`,
  ProjectionActionRequested: ({ projection, action, generation }, e) =>
    action === 'cancel' ? `${who(e)} took back what was asked of a read model${given(': ', projection)}` : `${who(e)} asked for a ${typeof action === 'string' ? plain(action) : 'change'} of a read model${given(': ', projection)}${given(', generation ', generation)}`,
  KeysRewrapped: ({ count }, e) => `${who(e)} rewrapped data keys with a new master key${given(': ', count)}`,
  JobRequested: ({ job }, e) => `${who(e)} asked for a run of a job${given(': ', job)}`,
  CommandRefused: ({ command, reason }, e) => `${who(e)} was refused${typeof command === 'string' ? `: ${asPhrase(command)}` : ''}${on(e)}${why(refusals[reason as RefusalCode] ?? reason)}`,
  RefusalsSuppressed: ({ command, reason, count }, e) =>
    `${who(e)} was refused more often than is written out${given(': ', count)}${typeof command === 'string' ? ` × ${asPhrase(command)}` : ''}${why(refusals[reason as RefusalCode] ?? reason)}`,
  AuditHeadSigned: ({ size }, e) => `${who(e)} signed the head of the log${typeof size === 'string' ? ` over ${plain(size)} events` : ''}`,
};

const refusals: Readonly<Record<RefusalCode, string>> = {
  device_not_found: 'there is no such box',
  device_exists: 'this serial number is registered already',
  hardware_id_taken: 'another box has this hardware id',
  device_decommissioned: 'the box is out of service for good',
  device_in_maintenance: 'the box is in maintenance',
  device_assigned: 'the box is assigned to another account',
  device_not_assigned: 'the box has no owner',
  not_the_owner: 'not the owner',
  owner_suspended: 'the owner is suspended',
  pin_invalid: 'wrong PIN',
  pin_locked: 'too many wrong PINs',
  pin_void: 'the PIN was voided',
  pin_expired: 'the PIN has expired',
  lock_not_supported: 'boxes can only be unlocked',
  link_not_found: 'there is no such link',
  link_exists: 'the link exists already',
  link_expired: 'the link has expired',
  link_used: 'the link has been used',
  link_revoked: 'the link was revoked',
  link_void: 'the link is void',
  link_not_yet_valid: 'the link is not valid yet',
  link_outside_hours: 'outside the hours of the link',
  link_expiry_invalid: 'the expiry is not possible',
  link_uses_invalid: 'the number of uses is not possible',
  identity_required: 'the courier did not say who they are',
  level0_no_deliveries: 'the firmware is too old for deliveries',
  device_busy: 'the box is busy',
  device_offline: 'the box is offline',
  unlock_not_found: 'there is no such opening',
  unlock_not_open: 'the opening has ended already',
  settings_invalid: 'the settings are not possible',
  key_rotation_unsupported: 'the firmware cannot take a new key',
  user_not_found: 'there is no such account',
  user_exists: 'the address has an account already',
  profile_changed: 'the profile was changed meanwhile',
  user_suspended: 'the account is suspended',
  user_erased: 'the person was erased',
  credentials_invalid: 'wrong address or password',
  login_locked: 'too many failed logins',
  session_not_found: 'the session has ended',
  role_missing: 'the right for it is missing',
  last_super_admin: 'nobody else could administer',
  conflict: 'somebody else was faster',
};

type AnySentence = (data: Readonly<Record<string, unknown>>, entry: Told) => string;
const known = new Map<string, AnySentence>(Object.entries(sentences as unknown as Readonly<Record<string, AnySentence>>));

/** One line, beginning with a capital unless with a name. */
export function summaryOf(entry: Told): string {
  const sentence = known.get(entry.type) ?? unknownSentence;
  const text = sentence(entry.data, entry).replaceAll(/\s+/g, ' ').trim();
  return BEGINNING.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}

/** What is no name: an address must not get a capital. */
const BEGINNING = /^(?:the|a|it|alert|settled|somebody|administrator|courier|box)\b(?!@)/;

/** Honest about what is not understood: a type of another program or of a later version. */
const unknownSentence: AnySentence = (_, e) => `${who(e)} recorded ${plain(e.type)}${on(e)}: a kind of event that this version does not know`;

const nobody: Told = {
  type: '', actorKind: 'user', actorId: '', actorName: null, actorEmail: null, deviceId: null, serialNumber: null, linkId: null,
  linkName: null, userId: null, userName: null, courierName: null, unlockId: null, data: {},
};

/** Words by which every entry of a type is found: its names, how it went, and what its sentence always says. */
function vocabularyOf(type: string, sentence: AnySentence): readonly string[] {
  const outcome = outcomeOf(type);
  const texts = [...namesOf(type), outcome === 'accepted' ? '' : outcome, sentence({}, { ...nobody, type })];
  return [...new Set(texts.flatMap(wordsOf))].filter((word) => !COMMON.has(word));
}

const namesOf = (type: string) => [actionOf(type), type, type.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')];

const vocabularies: ReadonlyMap<string, readonly string[]> = new Map([...known].map(([type, sentence]) => [type, vocabularyOf(type, sentence)]));

/** Actions of which every entry has a word that begins so. */
export function actionsWith(beginning: string): readonly string[] {
  return [...known.keys()].filter((type) => hasWord(type, beginning)).map(actionOf);
}

export function hasWord(type: string, beginning: string): boolean {
  return (vocabularies.get(type) ?? wordsOfUnknown(type)).some((word) => word.startsWith(beginning));
}

/** What a type that this version does not know is found by; nothing for one that it knows. */
export function wordsOfUnknown(type: string): readonly string[] {
  return known.has(type) ? [] : [...new Set(namesOf(type.slice(0, 200)).flatMap(wordsOf))];
}

/** Actions of one outcome; `accepted` is everything else, types that nobody knows included. */
export function actionsOf(outcome: 'refused' | 'failed'): readonly string[] {
  return [...known.keys()].filter((type) => outcomeOf(type) === outcome).map(actionOf);
}

function who({ actorKind, actorId, actorName, actorEmail, courierName, serialNumber, deviceId }: Told): string {
  const name = actorName ?? actorEmail;
  switch (actorKind) {
    case 'user':
      return name ?? `somebody${short(actorId)}`;
    case 'admin':
      return `administrator ${name ?? short(actorId).trim()}`.trim();
    case 'courier':
      return `courier ${courierName ?? ''}`.trim();
    case 'device':
      return serialNumber !== null && actorId === deviceId ? serialNumber : `box${short(actorId)}`;
    default:
      return actorId === '' ? 'the system' : `the system (${plain(actorId)})`;
  }
}

/** Whom it concerns. */
function whom({ userName, userId }: Told): string {
  return userName ?? `somebody${short(userId)}`;
}

function box({ serialNumber, deviceId }: Told): string {
  return serialNumber ?? `the box${short(deviceId)}`;
}

function link({ linkName, linkId }: Told): string {
  return linkName === null ? `the link${short(linkId)}` : `the link “${linkName}”`;
}

/** On what, where only the columns say. */
function on(e: Told): string {
  if (e.deviceId !== null) return `, on ${box(e)}`;
  if (e.linkId !== null) return `, on ${link(e)}`;
  if (e.unlockId !== null) return `, on the opening${short(e.unlockId)}`;
  return e.userId === null || e.userId === e.actorId ? '' : `, on ${whom(e)}`;
}

function plain(value: unknown): string {
  if (typeof value === 'string') return value.slice(0, 500);
  return typeof value === 'number' || typeof value === 'bigint' ? `${value}` : '…';
}

function given(before: string, value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? before + plain(value) : '';
}

/** Codes read as words: `no_answer`. */
function why(reason: unknown): string {
  if (typeof reason !== 'string' || reason === '') return '';
  return `: ${/^[a-z0-9]+(?:_[a-z0-9]+)+$/.test(reason) ? reason.replaceAll('_', ' ') : plain(reason)}`;
}

function narrowed(filters: unknown): string {
  const names = typeof filters === 'object' && filters !== null ? Object.keys(filters) : [];
  return names.length === 0 ? '' : `, narrowed by ${plain(names.join(', '))}`;
}

function returned(useReturned: unknown): string {
  return useReturned === true ? '; the use was given back' : '';
}

function uses(most: unknown): string {
  return typeof most === 'number' ? ` for ${most} ${most === 1 ? 'use' : 'uses'}` : '';
}

function until(instant: unknown): string {
  return typeof instant === 'string' ? `, until ${plain(instant).slice(0, 16).replace('T', ' ')} UTC` : '';
}

/** `RequestUnlock` → `request unlock`. */
function asPhrase(name: string): string {
  return plain(name).replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2').toLowerCase();
}

/** As much of an id as tells it from others made in the same second. */
function short(id: string | null): string {
  if (id === null || id === '') return '';
  return ` ${/^[0-9a-f]{8}-[0-9a-f]{4}-/.test(id) ? id.slice(0, 13) : plain(id)}`;
}
