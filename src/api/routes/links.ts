import type { Static, TObject } from 'typebox';
import { isTimeZone } from '../../commands/local-time.ts';
import { isSealed, present, type Uuid } from '../../domain/kernel.ts';
import type { AccessWindow, DeviceEventOf } from '../../domain/device/events.ts';
import { instant } from '../../platform/clock.ts';
import { derivedCommandId } from '../../platform/ids.ts';
import type { LinkFilter, Page, Paged } from '../../projections/read-models.ts';
import type { Accepted, Api } from '../api.ts';
import { ApiError, invalid, refused } from '../errors.ts';
import { linkTokenHash, newLinkToken } from '../link-token.ts';
import { accessUrl, openToken, ownLink, shownUrl } from '../links.ts';
import { listRoute, placeCursor, placeOfCursor } from '../paging.ts';
import { qrPng, qrSvg } from '../qr.ts';
import { account, route, type Route } from '../route.ts';
import { Closed, DeviceId, LinkId } from '../schemas/common.ts';
import { Image, ImageFormat, Link, LinkChange, LinkCreated, LinkEnded, LinkFilters, LinkReply, NewLink, type Window } from '../schemas/links.ts';
import { instantFrom } from '../time.ts';
import { linkView } from '../views.ts';
import { ownDevice } from './devices.ts';

const HOUR = 3_600_000;

export const linkRoutes: readonly Route[] = [
  listRoute({
    id: 'myLinks',
    tag: 'access-links',
    summary: 'The access links of the signed-in owner',
    path: '/access/my-links',
    access: account,
    filters: LinkFilters,
    row: Link,
    size: 100,
    cursorOf,
  })(({ query, who }, api, page) => links(api, who.userId, filterOf(query), page)),

  listRoute({
    id: 'linksOfDevice',
    tag: 'access-links',
    summary: 'The access links of one box',
    path: '/links/device/{device_id}',
    aliases: [{ method: 'GET', path: '/access/links/device/{device_id}' }],
    access: account,
    params: DeviceId,
    filters: { active: LinkFilters.active, status: LinkFilters.status, search: LinkFilters.search },
    row: Link,
    size: 100,
    cursorOf,
    errors: [404],
  })(async ({ params: { device_id: deviceId }, query, who: { userId } }, api, page) => {
    const found = await links(api, userId, { ...filterOf(query), deviceId }, page);
    // Whoever gave a box up still sees what links it had; to everyone else it does not exist.
    if (found.total === 0 && !(await hadLinks(api, userId, deviceId))) await ownDevice(api, userId, deviceId);
    return found;
  }),

  route({
    id: 'createLink',
    tag: 'access-links',
    summary: 'Make a link that opens a box',
    method: 'POST',
    path: '/access/create-link',
    aliases: [{ method: 'POST', path: '/links/create' }],
    access: account,
    body: NewLink,
    replies: { 200: LinkCreated },
    errors: [404, 422],
  })(async (call, api) => {
    const { body } = call;
    const { settings, clock } = api.deps;
    const now = clock.now();
    const token = newLinkToken();
    const accepted = await api.execute(call, {
      type: 'CreateLink',
      data: {
        // A repeat names the same link, however long ago the first one was.
        linkId: derivedCommandId('link', call.commandId),
        deviceId: body.device_id.toLowerCase(),
        userId: call.who.userId,
        token,
        tokenHash: linkTokenHash(token),
        expiresAt: body.expires_at === undefined ? instant(now + settings.links.defaultHours * HOUR) : instantFrom(body.expires_at),
        latestExpiry: instant(now + settings.links.maxHours * HOUR),
        maxUses: body.max_uses ?? 1,
        requireIdentity: body.require_identity ?? false,
        ...(body.name === undefined ? {} : { name: body.name }),
        ...(body.starts_at === undefined ? {} : { startsAt: instantFrom(body.starts_at) }),
        ...(body.window === undefined ? {} : { window: windowOf(body.window) }),
      },
    });
    const created = createdBy(accepted);
    // A repeat shows the link that the first one made: its token is in the log, sealed.
    const shown = accepted.repeated ? await tokenOf(api, created) : token;
    return {
      status: 200,
      body: {
        message: 'Link created successfully',
        link_id: shown,
        id: created.linkId,
        device_id: body.device_id.toLowerCase(),
        access_url: accessUrl(api, shown),
        expires_at: created.expiresAt,
        max_uses: created.maxUses,
      },
    };
  }),

  route({
    id: 'getLink',
    tag: 'access-links',
    summary: 'One access link',
    method: 'GET',
    path: '/access/links/{link_id}',
    aliases: [{ method: 'GET', path: '/links/{link_id}' }],
    access: account,
    params: LinkId,
    replies: { 200: Link },
    errors: [404],
  })(async (call, api) => {
    const row = await ownLink(api, call.who.userId, call.params.link_id);
    return { status: 200, body: linkView(row, await shownUrl(api, row)) };
  }),

  route({
    id: 'updateLink',
    tag: 'access-links',
    summary: 'Change a link that still works',
    method: 'PUT',
    path: '/access/links/{link_id}',
    aliases: [{ method: 'PUT', path: '/links/{link_id}' }],
    access: account,
    params: LinkId,
    body: LinkChange,
    replies: { 200: LinkReply },
    errors: [404, 422],
  })(async (call, api) => {
    const { body, who } = call;
    const { linkId, deviceId } = await ownLink(api, who.userId, call.params.link_id);
    await api.execute(call, {
      type: 'UpdateLink',
      data: {
        linkId,
        deviceId,
        userId: who.userId,
        latestExpiry: instant(api.deps.clock.now() + api.deps.settings.links.maxHours * HOUR),
        ...(body.name === undefined ? {} : { name: body.name }),
        ...(body.expires_at === undefined ? {} : { expiresAt: instantFrom(body.expires_at) }),
        ...(body.max_uses === undefined ? {} : { maxUses: body.max_uses }),
        ...(body.require_identity === undefined ? {} : { requireIdentity: body.require_identity }),
        ...(body.window === undefined ? {} : { window: body.window === null ? ('always' as const) : windowOf(body.window) }),
      },
    });
    const row = await ownLink(api, who.userId, linkId);
    return { status: 200, body: { message: 'Link updated successfully', link: linkView(row, await shownUrl(api, row)) } };
  }),

  route({
    id: 'deleteLink',
    tag: 'access-links',
    summary: 'End a link and hide it from the lists',
    method: 'DELETE',
    path: '/access/links/{link_id}',
    aliases: [{ method: 'DELETE', path: '/links/{link_id}' }],
    access: account,
    params: LinkId,
    replies: { 200: LinkEnded },
    errors: [404],
  })(async (call, api) => {
    const { userId } = call.who;
    const { linkId, deviceId } = await ownLink(api, userId, call.params.link_id);
    await api.execute(call, { type: 'DeleteLink', data: { linkId, deviceId, userId } });
    return { status: 200, body: { message: 'Link deleted successfully', ...(await api.inFlight(deviceId, linkId)) } };
  }),

  route({
    id: 'deactivateLink',
    tag: 'access-links',
    summary: 'End a link',
    method: 'POST',
    path: '/access/links/{link_id}/deactivate',
    aliases: [
      { method: 'PUT', path: '/links/{link_id}/revoke' },
      { method: 'POST', path: '/links/{link_id}/revoke' },
    ],
    access: account,
    params: LinkId,
    body: Closed({}),
    bodyOptional: true,
    replies: { 200: LinkEnded },
    errors: [404],
  })(async (call, api) => {
    const { userId } = call.who;
    const { linkId, deviceId } = await ownLink(api, userId, call.params.link_id);
    await api.execute(call, { type: 'RevokeLink', data: { linkId, deviceId, userId } });
    return { status: 200, body: { message: 'Link deactivated successfully', ...(await api.inFlight(deviceId, linkId)) } };
  }),

  route({
    id: 'linkImage',
    tag: 'access-links',
    summary: 'A QR code of the address of a link that works, as SVG or PNG',
    method: 'GET',
    path: '/access/links/{link_id}/qr',
    aliases: [{ method: 'GET', path: '/links/{link_id}/qr' }],
    access: account,
    params: LinkId,
    query: ImageFormat,
    replies: { 200: Image },
    contentTypes: ['image/svg+xml', 'image/png'],
    errors: [404, 422],
  })(async (call, api) => {
    const row = await ownLink(api, call.who.userId, call.params.link_id);
    if (row.status !== 'active') throw refused({ code: `link_${row.status}` });
    const url = await shownUrl(api, row);
    if (url === null) throw cannotBeShown();
    const format = call.query.format ?? (call.req.accepts(['image/svg+xml', 'image/png']) === 'image/png' ? 'png' : 'svg');
    return format === 'png'
      ? { status: 200, body: qrPng(url), contentType: 'image/png' }
      : { status: 200, body: qrSvg(url), contentType: 'image/svg+xml' };
  }),
];

function cursorOf({ created_at: at, id }: Link): string {
  return placeCursor({ at, id });
}

function filterOf({ device_id: deviceId, active, status, search, cursor }: Partial<Static<TObject<typeof LinkFilters>>> & { readonly cursor?: string }): LinkFilter {
  return present({ deviceId, active, status, search, after: cursor === undefined ? undefined : placeOfCursor(cursor) });
}

/** @throws ApiError 400 for a time zone that nobody knows, and for hours that never come */
function windowOf({ time_zone: timeZone, days, from, to }: Window): AccessWindow {
  if (!isTimeZone(timeZone)) throw invalid('window.time_zone', 'must be an IANA time zone such as Europe/Istanbul');
  if (from === to) throw invalid('window.to', 'must be another time than from');
  return { timeZone, days, from, to };
}

async function hadLinks({ deps }: Api, userId: Uuid, deviceId: Uuid): Promise<boolean> {
  return (await deps.reads.links.ofOwner(userId, { deviceId }, { limit: 1, offset: 0 })).total > 0;
}

async function links(api: Api, userId: Uuid, filter: LinkFilter, page: Page): Promise<Paged<Link>> {
  const { rows, total } = await api.deps.reads.links.ofOwner(userId, filter, page);
  return { rows: await Promise.all(rows.map(async (row) => linkView(row, await shownUrl(api, row)))), total };
}

type LinkCreatedData = DeviceEventOf<'LinkCreated'>['data'];

function createdBy({ events }: Accepted): LinkCreatedData {
  const created = events.find((event) => event.type === 'LinkCreated');
  if (created === undefined) throw new Error('CreateLink was accepted without LinkCreated');
  return created.data;
}

async function tokenOf(api: Api, { token }: LinkCreatedData): Promise<string> {
  const opened = isSealed(token) ? await openToken(api, token) : token;
  if (opened === undefined) throw cannotBeShown();
  return opened;
}

function cannotBeShown(): ApiError {
  return new ApiError('unprocessable', 'This link can no longer be shown');
}
