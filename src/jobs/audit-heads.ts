import type { HeadSigner, SignedHead } from '../audit/heads.ts';
import { auditHeadStream } from '../domain/system/stream.ts';
import { schemaVersionOf } from '../domain/registry.ts';
import type { Uuid } from '../domain/kernel.ts';
import { instant, type Clock } from '../platform/clock.ts';
import type { EventStore, JsonObject } from '../platform/event-store/port.ts';
import { derivedCommandId, eventIdOf } from '../platform/ids.ts';
import { headOf } from '../projections/proof/proofs.ts';
import type { ProofQueries } from '../projections/proof/queries.ts';
import type { JobRun } from './runner.ts';

/** Where heads go that nobody with the database in hand can change. */
export interface HeadArchive {
  /** The newest head it holds. */
  last(): Promise<SignedHead | undefined>;
  append(heads: readonly SignedHead[]): Promise<void>;
}

/** What was signed is not what is there: somebody changed the log, or it is an older copy. Nothing more is signed. */
class LogDiffers extends Error {
  override readonly name = 'LogDiffers';

  constructor({ size, time }: SignedHead, found: string) {
    super(
      `The log is not what it was when its first ${size} events were signed at ${time}: ${found}. ` +
        'Nothing is signed any more. `loqey audit verify` names the first position that differs.',
    );
  }
}

export interface AuditHeadsDeps {
  readonly store: EventStore;
  readonly proofs: ProofQueries;
  readonly signer: HeadSigner;
  readonly archive: HeadArchive;
  readonly logId: Uuid;
  readonly clock: Clock;
}

/** Signs how the log stands, where something was added, into `audit-head` and then into the archive outside. */
export function auditHeads({ store, proofs, signer, archive, logId, clock }: AuditHeadsDeps): JobRun {
  return async (signal) => {
    const archived = await archive.last();
    const stored = await headsAfter(store, archived?.size ?? -1);
    const last = stored.at(-1) ?? archived;
    const tree = await proofs.tree();
    if (last !== undefined) {
      if (tree.size < last.size) throw new LogDiffers(last, `it has ${tree.size} of them`);
      const root = await proofs.rootAt(last.size);
      if (root !== last.root) throw new LogDiffers(last, `their root is ${root}, not ${last.root}`);
    }
    signal.throwIfAborted();
    const signed = [...stored];
    if (last === undefined ? tree.size > 0 : tree.size > last.size) {
      const head = signer.sign(logId, { size: tree.size, root: tree.root, time: instant(clock.now()) });
      await append(store, logId, head);
      signed.push(head);
    }
    // The event first: a head that is outside and not in the log would be one nobody can explain.
    await archive.append(signed);
    return { size: tree.size, signed: signed.length };
  };
}

async function append(store: EventStore, logId: Uuid, { size, root, time, kid, signature }: SignedHead): Promise<void> {
  const commandId = derivedCommandId('audit-head', logId, `${size}`, time);
  const data: JsonObject = { size: String(size), root, time, kid, signature };
  const metadata = {
    schemaVersion: schemaVersionOf('AuditHeadSigned'),
    commandId,
    correlationId: commandId,
    causationId: commandId,
    actor: { kind: 'system', id: 'audit' },
    source: 'scheduled_task',
    occurredAt: time,
  } as const;
  await store.append(auditHeadStream, 'any', [{ eventId: eventIdOf(commandId, 0), type: 'AuditHeadSigned', data, metadata }]);
}

/** Heads in the log that are larger than `size`, oldest first: those that a crash kept from the archive. */
async function headsAfter(store: EventStore, size: number): Promise<SignedHead[]> {
  const found: SignedHead[] = [];
  for await (const event of store.readStream(auditHeadStream, { direction: 'backwards', limit: 1_000 })) {
    const head = headOf(event);
    if (head.size <= size) break;
    found.push(head);
  }
  return found.reverse();
}
