import type { AccessWindow } from '../../domain/device/events.ts';
import { isSealed, type Instant, type Sealed, type Uuid } from '../../domain/kernel.ts';
import type { RecordedOf } from '../../domain/events.ts';
import { defineProjection, defineTable, idOfStream, type Emit, type Rows } from '../projection.ts';

/** Access links and how often each was used. Their names are in `people`. */
interface LinkTableRow {
  readonly link_id: Uuid;
  readonly device_id: Uuid;
  readonly owner_id: Uuid;
  readonly assignment_id: Uuid;
  readonly token_hash: string;
  readonly token: Sealed | null;
  /** When it was made in the order of the log: an end of its assignment after that voids it. */
  readonly position: string;
  readonly created_at: Instant;
  readonly starts_at: Instant | null;
  readonly expires_at: Instant;
  readonly max_uses: number;
  readonly current_uses: number;
  readonly used_at: Instant | null;
  readonly revoked_at: Instant | null;
  /** An expiry once recorded stays, whatever the clock does. */
  readonly expiry_recorded: boolean;
  readonly deleted: boolean;
  readonly require_identity: boolean;
  readonly access_window: AccessWindow | null;
}

/** Who had the box when a link was made, and when links made under that were last voided: by an unlink or a suspension. */
interface AssignmentRow {
  readonly assignment_id: Uuid;
  readonly owner_id: Uuid;
  readonly void_position: string | null;
  readonly void_at: Instant | null;
}

/** Which link an unlock used, until it is certain whether the use counts. */
interface UseRow {
  readonly unlock_id: Uuid;
  readonly link_id: Uuid;
  /** Of the link: what becomes of a use that comes back depends on both. */
  readonly assignment_id: Uuid;
}

const tables = {
  links: defineTable<LinkTableRow>({
    name: 'links',
    key: 'link_id',
    columns: {
      link_id: 'uuid NOT NULL',
      device_id: 'uuid NOT NULL',
      owner_id: 'uuid NOT NULL',
      assignment_id: 'uuid NOT NULL',
      token_hash: 'text NOT NULL',
      token: 'jsonb',
      position: 'numeric(20, 0) NOT NULL',
      created_at: 'timestamptz NOT NULL',
      starts_at: 'timestamptz',
      expires_at: 'timestamptz NOT NULL',
      max_uses: 'integer NOT NULL',
      current_uses: 'integer NOT NULL',
      used_at: 'timestamptz',
      revoked_at: 'timestamptz',
      expiry_recorded: 'boolean NOT NULL',
      deleted: 'boolean NOT NULL',
      require_identity: 'boolean NOT NULL',
      access_window: 'jsonb',
    },
    indexes: ['(token_hash)', '(owner_id, created_at DESC, link_id)'],
  }),
  assignments: defineTable<AssignmentRow>({
    name: 'assignments',
    key: 'assignment_id',
    columns: { assignment_id: 'uuid NOT NULL', owner_id: 'uuid NOT NULL', void_position: 'numeric(20, 0)', void_at: 'timestamptz' },
    indexes: [],
  }),
  uses: defineTable<UseRow>({
    name: 'uses',
    key: 'unlock_id',
    columns: { unlock_id: 'uuid NOT NULL', link_id: 'uuid NOT NULL', assignment_id: 'uuid NOT NULL' },
    indexes: [],
  }),
};

type LinkRows = { readonly links: Rows<LinkTableRow>; readonly assignments: Rows<AssignmentRow>; readonly uses: Rows<UseRow> };

export const linksProjection = defineProjection({
  name: 'links',
  version: 3,
  categories: ['device'],
  tables,

  load(event, want, writes) {
    switch (event.type) {
      case 'DeviceAssigned':
        return writes.assignments(event.data.assignmentId);
      case 'LinkCreated':
        writes.links(event.data.linkId);
        return want.assignments(event.data.assignmentId);
      case 'DeviceUnlinked':
      case 'OwnerSuspended':
        return want.assignments(event.data.assignmentId);
      case 'LinkUpdated':
      case 'LinkRevoked':
      case 'LinkDeleted':
      case 'LinkExpired':
        return want.links(event.data.linkId);
      case 'UnlockRequested':
        writes.uses(event.data.unlockId);
        return event.data.cause.kind === 'link' ? want.links(event.data.cause.id) : undefined;
      case 'UnlockConfirmed':
      case 'UnlockFailed':
      case 'UnlockSettled':
      case 'UnlockCancelled':
      case 'UnlockExpired':
        return want.uses(event.data.unlockId);
      default:
        return undefined;
    }
  },

  loadMore(event, want, rows) {
    // What this batch makes has no row yet: what belongs to it was named with the event that makes it.
    const withAssignment = (link: LinkTableRow | undefined) => link !== undefined && want.assignments(link.assignment_id);
    switch (event.type) {
      case 'LinkUpdated':
      case 'LinkRevoked':
      case 'LinkDeleted':
      case 'LinkExpired':
        return void withAssignment(rows.links.get(event.data.linkId));
      case 'UnlockRequested':
        return void (event.data.cause.kind === 'link' && withAssignment(rows.links.get(event.data.cause.id)));
      case 'UnlockConfirmed':
      case 'UnlockFailed':
      case 'UnlockSettled':
      case 'UnlockCancelled':
      case 'UnlockExpired': {
        const use = rows.uses.get(event.data.unlockId);
        if (use === undefined) return undefined;
        want.links(use.link_id);
        return want.assignments(use.assignment_id);
      }
      default:
        return undefined;
    }
  },

  on: {
    DeviceAssigned({ data }, rows) {
      rows.assignments.put({ assignment_id: data.assignmentId, owner_id: data.userId, void_position: null, void_at: null });
    },
    DeviceUnlinked: (event, rows, emit) => endAll(rows, emit, event, 'unlinked'),
    OwnerSuspended: (event, rows, emit) => endAll(rows, emit, event, 'owner_suspended'),

    LinkCreated({ stream, data, position, metadata }, rows, emit) {
      const row: LinkTableRow = {
        link_id: data.linkId,
        device_id: idOfStream(stream),
        owner_id: rows.assignments.need(data.assignmentId).owner_id,
        assignment_id: data.assignmentId,
        token_hash: data.tokenHash,
        token: isSealed(data.token) ? data.token : null,
        position: String(position),
        created_at: metadata.occurredAt,
        starts_at: data.startsAt ?? null,
        expires_at: data.expiresAt,
        max_uses: data.maxUses,
        current_uses: 0,
        used_at: null,
        revoked_at: null,
        expiry_recorded: false,
        deleted: false,
        require_identity: data.requireIdentity,
        access_window: data.window ?? null,
      };
      rows.links.put(row);
      tell(rows, emit, row, 'created', metadata.occurredAt);
    },
    LinkUpdated({ data, metadata }, rows, emit) {
      const link = rows.links.need(data.linkId);
      const row = rows.links.update(data.linkId, {
        expires_at: data.expiresAt ?? link.expires_at,
        max_uses: data.maxUses ?? link.max_uses,
        require_identity: data.requireIdentity ?? link.require_identity,
        access_window: data.window === undefined ? link.access_window : data.window === 'always' ? null : data.window,
      });
      tell(rows, emit, row, 'updated', metadata.occurredAt);
    },
    LinkRevoked({ data, metadata }, rows, emit) {
      tell(rows, emit, rows.links.update(data.linkId, { revoked_at: metadata.occurredAt }), 'revoked', metadata.occurredAt);
    },
    LinkDeleted({ data, metadata }, rows, emit) {
      const at = metadata.occurredAt;
      const row = rows.links.update(data.linkId, { revoked_at: rows.links.need(data.linkId).revoked_at ?? at, deleted: true });
      tell(rows, emit, row, 'revoked', at);
    },
    LinkExpired({ data, metadata }, rows, emit) {
      tell(rows, emit, rows.links.update(data.linkId, { expiry_recorded: true }), 'expired', metadata.occurredAt);
    },

    UnlockRequested({ data, metadata }, rows, emit) {
      if (data.cause.kind !== 'link') return rows.uses.absent(data.unlockId);
      const { current_uses: uses, assignment_id: assignmentId } = rows.links.need(data.cause.id);
      rows.uses.put({ unlock_id: data.unlockId, link_id: data.cause.id, assignment_id: assignmentId });
      const row = rows.links.update(data.cause.id, { current_uses: uses + 1, used_at: metadata.occurredAt });
      tell(rows, emit, row, row.current_uses >= row.max_uses ? 'used' : 'updated', metadata.occurredAt);
    },
    UnlockConfirmed({ data, metadata }, rows, emit) {
      endUse(rows, emit, data.unlockId, { returned: false, openedAt: metadata.occurredAt }, metadata.occurredAt);
    },
    UnlockFailed({ data, metadata }, rows, emit) {
      endUse(rows, emit, data.unlockId, { returned: data.useReturned, openedAt: null }, metadata.occurredAt);
    },
    UnlockSettled({ data, metadata }, rows, emit) {
      const openedAt = data.outcome === 'opened' ? metadata.occurredAt : null;
      endUse(rows, emit, data.unlockId, { returned: data.useReturned, openedAt }, metadata.occurredAt);
    },
    UnlockCancelled({ data, metadata }, rows, emit) {
      endUse(rows, emit, data.unlockId, { returned: true, openedAt: null }, metadata.occurredAt);
    },
    UnlockExpired({ data, metadata }, rows, emit) {
      endUse(rows, emit, data.unlockId, { returned: true, openedAt: null }, metadata.occurredAt);
    },
  },
});

/** The outcome of an unlock is certain: its use counts for good, or comes back. */
function endUse(
  rows: LinkRows,
  emit: Emit,
  unlockId: Uuid,
  { returned, openedAt }: { readonly returned: boolean; readonly openedAt: Instant | null },
  at: Instant,
): void {
  const use = rows.uses.get(unlockId);
  if (use === undefined) return;
  rows.uses.delete(unlockId);
  const link = rows.links.need(use.link_id);
  if (returned) tell(rows, emit, rows.links.update(use.link_id, { current_uses: link.current_uses - 1 }), 'updated', at);
  else if (openedAt !== null) rows.links.update(use.link_id, { used_at: openedAt });
}

/**
 * Everything that was made under this assignment until now ends at once. One word for all of it: there may be thousands, of
 * which this knows none. Who listens for one link looks at that one.
 */
function endAll(
  { assignments }: LinkRows,
  emit: Emit,
  { stream, data: { assignmentId }, position, metadata: { occurredAt: at } }: Pick<RecordedOf<'DeviceUnlinked' | 'OwnerSuspended'>, 'stream' | 'data' | 'position' | 'metadata'>,
  reason: 'unlinked' | 'owner_suspended',
): void {
  const { owner_id: ownerId } = assignments.update(assignmentId, { void_position: String(position), void_at: at });
  const deviceId = idOfStream(stream);
  emit([`device:${deviceId}`, `user:${ownerId}`], 'links_revoked', { device_id: deviceId, assignment_id: assignmentId, reason, timestamp: at });
}

function tell({ assignments }: LinkRows, emit: Emit, row: LinkTableRow, change: 'created' | 'updated' | 'used' | 'expired' | 'revoked', at: Instant): void {
  // Nobody can have listened to a link before it was there.
  emit([change === 'created' ? undefined : `link:${row.link_id}`, `user:${row.owner_id}`], 'link_update', {
    link_id: row.link_id,
    device_id: row.device_id,
    status: statusAfter(row, assignments.need(row.assignment_id)),
    change,
    usage_count: row.current_uses,
    max_uses: row.max_uses,
    timestamp: at,
  });
}

/** In the order of the query, as far as rows tell it. A use that comes back to a link that has ended does not bring it back. */
function statusAfter(link: LinkTableRow, { void_position: voidPosition, void_at: voidAt }: AssignmentRow): 'active' | 'used' | 'expired' | 'revoked' {
  if (link.revoked_at !== null) return 'revoked';
  if (link.current_uses >= link.max_uses) return 'used';
  if (link.expiry_recorded) return 'expired';
  if (voidPosition === null || voidAt === null || BigInt(voidPosition) < BigInt(link.position)) return 'active';
  return link.expires_at <= voidAt ? 'expired' : 'revoked';
}
