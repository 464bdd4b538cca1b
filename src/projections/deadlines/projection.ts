import type { DeviceCommand } from '../../domain/device/commands.ts';
import { deadlinesOf } from '../../domain/device/deadlines.ts';
import type { Recorded } from '../../domain/events.ts';
import type { Instant } from '../../domain/kernel.ts';
import { defineProjection, defineTable, idOfStream, type Emit, type Rows } from '../projection.ts';

/** What falls due, and the command to send then. The domain says what sets and clears it. */
interface DeadlineTableRow {
  readonly key: string;
  /** The key up to its last colon: deadlines that are cleared together. */
  readonly prefix: string;
  readonly due_at: Instant;
  readonly stream: string;
  readonly command: DeviceCommand;
}

const deadlines = defineTable<DeadlineTableRow>({
  name: 'deadlines',
  key: 'key',
  group: 'prefix',
  columns: { key: 'text NOT NULL', prefix: 'text NOT NULL', due_at: 'timestamptz NOT NULL', stream: 'text NOT NULL', command: 'jsonb NOT NULL' },
  indexes: ['(due_at, key)', `(prefix) WHERE prefix <> 'unlock:'`],
});

/** Whoever waits for deadlines sleeps five seconds at most and looks again: of what is further away nobody needs to hear. */
const TOLD_WITHIN_MS = 60_000;

const prefixOf = (key: string) => key.slice(0, key.lastIndexOf(':') + 1);

type DeadlineRows = { readonly deadlines: Rows<DeadlineTableRow> };

function apply(event: Recorded, rows: DeadlineRows, emit: Emit): void {
  for (const change of deadlinesOf(idOfStream(event.stream), event)) {
    switch (change.kind) {
      case 'set':
        rows.deadlines.put({ key: change.key, prefix: prefixOf(change.key), due_at: change.dueAt, stream: event.stream, command: change.command });
        if (Date.parse(change.dueAt) - Date.parse(event.metadata.occurredAt) < TOLD_WITHIN_MS) emit(['deadlines'], 'deadline_set', { due_at: change.dueAt });
        break;
      case 'postpone': {
        const { due_at: due } = rows.deadlines.need(change.key);
        rows.deadlines.update(change.key, { due_at: new Date(Date.parse(due) + change.byMs).toISOString() });
        break;
      }
      case 'clear':
        rows.deadlines.delete(change.key);
        break;
      case 'clear_all':
        rows.deadlines.deleteGroup(change.prefix);
        break;
    }
  }
}

export const deadlinesProjection = defineProjection({
  name: 'deadlines',
  version: 1,
  categories: ['device'],
  tables: { deadlines },
  load(event, want, writes) {
    if (!event.stream.startsWith('device-')) return;
    for (const change of deadlinesOf(idOfStream(event.stream), event)) {
      if (change.kind === 'set') writes.deadlines(change.key);
      if (change.kind === 'postpone') want.deadlines(change.key);
    }
  },
  on: {
    UnlockRequested: apply,
    UnlockDispatched: apply,
    UnlockConfirmed: apply,
    UnlockFailed: apply,
    UnlockOutcomeUnknown: apply,
    UnlockCancelled: apply,
    UnlockExpired: apply,
    LinkCreated: apply,
    LinkUpdated: apply,
    LinkRevoked: apply,
    LinkDeleted: apply,
    LinkExpired: apply,
    DeviceUnlinked: apply,
    OwnerSuspended: apply,
  },
});
