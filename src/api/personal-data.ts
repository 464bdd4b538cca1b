import { userSubject } from '../domain/codec.ts';
import type { Uuid } from '../domain/kernel.ts';
import { instant } from '../platform/clock.ts';
import type { AuditRow, PlaceInTime, UserRow } from '../projections/read-models.ts';
import type { Api } from './api.ts';
import { shownUrl } from './links.ts';
import { entryOf } from './routes/monitoring.ts';
import { notificationView } from './routes/notifications.ts';
import { deliveryView, deviceView, linkView, userView } from './views.ts';

const PAGE = 200;

/** What each member is, for whoever opens the file in ten years. */
const ABOUT = {
  account: 'Who you are, as you told us.',
  sessions: 'Where you are signed in.',
  notification_settings: 'How you want to be told of things.',
  devices: 'Your boxes, as they are now.',
  links: 'Links that you gave to others, those that you deleted left out.',
  deliveries: 'Openings that others asked for by your links, with what they said of themselves.',
  activity: 'What happened at your boxes while they were yours, newest first.',
  notifications: 'What you were told.',
  personal: 'Everything that is kept sealed under your key, by the thing that it describes: also names of boxes and links that are gone, what administrators said about your boxes and your account, and from where (address, program) you acted; `ref` is then the event_id in `log`.',
  log: 'What you did and what was done to your account, as the audit log has it, oldest first. Actors that are not you are named by ids alone.',
} as const;

/** Everything that is kept of one person, in pieces of one JSON document: constant memory, however long the history is. */
export async function* personalData(api: Api, user: UserRow, currentSession: Uuid | undefined): AsyncGenerator<string> {
  const { reads, credentials, inbox, clock } = api.deps;
  const { userId } = user;
  const now = clock.now();

  yield `{"format":"loqey-personal-data-1","about":${JSON.stringify(ABOUT)},"generated_at":${JSON.stringify(instant(now))},"account":${JSON.stringify(userView(user))}`;
  const sessions = await credentials.sessions.list(userId);
  yield member('sessions', sessions.map(({ sessionId, scope, userAgent, createdAt, lastSeenAt }) => ({
    id: sessionId,
    current: sessionId === currentSession,
    scope,
    user_agent: userAgent ?? null,
    created_at: createdAt,
    last_seen_at: lastSeenAt,
  })));
  const { language, timeZone, mail } = await inbox.settings(userId, user.adminRole !== null);
  yield member('notification_settings', { language, time_zone: timeZone, mail });
  yield member('devices', (await reads.devices.ofOwner(userId)).map((row) => deviceView(row, now)));

  const { ofOwner: linksOf } = reads.links;
  // Whose links they are may see where they lead; an administrator never does.
  const urlOf = currentSession === undefined ? async () => null : (row: Parameters<typeof shownUrl>[1]) => shownUrl(api, row);
  yield* list('links', pages<PlaceInTime, Awaited<ReturnType<typeof linksOf>>['rows'][number]>(
    async (after) => (await linksOf(userId, after === undefined ? {} : { after }, FIRST)).rows,
    ({ createdAt, linkId }) => ({ at: createdAt, id: linkId }),
  ), async (row) => linkView(row, await urlOf(row)));
  yield* list('deliveries', pages(
    async (after: PlaceInTime | undefined) => (await reads.deliveries.ofOwner(userId, after === undefined ? {} : { after }, FIRST)).rows,
    ({ requestedAt, unlockId }) => ({ at: requestedAt, id: unlockId }),
  ), deliveryView);
  yield* list('activity', pages(
    async (before: bigint | undefined) => (await reads.activity.ofOwner(userId, before === undefined ? {} : { before }, FIRST)).rows,
    ({ position }) => position,
  ), (row) => ({ id: api.positions.encode(row.position), ...entryOf(row) }));
  yield* list('notifications', pages(
    async (offset: number | undefined) => (await inbox.list(userId, { unread: false }, { limit: PAGE, offset: offset ?? 0 })).rows,
    (_row, offset) => (offset ?? 0) + PAGE,
  ), notificationView);
  yield* list('personal', pages(
    async (after: Uuid | undefined) => reads.people.ofSubject(userSubject(userId), after, PAGE),
    ({ ref }) => ref,
  ), ({ ref, kind, since, fields }) => ({ ref, kind, since, fields }));
  yield* list('log', pages(
    async (after: bigint | undefined) => (await reads.audit.list({ userId, after: after ?? -1n }, FIRST)).rows,
    ({ position }) => position,
  ), (row) => logView(row, userId, api.positions.encode(row.position)));
  yield ',"complete":true}\n';
}

/** One event. Who else acted is named by kind and id, and from where is theirs. */
function logView(row: AuditRow, userId: Uuid, position: string) {
  const isOwn = row.actorId === userId;
  return {
    timestamp: row.occurredAt,
    action: row.action,
    type: row.type,
    outcome: row.outcome,
    actor: { kind: row.actorKind, id: row.actorId },
    source: row.source,
    ip_address: isOwn ? row.ip : null,
    user_agent: isOwn ? row.userAgent : null,
    device_id: row.deviceId,
    link_id: row.linkId,
    unlock_id: row.unlockId,
    event_id: row.eventId,
    position,
    details: { ...row.data },
  };
}

const FIRST = { limit: PAGE, offset: 0 };

function member(name: string, value: unknown): string {
  return `,${JSON.stringify(name)}:${JSON.stringify(value)}`;
}

async function* list<Row>(name: string, rows: AsyncIterable<Row>, view: (row: Row) => unknown): AsyncGenerator<string> {
  let before = `,${JSON.stringify(name)}:[`;
  for await (const row of rows) {
    yield before + JSON.stringify(await view(row));
    before = ',';
  }
  yield before === ',' ? ']' : `${before}]`;
}

/** Page by page, each from where the last one ended. */
async function* pages<Place, Row>(read: (from: Place | undefined) => Promise<readonly Row[]>, placeOf: (last: Row, from: Place | undefined) => Place): AsyncGenerator<Row> {
  for (let from: Place | undefined; ; ) {
    const rows = await read(from);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < PAGE) return;
    from = placeOf(last, from);
  }
}
