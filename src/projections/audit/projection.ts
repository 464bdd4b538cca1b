import { isSealed, type Instant, type Uuid } from '../../domain/kernel.ts';
import type { RecordedEvent } from '../../platform/event-store/port.ts';
import { categoryOfStream, defineProjection, defineTable, idOfStream } from '../projection.ts';
import type { AuditRow } from '../read-models.ts';
import { actionOf, outcomeOf } from './actions.ts';
import { wordsOfUnknown } from './summary.ts';
import { wordsOfData } from './words.ts';

/**
 * Every event as one line. It is read as it is stored, for the audit log must not depend on knowing a type; what was sealed
 * is left out, so that no erasure has to reach it.
 */
interface AuditTableRow {
  readonly position: string;
  readonly event_id: Uuid;
  readonly type: string;
  readonly action: string;
  readonly outcome: AuditRow['outcome'];
  readonly actor_kind: string;
  readonly actor_id: string;
  readonly source: string;
  readonly device_id: Uuid | null;
  readonly link_id: Uuid | null;
  readonly user_id: Uuid | null;
  readonly unlock_id: Uuid | null;
  readonly occurred_at: Instant;
  readonly recorded_at: Instant;
  readonly command_id: Uuid;
  readonly correlation_id: Uuid;
  readonly causation_id: Uuid;
  readonly stream: string;
  readonly revision: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export const SELDOM = { actor_kind: ['admin', 'courier'], source: ['web_dashboard', 'scheduled_task', 'http_device'] } as const;

const audit = defineTable<AuditTableRow>({
  name: 'audit',
  key: 'position',
  kind: 'append',
  columns: {
    position: 'numeric(20, 0) NOT NULL',
    event_id: 'uuid NOT NULL',
    type: 'text NOT NULL',
    action: 'text NOT NULL',
    outcome: 'text NOT NULL',
    actor_kind: 'text NOT NULL',
    actor_id: 'text NOT NULL',
    source: 'text NOT NULL',
    device_id: 'uuid',
    link_id: 'uuid',
    user_id: 'uuid',
    unlock_id: 'uuid',
    occurred_at: 'timestamptz NOT NULL',
    recorded_at: 'timestamptz NOT NULL',
    command_id: 'uuid NOT NULL',
    correlation_id: 'uuid NOT NULL',
    causation_id: 'uuid NOT NULL',
    stream: 'text NOT NULL',
    revision: 'numeric(20, 0) NOT NULL',
    data: 'json NOT NULL',
  },
  indexes: [
    '(device_id, position) WHERE device_id IS NOT NULL',
    '(user_id, position) WHERE user_id IS NOT NULL',
    '(link_id, position) WHERE link_id IS NOT NULL',
    '(unlock_id, position) WHERE unlock_id IS NOT NULL',
    '(actor_id, position)',
    '(correlation_id, position)',
    '(action, position)',
    '(occurred_at, position)',
    // Who acts seldom, and from where: of anyone else the newest are found by looking at the newest of all.
    `(actor_kind, position) WHERE actor_kind IN (${SELDOM.actor_kind.map((kind) => `'${kind}'`).join(', ')})`,
    `(source, position) WHERE source IN (${SELDOM.source.map((source) => `'${source}'`).join(', ')})`,
  ],
});

/** A word of an event's own texts, with the event's position. */
interface WordRow {
  /** `link_expired 00000000000000012345`: in order, the events of a word are in the order of the log. */
  readonly entry: string;
}

/** What the log is searched by beside the columns: an event whose texts say nothing new has no row here. */
const words = defineTable<WordRow>({
  name: 'words',
  key: 'entry',
  kind: 'append',
  columns: { entry: 'text COLLATE "C" NOT NULL' },
  indexes: [],
});

export const wordEntry = (word: string, position: bigint | string): string => `${word} ${String(position).padStart(20, '0')}`;

export const auditProjection = defineProjection({
  name: 'audit',
  version: 2,
  group: 'background',
  categories: [],
  tables: { audit, words },
  on: {},
  every(event, rows) {
    const row = rowOf(event);
    rows.audit.put(row);
    for (const word of new Set([...wordsOfUnknown(row.type), ...wordsOfData(row.data)])) rows.words.put({ entry: wordEntry(word, row.position) });
  },
});

/** Of no use to a reader, and better not shown to one: what a token or a PIN is compared by. */
const LEFT_OUT: ReadonlySet<string> = new Set(['tokenHash', 'pinTag']);

const NIL = '00000000-0000-0000-0000-000000000000';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function rowOf(event: RecordedEvent): AuditTableRow {
  const { stream, type, recordedAt } = event;
  // A type of another program may hold anything: nothing of it is taken for granted.
  const metadata = record(event.metadata);
  const actor = record(metadata['actor']);
  const data = record(event.data);
  const cause = record(data['cause']);
  const target = record(data['target']);
  const targeted = (kind: string) => (target['kind'] === kind ? uuid(target['id']) : null);
  const category = categoryOfStream(stream);
  const actorKind = text(actor['kind']) ?? 'system';
  const actorId = text(actor['id']) ?? '';
  return {
    position: String(event.position),
    event_id: event.eventId,
    type,
    action: actionOf(type),
    outcome: outcomeOf(type),
    actor_kind: actorKind,
    actor_id: actorId,
    source: text(metadata['source']) ?? 'system',
    device_id: (category === 'device' ? uuid(idOfStream(stream)) : null) ?? uuid(data['deviceId']) ?? targeted('device'),
    link_id: uuid(data['linkId']) ?? (cause['kind'] === 'link' ? uuid(cause['id']) : null) ?? targeted('link'),
    user_id:
      (category === 'user' ? uuid(idOfStream(stream)) : null) ??
      uuid(data['userId']) ??
      (cause['kind'] === 'owner' || cause['kind'] === 'admin' ? uuid(cause['id']) : null) ??
      targeted('user') ??
      (actorKind === 'user' || actorKind === 'admin' ? uuid(actorId) : null),
    unlock_id: uuid(data['unlockId']) ?? targeted('unlock'),
    occurred_at: time(metadata['occurredAt']) ?? recordedAt,
    recorded_at: recordedAt,
    command_id: uuid(metadata['commandId']) ?? NIL,
    correlation_id: uuid(metadata['correlationId']) ?? NIL,
    causation_id: uuid(metadata['causationId']) ?? NIL,
    stream,
    revision: String(event.revision),
    data: withoutSealed(data),
  };
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
const uuid = (value: unknown) => (typeof value === 'string' && UUID.test(value) ? value : null);
const time = (value: unknown) => (typeof value === 'string' && !Number.isNaN(Date.parse(value)) ? value : undefined);

function withoutSealed(data: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(data)) {
    if (LEFT_OUT.has(name) || isSealed(value)) continue;
    kept[name] = typeof value === 'object' && value !== null && !Array.isArray(value) ? withoutSealed(value as Record<string, unknown>) : value;
  }
  return kept;
}
