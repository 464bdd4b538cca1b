import type { Page } from '../projections/read-models.ts';
import type { Call } from './call.ts';

export interface PagingQuery {
  readonly limit?: number;
  readonly offset?: number;
  readonly page?: number;
  readonly page_size?: number;
}

export interface Paging extends Page {
  /** True where the caller asked by page and gets the envelope. */
  readonly byPage: boolean;
}

export function pagingOf(query: PagingQuery, defaultLimit: number): Paging {
  if (query.page === undefined && query.page_size === undefined) {
    return { limit: query.limit ?? defaultLimit, offset: query.offset ?? 0, byPage: false };
  }
  const limit = query.page_size ?? 20;
  return { limit, offset: ((query.page ?? 1) - 1) * limit, byPage: true };
}

/** The answer of every list: bare array with headers, or the envelope. */
export function listReply<Row>(call: Call<unknown, object>, { limit, offset, byPage }: Paging, rows: readonly Row[], total: number) {
  const next = offset + rows.length < total ? offset + limit : undefined;
  const previous = offset > 0 ? Math.max(0, offset - limit) : undefined;
  const links = [
    ...(next === undefined ? [] : [`<${urlOf(call, { limit, offset: next })}>; rel="next"`]),
    ...(previous === undefined ? [] : [`<${urlOf(call, { limit, offset: previous })}>; rel="prev"`]),
  ];
  const headers = {
    'X-Total-Count': `${total}`,
    ...(links.length === 0 ? {} : { Link: links.join(', ') }),
    ...(next === undefined ? {} : { 'X-Next-Cursor': `${next}` }),
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

/** This list's own address with another place in it; filters stay. */
function urlOf(call: Call<unknown, object>, place: Readonly<Record<string, number>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...call.query, limit: undefined, offset: undefined, page: undefined, page_size: undefined, ...place })) {
    if (value !== undefined) query.set(name, String(value));
  }
  return `${call.req.url.split('?', 1)[0]}?${query.toString()}`;
}
