import type { DeviceProfile } from '../domain/device/events.ts';
import type { CommandAction } from './protocol/commands.ts';
import { isUuid } from './protocol/fields.ts';
import type { ReportKind } from './protocol/signature.ts';

/** Which family of topics a box speaks on; one per box, chosen at its registration. */
export type Profile = DeviceProfile;

/** What of a box its topics are made of. */
export interface TopicOwner {
  readonly profile: Profile;
  readonly deviceId: string;
  readonly serialNumber: string;
  /** The name that old firmware knows itself by; needed in `smartlock` alone. */
  readonly hardwareId?: string;
}

/** The topics of a family are made of one name alone, which is the key of the box's row. */
export function topicOwner({ profile, deviceId, topicKey }: { readonly profile: Profile; readonly deviceId: string; readonly topicKey: string }): TopicOwner {
  return { profile, deviceId, serialNumber: topicKey, hardwareId: topicKey };
}

export interface UpTopic {
  readonly profile: Profile;
  /** Device id (`loqey`), serial (`loqey_serial`), hardware id (`smartlock`); `transisttag` names the box in its payload. */
  readonly key: string | undefined;
  readonly kind: ReportKind;
}

const LOQEY = 'loqey/devices';
const SMARTLOCK = 'smartlock';
const TRANSISTTAG = '/topic/transisttag';

const serialPattern = /^[A-Z0-9][A-Z0-9-]{3,49}$/;

/** The last level of each up topic, per family. */
type UpNames = Readonly<Partial<Record<ReportKind, string>>>;
const loqeyUp: UpNames = { status: 'status', heartbeat: 'heartbeat', battery: 'battery', responses: 'responses' };
const smartlockUp: UpNames = { status: 'status', heartbeat: 'heartbeat', responses: 'response' };
const transisttagUp: UpNames = { status: 'status' };

const loqeyKinds = kindsByName(loqeyUp);
const smartlockKinds = kindsByName(smartlockUp);

const loqeyCommandTopic: Readonly<Record<CommandAction, string>> = {
  unlock: 'commands/unlock',
  config: 'commands/config',
  time: 'commands/system',
  ack: 'commands/system',
  report: 'commands/system',
  rotate_key: 'commands/system',
};

/** All that the uplink subscribes to. `/topic/transisttag/#` would bring back the server's own commands. */
export const uplinkFilters: readonly string[] = [
  ...Object.values(loqeyUp).map((name) => `${LOQEY}/+/${name}`),
  ...Object.values(smartlockUp).map((name) => `${SMARTLOCK}/+/${name}`),
  `${TRANSISTTAG}/status`,
];

/** All that the downlink may publish to. Never `smartlock/+/ota`: it loads unsigned firmware. */
export const commandFilters: readonly string[] = [
  ...[...new Set(Object.values(loqeyCommandTopic))].map((name) => `${LOQEY}/+/${name}`),
  `${LOQEY}/+/command`,
  `${SMARTLOCK}/+/command`,
  `${TRANSISTTAG}/command`,
];

export function topicPrefix(device: TopicOwner): string {
  switch (device.profile) {
    case 'loqey':
      return `${LOQEY}/${level(device.deviceId)}`;
    case 'loqey_serial':
      return `${LOQEY}/${level(device.serialNumber)}`;
    case 'smartlock':
      return `${SMARTLOCK}/${level(device.hardwareId ?? device.serialNumber)}`;
    case 'transisttag':
      return TRANSISTTAG;
  }
}

/** Exactly what the box may publish to, its will included. */
export function upTopics(device: TopicOwner): readonly string[] {
  const prefix = topicPrefix(device);
  return Object.values(upNames(device.profile)).map((name) => `${prefix}/${name}`);
}

/** Exactly what the box may subscribe to. */
export function downTopics(device: TopicOwner): readonly string[] {
  const prefix = topicPrefix(device);
  return device.profile === 'loqey' ? [...new Set(Object.values(loqeyCommandTopic))].map((name) => `${prefix}/${name}`) : [`${prefix}/command`];
}

/** The one topic that a command to this box goes to. */
export function topicFor(device: TopicOwner, action: CommandAction): string {
  const prefix = topicPrefix(device);
  return device.profile === 'loqey' ? `${prefix}/${loqeyCommandTopic[action]}` : `${prefix}/command`;
}

/** The topic that a box publishes one kind of report to; undefined where its family has none. */
export function reportTopic(device: TopicOwner, kind: ReportKind): string | undefined {
  const name = upNames(device.profile)[kind];
  return name === undefined ? undefined : `${topicPrefix(device)}/${name}`;
}

/**
 * Whose report a topic says it is, or undefined for anything that no box may publish to. The family is matched before any
 * part is taken: `/topic/transisttag/status` begins with an empty level. Whether the box has this profile is the
 * caller's to check.
 */
export function parseUpTopic(topic: string): UpTopic | undefined {
  if (topic === `${TRANSISTTAG}/status`) return { profile: 'transisttag', key: undefined, kind: 'status' };
  const parts = topic.split('/');
  if (topic.startsWith(`${LOQEY}/`) && parts.length === 4) {
    const [, , key = '', name = ''] = parts;
    const kind = loqeyKinds.get(name);
    if (kind === undefined) return undefined;
    if (isUuid(key)) return { profile: 'loqey', key, kind };
    return isSerial(key) ? { profile: 'loqey_serial', key, kind } : undefined;
  }
  if (topic.startsWith(`${SMARTLOCK}/`) && parts.length === 3) {
    const [, key = '', name = ''] = parts;
    const kind = smartlockKinds.get(name);
    return kind !== undefined && isTopicLevel(key) ? { profile: 'smartlock', key, kind } : undefined;
  }
  return undefined;
}

/** A serial number in its normal form. Never the form of a UUID: the two `loqey` families must not be confused. */
function isSerial(value: string): boolean {
  return serialPattern.test(value) && !isUuid(value.toLowerCase());
}

/** True for a name that can stand as one level of a topic and names nothing but itself. */
function isTopicLevel(value: string): boolean {
  // oxlint-disable-next-line no-control-regex -- NUL and its like end a topic for some brokers
  return value.length >= 1 && value.length <= 64 && !/[/+#$\u0000-\u001f\u007f]/.test(value) && value.isWellFormed();
}

function upNames(profile: Profile): UpNames {
  switch (profile) {
    case 'loqey':
    case 'loqey_serial':
      return loqeyUp;
    case 'smartlock':
      return smartlockUp;
    case 'transisttag':
      return transisttagUp;
  }
}

function kindsByName(names: UpNames): ReadonlyMap<string, ReportKind> {
  return new Map(Object.entries(names).map(([kind, name]) => [name, kind as ReportKind]));
}

function level(value: string): string {
  if (!isTopicLevel(value)) throw new Error(`${JSON.stringify(value)} cannot be part of an MQTT topic`);
  return value;
}
