import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHeadFile } from '../audit/head-file.ts';
import { createHeadSigner, rawOf } from '../audit/heads.ts';
import type { OfflineCheck } from '../bridge/offline.ts';
import type { Aggregates } from '../commands/handle.ts';
import { runReactor } from '../commands/policies/reactor.ts';
import { auditHeads } from '../jobs/audit-heads.ts';
import { createJobBoard, type JobBoard } from '../jobs/board.ts';
import { queues } from '../jobs/catalogue.ts';
import { cleanup, type RetentionTask } from '../jobs/cleanup.ts';
import { linksSweep } from '../jobs/links-sweep.ts';
import { createInbox, type Inbox } from '../jobs/notifications/inbox.ts';
import { sendMails } from '../jobs/notifications/mailer.ts';
import { notificationReactor } from '../jobs/notifications/reactor.ts';
import { createNotificationStore } from '../jobs/notifications/store.ts';
import { tidyNotifications } from '../jobs/notifications/tidy.ts';
import { failingJobs, runJobs, type JobRun } from '../jobs/runner.ts';
import type { Config } from '../platform/config.ts';
import { createPgBossQueue } from '../platform/jobs/pg-boss.ts';
import { pruneMailFolder } from '../platform/mail/folder.ts';
import { createFolderSender, createSmtpSender } from '../platform/mail/nodemailer.ts';
import type { MailSender } from '../platform/mail/port.ts';
import type { Sealer } from '../platform/vault/sealer.ts';
import { createOverdueLinks } from '../projections/links/overdue.ts';
import { publishKey } from '../projections/proof/proofs.ts';
import { createProofQueries } from '../projections/proof/queries.ts';
import type { LiveFeed, ReadModels } from '../projections/read-models.ts';
import type { Reader } from '../projections/schemas.ts';
import { createAdmins } from '../projections/users/admins.ts';
import type { Ground } from './ground.ts';

/** Days that captured mails are kept: they hold names and addresses. */
const KEEP_MAIL_FILES = 7;

export interface JobsParts {
  readonly bus: Aggregates;
  readonly reads: ReadModels;
  readonly reader: Reader;
  readonly feed: LiveFeed;
  readonly sealer: Pick<Sealer, 'seal'>;
  readonly offline: OfflineCheck;
  readonly retention: readonly RetentionTask[];
  /** Of whoever runs the jobs. */
  readonly erasures: JobRun | undefined;
  /** AUDIT_SIGNING_KEY; whoever runs the jobs has it. */
  readonly auditSigningKey: Buffer | undefined;
  /** True: this process runs them. False: it asks for runs and shows how they went. */
  readonly works: boolean;
}

export interface Jobs {
  readonly board: JobBoard;
  readonly inbox: Inbox;
}

/** What runs around the clock, and what tells people of things. */
export async function startJobs(ground: Ground, { bus, reads, reader, feed, sealer, offline, retention, erasures, auditSigningKey, works }: JobsParts): Promise<Jobs> {
  const { config, store: log, logId, clock, logger, metrics } = ground;
  const db = ground.database('loqey-notify', 4);
  const queue = createPgBossQueue({ db, queues, logger, works, drainMs: config.stopTimeoutSeconds * 500 });
  const notifications = createNotificationStore(db, { timeZone: config.timeZone });
  if (works) {
    const sender = await mailSender(ground);
    const signer = createHeadSigner(auditSigningKey ?? missing('AUDIT_SIGNING_KEY'));
    const archive = createHeadFile(auditFolder(config));
    await archive.publish(signer.publicKey);
    await publishKey(log, { kid: signer.kid, x: rawOf(signer.publicKey) });
    runJobs({
      queue,
      db,
      runs: {
        'links.sweep': linksSweep({ links: createOverdueLinks(reader), bus, clock }),
        'devices.health': async (signal) => {
          const { checked, offline: found } = await offline.all(signal);
          return { checked_devices: checked, offline_count: found };
        },
        cleanup: cleanup(retention, logger),
        'audit.heads': auditHeads({ store: log, proofs: createProofQueries(reader), signer, archive, logId, clock }),
        'erasures.check': erasures ?? missing('Who carries erasures out'),
        'notifications.tidy': tidyNotifications({ store: notifications, queue, pruneMails: () => pruneMailFolder(mailFolder(config), KEEP_MAIL_FILES, clock), clock }),
      },
      clock,
      logger,
      metrics,
    });
    if (sender !== undefined) {
      ground.keep('mail', sender);
      const urls = { app: config.frontendUrl, admin: config.adminDashboardUrl };
      const domain = config.emailFrom.slice(config.emailFrom.lastIndexOf('@') + 1);
      sendMails({ queue, store: notifications, sender, reads, perHour: config.mailPerHour, urls, domain, clock, logger, metrics });
    }
    ground.options.onStep?.({ name: 'mail', detail: sender === undefined ? 'off: SMTP_HOST says where to send it' : `to ${sender.describe}` });
    await ground.start('jobs', queue);
    const reactor = notificationReactor({ reads, administrators: createAdmins(reader), feed, store: notifications, queue, mails: sender !== undefined });
    const running = await ground.start('notifications to people', runReactor(reactor, { store: log, pool: db.pool, logId, clock, logger, metrics }));
    const others = ground.health.get('worker');
    ground.health.set('worker', async () => {
      const rest = (await others?.()) ?? { state: 'healthy' };
      const { healthy, detail } = running.health();
      const problems = [...(rest.state === 'healthy' || rest.detail === undefined ? [] : [rest.detail]), ...(healthy ? [] : [`notifications: ${detail}`]), ...(await failing())];
      return problems.length === 0 ? rest : { state: rest.state === 'down' ? 'down' : 'degraded', detail: problems.join('; ') };
    });
  } else {
    await ground.start('jobs', queue);
  }
  return { board: createJobBoard({ queue, db, store: log, sealer, clock }), inbox: createInbox({ store: notifications, reads }) };

  async function failing(): Promise<readonly string[]> {
    try {
      return await failingJobs(db);
    } catch {
      return []; // that the database is away is told by its own part
    }
  }
}

function missing(env: string): never {
  throw new Error(`${env} is needed by the worker`);
}

export function auditFolder({ auditHeadsDir, dataDir }: Pick<Config, 'auditHeadsDir' | 'dataDir'>): string {
  return auditHeadsDir ?? join(dataDir, 'audit');
}

export function mailFolder({ dataDir }: Pick<Config, 'dataDir'>): string {
  return join(dataDir, 'mail');
}

/** Through the mail server that was named; without one into files, and in production nowhere: they would pile up unread. */
async function mailSender({ config, clock }: Ground): Promise<MailSender | undefined> {
  const from = { name: config.emailFromName, address: config.emailFrom };
  if (config.given.includes('smtpHost') || config.smtpUser !== undefined) {
    const { smtpHost: host, smtpPort: port, smtpTls: tls, smtpCaFile, smtpUser: user, smtpPassword: password, smtpTimeoutSeconds } = config;
    const ca = smtpCaFile === undefined ? undefined : await readFile(smtpCaFile, 'utf8');
    return createSmtpSender({
      host,
      port,
      tls,
      from,
      timeoutMs: smtpTimeoutSeconds * 1_000,
      ...(ca === undefined ? {} : { ca }),
      ...(user === undefined ? {} : { user }),
      ...(password === undefined ? {} : { password }),
    });
  }
  return config.environment === 'production' ? undefined : createFolderSender({ folder: mailFolder(config), from, clock });
}
