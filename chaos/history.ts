import type { RecordedEvent } from '../src/platform/event-store/port.ts';

/**
 * What the log says, told by forty lines that share nothing with the domain: who had a box and what was granted at each
 * moment, and what became of each opening. `wrong` is what should never have been written.
 */
export interface History {
  readonly unlocks: ReadonlyMap<string, Unlock>;
  readonly links: ReadonlyMap<string, LinkHistory>;
  readonly wrong: readonly string[];
}

export interface Unlock {
  readonly id: string;
  readonly deviceId: string;
  readonly cause: { readonly kind: string; readonly id: string };
  readonly expiresAt: number;
  readonly requested: RecordedEvent;
  dispatched: RecordedEvent | undefined;
  /** The last thing that was said of how it ended; `UnlockOutcomeUnknown` may be followed by another. */
  end: RecordedEvent | undefined;
  /** The use of its link came back. */
  returned: boolean;
  opened: boolean;
}

export interface LinkHistory {
  readonly id: string;
  readonly deviceId: string;
  readonly assignmentId: string;
  maxUses: number;
  expiresAt: number;
  ended: boolean;
  /** With the right of who granted it; nobody is told of each of its links. */
  void: boolean;
  uses: number;
}

interface Device {
  assignment: { readonly id: string; readonly userId: string } | undefined;
  suspended: boolean;
}

const finalEnds = ['UnlockConfirmed', 'UnlockFailed', 'UnlockCancelled', 'UnlockExpired', 'UnlockSettled'];

export function historyOf(log: readonly RecordedEvent[]): History {
  const unlocks = new Map<string, Unlock>();
  const links = new Map<string, LinkHistory>();
  const devices = new Map<string, Device>();
  const wrong: string[] = [];

  for (const event of log) {
    if (!event.stream.startsWith('device-')) continue;
    const deviceId = event.stream.slice('device-'.length);
    const device = devices.get(deviceId) ?? { assignment: undefined, suspended: false };
    devices.set(deviceId, device);
    const text = (name: string) => event.data[name] as string;
    const link = links.get(text('linkId'));
    const unlock = unlocks.get(text('unlockId'));
    switch (event.type) {
      case 'DeviceAssigned':
        device.assignment = { id: text('assignmentId'), userId: text('userId') };
        device.suspended = false;
        break;
      case 'DeviceUnlinked':
        for (const each of links.values()) if (each.assignmentId === device.assignment?.id) each.void = true;
        device.assignment = undefined;
        break;
      case 'OwnerSuspended':
        device.suspended = true;
        // What a suspension ends stays ended.
        for (const each of links.values()) if (each.assignmentId === device.assignment?.id) each.ended = each.void = true;
        break;
      case 'OwnerActivated':
        device.suspended = false;
        break;
      case 'LinkCreated':
        if (links.has(text('linkId'))) wrong.push(`${at(event)}: the link ${text('linkId')} is made a second time`);
        if (device.assignment === undefined || device.suspended) wrong.push(`${at(event)}: a link to a box that nobody may grant`);
        links.set(text('linkId'), { id: text('linkId'), deviceId, assignmentId: text('assignmentId'), maxUses: event.data['maxUses'] as number, expiresAt: Date.parse(text('expiresAt')), ended: false, void: false, uses: 0 });
        break;
      case 'LinkUpdated':
        if (link !== undefined) Object.assign(link, { maxUses: event.data['maxUses'] ?? link.maxUses, expiresAt: event.data['expiresAt'] === undefined ? link.expiresAt : Date.parse(text('expiresAt')) });
        break;
      case 'LinkRevoked':
      case 'LinkDeleted':
      case 'LinkExpired':
        if (link !== undefined) link.ended = true;
        break;
      case 'UnlockRequested': {
        const cause = event.data['cause'] as Unlock['cause'];
        if (unlock !== undefined) wrong.push(`${at(event)}: ${unlock.id} is requested a second time`);
        unlocks.set(text('unlockId'), { id: text('unlockId'), deviceId, cause, expiresAt: Date.parse(text('expiresAt')), requested: event, dispatched: undefined, end: undefined, returned: false, opened: false });
        const granted = links.get(cause.id);
        if (granted !== undefined) {
          granted.uses++;
          if (granted.uses > granted.maxUses) wrong.push(`${at(event)}: use ${granted.uses} of ${granted.maxUses} of the link ${granted.id}`);
        }
        break;
      }
      case 'UnlockDispatched':
        if (unlock === undefined) {
          wrong.push(`${at(event)}: a dispatch of what nobody requested`);
          break;
        }
        if (unlock.dispatched !== undefined) wrong.push(`${at(event)}: ${unlock.id} is dispatched a second time`);
        if (unlock.end !== undefined) wrong.push(`${at(event)}: ${unlock.id} is dispatched after ${unlock.end.type}`);
        unlock.dispatched = event;
        wrong.push(...whyNot(unlock, device, links).map((why) => `${at(event)}: ${unlock.id} is dispatched ${why}`));
        if (Date.parse(event.metadata.occurredAt) >= unlock.expiresAt) wrong.push(`${at(event)}: ${unlock.id} is dispatched after its end`);
        break;
      default:
        if (unlock === undefined || !(finalEnds.includes(event.type) || event.type === 'UnlockOutcomeUnknown')) break;
        if (unlock.end !== undefined && !(unlock.end.type === 'UnlockOutcomeUnknown' && event.type === 'UnlockSettled')) wrong.push(`${at(event)}: ${unlock.id} ends after it had ended by ${unlock.end.type}`);
        if (unlock.dispatched === undefined && !['UnlockCancelled', 'UnlockExpired'].includes(event.type)) wrong.push(`${at(event)}: ${unlock.id} ends so without having been dispatched`);
        if (unlock.dispatched !== undefined && event.type === 'UnlockExpired') wrong.push(`${at(event)}: ${unlock.id} was dispatched`);
        unlock.end = event;
        unlock.opened = event.type === 'UnlockConfirmed' || event.data['outcome'] === 'opened';
        unlock.returned = ['UnlockCancelled', 'UnlockExpired'].includes(event.type) || event.data['useReturned'] === true;
        if (unlock.opened && unlock.returned) wrong.push(`${at(event)}: ${unlock.id} opened, and its use came back`);
        if (unlock.returned) {
          const granted = links.get(unlock.cause.id);
          if (granted !== undefined) granted.uses--;
        }
    }
  }
  return { unlocks, links, wrong };
}

/** Why this opening should not have left, at the moment when it did. */
function whyNot({ cause }: Unlock, { assignment, suspended }: Device, links: ReadonlyMap<string, LinkHistory>): string[] {
  if (cause.kind === 'admin') return [];
  if (assignment === undefined) return ['for a box that nobody has'];
  if (suspended) return ['for an owner who is suspended'];
  if (cause.kind === 'owner') return cause.id === assignment.userId ? [] : ['for somebody whose box it is not'];
  const link = links.get(cause.id);
  if (link === undefined) return ['by a link that there is not'];
  return [...(link.ended ? ['by a link that had ended'] : []), ...(link.assignmentId === assignment.id ? [] : ['by a link of an earlier owner'])];
}

function at({ position, stream, revision, type }: RecordedEvent): string {
  return `position ${position} (${stream}@${revision} ${type})`;
}
