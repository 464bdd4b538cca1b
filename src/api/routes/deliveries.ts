import { Type } from 'typebox';
import { notFound } from '../errors.ts';
import { listRoute } from '../paging.ts';
import { account, route, type Route } from '../route.ts';
import { Closed, Id } from '../schemas/common.ts';
import { Delivery } from '../schemas/links.ts';
import { deliveryView } from '../views.ts';

export const deliveryRoutes: readonly Route[] = [
  listRoute({
    id: 'myDeliveries',
    tag: 'deliveries',
    summary: 'Openings by access links of the signed-in owner',
    path: '/deliveries/my-deliveries',
    aliases: [{ method: 'GET', path: '/deliveries' }],
    access: account,
    filters: { device_id: Type.Optional(Id), completed: Type.Optional(Type.Boolean()) },
    row: Delivery,
    size: 20,
  })(async ({ query: { device_id: deviceId, completed }, who }, { deps }, page) => {
    const filter = { ...(deviceId === undefined ? {} : { deviceId }), ...(completed === undefined ? {} : { completed }) };
    const { rows, total } = await deps.reads.deliveries.ofOwner(who.userId, filter, page);
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
