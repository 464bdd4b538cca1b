import type { LiveChange, UnlockState } from '../projections/read-models.ts';
import { outcomeWords } from './words.ts';

export type Message = Readonly<Record<string, unknown>> & { readonly type: string };

/** What an owner's app hears of its boxes, links and openings: as the projections tell it, which name no one else. */
export function ownerMessage({ type, payload }: LiveChange): Message | undefined {
  switch (type) {
    case 'status_update':
    case 'link_update':
    case 'alert':
    case 'settings_update':
      return { ...payload, type };
    case 'links_revoked':
      return { type, device_id: payload['device_id'], reason: payload['reason'], timestamp: payload['timestamp'] };
    case 'unlock_progress':
      return { ...payload, type, command_id: payload['unlock_id'] };
    default:
      return undefined;
  }
}

/** What whoever has a link hears: the openings by this link, and that it ended. */
export function courierMessage({ type, payload }: LiveChange): Message | undefined {
  if (type === 'unlock_progress') {
    const state = payload['status'] as UnlockState;
    const words = outcomeWords(state, payload['reason'] as string | null, payload['use_returned'] === true);
    const shared = { command_id: payload['unlock_id'], ...words, use_returned: payload['use_returned'], timestamp: payload['timestamp'] };
    return state === 'opened'
      ? { type: 'unlock_confirmation', device_id: payload['device_id'], status: 'unlocked', delivery_complete: true, ...shared }
      : { type: 'unlock_progress', device_id: payload['device_id'], status: state, expires_at: payload['expires_at'], ...shared };
  }
  if (type === 'link_update') return { type, status: payload['status'], timestamp: payload['timestamp'] };
  return undefined;
}

/** How a courier hears of the door, so long as the box is theirs to see. */
export function doorMessage({ type, payload }: LiveChange): Message | undefined {
  if (type !== 'status_update') return undefined;
  return { type: 'door_update', status: payload['status'], door_open: payload['door_open'], timestamp: payload['timestamp'] };
}

/** By whom a box was opened, in the words of old. */
const openedBy: Readonly<Record<string, string>> = { link: 'delivery_link', owner: 'owner', admin: 'admin', schedule: 'schedule' };

/** What an administrator's console hears of everything. */
export function adminMessage({ type, payload }: LiveChange): Message | undefined {
  switch (type) {
    case 'unlock_progress': {
      const action = payload['status'] === 'opened' ? 'unlocked' : `unlock_${String(payload['status'])}`;
      return {
        type: 'device_activity',
        device_id: payload['device_id'],
        action,
        user: openedBy[String(payload['cause'])] ?? 'unknown',
        command_id: payload['unlock_id'],
        timestamp: payload['timestamp'],
      };
    }
    case 'status_update':
      return { ...payload, type: 'device_activity', action: 'status_update' };
    case 'link_update':
      return { type: 'device_activity', device_id: payload['device_id'], action: `link_${String(payload['change'])}`, timestamp: payload['timestamp'] };
    default:
      return { ...payload, type };
  }
}
