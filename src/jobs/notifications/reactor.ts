import type { Reactor } from '../../commands/policies/reactor.ts';
import type { DomainEvent, Recorded } from '../../domain/events.ts';
import type { Instant, Uuid } from '../../domain/kernel.ts';
import type { AdminRole } from '../../domain/user/events.ts';
import type { DeviceRow, LiveFeed, ReadModels } from '../../projections/read-models.ts';
import type { Admins } from '../../projections/users/admins.ts';
import type { JobQueue } from '../../platform/jobs/port.ts';
import { MAIL_QUEUE } from '../catalogue.ts';
import { isMailed, type Facts, type Kind } from './kinds.ts';
import type { Draft, NotificationStore } from './store.ts';

/** Percent. Below it the owner is told, once a day at most. */
const LOW_BATTERY = 20;
const BATTERY_QUIET_MS = 86_400_000;
/** What is told later than that helps nobody. */
const MAX_AGE_MS = 86_400_000;
const READ_MODELS_MS = 5_000;
/** What an older event says where an administrator gave none. */
const NO_REASON = 'no reason given';

export interface NotifierDeps {
  readonly reads: Pick<ReadModels, 'devices' | 'deliveries' | 'unlocks'>;
  readonly administrators: Admins;
  readonly feed: Pick<LiveFeed, 'reached'>;
  readonly store: NotificationStore;
  readonly queue: JobQueue;
  /** False: nothing is mailed, people see it in the app alone. */
  readonly mails: boolean;
}

const told = [
  'UnlockRequested',
  'UnlockConfirmed',
  'UnlockSettled',
  'UnlockOutcomeUnknown',
  'EmergencyUnlockUnexplained',
  'UnexplainedOpening',
  'LockStateReported',
  'DeviceTampered',
  'DeviceCloneSuspected',
  'BatteryLevelChanged',
  'DeviceWentOffline',
  'DeviceWentOnline',
  'DeviceUnlinkRequested',
  'DeviceUnlinked',
  'PasswordChanged',
  'RefreshTokenReused',
  'LoginSucceeded',
  'SubjectErased',
] as const satisfies readonly DomainEvent['type'][];

type Told = Extract<Recorded<DomainEvent>, { readonly type: (typeof told)[number] }>;

/**
 * From what happened to what people are told. An event that comes again is told no second time; nothing personal is kept
 * with it: who has which address is asked when a mail leaves.
 */
export function notificationReactor({ reads, administrators, feed, store, queue, mails }: NotifierDeps): Reactor {
  async function react(event: Told): Promise<void> {
    if (event.type === 'SubjectErased') return store.forget(idOf(event));
    for (const draft of await draftsOf(event)) {
      const { mail } = await store.settings(draft.userId);
      const mailed = mails && isMailed(draft.kind, mail);
      const { id, mailWaits } = await store.add(draft, { eventId: event.eventId, occurredAt: event.metadata.occurredAt }, mailed);
      if (mailWaits) await queue.send(MAIL_QUEUE, { id, data: { notification: id } });
    }
  }

  async function draftsOf(event: Told): Promise<readonly Draft[]> {
    switch (event.type) {
      case 'UnlockConfirmed':
      case 'UnlockSettled': {
        if (event.type === 'UnlockSettled' && event.data.outcome !== 'opened') return [];
        await readable(event);
        const delivery = await reads.deliveries.byId(event.data.unlockId);
        if (delivery === undefined) return [];
        const facts = { unlock_id: delivery.unlockId, link_id: delivery.linkId, ...(event.type === 'UnlockSettled' ? { later: true } : {}) };
        return [{ userId: delivery.ownerId, kind: 'link_opened', deviceId: delivery.deviceId, facts }];
      }
      case 'UnlockOutcomeUnknown': {
        const unlock = (await readable(event), await reads.unlocks.byId(event.data.unlockId));
        if (unlock === undefined) return [];
        const { kind: cause, id } = unlock.cause;
        return owner(event, 'unlock_unknown', { unlock_id: unlock.unlockId, cause, ...(cause === 'link' ? { link_id: id } : {}) });
      }
      case 'UnlockRequested': {
        const { cause, reason, unlockId } = event.data;
        if (cause.kind !== 'admin') return [];
        return owner(event, 'emergency_unlock', { unlock_id: unlockId, ...(reason === undefined || reason === NO_REASON ? {} : typeof reason === 'string' ? { reason } : { explained: true }) });
      }
      case 'EmergencyUnlockUnexplained':
        return admins(event, 'admin_emergency_unlock', ['super_admin'], { unlock_id: event.data.unlockId, admin_id: event.data.adminId });
      case 'UnexplainedOpening':
        return [...(await owner(event, 'unexplained_opening')), ...(await admins(event, 'admin_unexplained_opening', ['super_admin', 'admin']))];
      case 'DeviceCloneSuspected':
        return [...(await owner(event, 'clone_suspected')), ...(await admins(event, 'admin_clone_suspected', ['super_admin', 'admin']))];
      case 'DeviceUnlinkRequested':
        return admins(event, 'admin_unlink_request', ['super_admin', 'admin', 'support']);
      case 'LockStateReported':
        return event.data.lockStatus === 'jammed' ? owner(event, 'device_jammed') : [];
      case 'DeviceTampered':
        return owner(event, 'device_tampered');
      case 'BatteryLevelChanged':
        return event.data.level < LOW_BATTERY ? batteryLow(event, event.data.level) : [];
      case 'DeviceWentOffline':
        return owner(event, 'device_offline', { last_heard_at: event.data.lastHeardAt });
      case 'DeviceWentOnline':
        return backOnline(event);
      case 'DeviceUnlinked':
        return [{ userId: event.data.userId, kind: 'unlink_done', deviceId: idOf(event), facts: { by: event.data.by } }];
      case 'PasswordChanged':
        return [{ userId: idOf(event), kind: 'password_changed', facts: { by: event.data.by } }];
      case 'RefreshTokenReused':
        return [{ userId: idOf(event), kind: 'refresh_token_reused', facts: { session_id: event.data.sessionId } }];
      case 'LoginSucceeded': {
        // The one that came with the registration: whoever has just made an account knows.
        if (event.revision <= 1n) return [];
        return [{ userId: idOf(event), kind: 'new_sign_in', facts: { session_id: event.data.sessionId, scope: event.data.scope } }];
      }
      case 'SubjectErased':
        return [];
    }
  }

  async function batteryLow(event: Told, level: number): Promise<readonly Draft[]> {
    const [draft] = await owner(event, 'battery_low', { level });
    if (draft === undefined) return [];
    const before = await store.last(draft.userId, ['battery_low'], idOf(event), event.metadata.occurredAt);
    const since = before === undefined ? Number.POSITIVE_INFINITY : Date.parse(event.metadata.occurredAt) - Date.parse(before.occurredAt);
    return since < BATTERY_QUIET_MS ? [] : [draft];
  }

  /** Only who was told that it is gone is told that it is back: not of each box that is switched on for the first time. */
  async function backOnline(event: Told): Promise<readonly Draft[]> {
    const [draft] = await owner(event, 'device_online');
    if (draft === undefined) return [];
    const before = await store.last(draft.userId, ['device_offline', 'device_online'], idOf(event), event.metadata.occurredAt);
    return before?.kind === 'device_offline' ? [draft] : [];
  }

  /** Whoever had the box when it happened. Where it has changed hands since, nobody: the new owner has nothing to do with it. */
  async function owner(event: Told, kind: Kind, facts?: Facts): Promise<readonly Draft[]> {
    await readable(event);
    const device = await reads.devices.byId(idOf(event));
    const userId = device === undefined ? undefined : ownerAt(device, event.metadata.occurredAt);
    return userId === undefined ? [] : [{ userId, kind, deviceId: idOf(event), ...(facts === undefined ? {} : { facts }) }];
  }

  async function admins(event: Told, kind: Kind, roles: readonly AdminRole[], facts?: Facts): Promise<readonly Draft[]> {
    await readable(event);
    const ids = await administrators.withRole(roles);
    return ids.map((userId) => ({ userId, kind, deviceId: idOf(event), ...(facts === undefined ? {} : { facts }) }));
  }

  async function readable({ position }: Told): Promise<void> {
    if (!(await feed.reached(position, READ_MODELS_MS))) throw new Error('The read models are behind; told when they have caught up');
  }

  return {
    name: 'notifications',
    eventTypes: told,
    startFrom: 'now',
    maxAgeMs: MAX_AGE_MS,
    sideBySide: 4,
    react: (event) => (isTold(event) ? react(event) : Promise.resolve()),
  };
}

function isTold(event: Recorded<DomainEvent>): event is Told {
  return (told as readonly string[]).includes(event.type);
}

/** Of the box or the person whose stream it is. */
function idOf({ stream }: Told): Uuid {
  return stream.slice(stream.indexOf('-') + 1);
}

function ownerAt({ ownerId, assignedAt }: DeviceRow, at: Instant): Uuid | undefined {
  return ownerId !== null && assignedAt !== null && assignedAt <= at ? ownerId : undefined;
}
