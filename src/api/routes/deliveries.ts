import { Type } from 'typebox';
import { notFound } from '../errors.ts';
import { listReply, pagingOf } from '../paging.ts';
import { account, route, type Route } from '../route.ts';
import { Closed, Id, ListOf, paging } from '../schemas/common.ts';
import { Delivery } from '../schemas/links.ts';
import { deliveryView } from '../views.ts';

export const deliveryRoutes: readonly Route[] = [
  route({
    id: 'myDeliveries',
    tag: 'deliveries',
    summary: 'Openings by access links of the signed-in owner',
    method: 'GET',
    path: '/deliveries/my-deliveries',
    aliases: [{ method: 'GET', path: '/deliveries' }],
    access: account,
    query: Closed({ ...paging(20), device_id: Type.Optional(Id), completed: Type.Optional(Type.Boolean()) }),
    replies: { 200: ListOf(Delivery) },
  })(async (call, { deps }) => {
    const { device_id: deviceId, completed } = call.query;
    const filter = { ...(deviceId === undefined ? {} : { deviceId: deviceId.toLowerCase() }), ...(completed === undefined ? {} : { completed }) };
    const page = pagingOf(call.query, 20);
    const { rows, total } = await deps.reads.deliveries.ofOwner(call.who.userId, filter, page);
    return listReply(call, page, rows.map(deliveryView), total);
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
