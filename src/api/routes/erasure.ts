import { backupsSay, type ErasureRecord } from '../../commands/erasure.ts';
import type { Static } from 'typebox';
import type { Uuid } from '../../domain/kernel.ts';
import { instant } from '../../platform/clock.ts';
import type { UserRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import type { Call } from '../call.ts';
import { ApiError, invalid, notFound, refused, unauthorized } from '../errors.ts';
import { emailOf } from '../names.ts';
import { personalData } from '../personal-data.ts';
import { mayTouch } from './admin-users.ts';
import { account, admin, anyone, route, type Route } from '../route.ts';
import { UserId } from '../schemas/common.ts';
import { AdminErasure, Erasure, ErasureId, ErasurePreview, OwnErasure, PersonalData } from '../schemas/erasure.ts';

/** As long as an answer waits for the receipt. Whatever happens to it, the erasure goes on. */
const RECEIPT_MS = 5_000;

export const erasureRoutes: readonly Route[] = [
  route({
    id: 'exportMe',
    tag: 'authentication',
    summary: 'Everything that is kept of the signed-in account, as one JSON file',
    method: 'GET',
    path: '/auth/me/export',
    access: account,
    replies: { 200: PersonalData },
  })(async (call, api) => exported(api, call, await self(api, call.who.userId), call.who.sessionId)),

  route({
    id: 'previewErasure',
    tag: 'authentication',
    summary: 'What erasing the signed-in account would do; nothing happens yet',
    method: 'GET',
    path: '/auth/me/erase',
    access: account,
    replies: { 200: ErasurePreview },
  })(async (call, api) => ({ status: 200, body: await previewOf(api, await self(api, call.who.userId), '/api/v1/auth/me/export', ['password', 'confirm']) })),

  route({
    id: 'eraseMe',
    tag: 'authentication',
    summary: 'Erase the signed-in account for ever: it cannot be undone',
    method: 'POST',
    path: '/auth/me/erase',
    access: account,
    limit: 'login',
    body: OwnErasure,
    // Nothing made of a password is kept for a repeat; and whoever was erased cannot repeat it.
    idempotent: false,
    replies: { 200: Erasure, 202: Erasure },
    errors: [403, 409, 429],
  })(async (call, api) => {
    const { userId } = call.who;
    const { passwords } = api.deps.credentials;
    confirmed(await self(api, userId), call.body.confirm);
    const { matched } = await passwords.verify(call.body.password, await passwords.hashOf(userId));
    return erase(api, call, userId, { requestedBy: 'owner', passwordMatched: matched });
  }),

  route({
    id: 'erasure',
    tag: 'authentication',
    summary: 'How far an erasure is, and its receipt',
    method: 'GET',
    path: '/erasures/{erasure_id}',
    access: anyone,
    params: ErasureId,
    replies: { 200: Erasure },
    errors: [404],
  })(async (call, { deps }) => {
    const record = await deps.erasures.byId(call.params.erasure_id);
    if (record === undefined) throw notFound('Erasure not found');
    return { status: 200, body: erasureView(record) };
  }),

  route({
    id: 'exportUser',
    tag: 'admin',
    summary: 'Everything that is kept of an account, as one JSON file',
    method: 'GET',
    path: '/admin/users/{user_id}/export',
    access: admin('users:export'),
    params: UserId,
    replies: { 200: PersonalData },
    errors: [404],
  })(async (call, api) => {
    const user = await anyUser(api, call.params.user_id);
    mayTouch(api, call, user);
    return exported(api, call, user, undefined);
  }),

  route({
    id: 'previewUserErasure',
    tag: 'admin',
    summary: 'What erasing an account would do; nothing happens yet',
    method: 'GET',
    path: '/admin/users/{user_id}/erase',
    access: admin('users:erase'),
    params: UserId,
    replies: { 200: ErasurePreview },
    errors: [404],
  })(async (call, api) => {
    const user = await anyUser(api, call.params.user_id);
    return { status: 200, body: await previewOf(api, user, `/api/v1/admin/users/${user.userId}/export`, ['confirm', 'ground']) };
  }),

  route({
    id: 'eraseUser',
    tag: 'admin',
    summary: 'Erase an account for ever: it cannot be undone. Again: answers how the first one went',
    method: 'POST',
    path: '/admin/users/{user_id}/erase',
    access: admin('users:erase'),
    params: UserId,
    body: AdminErasure,
    // A repeat is quiet by itself, and nothing made of an address is kept.
    idempotent: false,
    replies: { 200: Erasure, 202: Erasure },
    errors: [404, 409],
  })(async (call, api) => {
    const user = await anyUser(api, call.params.user_id);
    mayTouch(api, call, user);
    if (!user.erased) confirmed(user, call.body.confirm);
    return erase(api, call, user.userId, { requestedBy: 'admin', ground: call.body.ground });
  }),
];

async function erase(api: Api, call: Call, userId: Uuid, asked: Parameters<Api['deps']['erasures']['request']>[1]) {
  const { erasures } = api.deps;
  const reply = await erasures.request(userId, asked, call.context());
  if (reply.kind === 'refused') {
    await api.settle(call, reply.position);
    throw reply.refusal.code === 'credentials_invalid' ? wrongPassword() : refused(reply.refusal);
  }
  api.gate.forget(userId);
  await api.settle(call, reply.position);
  const record = await erasures.awaited(reply.erasureId, RECEIPT_MS);
  const body = erasureView(record ?? { eventId: reply.erasureId, requestedAt: instant(api.deps.clock.now()), receipt: null, completedAt: null });
  return { status: body.receipt === null ? (202 as const) : (200 as const), body };
}

function erasureView({ eventId, requestedAt, receipt, completedAt }: Pick<ErasureRecord, 'eventId' | 'requestedAt' | 'receipt' | 'completedAt'>): Static<typeof Erasure> {
  const done = completedAt !== null;
  return {
    erasure_id: eventId,
    status: done ? 'completed' : 'under_way',
    message: done ? 'The account was erased. Keep the receipt' : 'The account is being erased; this cannot be stopped. The receipt will be at status_url',
    requested_at: requestedAt,
    status_url: `/api/v1/erasures/${eventId}`,
    receipt: done ? (receipt as Static<typeof Erasure>['receipt']) : null,
  };
}

/** Typed once more, as it is spelled or not. */
function confirmed({ profile }: UserRow, confirm: string): void {
  if (profile !== null && emailOf(confirm) !== emailOf(profile.email)) throw invalid('confirm', 'must be the e-mail address of the account', 'Not confirmed');
}

const GOES = [
  'name, e-mail address, telephone and every other part of the profile',
  'names and places of boxes, and the names and addresses of links',
  'what couriers said of themselves at these boxes',
  'from where the account was used: addresses and programs',
  'password, sessions, notifications and their settings',
];
const STAYS = [
  'that these events happened, when, and at which box: with ids that nobody can trace to the person any more',
  'the boxes themselves, free for a next owner',
  'copies that were taken before: exports, and mails in mailboxes',
];

async function previewOf({ deps }: Api, user: UserRow, exportPath: string, needs: readonly string[]): Promise<Static<typeof ErasurePreview>> {
  const { reads, inbox, settings, clock } = deps;
  const { userId } = user;
  const one = { limit: 1, offset: 0 };
  const [devices, links, deliveries, notifications] = await Promise.all([
    reads.devices.ofOwner(userId),
    reads.links.ofOwner(userId, { active: true }, one),
    reads.deliveries.ofOwner(userId, {}, one),
    inbox.list(userId, { unread: false }, one),
  ]);
  const until = instant(clock.now() + settings.backupDays * 86_400_000);
  return {
    user_id: userId,
    email: user.profile?.email ?? null,
    devices: devices.map(({ deviceId, serialNumber, name }) => ({ id: deviceId, serial_number: serialNumber, name })),
    active_links: links.total,
    deliveries: deliveries.total,
    notifications: notifications.total,
    goes: GOES,
    stays: STAYS,
    backups: { retention_days: settings.backupDays, until, statement: backupsSay(settings.backupDays, until) },
    export_path: exportPath,
    needs: [...needs],
  };
}

async function exported(api: Api, call: Call, user: UserRow, session: Uuid | undefined) {
  // Written down before the first byte leaves: what was sent cannot be called back. HEAD sends none.
  if (call.req.method !== 'HEAD') await api.execute(call, { type: 'StartPersonalDataExport', data: { userId: user.userId } });
  const day = instant(api.deps.clock.now()).slice(0, 10);
  return {
    status: 200 as const,
    // Made piece by piece; the schema says what the pieces are together.
    body: personalData(api, user, session) as unknown as Static<typeof PersonalData>,
    headers: { 'Content-Disposition': `attachment; filename="loqey-personal-data-${day}.json"` },
  };
}

async function self({ deps }: Api, userId: Uuid): Promise<UserRow> {
  const row = await deps.reads.users.byId(userId);
  if (row === undefined) throw unauthorized();
  return row;
}

async function anyUser({ deps }: Api, userId: Uuid): Promise<UserRow> {
  const row = await deps.reads.users.byId(userId);
  if (row === undefined) throw notFound('User not found');
  return row;
}

/** Not 401: that would sign the app out. */
function wrongPassword(): ApiError {
  return new ApiError('forbidden', 'The password is not right', { password: 'is not the password of the account', reason: 'credentials_invalid' });
}
