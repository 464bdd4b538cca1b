import type { QueueSpec } from '../platform/jobs/port.ts';

/**
 * What runs again and again, whoever runs it. A name is for ever: its history and its waiting runs hang on it. Times are
 * UTC, and spread over the hour so that not everything begins at once.
 */
export const recurring = {
  'links.sweep': { cron: '0 * * * *', summary: 'Records links whose time is over as expired, where their own deadline did not' },
  'devices.health': { cron: '*/5 * * * *', summary: 'Looks for boxes that have fallen silent, and records them as offline' },
  cleanup: { cron: '20 * * * *', summary: 'Removes what is kept for a while only: sessions, keys of requests, telemetry, data keys of old deliveries' },
  'audit.heads': { cron: '*/10 * * * *', summary: 'Signs how the log stands, into the log and into a file outside of the database' },
  'erasures.check': { cron: '2-59/5 * * * *', summary: 'Looks whether anything of an erased person is there again, as after a restore, and removes it' },
  'notifications.tidy': { cron: '50 * * * *', summary: 'Sends mails that were left behind on their way once more, and forgets old notifications' },
} as const satisfies Readonly<Record<string, { readonly cron: string; readonly summary: string }>>;

export type JobName = keyof typeof recurring;

export const jobNames = Object.keys(recurring) as readonly JobName[];

export function isJobName(name: string): name is JobName {
  return Object.hasOwn(recurring, name);
}

/** One mail about one notification, or about all that were held back. */
export const MAIL_QUEUE = 'notifications.mail';
export const DIGEST_QUEUE = 'notifications.digest';

/** A job that fails is tried three times more: after about one, two and four minutes (docs/coverage.md, S0-78). */
const JOB_RETRIES = { retries: 3, retrySeconds: 60 };
/** A mail server may be away for hours: after about 1, 2, 4 … 128 minutes. */
const MAIL_RETRIES = { retries: 8, retrySeconds: 60 };

export const queues: readonly QueueSpec[] = [
  ...jobNames.map((name): QueueSpec => ({ name, cron: recurring[name].cron, exclusive: true, ...JOB_RETRIES, limitSeconds: 600 })),
  { name: MAIL_QUEUE, exclusive: false, ...MAIL_RETRIES, limitSeconds: 120, sideBySide: 4 },
  { name: DIGEST_QUEUE, exclusive: false, ...MAIL_RETRIES, limitSeconds: 120 },
];
