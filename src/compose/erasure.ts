import { createErasureLedger } from '../audit/erasure-ledger.ts';
import { createHeadSigner } from '../audit/heads.ts';
import type { RejectedMessages } from '../bridge/rejected-messages.ts';
import { createErasureProcess, createErasureRequests, erasureReactor, type ErasureDeps, type ErasureRequests } from '../commands/erasure.ts';
import type { AdminRoles } from '../commands/admin-roles.ts';
import type { Aggregates } from '../commands/handle.ts';
import type { Reactor } from '../commands/policies/reactor.ts';
import type { BoxesOfOwner } from '../commands/policies/suspension.ts';
import { erasureCheck } from '../jobs/erasure/check.ts';
import { keyDestroyer } from '../jobs/erasure/keys.ts';
import { createErasureNotary } from '../jobs/erasure/notary.ts';
import type { ErasureBook } from '../jobs/erasure/records.ts';
import { createReadableTraces } from '../jobs/erasure/traces.ts';
import { createNotificationStore } from '../jobs/notifications/store.ts';
import type { JobRun } from '../jobs/runner.ts';
import { fullJitter, pause } from '../platform/backoff.ts';
import { component, type Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { removeMailsOf } from '../platform/mail/folder.ts';
import type { Database } from '../platform/postgres/db.ts';
import type { CredentialEraser } from '../platform/vault/credential-eraser.ts';
import type { Sealer } from '../platform/vault/sealer.ts';
import type { LiveFeed, ReadModels } from '../projections/read-models.ts';
import type { Ground } from './ground.ts';
import { auditFolder, mailFolder } from './jobs.ts';

export interface ErasureParts {
  readonly db: Database;
  readonly bus: Aggregates;
  readonly boxes: BoxesOfOwner;
  readonly book: ErasureBook;
  readonly sealer: Sealer;
  readonly credentials: CredentialEraser;
  readonly reads: Pick<ReadModels, 'unlocks' | 'deliveries'>;
}

function depsOf({ store, logger }: Ground, { bus, boxes, book, sealer, credentials, reads }: ErasureParts): ErasureDeps {
  const vault = { destroyKeys: keyDestroyer({ sealer, store, reads }), forgetCredentials: credentials.forget };
  return { bus, store, boxes, records: book, vault, logger };
}

export function askForErasures(ground: Ground, parts: ErasureParts, roles: Pick<AdminRoles, 'guard'>): ErasureRequests {
  return createErasureRequests({ ...depsOf(ground, parts), roles });
}

export interface ErasureWork {
  readonly reactor: Reactor;
  readonly check: JobRun;
}

/** What carries erasures out, and out again after a restore. */
export function carryOutErasures(
  ground: Ground,
  parts: ErasureParts & { readonly feed: LiveFeed; readonly rejected: RejectedMessages; readonly auditSigningKey: Buffer },
): ErasureWork {
  const { config, store, logId, clock, logger } = ground;
  const { db, bus, sealer, credentials, book, reads, feed, rejected, auditSigningKey } = parts;
  const deps = depsOf(ground, parts);
  const signer = createHeadSigner(auditSigningKey);
  const ledger = createErasureLedger(auditFolder(config));
  const traces = createReadableTraces({
    db,
    feed,
    reads,
    notifications: createNotificationStore(db, { timeZone: config.timeZone }),
    removeMails: (userId) => removeMailsOf(mailFolder(config), userId),
    rejected,
  });
  const notary = createErasureNotary({ signer, ledger, logId, backupDays: config.backupRetentionDays, clock });
  const carryOut = createErasureProcess({ ...deps, traces, notary });
  return {
    reactor: erasureReactor(deps, carryOut),
    check: erasureCheck({ store, bus, db, sealer, credentials, vault: deps.vault, book, ledger, publicKey: signer.publicKey, logId, carryOut, logger }),
  };
}

/** As long as a start waits for it: whoever is let in then finds nothing of what was erased. */
const AT_START_MS = 10_000;

/** The check at the start, until it succeeded once. */
export function checkAtStart(check: JobRun, logger: Logger): Component {
  let abort = new AbortController();
  let running: Promise<void> = Promise.resolve();

  async function untilDone(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await check(signal);
        return;
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ err: error }, 'What was erased could not be held against the vault yet; trying again');
        await pause(fullJitter(attempt, { baseMs: 200 }), signal);
      }
    }
  }
  return component(
    async () => {
      abort = new AbortController();
      running = untilDone(abort.signal);
      await Promise.race([running, pause(AT_START_MS, abort.signal)]);
    },
    async () => {
      abort.abort();
      await running;
    },
  );
}
