import type { KeyObject } from 'node:crypto';
import { receiptOf } from '../../audit/erasure-receipt.ts';
import { erasureOf, type CarryOut, type ErasureRecord, type ErasureVault } from '../../commands/erasure.ts';
import type { Aggregates } from '../../commands/handle.ts';
import { userSubject } from '../../domain/codec.ts';
import type { Uuid } from '../../domain/kernel.ts';
import { userAggregate } from '../../domain/registry.ts';
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
  readonly store: Pick<EventStore, 'readStream'>;
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
const ROWS_AT_ONCE = 5_000;
/** Longer than an opening under way and read models that lag. */
const ON_ITS_WAY_MS = 600_000;
/** For so long it is looked for what came late: a row that was opened before its key was destroyed and written after. */
const AFTERCARE_HOURS = 24;

/**
 * Holds what is there against what was erased: a backup that was restored may have brought keys, passwords or rows back, or
 * a log that does not know of an erasure. Whatever came back goes again. At each start, and from time to time.
 *
 * Every erasure is in `work.erasures`, or its reactor has yet to come to it: both are in one database. What that database
 * does not know, the ledger does. The log itself is only asked for single people: reading all of it would cost each start.
 */
export function erasureCheck(deps: ErasureCheckDeps): JobRun {
  const { bus, store, sealer, vault, book, db, carryOut } = deps;
  const logger = deps.logger.child({ component: 'erasures' });
  /** Of this process: the log is not exchanged under a running one. */
  let looked = false;

  /** True: this log did not know of it. */
  async function decidedAgain(userId: Uuid, cause: Uuid, requestedBy: 'owner' | 'admin'): Promise<boolean> {
    const { state } = await bus.load<UserState>(userAggregate, userId);
    if (state.kind === 'unregistered') {
      // The log ends before the person came: the vault may be younger.
      if ((await sealer.living([userSubject(userId)])).length === 0) return false;
      await vault.destroyKeys([userSubject(userId)]);
      await vault.forgetCredentials(userId);
      return true;
    }
    if (state.erased) return false;
    const commandId = derivedCommandId('erasure-ledger', cause);
    await bus.execute(
      { type: 'EraseSubject', data: { userId, requestedBy } },
      { commandId, correlationId: commandId, actor: { kind: 'system', id: 'erasure-ledger' }, source: 'system' },
    );
    const erased = await erasureOf(store, userId);
    if (erased !== undefined) await carryOut(erased);
    logger.warn({ userId }, 'An erasure that the restored log did not know of was carried out again');
    return true;
  }

  async function applyLedger(signal: AbortSignal): Promise<number> {
    const { receipts, strange } = trusted(await deps.ledger.read(), deps.publicKey, deps.logId);
    if (strange > 0) logger.warn({ receipts: strange }, 'The ledger of erasures has receipts of another log or another key; they are passed over');
    let again = 0;
    for (const { subject, event, requested_by: requestedBy } of receipts) {
      signal.throwIfAborted();
      const userId = subject.slice('user:'.length);
      if (looked && (await book.ofUser(userId)) !== undefined) continue;
      if (await decidedAgain(userId, event.id, requestedBy)) again++;
    }
    return again;
  }

  /** One that was begun and has no receipt yet is on its way, unless it has been for long. */
  const isStuck = ({ completedAt, requestedAt }: ErasureRecord): boolean => completedAt === null && Date.now() - Date.parse(requestedAt) > ON_ITS_WAY_MS;

  async function carryOutAgain({ userId, eventId, receipt }: ErasureRecord): Promise<void> {
    const erased = await erasureOf(store, userId);
    if (erased !== undefined) return carryOut(erased);
    await decidedAgain(userId, eventId, receiptOf(receipt)?.requested_by ?? 'owner');
  }

  return async (signal) => {
    const figures = { erased: 0, restored: await applyLedger(signal), again: 0, rows: 0 };
    for (let after: Uuid | undefined, full = true; full; ) {
      const records = await book.page(after, BATCH);
      full = records.length === BATCH;
      after = records.at(-1)?.userId;
      const users = records.map(({ userId }) => userId);
      const living = new Set(await sealer.living(users.map(userSubject)));
      for (const record of records) {
        const { userId } = record;
        signal.throwIfAborted();
        const unknown = !looked && (await erasureOf(store, userId)) === undefined;
        if (!unknown && !living.has(userSubject(userId)) && !isStuck(record)) continue;
        await carryOutAgain(record);
        figures.again++;
      }
      for (const userId of await deps.credentials.holding(users)) await vault.forgetCredentials(userId);
      figures.erased += records.length;
      figures.rows += await forgetSubjects(db, users.map(userSubject));
    }
    const late = (await book.since(AFTERCARE_HOURS)).filter(({ completedAt }) => completedAt !== null).flatMap(({ subjects }) => subjects);
    for (let from = 0; from < late.length; from += ROWS_AT_ONCE) figures.rows += await forgetSubjects(db, late.slice(from, from + ROWS_AT_ONCE));
    if (figures.rows > 0) logger.warn({ rows: figures.rows }, 'Rows of erased people had come back, and are gone again');
    looked = true;
    return figures;
  };
}
