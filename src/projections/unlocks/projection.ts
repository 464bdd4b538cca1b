import type { UnlockCause } from '../../domain/device/events.ts';
import type { Instant, Uuid } from '../../domain/kernel.ts';
import { defineProjection, defineTable, idOfStream, type Emit, type RowsOf } from '../projection.ts';
import type { UnlockState } from '../read-models.ts';

/** Every request to open, from tap to bolt; those of couriers are the deliveries. Who the courier was is in `people`. */
interface UnlockTableRow {
  readonly unlock_id: Uuid;
  readonly device_id: Uuid;
  readonly owner_id: Uuid | null;
  readonly cause_kind: UnlockCause['kind'];
  readonly cause_id: Uuid;
  readonly state: UnlockState;
  readonly use_returned: boolean;
  /** A code. What an administrator said is in `people`; older events had it in clear, and then it is here. */
  readonly reason: string | null;
  readonly requested_at: Instant;
  readonly expires_at: Instant;
  readonly dispatched_at: Instant | null;
  readonly published_at: Instant | null;
  readonly acknowledged_at: Instant | null;
  readonly opened_at: Instant | null;
  readonly ended_at: Instant | null;
  readonly correlation_id: Uuid;
}

/** Deliveries of a quarter of an hour: every time zone's days and hours begin with one. */
interface SlotRow {
  readonly slot: Instant;
  readonly attempted: number;
  readonly completed: number;
}

/** Whose box it was under which assignment. */
interface AssignmentRow {
  readonly assignment_id: Uuid;
  readonly owner_id: Uuid;
}

const tables = {
  unlocks: defineTable<UnlockTableRow>({
    name: 'unlocks',
    key: 'unlock_id',
    columns: {
      unlock_id: 'uuid NOT NULL',
      device_id: 'uuid NOT NULL',
      owner_id: 'uuid',
      cause_kind: 'text NOT NULL',
      cause_id: 'uuid NOT NULL',
      state: 'text NOT NULL',
      use_returned: 'boolean NOT NULL',
      reason: 'text',
      requested_at: 'timestamptz NOT NULL',
      expires_at: 'timestamptz NOT NULL',
      dispatched_at: 'timestamptz',
      published_at: 'timestamptz',
      acknowledged_at: 'timestamptz',
      opened_at: 'timestamptz',
      ended_at: 'timestamptz',
      correlation_id: 'uuid NOT NULL',
    },
    indexes: [
      '(owner_id, requested_at DESC, unlock_id DESC)',
      '(cause_id, requested_at DESC, unlock_id DESC)',
      `(opened_at) WHERE cause_kind = 'link' AND opened_at IS NOT NULL`,
    ],
  }),
  assignments: defineTable<AssignmentRow>({
    name: 'assignments',
    key: 'assignment_id',
    columns: { assignment_id: 'uuid NOT NULL', owner_id: 'uuid NOT NULL' },
    indexes: [],
  }),
  slots: defineTable<SlotRow>({
    name: 'slots',
    key: 'slot',
    columns: { slot: 'timestamptz NOT NULL', attempted: 'integer NOT NULL', completed: 'integer NOT NULL' },
    indexes: [],
  }),
};

type UnlockRows = RowsOf<typeof tables>;

export const unlocksProjection = defineProjection({
  name: 'unlocks',
  version: 2,
  categories: ['device'],
  tables,

  load(event, want, writes) {
    switch (event.type) {
      case 'DeviceAssigned':
        return writes.assignments(event.data.assignmentId);
      case 'UnlockRequested':
        writes.unlocks(event.data.unlockId);
        if (event.data.assignmentId !== undefined) want.assignments(event.data.assignmentId);
        return event.data.cause.kind === 'link' ? want.slots(slotOf(event.metadata.occurredAt)) : undefined;
      case 'UnlockConfirmed':
      case 'UnlockSettled':
        want.slots(slotOf(event.metadata.occurredAt));
        return want.unlocks(event.data.unlockId);
      case 'UnlockDispatched':
      case 'UnlockPublished':
      case 'UnlockAcknowledged':
      case 'UnlockFailed':
      case 'UnlockOutcomeUnknown':
      case 'UnlockCancelled':
      case 'UnlockExpired':
        return want.unlocks(event.data.unlockId);
      default:
        return undefined;
    }
  },

  on: {
    DeviceAssigned: ({ data }, rows) => rows.assignments.put({ assignment_id: data.assignmentId, owner_id: data.userId }),

    UnlockRequested({ stream, data, metadata }, rows, emit) {
      const row: UnlockTableRow = {
        unlock_id: data.unlockId,
        device_id: idOfStream(stream),
        owner_id: data.assignmentId === undefined ? null : rows.assignments.need(data.assignmentId).owner_id,
        cause_kind: data.cause.kind,
        cause_id: data.cause.id,
        state: 'requested',
        use_returned: false,
        reason: typeof data.reason === 'string' ? data.reason : null,
        requested_at: metadata.occurredAt,
        expires_at: data.expiresAt,
        dispatched_at: null,
        published_at: null,
        acknowledged_at: null,
        opened_at: null,
        ended_at: null,
        correlation_id: metadata.correlationId,
      };
      rows.unlocks.put(row);
      if (row.cause_kind === 'link') count(rows, metadata.occurredAt, 'attempted');
      tell(emit, row, metadata.occurredAt);
    },
    UnlockDispatched({ data, metadata: { occurredAt: at } }, rows, emit) {
      advance(rows, emit, data.unlockId, at, { state: 'dispatched', dispatched_at: at });
    },
    UnlockPublished({ data, metadata: { occurredAt: at } }, rows, emit) {
      advance(rows, emit, data.unlockId, at, { state: 'published', published_at: data.publishedAt ?? at });
    },
    UnlockAcknowledged({ data, metadata: { occurredAt: at } }, rows, emit) {
      advance(rows, emit, data.unlockId, at, { state: 'acknowledged', acknowledged_at: at });
    },
    UnlockConfirmed({ data, metadata: { occurredAt: at } }, rows, emit) {
      advance(rows, emit, data.unlockId, at, { state: 'opened', opened_at: at, ended_at: at });
    },
    UnlockFailed({ data, metadata: { occurredAt: at } }, rows, emit) {
      advance(rows, emit, data.unlockId, at, { state: 'failed', reason: data.reason, use_returned: data.useReturned, ended_at: at });
    },
    /** Not an end: the use counts, and a later report may settle it. */
    UnlockOutcomeUnknown({ data, metadata: { occurredAt: at } }, rows, emit) {
      advance(rows, emit, data.unlockId, at, { state: 'unknown', reason: data.reason });
    },
    UnlockSettled({ data, metadata: { occurredAt: at } }, rows, emit) {
      const opened = data.outcome === 'opened';
      advance(rows, emit, data.unlockId, at, {
        state: opened ? 'opened' : 'failed',
        reason: data.reason ?? (typeof data.remark === 'string' ? data.remark : opened ? null : 'not_opened'),
        use_returned: data.useReturned,
        opened_at: opened ? at : null,
        ended_at: at,
      });
    },
    UnlockCancelled({ data, metadata: { occurredAt: at } }, rows, emit) {
      advance(rows, emit, data.unlockId, at, { state: 'cancelled', reason: data.reason, use_returned: true, ended_at: at });
    },
    UnlockExpired({ data, metadata: { occurredAt: at } }, rows, emit) {
      advance(rows, emit, data.unlockId, at, { state: 'expired', use_returned: true, ended_at: at });
    },
  },
});

function advance(rows: UnlockRows, emit: Emit, unlockId: Uuid, at: Instant, change: Partial<UnlockTableRow>): void {
  const row = rows.unlocks.update(unlockId, change);
  if (row.cause_kind === 'link' && row.opened_at === at) count(rows, at, 'completed');
  tell(emit, row, at);
}

function count(rows: UnlockRows, at: Instant, what: 'attempted' | 'completed'): void {
  const slot = slotOf(at);
  const { attempted, completed } = rows.slots.get(slot) ?? { attempted: 0, completed: 0 };
  rows.slots.put({ slot, attempted, completed, ...(what === 'attempted' ? { attempted: attempted + 1 } : { completed: completed + 1 }) });
}

/** The quarter of an hour that an instant is in. */
function slotOf(at: Instant): Instant {
  const quarter = Math.floor(Number(at.slice(14, 16)) / 15) * 15;
  return `${at.slice(0, 14)}${String(quarter).padStart(2, '0')}:00.000Z`;
}

function tell(emit: Emit, row: UnlockTableRow, at: Instant): void {
  const link = row.cause_kind === 'link' ? row.cause_id : undefined;
  const topics = [
    `unlock:${row.unlock_id}`,
    `device:${row.device_id}`,
    link === undefined ? undefined : `link:${link}`,
    row.owner_id === null ? undefined : `user:${row.owner_id}`,
  ];
  emit(topics, 'unlock_progress', {
    unlock_id: row.unlock_id,
    device_id: row.device_id,
    cause: row.cause_kind,
    ...(link === undefined ? {} : { link_id: link }),
    status: row.state,
    reason: row.reason,
    use_returned: row.use_returned,
    expires_at: row.expires_at,
    timestamp: at,
  });
}
