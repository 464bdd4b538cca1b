import type { ReadableTraces } from '../../commands/erasure.ts';
import type { Uuid } from '../../domain/kernel.ts';
import type { Database } from '../../platform/postgres/db.ts';
import { forgetSubjects } from '../../projections/people/retention.ts';
import type { DeliveryRow, LiveFeed, PlaceInTime, ReadModels } from '../../projections/read-models.ts';
import type { NotificationStore } from '../notifications/store.ts';

export interface TracesDeps {
  readonly db: Database;
  readonly feed: Pick<LiveFeed, 'current'>;
  readonly reads: Pick<ReadModels, 'deliveries'>;
  readonly notifications: Pick<NotificationStore, 'forget'>;
  /** Mails that were kept instead of sent. */
  readonly removeMails: (userId: Uuid) => Promise<unknown>;
  /** Addresses from where boxes were heard in vain: their owner's home. */
  readonly rejected: { forget(deviceIds: readonly Uuid[]): Promise<void> };
}

const READ_MODELS_MS = 5_000;
const PAGE = 500;

export function createReadableTraces({ db, feed, reads, notifications, removeMails, rejected }: TracesDeps): ReadableTraces {
  async function caughtUp(): Promise<void> {
    if (!(await feed.current(READ_MODELS_MS))) throw new Error('The read models are behind; what can be read of a person goes when they have caught up');
  }
  return {
    async deliveriesOf(userId) {
      await caughtUp();
      const found: Uuid[] = [];
      for (let after: PlaceInTime | undefined; ; ) {
        const { rows } = await reads.deliveries.ofOwner(userId, after === undefined ? {} : { after }, { limit: PAGE, offset: 0 });
        found.push(...rows.map(({ unlockId }: DeliveryRow) => unlockId));
        const last = rows.at(-1);
        if (last === undefined || rows.length < PAGE) return found;
        after = { at: last.requestedAt, id: last.unlockId };
      }
    },

    async forget(userId, subjects, boxes) {
      // What was appended while its key still opened it has been shown by then: now it goes, and nothing comes after it.
      await caughtUp();
      await forgetSubjects(db, subjects);
      await removeMails(userId);
      await notifications.forget(userId);
      await rejected.forget(boxes);
    },
  };
}
