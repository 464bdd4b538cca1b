import type { Uuid } from '../../domain/kernel.ts';
import type { ReadModels } from '../../projections/read-models.ts';
import type { NotificationSettings } from './kinds.ts';
import type { Notification } from './store.ts';
import { say, timeIn, type Said } from './words.ts';

type Names = Pick<ReadModels, 'devices' | 'links' | 'people'>;

/**
 * Notifications in words, with names as they are now. A name that somebody gave a box or a link is shown to that person
 * alone: of a box that has another owner since, only its serial number.
 */
export async function tell(notifications: readonly Notification[], { language, timeZone }: NotificationSettings, reads: Names): Promise<readonly Said[]> {
  const devices = new Map(
    await Promise.all([...new Set(notifications.flatMap(({ deviceId }) => deviceId ?? []))].map(async (id) => [id, await reads.devices.byId(id)] as const)),
  );
  const links = new Map(await Promise.all([...new Set(notifications.flatMap(linkOf))].map(async (id) => [id, await reads.links.byId(id)] as const)));
  const reasons = new Map(await Promise.all([...new Set(notifications.flatMap(explainedOf))].map(async (id) => [id, await reads.people.reason(id)] as const)));
  const at = timeIn(language, timeZone);

  return notifications.map((notification) => {
    const { userId, kind, deviceId, facts, occurredAt } = notification;
    const device = deviceId === null ? undefined : devices.get(deviceId);
    const own = device?.ownerId === userId && device.name !== null ? `“${device.name}”` : undefined;
    const [linkId] = linkOf(notification);
    const link = linkId === undefined ? undefined : links.get(linkId);
    const [explained] = explainedOf(notification);
    const reason = explained === undefined ? undefined : reasons.get(explained);
    return say(language, kind, {
      box: own ?? device?.serialNumber ?? (language === 'tr' ? 'Kutu' : 'The box'),
      link: link?.ownerId === userId ? (link.name ?? undefined) : undefined,
      time: at(occurredAt),
      facts: reason === undefined ? facts : { ...facts, reason },
      at,
    });
  });
}

function linkOf({ facts }: Notification): readonly Uuid[] {
  const id = facts['link_id'];
  return typeof id === 'string' ? [id] : [];
}

/** An opening whose reason is sealed: it is read when it is told, and never kept with the notification. */
function explainedOf({ facts }: Notification): readonly Uuid[] {
  const id = facts['unlock_id'];
  return facts['explained'] === true && typeof id === 'string' ? [id] : [];
}
