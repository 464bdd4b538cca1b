import type { AuditFilter, AuditRow } from '../../projections/read-models.ts';
import type { Api } from '../api.ts';
import { invalid } from '../errors.ts';
import { listRoute } from '../paging.ts';
import { admin, type Route } from '../route.ts';
import { AuditEntry, AuditQuery } from '../schemas/admin.ts';
import { rangeOf } from '../time.ts';
import { auditView } from '../views.ts';

export const adminAuditRoutes: readonly Route[] = [
  listRoute({
    id: 'auditLog',
    tag: 'admin',
    summary: 'Who did what, on what, when, and because of what',
    path: '/admin/logs/audit',
    access: admin('audit:read'),
    filters: AuditQuery,
    row: AuditEntry,
    size: 100,
    most: 1_000,
    cursorOf: ({ position }) => position,
  })(async (call, api, page) => {
    const { rows, total } = await api.deps.reads.audit.list(filterOf(api, call.query), page);
    return { rows: rows.map((row) => auditView(row, api.positions.encode(row.position))), total };
  }),
];

interface AuditQueryValues {
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

function filterOf(api: Api, query: AuditQueryValues): AuditFilter {
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
