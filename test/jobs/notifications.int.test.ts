import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { runReactor } from '../../src/commands/policies/reactor.ts';
import type { DomainEvent } from '../../src/domain/events.ts';
import { DIGEST_QUEUE, MAIL_QUEUE, queues } from '../../src/jobs/catalogue.ts';
import { createInbox } from '../../src/jobs/notifications/inbox.ts';
import { sendMails } from '../../src/jobs/notifications/mailer.ts';
import { notificationReactor } from '../../src/jobs/notifications/reactor.ts';
import { createNotificationStore, type NotificationStore } from '../../src/jobs/notifications/store.ts';
import { tidyNotifications } from '../../src/jobs/notifications/tidy.ts';
import { instant, systemClock } from '../../src/platform/clock.ts';
import { newId } from '../../src/platform/ids.ts';
import { createPgBossQueue } from '../../src/platform/jobs/pg-boss.ts';
import type { JobQueue } from '../../src/platform/jobs/port.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { createSmtpSender } from '../../src/platform/mail/nodemailer.ts';
import type { MailSender } from '../../src/platform/mail/port.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createAdmins } from '../../src/projections/users/admins.ts';
import { personal, startReadSide, type ReadSide } from '../support/read-side.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { answer, startSmtp, type SmtpPeer } from '../support/smtp.ts';
import { until } from '../support/until.ts';

let server: TestPostgres;
let side: ReadSide;
let smtp: SmtpPeer;
let store: NotificationStore;
const stops: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  server = await startPostgres();
  side = await startReadSide(server);
  store = createNotificationStore(side.db, { timeZone: 'Europe/Istanbul' });
  const migrated = createPgBossQueue({ db: side.db, queues, logger: silentLogger, works: false });
  await migrated.start();
  await migrated.stop();
});
beforeEach(async () => {
  smtp = await startSmtp();
  await side.db.pool.query('DELETE FROM pgboss.job; DELETE FROM work.notifications; DELETE FROM work.notification_settings; DELETE FROM work.reactors');
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
  await smtp.stop();
});
afterAll(async () => {
  await side.stop();
  await server.stop();
});

interface ProcessOptions {
  readonly perHour?: number;
  readonly reacts?: boolean;
  readonly sender?: (sender: MailSender) => MailSender;
  /** Seconds before the first repeat. */
  readonly retrySeconds?: number;
  readonly retries?: number;
}

/** What one worker process runs of it. */
async function worker(options: ProcessOptions = {}): Promise<{ readonly queue: JobQueue; readonly metrics: Metrics; stop(): Promise<void> }> {
  const { perHour = 6, reacts = true, retrySeconds = 1, retries = 2 } = options;
  const metrics = new Metrics();
  const specs = queues.filter(({ name }) => name === MAIL_QUEUE || name === DIGEST_QUEUE).map((spec) => ({ ...spec, retries, retrySeconds }));
  const queue = createPgBossQueue({ db: side.db, queues: specs, logger: silentLogger, works: true, intervals: { poll: 0.5, schedule: 30, supervise: 5 } });
  const plain = createSmtpSender({ host: '127.0.0.1', port: smtp.port, tls: false, from: { name: 'Loqey', address: 'noreply@loqey.test' }, timeoutMs: 1_000 });
  const sender = options.sender?.(plain) ?? plain;
  sendMails({ queue, store, sender, reads: side.reads, perHour, urls: { app: 'https://app.test', admin: 'https://admin.test' }, domain: 'loqey.test', clock: systemClock, logger: silentLogger, metrics });
  await queue.start();
  const { reads, feed, reader } = side;
  const reactor = runReactor(notificationReactor({ reads, administrators: createAdmins(reader), feed, store, queue, mails: true }), {
    store: side.store,
    pool: side.db.pool,
    logId: side.logId,
    clock: systemClock,
    logger: silentLogger,
    metrics,
  });
  if (reacts) {
    await reactor.start();
    await until('it listens', async () => (await side.db.pool.query('SELECT FROM work.reactors')).rowCount === 1);
  }
  const stop = async () => {
    await reactor.stop();
    await queue.stop();
    await sender.stop();
  };
  stops.push(stop);
  return { queue, metrics, stop };
}

const happened = (stream: string, ...events: DomainEvent[]) => side.happened(stream, events, { occurredAt: instant(Date.now()) });

async function person(over: { readonly firstName?: string; readonly role?: 'super_admin' | 'admin' | 'support' } = {}): Promise<{ readonly userId: string; readonly stream: string; readonly email: string }> {
  const userId = newId();
  const email = `${userId}@example.com`;
  const profile = personal(`user:${userId}`, { email, firstName: over.firstName ?? 'Ana', lastName: 'B', residentState: 'CA' });
  await happened(`user-${userId}`, { type: 'UserRegistered', data: { userId, profile } }, ...(over.role === undefined ? [] : [{ type: 'AdminRoleGranted', data: { role: over.role, permissions: [] } } as const]));
  return { userId, stream: `user-${userId}`, email };
}

async function boxOf(userId: string, name = 'Front door'): Promise<{ readonly deviceId: string; readonly stream: string; readonly assignmentId: string; readonly serial: string }> {
  const deviceId = newId();
  const assignmentId = newId();
  const serial = `LB-${deviceId.slice(-6).toUpperCase()}`;
  const pin = personal(`device:${deviceId}`, '123456');
  const registered = { deviceId, serialNumber: serial, model: 'LoqeyBox-V1', profile: 'loqey', keyVersion: 1, pin, pinTag: 't', pinExpiresAt: '2027-01-01T00:00:00.000Z' } as const;
  const stream = `device-${deviceId}`;
  await happened(stream, { type: 'DeviceRegistered', data: registered }, { type: 'DeviceAssigned', data: { assignmentId, userId, name: personal(`user:${userId}`, name) } });
  return { deviceId, stream, assignmentId, serial };
}

const request = (unlockId: string, assignmentId: string, cause: { kind: 'link' | 'owner' | 'admin'; id: string }, reason?: string): DomainEvent => {
  const now = instant(Date.now());
  return { type: 'UnlockRequested', data: { unlockId, cause, assignmentId, issuedAt: now, expiresAt: now, ...(reason === undefined ? {} : { reason }) } };
};

async function linkOn(box: { stream: string; assignmentId: string }, userId: string, name: string): Promise<string> {
  const linkId = newId();
  const data = { linkId, assignmentId: box.assignmentId, tokenHash: linkId, token: personal(`user:${userId}`, 'x'.repeat(32)), name: personal(`user:${userId}`, name), expiresAt: '2036-12-01T00:00:00.000Z', maxUses: 3, requireIdentity: false };
  await happened(box.stream, { type: 'LinkCreated', data });
  return linkId;
}

const rows = async (userId: string) =>
  (await side.db.pool.query<{ kind: string; mail: string; mail_tries: number; mail_error: string | null; facts: object }>('SELECT kind, mail, mail_tries, mail_error, facts FROM work.notifications WHERE user_id = $1 ORDER BY occurred_at, kind', [userId])).rows;
const kindsOf = async (userId: string) => (await rows(userId)).map(({ kind }) => kind);
const mailTo = (email: string) => smtp.mails.filter(({ to }) => to.includes(email));

describe('an owner', () => {
  it('is told by mail and in the app that a link opened the box, in words of the settings', async () => {
    await worker();
    const ana = await person();
    const inbox = createInbox({ store, reads: side.reads });
    await inbox.change(ana.userId, { language: 'tr', timeZone: 'Asia/Tokyo' });
    const box = await boxOf(ana.userId);
    const linkId = await linkOn(box, ana.userId, 'Parcel');
    const unlockId = newId();
    await happened(box.stream, request(unlockId, box.assignmentId, { kind: 'link', id: linkId }), { type: 'UnlockDispatched', data: { unlockId, level: 1, seq: 1 } }, { type: 'UnlockConfirmed', data: { unlockId, evidence: 'sensor' } });
    const [mail] = await until('the mail', () => (mailTo(ana.email).length > 0 ? mailTo(ana.email) : undefined));
    expect(mail?.subject).toBe('“Front door” bir bağlantıyla açıldı');
    expect(mail?.text).toContain('“Parcel” bağlantınızla açıldı');
    expect(mail?.text).toContain('GMT+9');
    expect(mail?.text).toContain('https://app.test');
    const { rows: entries, unread } = await inbox.list(ana.userId, { unread: false }, { limit: 10, offset: 0 });
    expect(entries).toMatchObject([{ kind: 'link_opened', title: '“Front door” bir bağlantıyla açıldı', deviceId: box.deviceId, linkId, unlockId, readAt: null }]);
    expect(unread).toBe(1);
    expect(await inbox.read(ana.userId, entries[0]?.id ?? '')).toBe(true);
    expect(await inbox.read(newId(), entries[0]?.id ?? '')).toBe(false);
    expect((await inbox.list(ana.userId, { unread: true }, { limit: 10, offset: 0 })).rows).toEqual([]);
  });

  it('is told of everything that the box does by itself, and not of what it does every day', async () => {
    await worker({ perHour: 100 });
    const ana = await person();
    const box = await boxOf(ana.userId);
    const [link, unknown, owned] = [await linkOn(box, ana.userId, 'Parcel'), newId(), newId()];
    const sent = (unlockId: string): DomainEvent => ({ type: 'UnlockDispatched', data: { unlockId, level: 1, seq: 1 } });
    await happened(box.stream, request(unknown, box.assignmentId, { kind: 'link', id: link }), sent(unknown), { type: 'UnlockOutcomeUnknown', data: { unlockId: unknown, reason: 'no_answer' } });
    await happened(box.stream, { type: 'UnlockSettled', data: { unlockId: unknown, outcome: 'opened', by: 'device', useReturned: false } });
    await happened(box.stream, request(owned, box.assignmentId, { kind: 'owner', id: ana.userId }), sent(owned), { type: 'UnlockConfirmed', data: { unlockId: owned, evidence: 'sensor' } });
    await happened(box.stream, { type: 'UnexplainedOpening', data: { reportedCause: 'key', evidence: 'signed' } });
    await happened(box.stream, { type: 'LockStateReported', data: { lockStatus: 'jammed', evidence: 'signed' } }, { type: 'LockStateReported', data: { lockStatus: 'locked', evidence: 'signed' } });
    await happened(box.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await happened(box.stream, { type: 'DeviceCloneSuspected', data: { connectIds: ['a', 'b'] } });
    await happened(box.stream, { type: 'BatteryLevelChanged', data: { level: 80, evidence: 'signed' } });
    await happened(box.stream, { type: 'BatteryLevelChanged', data: { level: 19, evidence: 'signed' } });
    await happened(box.stream, { type: 'BatteryLevelChanged', data: { level: 14, evidence: 'signed' } }); // the same day
    await happened(box.stream, { type: 'DeviceWentOnline', data: { evidence: 'signed' } }); // never told that it was away
    await happened(box.stream, { type: 'DeviceWentOffline', data: { lastHeardAt: '2026-11-21T10:00:00.000Z' } });
    await happened(box.stream, { type: 'DeviceWentOnline', data: { evidence: 'signed' } });
    await happened(box.stream, { type: 'DeviceUnlinked', data: { assignmentId: box.assignmentId, userId: ana.userId, by: 'admin' } });
    await until('the last', async () => (await kindsOf(ana.userId)).includes('unlink_done'));
    expect(new Set(await kindsOf(ana.userId))).toEqual(
      new Set(['unlock_unknown', 'link_opened', 'unexplained_opening', 'device_jammed', 'device_tampered', 'clone_suspected', 'battery_low', 'device_offline', 'device_online', 'unlink_done']),
    );
    expect((await kindsOf(ana.userId)).filter((kind) => kind === 'battery_low')).toHaveLength(1);
    await until('the mails', () => mailTo(ana.email).length === 9); // all but that it is back
    // Removed from the account: its name was theirs, and is no longer asked of whoever has the box.
    expect(mailTo(ana.email).find(({ subject }) => subject.includes('removed'))?.subject).toBe(`${box.serial} was removed from your account`);
    expect(mailTo(ana.email).find(({ subject }) => subject.includes('opened with a link'))?.text).toContain('told us only now');
  });

  it('is told what happens to the account', async () => {
    await worker();
    const ana = await person();
    const [first, second] = [newId(), newId()];
    await happened(ana.stream, { type: 'LoginSucceeded', data: { sessionId: first, scope: 'user' } }); // with the registration
    await happened(ana.stream, { type: 'LoginSucceeded', data: { sessionId: second, scope: 'user' } });
    await happened(ana.stream, { type: 'RefreshTokenReused', data: { sessionId: second } });
    await happened(ana.stream, { type: 'PasswordChanged', data: { by: 'owner' } });
    await until('three', async () => (await rows(ana.userId)).length >= 3);
    expect(await rows(ana.userId)).toMatchObject([{ kind: 'new_sign_in', facts: { session_id: second } }, { kind: 'refresh_token_reused' }, { kind: 'password_changed' }]);
  });

  it('is told why an administrator opened the box, and the words are kept nowhere but where they go with the owner', async () => {
    await worker({ perHour: 100 });
    const [ana, admin] = [await person(), await person()];
    const box = await boxOf(ana.userId);
    const cause = { kind: 'admin', id: admin.userId } as const;
    const [sealed, older] = [newId(), newId()];
    await happened(box.stream, request(sealed, box.assignmentId, cause, personal(`user:${ana.userId}`, 'a child is inside')));
    await happened(box.stream, { type: 'UnlockCancelled', data: { unlockId: sealed, reason: 'device_unreachable' } }, request(older, box.assignmentId, cause, 'smoke')); // in clear, as it once was
    await until('both mails', () => mailTo(ana.email).length === 2);
    expect(mailTo(ana.email).map(({ text }) => /The reason given: “([^”]*)”/.exec(text)?.[1])).toEqual(expect.arrayContaining(['a child is inside', 'smoke']));
    expect((await rows(ana.userId)).map(({ facts }) => facts)).toEqual([{ unlock_id: sealed, explained: true }, { unlock_id: older, reason: 'smoke' }]);
    const inbox = createInbox({ store, reads: side.reads });
    const texts = async () => (await inbox.list(ana.userId, { unread: false }, { limit: 10, offset: 0 })).rows.map(({ text }) => text).join();
    expect(await texts()).toContain('“a child is inside”');
    await side.db.pool.query(`DELETE FROM ${String((await side.reader.first<{ schema: string }>({ name: 'test.people', text: (s) => `SELECT '${s['people']}' AS schema` }, []))?.schema)}.people WHERE subject_id = $1 AND kind = 'reason'`, [`user:${ana.userId}`]);
    expect(await texts()).not.toContain('child');
    expect(await texts()).not.toContain('No reason'); // there was one
  });

  it('of a box that has changed hands is not the new one', async () => {
    const [ana, ben] = [await person(), await person()];
    const box = await boxOf(ana.userId);
    const { position } = await side.happened(box.stream, [{ type: 'DeviceTampered', data: { evidence: 'signed' } }], { occurredAt: instant(Date.now()) });
    await happened(box.stream, { type: 'DeviceUnlinked', data: { assignmentId: box.assignmentId, userId: ana.userId, by: 'owner' } });
    await happened(box.stream, { type: 'DeviceAssigned', data: { assignmentId: newId(), userId: ben.userId, name: personal(`user:${ben.userId}`, 'Ben’s') } });
    // The worker was down meanwhile, and goes on from before.
    await side.db.pool.query('INSERT INTO work.reactors (name, log_id, position) VALUES ($1, $2, $3)', ['notifications', side.logId, String(position - 1n)]);
    await worker();
    await until('it has come so far', async () => (await kindsOf(ana.userId)).includes('unlink_done'));
    expect(await kindsOf(ana.userId)).toEqual(['unlink_done']);
    expect(await kindsOf(ben.userId)).toEqual([]);
  });

  it('who was erased leaves nothing behind, and gets nothing any more', async () => {
    await worker({ sender: (sender) => ({ ...sender, send: () => new Promise(() => undefined) }) });
    const ana = await person();
    const box = await boxOf(ana.userId);
    await store.saveSettings(ana.userId, { language: 'tr', timeZone: 'UTC', mail: {} });
    await happened(box.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await until('told', async () => (await rows(ana.userId)).length === 1);
    side.vault.erase(`user:${ana.userId}`);
    await happened(ana.stream, { type: 'SubjectErased', data: { requestedBy: 'owner', at: instant(Date.now()) } });
    await until('forgotten', async () => (await rows(ana.userId)).length === 0);
    expect((await side.db.pool.query('SELECT FROM work.notification_settings WHERE user_id = $1', [ana.userId])).rowCount).toBe(0);
  }, 30_000);
});

describe('administrators', () => {
  it('are told what concerns them, by their roles', async () => {
    await worker({ perHour: 100 });
    const [chief, admin, support, ana] = [await person({ role: 'super_admin' }), await person({ role: 'admin' }), await person({ role: 'support' }), await person()];
    const box = await boxOf(ana.userId);
    const unlockId = newId();
    await happened(box.stream, request(unlockId, box.assignmentId, { kind: 'admin', id: admin.userId }, 'no reason given'), { type: 'EmergencyUnlockUnexplained', data: { unlockId, adminId: admin.userId, userId: ana.userId } });
    await happened(box.stream, { type: 'DeviceCloneSuspected', data: { connectIds: ['a', 'b'] } });
    await happened(box.stream, { type: 'UnexplainedOpening', data: { reportedCause: 'key', evidence: 'signed' } });
    await happened(box.stream, { type: 'DeviceUnlinkRequested', data: { assignmentId: box.assignmentId, userId: ana.userId } });
    await until('all', async () => (await kindsOf(support.userId)).length === 1 && (await kindsOf(chief.userId)).length === 4 && (await kindsOf(admin.userId)).length === 3);
    expect(new Set(await kindsOf(chief.userId))).toEqual(new Set(['admin_emergency_unlock', 'admin_clone_suspected', 'admin_unexplained_opening', 'admin_unlink_request']));
    expect(await kindsOf(support.userId)).toEqual(['admin_unlink_request']);
    expect(new Set(await kindsOf(ana.userId))).toEqual(new Set(['emergency_unlock', 'clone_suspected', 'unexplained_opening']));
    const mail = await until('the mail', () => mailTo(chief.email).find(({ subject }) => subject.startsWith('Emergency')));
    expect(mail.text).toContain(admin.userId);
    expect(mail.text).toContain('https://admin.test');
    expect(mail.text).not.toContain('Front door'); // what an owner calls a box is the owner's
    await until('the owner’s', () => mailTo(ana.email).some(({ text }) => text.includes('No reason was given.')));
  });
});

describe('a notification', () => {
  it('of an event that comes again is told no second time; two workers tell it once', async () => {
    const first = await worker();
    await worker(); // both hear of it
    const ana = await person();
    const box = await boxOf(ana.userId);
    const { position } = await happened(box.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await until('sent', async () => (await rows(ana.userId))[0]?.mail === 'sent');
    await first.stop();
    await side.db.pool.query('UPDATE work.reactors SET position = $1', [String(position - 1n)]);
    await worker();
    await happened(box.stream, { type: 'LockStateReported', data: { lockStatus: 'jammed', evidence: 'signed' } });
    await until('the next', async () => (await rows(ana.userId)).some(({ kind, mail }) => kind === 'device_jammed' && mail === 'sent'));
    expect(await kindsOf(ana.userId)).toEqual(['device_tampered', 'device_jammed']);
    expect(mailTo(ana.email)).toHaveLength(2);
  });

  it('holds nothing personal, nor does its run', async () => {
    const ana = await person({ firstName: 'Zuleyka' });
    const box = await boxOf(ana.userId, 'Zuleyka’s box');
    smtp.onMail = () => answer(451, `cannot reach ${ana.email} now`);
    await worker({ retries: 5, retrySeconds: 60 });
    await happened(box.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await until('failed once', async () => (await rows(ana.userId))[0]?.mail_error !== null && (await rows(ana.userId)).length === 1);
    const kept = JSON.stringify([
      (await side.db.pool.query('SELECT * FROM work.notifications')).rows,
      (await until('kept by the queue', async () => {
        const { rows: found } = await side.db.pool.query<{ state: string }>('SELECT * FROM pgboss.job');
        return found.some(({ state }) => state === 'retry') ? found : undefined;
      })) as object[],
    ]);
    expect(kept).not.toMatch(/Zuleyka|@example\.com/);
    expect(kept).toContain('<address>');
  });

  it('is mailed unless somebody does not want that', async () => {
    await worker();
    const ana = await person();
    await createInbox({ store, reads: side.reads }).change(ana.userId, { mail: { device_tampered: false, password_changed: false } });
    const box = await boxOf(ana.userId);
    await happened(box.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await happened(ana.stream, { type: 'PasswordChanged', data: { by: 'owner' } });
    await until('the one that cannot be switched off', async () => (await rows(ana.userId)).some(({ kind, mail }) => kind === 'password_changed' && mail === 'sent'));
    expect(await rows(ana.userId)).toMatchObject([{ kind: 'device_tampered', mail: 'none' }, { kind: 'password_changed', mail: 'sent' }]);
  });
});

describe('a mail', () => {
  it('that the server refuses for now comes again under the same id, and for good is given up and seen', async () => {
    const [ana, ben] = [await person(), await person()];
    const boxes = [await boxOf(ana.userId), await boxOf(ben.userId)];
    let refusals = 0;
    smtp.onRecipient = (address) => (address === ben.email ? answer(550, `no mailbox ${ben.email}`) : undefined);
    smtp.onMail = () => (++refusals <= 1 ? answer(451, 'greylisted') : undefined);
    const { metrics } = await worker();
    for (const box of boxes) await happened(box.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await until('it is there', () => mailTo(ana.email).length === 1, 40_000);
    await until('noted', async () => (await rows(ana.userId))[0]?.mail === 'sent');
    expect(await rows(ana.userId)).toMatchObject([{ mail: 'sent', mail_tries: 2, mail_error: null }]);
    expect(await rows(ben.userId)).toMatchObject([{ mail: 'failed', mail_tries: 1, mail_error: expect.stringContaining('no mailbox <address>') as string }]);
    expect(await metrics.registry.metrics()).toContain('loqey_mails_total{outcome="failed"} 1');
  }, 60_000);

  it('to a server that stays away is given up after its tries, and holds up no other', async () => {
    const [ana, ben] = [await person(), await person()];
    smtp.onRecipient = (address) => (address === ana.email ? answer(421, 'not now') : undefined);
    await worker({ retries: 1 });
    const [theirs, bens] = [await boxOf(ana.userId), await boxOf(ben.userId)];
    for (let n = 0; n < 5; n++) await happened(theirs.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await happened(bens.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await until('the other', () => mailTo(ben.email).length === 1);
    await until('given up', async () => (await rows(ana.userId)).every(({ mail }) => mail === 'failed'), 40_000);
  }, 60_000);

  it('that was taken just before the process died goes out again under the same id: the reader can tell', async () => {
    const ana = await person();
    const box = await boxOf(ana.userId);
    // Dies after the server's answer, before it is written down.
    const dying = await worker({
      sender: (sender) => ({
        ...sender,
        async send(mail) {
          await sender.send(mail);
          await new Promise(() => undefined);
        },
      }),
    });
    await happened(box.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await until('taken', () => mailTo(ana.email).length === 1);
    expect(await rows(ana.userId)).toMatchObject([{ mail: 'sending' }]);
    stops.splice(stops.indexOf(dying.stop), 1);
    // As the queue finds it when nobody has heard of that process for long enough.
    await side.db.pool.query(`UPDATE pgboss.job SET heartbeat_on = now() - interval '1 hour', started_on = now() - interval '1 hour' WHERE state = 'active'`);
    const next = await worker({ reacts: false });
    await until('again', async () => {
      await next.queue.supervise();
      return mailTo(ana.email).length === 2;
    }, 40_000);
    const [one, two] = mailTo(ana.email);
    expect(one?.messageId).toBe(two?.messageId);
    await until('noted', async () => (await rows(ana.userId))[0]?.mail === 'sent');
    void dying.stop();
  }, 60_000);

  it('too many of a kind become one about all of them', async () => {
    const ana = await person();
    const box = await boxOf(ana.userId);
    const { queue } = await worker({ perHour: 2 });
    for (let n = 0; n < 7; n++) await happened(box.stream, { type: 'DeviceTampered', data: { evidence: 'signed' } });
    await happened(box.stream, { type: 'LockStateReported', data: { lockStatus: 'jammed', evidence: 'signed' } }); // another kind
    await until('held', async () => (await rows(ana.userId)).filter(({ mail }) => mail === 'held').length === 5);
    await until('those that may', () => mailTo(ana.email).length === 3);
    expect((await queue.counts()).get(DIGEST_QUEUE)?.waiting).toBe(1);
    // An hour later.
    await side.db.pool.query(`UPDATE pgboss.job SET start_after = now() WHERE name = $1`, [DIGEST_QUEUE]);
    const digest = await until('the digest', () => mailTo(ana.email).find(({ subject }) => subject.includes('more messages')));
    expect(digest.subject).toBe('5 more messages from Loqey');
    await until('all are sent', async () => (await rows(ana.userId)).every(({ mail }) => mail === 'sent'));
  }, 40_000);

  it('that waits without a run is found again', async () => {
    const ana = await person();
    const box = await boxOf(ana.userId);
    const event = { eventId: newId(), occurredAt: instant(Date.now()) };
    // The process died between writing down and asking for a run, and its event does not come again.
    await store.add({ userId: ana.userId, kind: 'device_tampered', deviceId: box.deviceId }, event, true);
    await side.db.pool.query(`UPDATE work.notifications SET created_at = now() - interval '1 hour'`);
    const { queue } = await worker({ reacts: false });
    const tidy = tidyNotifications({ store, queue, pruneMails: async () => 0, clock: systemClock });
    expect(await tidy(new AbortController().signal)).toEqual({ resent: 1, abandoned: 0, forgotten: 0, mail_files_removed: 0 });
    await until('sent', () => mailTo(ana.email).length === 1);
  });

  it('whose last try ended with its process is given up, and seen', async () => {
    const ana = await person();
    await store.add({ userId: ana.userId, kind: 'device_tampered' }, { eventId: newId(), occurredAt: instant(Date.now()) }, true);
    await side.db.pool.query(`UPDATE work.notifications SET mail = 'sending', mail_tries = 9, created_at = now() - interval '2 days'`);
    const { queue } = await worker({ reacts: false });
    expect(await tidyNotifications({ store, queue, pruneMails: async () => 0, clock: systemClock })(new AbortController().signal)).toMatchObject({ resent: 0, abandoned: 1 });
    expect(await rows(ana.userId)).toMatchObject([{ mail: 'failed', mail_error: 'its last try ended without an answer' }]);
  });
});
