import type { KeyObject } from 'node:crypto';
import { erasedOf, type CarryOut, type Erased, type ErasureVault } from '../../commands/erasure.ts';
import type { Aggregates } from '../../commands/handle.ts';
import { userSubject } from '../../domain/codec.ts';
import type { RecordedOf } from '../../domain/events.ts';
import type { Uuid } from '../../domain/kernel.ts';
import { recordedOf, userAggregate } from '../../domain/registry.ts';
import type { UserState } from '../../domain/user/state.ts';
import type { EventStore } from '../../platform/event-store/port.ts';
import { derivedCommandId } from '../../platform/ids.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Database } from '../../platform/postgres/db.ts';
import type { Sealer } from '../../platform/vault/sealer.ts';
import { forgetSubjects } from '../../projections/people/retention.ts';
import type { JobRun } from '../runner.ts';
import { trusted, type ErasureLedger } from './notary.ts';
import type { ErasureBook } from './records.ts';

export interface ErasureCheckDeps {
  readonly store: Pick<EventStore, 'readAll'>;
  readonly bus: Pick<Aggregates, 'execute' | 'load'>;
  readonly db: Database;
  readonly sealer: Pick<Sealer, 'living'>;
  readonly vault: ErasureVault;
  readonly credentials: { holding(userIds: readonly Uuid[]): Promise<readonly Uuid[]> };
  readonly book: ErasureBook;
  readonly ledger: Pick<ErasureLedger, 'read'>;
  readonly publicKey: KeyObject;
  readonly logId: Uuid;
  readonly carryOut: CarryOut;
  readonly logger: Logger;
}

const BATCH = 500;
/** For so long it is looked for what came late: a row that was opened before its key was destroyed and written after. */
const AFTERCARE_HOURS = 24;

/**
 * Holds what is there against what was erased: a backup that was restored may have brought keys, passwords or rows back, or
 * a log that does not know of an erasure. Whatever came back goes again. At each start, and from time to time.
 */
export function erasureCheck(deps: ErasureCheckDeps): JobRun {
  const { store, sealer, book, db, carryOut } = deps;
  const logger = deps.logger.child({ component: 'erasures' });

  async function applyLedger(signal: AbortSignal): Promise<number> {
    const { receipts, strange } = trusted(await deps.ledger.read(), deps.publicKey, deps.logId);
    if (strange > 0) logger.warn({ receipts: strange }, 'The ledger of erasures has receipts of another log or another key; they are passed over');
    let again = 0;
    for (const receipt of receipts) {
      signal.throwIfAborted();
      if (await applied(receipt.subject.slice('user:'.length), receipt.event.id, receipt.requested_by)) again++;
    }
    return again;
  }

  /** True: this log did not know of it. */
  async function applied(userId: Uuid, receiptOf: Uuid, requestedBy: 'owner' | 'admin'): Promise<boolean> {
    const { state } = await deps.bus.load<UserState>(userAggregate, userId);
    if (state.kind === 'unregistered') {
      // The log ends before the person came: the vault may be younger.
      if ((await sealer.living([userSubject(userId)])).length === 0) return false;
      await deps.vault.destroyKeys([userSubject(userId)]);
      await deps.vault.forgetCredentials(userId);
      return true;
    }
    if (state.erased) return false;
    const commandId = derivedCommandId('erasure-ledger', receiptOf);
    await deps.bus.execute(
      { type: 'EraseSubject', data: { userId, requestedBy } },
      { commandId, correlationId: commandId, actor: { kind: 'system', id: 'erasure-ledger' }, source: 'system' },
    );
    logger.warn({ userId }, 'An erasure that the restored log did not know of was carried out again');
    return true;
  }

  async function* erasedInLog(): AsyncGenerator<Erased[]> {
    let batch: Erased[] = [];
    for await (const wire of store.readAll({ filter: { eventTypes: ['SubjectErased'] } })) {
      batch.push(erasedOf(recordedOf(wire) as RecordedOf<'SubjectErased'>));
      if (batch.length === BATCH) {
        yield batch;
        batch = [];
      }
    }
    if (batch.length > 0) yield batch;
  }

  return async (signal) => {
    const restored = await applyLedger(signal);
    const figures = { erased: 0, restored, again: 0, rows: 0 };
    for await (const batch of erasedInLog()) {
      signal.throwIfAborted();
      figures.erased += batch.length;
      const living = new Set(await sealer.living(batch.map(({ userId }) => userSubject(userId))));
      const completed = await book.completed(batch.map(({ eventId }) => eventId));
      for (const erased of batch) {
        if (completed.has(erased.eventId) && !living.has(userSubject(erased.userId))) continue;
        signal.throwIfAborted();
        await carryOut(erased);
        figures.again++;
      }
      for (const userId of await deps.credentials.holding(batch.map(({ userId }) => userId))) await deps.vault.forgetCredentials(userId);
      figures.rows += await forgetSubjects(db, batch.map(({ userId }) => userSubject(userId)));
    }
    const late = await book.since(AFTERCARE_HOURS);
    const subjects = late.filter(({ completedAt }) => completedAt !== null).flatMap((each) => each.subjects);
    for (let from = 0; from < subjects.length; from += 5_000) figures.rows += await forgetSubjects(db, subjects.slice(from, from + 5_000));
    if (figures.rows > 0) logger.warn({ rows: figures.rows }, 'Rows of erased people had come back, and are gone again');
    return figures;
  };
}
