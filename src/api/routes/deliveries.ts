import type { Static, TObject } from 'typebox';
import { present } from '../../domain/kernel.ts';
import type { DeliveryFilter, UnlockState } from '../../projections/read-models.ts';
import { notFound } from '../errors.ts';
import { listRoute, placeCursor, placeOfCursor } from '../paging.ts';
import { account, route, type Route } from '../route.ts';
import { Closed, Id } from '../schemas/common.ts';
import { Delivery, DeliveryFilters } from '../schemas/links.ts';
import { rangeOf } from '../time.ts';
import { deliveryView } from '../views.ts';

export const deliveryRoutes: readonly Route[] = [
  listRoute({
    id: 'myDeliveries',
    tag: 'deliveries',
    summary: 'Openings by access links of the signed-in owner',
    path: '/deliveries/my-deliveries',
    aliases: [{ method: 'GET', path: '/deliveries' }],
    access: account,
    filters: DeliveryFilters,
    row: Delivery,
    size: 20,
    cursorOf: ({ attempted_at: at, id }) => placeCursor({ at, id }),
  })(async ({ query, who }, { deps }, page) => {
    const { rows, total } = await deps.reads.deliveries.ofOwner(who.userId, filterOf(query), page);
    return { rows: rows.map(deliveryView), total };
  }),

  route({
    id: 'getDelivery',
    tag: 'deliveries',
    summary: 'One delivery',
    method: 'GET',
    path: '/deliveries/{delivery_id}',
    access: account,
    params: Closed({ delivery_id: Id }),
    replies: { 200: Delivery },
    errors: [404],
  })(async (call, { deps }) => {
    const row = await deps.reads.deliveries.byId(call.params.delivery_id);
    if (row === undefined || row.ownerId !== call.who.userId) throw notFound('Delivery not found');
    return { status: 200, body: deliveryView(row) };
  }),
];

const outcomes = {
  opened: ['opened'],
  not_opened: ['failed', 'cancelled', 'expired'],
  unknown: ['unknown'],
  under_way: ['requested', 'dispatched', 'published', 'acknowledged'],
} as const satisfies Record<string, readonly UnlockState[]>;

const notOpened: readonly UnlockState[] = [...outcomes.not_opened, ...outcomes.unknown, ...outcomes.under_way];

function filterOf(query: Static<TObject<typeof DeliveryFilters>> & { readonly cursor?: string }): DeliveryFilter {
  const { device_id: deviceId, link_id: linkId, outcome, completed, search, cursor } = query;
  const asked: readonly UnlockState[] | undefined = outcome === undefined ? undefined : outcomes[outcome];
  const done: readonly UnlockState[] | undefined = completed === undefined ? undefined : completed ? outcomes.opened : notOpened;
  const states = asked === undefined || done === undefined ? (asked ?? done) : asked.filter((state) => done.includes(state));
  return present({ deviceId, linkId, states, search, after: cursor === undefined ? undefined : placeOfCursor(cursor), ...rangeOf(query) });
}
