import { Type } from 'typebox';
import { timeZone } from '../../platform/config-values.ts';
import { invalid, notFound } from '../errors.ts';
import { listRoute } from '../paging.ts';
import type { InboxEntry, InboxSettings } from '../ports.ts';
import { account, route, type Route } from '../route.ts';
import { Closed, Id, Message } from '../schemas/common.ts';
import { Notification, NotificationSettings, NotificationSettingsChange } from '../schemas/notifications.ts';

export const notificationRoutes: readonly Route[] = [
  listRoute({
    id: 'notifications',
    tag: 'notifications',
    summary: 'What the signed-in account was told, newest first',
    path: '/notifications',
    access: account,
    filters: { unread: Type.Optional(Type.Boolean()) },
    row: Notification,
    size: 20,
  })(async ({ query: { unread = false }, who }, { deps }, page) => {
    const { rows, total } = await deps.inbox.list(who.userId, { unread }, page);
    return { rows: rows.map(notificationView), total };
  }),

  route({
    id: 'readNotification',
    tag: 'notifications',
    summary: 'Mark one as read',
    method: 'POST',
    path: '/notifications/{notification_id}/read',
    access: account,
    params: Closed({ notification_id: Id }),
    body: Closed({}),
    bodyOptional: true,
    replies: { 200: Message },
    errors: [404],
  })(async (call, { deps }) => {
    if (!(await deps.inbox.read(call.who.userId, call.params.notification_id))) throw notFound('Notification not found');
    return { status: 200, body: { message: 'Notification marked as read' } };
  }),

  route({
    id: 'readAllNotifications',
    tag: 'notifications',
    summary: 'Mark all as read',
    method: 'POST',
    path: '/notifications/read-all',
    access: account,
    body: Closed({}),
    bodyOptional: true,
    replies: { 200: Closed({ message: Type.String(), count: Type.Integer() }) },
  })(async (call, { deps }) => {
    return { status: 200, body: { message: 'Notifications marked as read', count: await deps.inbox.readAll(call.who.userId) } };
  }),

  route({
    id: 'notificationSettings',
    tag: 'notifications',
    summary: 'In which language and for what mails are sent',
    method: 'GET',
    path: '/notifications/settings',
    access: account,
    replies: { 200: NotificationSettings },
  })(async (call, { deps }) => {
    return { status: 200, body: settingsView(await deps.inbox.settings(call.who.userId, call.who.permissions.size > 0)) };
  }),

  route({
    id: 'changeNotificationSettings',
    tag: 'notifications',
    summary: 'Change them; what is not named stays. Mails that protect the account cannot be switched off',
    method: 'PUT',
    path: '/notifications/settings',
    access: account,
    body: NotificationSettingsChange,
    replies: { 200: NotificationSettings },
  })(async (call, { deps }) => {
    const { userId, permissions } = call.who;
    const { language, time_zone: zone, mail } = call.body;
    const known = (await deps.inbox.settings(userId, permissions.size > 0)).mail;
    const unknown = Object.keys(mail ?? {}).find((kind) => !Object.hasOwn(known, kind));
    if (unknown !== undefined) throw invalid(`mail.${unknown}`, 'is not a kind of notification');
    if (zone !== undefined && timeZone.parse(zone) === undefined) throw invalid('time_zone', `must be ${timeZone.allowed}`);
    await deps.inbox.change(userId, {
      ...(language === undefined ? {} : { language }),
      ...(zone === undefined ? {} : { timeZone: zone }),
      ...(mail === undefined ? {} : { mail }),
    });
    return { status: 200, body: settingsView(await deps.inbox.settings(userId, permissions.size > 0)) };
  }),
];

export function notificationView({ id, kind, title, text, deviceId, linkId, unlockId, occurredAt, readAt }: InboxEntry) {
  return { id, kind, title, text, device_id: deviceId, link_id: linkId, unlock_id: unlockId, created_at: occurredAt, is_read: readAt !== null, read_at: readAt };
}

function settingsView({ language, timeZone: zone, mail }: InboxSettings) {
  return { language, time_zone: zone, mail: { ...mail } };
}
