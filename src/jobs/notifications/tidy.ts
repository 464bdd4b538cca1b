import type { Clock } from '../../platform/clock.ts';
import type { JobQueue } from '../../platform/jobs/port.ts';
import { DIGEST_QUEUE, MAIL_QUEUE } from '../catalogue.ts';
import type { JobRun } from '../runner.ts';
import { digestId } from './mailer.ts';
import type { NotificationStore } from './store.ts';

/** Days. */
const KEEP_NOTIFICATIONS = 90;

export interface TidyDeps {
  readonly store: NotificationStore;
  readonly queue: JobQueue;
  readonly pruneMails: () => Promise<number>;
  readonly clock: Clock;
}

/** Gives a run to each mail that waits without one, and forgets what is old. */
export function tidyNotifications({ store, queue, pruneMails, clock }: TidyDeps): JobRun {
  return async () => {
    const abandoned = await store.abandonMails();
    const { mails, digests } = await store.stray();
    let resent = 0;
    // One that waits for its next try has its run, and the queue knows its id.
    for (const id of mails) if (await queue.send(MAIL_QUEUE, { id, data: { notification: id } })) resent++;
    for (const { userId, kind } of digests) {
      if (await queue.send(DIGEST_QUEUE, { data: { user: userId, kind }, id: digestId(userId, kind, clock.now()) })) resent++;
    }
    return { resent, abandoned, forgotten: await store.prune(KEEP_NOTIFICATIONS), mail_files_removed: await pruneMails() };
  };
}
