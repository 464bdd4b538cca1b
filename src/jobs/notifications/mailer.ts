import type { Uuid } from '../../domain/kernel.ts';
import type { Clock } from '../../platform/clock.ts';
import { derivedCommandId } from '../../platform/ids.ts';
import type { JobQueue, TakenJob } from '../../platform/jobs/port.ts';
import type { Logger } from '../../platform/logger.ts';
import { MailRefused, type MailSender } from '../../platform/mail/port.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { ReadModels } from '../../projections/read-models.ts';
import { DIGEST_QUEUE, MAIL_QUEUE } from '../catalogue.ts';
import type { Kind } from './kinds.ts';
import { digestMail, notificationMail, type MailContent, type MailFrame } from './mail.ts';
import type { NotificationStore } from './store.ts';
import { tell } from './telling.ts';

export interface MailerDeps {
  readonly queue: JobQueue;
  readonly store: NotificationStore;
  readonly sender: MailSender;
  readonly reads: Pick<ReadModels, 'users' | 'devices' | 'links' | 'people'>;
  /** Mails of one kind to one person in an hour; what is beyond comes in one mail. */
  readonly perHour: number;
  /** Where the app and the console are. */
  readonly urls: { readonly app: string; readonly admin: string };
  /** Right of the `@` of message ids. */
  readonly domain: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** How long what is beyond the limit is collected, in seconds. */
const DIGEST_AFTER = 3_600;

/**
 * Sends what waits. At least once: where the process dies between the server's "250" and our note of it, the mail goes
 * out again, under the same message id. Before the queue starts.
 */
export function sendMails(deps: MailerDeps): void {
  const { queue, store, sender, reads, perHour, urls, domain, clock, metrics } = deps;
  const logger = deps.logger.child({ component: 'mail' });
  const mails = metrics.counter('loqey_mails_total', 'Mails about notifications', ['outcome']);

  queue.work(MAIL_QUEUE, async (job) => {
    const id = text(job, 'notification');
    const claim = await store.claim(id, perHour);
    if (claim.kind === 'done') return;
    if (claim.kind === 'held') {
      mails.inc({ outcome: 'held' });
      await queue.send(DIGEST_QUEUE, { data: { user: claim.userId, kind: claim.of }, id: digestId(claim.userId, claim.of, clock.now()), after: DIGEST_AFTER });
      return;
    }
    const { notification } = claim;
    const whom = await addressee(notification.userId, notification.kind);
    if (whom === undefined) return drop([id]);
    const [said] = await tell([notification], whom.settings, reads);
    if (said === undefined) return;
    await deliver(job, [id], whom, notificationMail(said, whom.frame), id);
  });

  queue.work(DIGEST_QUEUE, async (job) => {
    const [userId, kind] = [text(job, 'user'), text(job, 'kind') as Kind];
    const held = await store.held(userId, kind);
    if (held.length === 0) return;
    const ids = held.map(({ id }) => id);
    const whom = await addressee(userId, kind);
    if (whom === undefined) return drop(ids);
    await deliver(job, ids, whom, digestMail(await tell(held, whom.settings, reads), whom.frame), job.id);
  });

  async function deliver(job: TakenJob, ids: readonly Uuid[], { userId, address, frame }: Addressee, content: MailContent, messageId: string): Promise<void> {
    try {
      await sender.send({ ...content, to: address, recipient: userId, messageId: `${messageId}@${domain}`, language: frame.language });
    } catch (error) {
      const reason = withoutAddress((error as Error).message, address);
      const isForGood = error instanceof MailRefused || job.isLast;
      mails.inc({ outcome: isForGood ? 'failed' : 'retried' });
      // What a digest is about stays held until its last try: the next digest would take it along.
      const state = isForGood ? 'failed' : messageId === ids[0] ? 'waiting' : 'held';
      for (const id of ids) await store.notMailed(id, state, reason);
      logger.warn({ reason, mail: messageId, attempt: job.attempt }, isForGood ? 'A mail could not be sent and is given up' : 'A mail could not be sent; it is tried again');
      if (error instanceof MailRefused) return; // the queue would only try again
      throw new Error(reason);
    }
    mails.inc({ outcome: 'sent' });
    await store.mailed(ids);
  }

  interface Addressee {
    readonly userId: Uuid;
    readonly address: string;
    readonly settings: Awaited<ReturnType<NotificationStore['settings']>>;
    readonly frame: MailFrame;
  }

  async function addressee(userId: Uuid, kind: Kind): Promise<Addressee | undefined> {
    const user = await reads.users.byId(userId);
    if (user === undefined || user.erased || user.profile === null) return undefined;
    const settings = await store.settings(userId);
    const url = kind.startsWith('admin_') ? urls.admin : urls.app;
    return { userId, address: user.profile.email, settings, frame: { language: settings.language, name: user.profile.firstName.trim() || undefined, url } };
  }

  async function drop(ids: readonly Uuid[]): Promise<void> {
    mails.inc({ outcome: 'dropped' });
    for (const id of ids) await store.notMailed(id, 'dropped', 'there is no address');
  }
}

/** One digest for each hour in which something was held back. */
export function digestId(userId: Uuid, kind: Kind, nowMs: number): Uuid {
  return derivedCommandId('digest', userId, kind, `${Math.floor(nowMs / 3_600_000)}`);
}

/** A server's answer may repeat the address; ours goes into a log and a table without an end. */
function withoutAddress(reason: string, address: string): string {
  return reason.replaceAll(address, '<address>').replace(/[^\s<>@"'(),;:]+@[^\s<>@"'(),;:]+/g, '<address>');
}

function text({ data }: TakenJob, name: string): string {
  const value = data[name];
  if (typeof value !== 'string') throw new Error(`A mail without its ${name}`);
  return value;
}

