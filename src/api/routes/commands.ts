import { pause } from '../../platform/backoff.ts';
import type { UnlockRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import { notFound } from '../errors.ts';
import type { AccountPrincipal } from '../principal.ts';
import { account, route, type Route } from '../route.ts';
import { Closed, Id } from '../schemas/common.ts';
import { Command } from '../schemas/devices.ts';
import { commandView } from '../views.ts';

export const commandRoutes: readonly Route[] = [
  route({
    id: 'getCommand',
    tag: 'commands',
    summary: 'How far a request to open has come',
    method: 'GET',
    path: '/commands/{command_id}',
    access: account,
    params: Closed({ command_id: Id }),
    replies: { 200: Command },
    errors: [404],
  })(async (call, api) => {
    const row = await soon(api, () => api.deps.reads.unlocks.byId(call.params.command_id));
    if (row === undefined || !(await maySee(api, call.who, row))) throw notFound('Command not found');
    return { status: 200, body: commandView(row) };
  }),
];

const AGAIN_MS = 20;

/** A request to open is answered before the read models have it: whoever follows its `status_url` at once is early. */
async function soon<T>({ deps }: Api, read: () => Promise<T | undefined>): Promise<T | undefined> {
  const deadline = deps.clock.monotonic() + deps.settings.readYourWritesMs;
  for (;;) {
    const found = await read();
    if (found !== undefined || deps.clock.monotonic() >= deadline) return found;
    await pause(AGAIN_MS);
  }
}

/** Whoever asked for it, whoever had the link it came by, the owner of the box at that time, and administrators. */
async function maySee({ deps }: Api, { userId, permissions }: AccountPrincipal, row: UnlockRow): Promise<boolean> {
  if (permissions.has('devices:read')) return true;
  if ((row.cause.kind === 'owner' || row.cause.kind === 'admin') && row.cause.id === userId) return true;
  if (row.cause.kind === 'link') return (await deps.reads.links.byId(row.cause.id))?.ownerId === userId;
  const device = await deps.reads.devices.byId(row.deviceId);
  return device?.ownerId === userId && device.assignedAt !== null && device.assignedAt <= row.requestedAt;
}
