import type { Sealed, Uuid } from '../domain/kernel.ts';
import type { LinkRow } from '../projections/read-models.ts';
import type { Api } from './api.ts';
import { notFound } from './errors.ts';
import { linkTokenHash, linkTokenPattern } from './link-token.ts';

const UUID = /^[0-9a-f-]{36}$/;

export const accessUrl = (api: Api, token: string) => `${api.deps.settings.frontendUrl}/unlock/${token}`;

/** The token as its owner may see it again; undefined once its key is gone. */
export function openToken(api: Api, sealed: Sealed): Promise<string | undefined> {
  return api.deps.sealer.open<string>(sealed, 'LinkCreated', 'token');
}

/** The address of a link while it works; null afterwards. */
export async function shownUrl(api: Api, row: LinkRow): Promise<string | null> {
  if (!row.isActive || row.token === null) return null;
  const token = await openToken(api, row.token);
  return token === undefined ? null : accessUrl(api, token);
}

/** A link of this owner, by its id or its token; to everyone else it does not exist. */
export async function ownLink(api: Api, userId: Uuid, idOrToken: string): Promise<LinkRow> {
  const row = UUID.test(idOrToken) ? await api.found(() => api.deps.reads.links.byId(idOrToken)) : await linkOfToken(api, idOrToken);
  if (row === undefined || row.ownerId !== userId || row.deleted) throw notFound('Access link not found');
  return row;
}

/** What is not even of a token's form is not looked up. */
export async function linkOfToken(api: Api, token: string): Promise<LinkRow | undefined> {
  return linkTokenPattern.test(token) ? api.found(() => api.deps.reads.links.byTokenHash(linkTokenHash(token))) : undefined;
}
