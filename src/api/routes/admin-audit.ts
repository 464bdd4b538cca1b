import { Type } from 'typebox';
import type { AuditExportFilters } from '../../domain/user/events.ts';
import type { AuditFilter, AuditRow, AuditSearched } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import { auditExport, contentTypeOf, exportFormats, releasing } from '../audit-export.ts';
import { invalid, notFound } from '../errors.ts';
import { listRoute } from '../paging.ts';
import { admin, route, type Route } from '../route.ts';
import { AuditEntry, AuditEntryWithCauses, AuditSearch } from '../schemas/admin.ts';
import { Closed, Id } from '../schemas/common.ts';
import { instantFrom, rangeOf } from '../time.ts';
import { auditView } from '../views.ts';

export const adminAuditRoutes: readonly Route[] = [
  listRoute({
    id: 'auditLog',
    tag: 'admin',
    summary: 'Who did what, on what, when, and because of what',
    path: '/admin/logs/audit',
    access: admin('audit:read'),
    filters: AuditSearch,
    row: AuditEntry,
    size: 100,
    most: 1_000,
    cursorOf: ({ position }) => position,
  })(async (call, api, page) => {
    const { rows, total, atLeast, ...searched } = await api.deps.reads.audit.list(auditFilter(api, call.query), page);
    return { rows: rows.map((row) => auditView(row, api.positions.encode(row.position))), total, headers: { ...(atLeast ? { 'Loqey-Count': 'at_least' } : {}), ...searchHeaders(searched) } };
  }),

  route({
    id: 'exportAuditLog',
    tag: 'admin',
    summary: 'The audit log as a file, oldest first, up to what it had when it was asked for; for spreadsheets (CSV) or programs (NDJSON)',
    method: 'GET',
    path: '/admin/logs/audit/export',
    access: admin('audit:read'),
    query: Closed({ format: Type.Enum([...exportFormats], { description: '`csv` has the mark of UTF-8 at its beginning, and an apostrophe before what a spreadsheet would take for a formula; `ndjson` has one entry of the list on each line.' }), ...AuditSearch }),
    replies: { 200: Type.String({ description: 'A file that grows as it is read. Where it ends before its time the connection is cut.' }) },
    contentTypes: exportFormats.map((format) => contentTypeOf[format]),
    errors: [429],
  })(async (call, api) => {
    const { format, ...query } = call.query;
    const filter = auditFilter(api, query);
    const { audit } = api.deps.reads;
    const release = api.exports.take(call.who.userId);
    try {
      const until = await audit.head();
      const { pieces, ...searched } = await audit.pages(filter, until);
      // Written down before the first byte leaves: what was sent cannot be called back. HEAD sends none.
      if (call.req.method !== 'HEAD') await api.execute(call, { type: 'StartAuditExport', data: { userId: call.who.userId, format, upTo: String(until), filters: recordedFilters(filter) } });
      const name = `audit-${new Date(api.deps.clock.now()).toISOString().slice(0, 19).replaceAll(':', '')}.${format}`;
      return {
        status: 200 as const,
        body: releasing(auditExport(pieces, format, api.positions), release) as unknown as string,
        contentType: contentTypeOf[format],
        headers: { 'Content-Disposition': `attachment; filename="${name}"`, ...searchHeaders(searched) },
      };
    } catch (error) {
      release();
      throw error;
    }
  }),

  route({
    id: 'auditEntry',
    tag: 'admin',
    summary: 'One entry of the audit log with what led to it and what came of it',
    method: 'GET',
    path: '/admin/logs/audit/{event_id}',
    access: admin('audit:read'),
    params: Closed({ event_id: Id }),
    replies: { 200: AuditEntryWithCauses },
    errors: [404],
  })(async (call, api) => {
    const entry = await api.deps.reads.audit.byEvent(call.params.event_id);
    if (entry === undefined) throw notFound('Audit entry not found');
    const chain = await api.deps.reads.audit.chain(entry.correlationId);
    const view = (row: AuditRow) => auditView(row, api.positions.encode(row.position));
    return { status: 200, body: { entry: view(entry), causes: causesOf(entry, chain).map(view), chain: chain.map(view) } };
  }),
];

function searchHeaders({ partial, namedSince }: AuditSearched): Readonly<Record<string, string>> {
  return { ...(partial ? { 'Loqey-Search': 'partial' } : {}), ...(namedSince === undefined ? {} : { 'Loqey-Search-Since': namedSince }) };
}

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

/** What the log keeps of a filter, in clear and for ever. */
function recordedFilters({ q, action, types, ip, actorId, before, after, until: _until, ...listed }: AuditFilter): AuditExportFilters {
  const typed = { q, action, types, ip };
  const given = Object.entries(typed).filter(([, value]) => value !== undefined);
  return {
    ...Object.fromEntries(given.map(([name]) => [name, true] as const)),
    ...(actorId === undefined ? {} : { actorId: UUID.test(actorId) ? actorId : true }),
    ...listed,
    ...(after === undefined ? {} : { after: String(after) }),
    ...(before === undefined ? {} : { before: String(before) }),
  };
}

/** From the first cause on. What it names is the event that led to it, or the command: then that command's first event. */
function causesOf(entry: AuditRow, chain: readonly AuditRow[]): readonly AuditRow[] {
  const causes: AuditRow[] = [];
  for (let at = entry; ; ) {
    const { causationId, position, commandId } = at;
    const cause = chain.find((row) => row.position < position && (row.eventId === causationId || (row.commandId === causationId && row.commandId !== commandId)));
    if (cause === undefined) return causes.reverse();
    causes.push(cause);
    at = cause;
  }
}

export interface AuditQueryValues {
  readonly q?: string;
  readonly named_before?: string;
  readonly action?: string;
  readonly type?: string;
  readonly device_id?: string;
  readonly user_id?: string;
  readonly link_id?: string;
  readonly unlock_id?: string;
  readonly correlation_id?: string;
  readonly outcome?: AuditRow['outcome'];
  readonly date_from?: string;
  readonly date_to?: string;
  readonly actor?: string;
  readonly actor_kind?: string;
  readonly source?: string;
  readonly ip?: string;
  readonly before?: string;
  readonly after?: string;
  readonly cursor?: string;
}

/** @throws ApiError 400 */
export function auditFilter(api: Pick<Api, 'positions' | 'deps'>, query: AuditQueryValues): AuditFilter {
  const position = (name: 'before' | 'after' | 'cursor') => {
    const token = query[name];
    if (token === undefined) return {};
    const decoded = api.positions.decode(token);
    if (decoded === undefined) throw invalid(name, 'is not a position of this log');
    if (name !== 'cursor') return { [name]: decoded };
    // Newest first goes on backwards; what came after a place goes on forwards.
    return query.after === undefined ? { before: decoded } : { after: decoded };
  };
  return {
    ...(query.q === undefined ? {} : { q: query.q }),
    ...(query.named_before === undefined ? {} : { namedBefore: instantFrom(query.named_before) }),
    ...(query.action === undefined ? {} : { action: query.action }),
    ...(query.type === undefined ? {} : { types: query.type.split(',') }),
    ...(query.actor === undefined ? {} : { actorId: query.actor.toLowerCase() }),
    ...(query.actor_kind === undefined ? {} : { actorKind: query.actor_kind }),
    ...(query.source === undefined ? {} : { source: query.source }),
    ...(query.ip === undefined ? {} : { ip: query.ip }),
    ...(query.device_id === undefined ? {} : { deviceId: query.device_id.toLowerCase() }),
    ...(query.user_id === undefined ? {} : { userId: query.user_id.toLowerCase() }),
    ...(query.link_id === undefined ? {} : { linkId: query.link_id.toLowerCase() }),
    ...(query.unlock_id === undefined ? {} : { unlockId: query.unlock_id.toLowerCase() }),
    ...(query.correlation_id === undefined ? {} : { correlationId: query.correlation_id.toLowerCase() }),
    ...(query.outcome === undefined ? {} : { outcome: query.outcome }),
    ...rangeOf(query),
    ...position('before'),
    ...position('after'),
    ...position('cursor'),
  };
}
