import type { Static, TObject, TProperties, TSchema } from 'typebox';
import type { Page, Paged, PlaceInTime } from '../projections/read-models.ts';
import type { Api } from './api.ts';
import type { Call } from './call.ts';
import { invalid } from './errors.ts';
import { route, type Access, type Path, type PrincipalOf, type Route, type Tag } from './route.ts';
import { Closed, Cursor, ListOf, paging, type PagingMembers } from './schemas/common.ts';

interface ListSpec<A extends Access, Row extends TSchema, P extends TObject, F extends TProperties> {
  readonly id: string;
  readonly tag: Tag;
  readonly summary: string;
  readonly path: string;
  readonly aliases?: readonly Path[];
  readonly access: A;
  readonly params?: P;
  /** Query members besides those that say which part of the list is asked for. */
  readonly filters?: F;
  readonly row: Row;
  /** Rows of one answer when nothing is said, and at most (default 100). */
  readonly size: number;
  readonly most?: number;
  readonly errors?: readonly number[];
  /**
   * For a list that grows at its front: the cursor is then what this says of the last row, and the handler takes it from
   * the query. By numbers of rows, what came meanwhile would show some twice.
   */
  readonly cursorOf?: (row: Static<Row>) => string;
}

type ListHandler<A extends Access, Row extends TSchema, P extends TObject, F extends TProperties> = (
  call: Call<Static<P>, Static<TObject<F>> & { readonly cursor?: string }, unknown, PrincipalOf<A>>,
  api: Api,
  page: Page,
) => Promise<Paged<Static<Row>> & { readonly headers?: Readonly<Record<string, string>> }>;

/**
 * A route that answers a list: by `limit` and `offset` (or `cursor`) a bare array with its counts in headers, by `page` and
 * `page_size` the envelope. The handler gives the rows of one part and the number of all.
 */
export function listRoute<const A extends Access, Row extends TSchema, P extends TObject = TObject<Record<never, never>>, F extends TProperties = Record<never, never>>(
  spec: ListSpec<A, Row, P, F>,
): (handler: ListHandler<A, Row, P, F>) => Route {
  const { row, filters, size, most, cursorOf, ...rest } = spec;
  const members: TProperties = { ...filters, ...paging(size, most), ...(cursorOf === undefined ? {} : { cursor: Cursor }) };
  const list: ListSchema = ListOf(row);
  return (handler) =>
    route({ ...rest, method: 'GET', query: Closed(members), replies: { 200: list } })(async (call, api) => {
      const paged = placeOf(call.query as PagingQuery, size, cursorOf !== undefined);
      // The query that arrives was validated against these filters, and the parameters against `params`.
      const { rows, total, headers } = await handler(call as unknown as Parameters<typeof handler>[0], api, paged);
      const last = rows.at(-1);
      const cursor = cursorOf === undefined || last === undefined ? undefined : cursorOf(last);
      const reply = listReply(call as Call<unknown, object>, paged, rows, total, cursor);
      return headers === undefined ? reply : { ...reply, headers: { ...reply.headers, ...headers } };
    });
}

type ListSchema = ReturnType<typeof ListOf<TSchema>>;

type PagingQuery = Static<TObject<PagingMembers>>;

interface Place extends Page {
  /** True where the caller asked by page and gets the envelope. */
  readonly byPage: boolean;
}

/** @returns the cursor of a list that is in the order of time, and of ids where times are the same */
export function placeCursor({ at, id }: PlaceInTime): string {
  return `${Date.parse(at).toString(36)}.${id}`;
}

/** @throws ApiError 400 */
export function placeOfCursor(cursor: string): PlaceInTime {
  const [, time = '', id = ''] = /^([0-9a-z]{1,9})\.([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})$/.exec(cursor) ?? [];
  const at = new Date(Number.parseInt(time, 36));
  if (Number.isNaN(at.getTime())) throw badCursor();
  return { at: at.toISOString(), id };
}

export function badCursor() {
  return invalid('cursor', 'must be an X-Next-Cursor of this list');
}

/** Rows of a page for which no size is said. */
const PAGE_SIZE = 20;

/** @throws ApiError 400 for two ways of saying where to begin */
function placeOf({ limit, offset, cursor, page, page_size: pageSize }: PagingQuery, size: number, seeks: boolean): Place {
  const byPage = page !== undefined || pageSize !== undefined;
  if (cursor !== undefined && offset !== undefined) throw invalid('cursor', 'stands instead of offset');
  if (byPage) {
    for (const [name, value] of Object.entries({ limit, offset, cursor })) {
      if (value !== undefined) throw invalid(name, 'cannot be combined with page and page_size');
    }
    const rows = pageSize ?? PAGE_SIZE;
    return { limit: rows, offset: ((page ?? 1) - 1) * rows, byPage };
  }
  return { limit: limit ?? size, offset: offset ?? (cursor === undefined || seeks ? 0 : Number(cursor)), byPage };
}

function listReply(call: Call<unknown, object>, { limit, offset, byPage }: Place, rows: readonly unknown[], total: number, cursor?: string) {
  const next = offset + rows.length < total ? offset + limit : undefined;
  const previous = offset > 0 ? Math.max(0, offset - limit) : undefined;
  const links = [
    ...(next === undefined ? [] : [`<${urlOf(call, cursor === undefined ? { limit, offset: next } : { limit, cursor })}>; rel="next"`]),
    ...(previous === undefined ? [] : [`<${urlOf(call, { limit, offset: previous })}>; rel="prev"`]),
  ];
  const headers = {
    'X-Total-Count': `${total}`,
    ...(links.length === 0 ? {} : { Link: links.join(', ') }),
    ...(next === undefined ? {} : { 'X-Next-Cursor': cursor ?? `${next}` }),
  };
  if (!byPage) return { status: 200 as const, body: [...rows], headers };
  const current = Math.floor(offset / limit) + 1;
  return {
    status: 200 as const,
    headers,
    body: {
      count: total,
      next: next === undefined ? null : urlOf(call, { page: current + 1, page_size: limit }),
      previous: previous === undefined ? null : urlOf(call, { page: current - 1, page_size: limit }),
      total_pages: Math.ceil(total / limit),
      current_page: current,
      results: [...rows],
    },
  };
}

const placeNames: ReadonlySet<string> = new Set<keyof PagingMembers>(['limit', 'offset', 'cursor', 'page', 'page_size']);

/** This list's own address with another place in it; filters stay. */
function urlOf(call: Call<unknown, object>, place: Readonly<Record<string, string | number>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(call.query)) if (!placeNames.has(name)) query.set(name, String(value));
  for (const [name, value] of Object.entries(place)) query.set(name, `${value}`);
  return `${call.req.url.split('?', 1)[0]}?${query.toString()}`;
}
