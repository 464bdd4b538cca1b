import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/platform/clock.ts';
import { mailFiles, pruneMailFolder } from '../../../src/platform/mail/folder.ts';
import { createFolderSender, createSmtpSender, type SmtpOptions } from '../../../src/platform/mail/nodemailer.ts';
import { MailRefused, type Mail } from '../../../src/platform/mail/port.ts';
import { readMail } from '../../../src/platform/mail/read.ts';
import { createAuthority, opensslMissing } from '../../support/certificates.ts';
import { answer, startSilence, startSmtp } from '../../support/smtp.ts';

const stops: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const mail = (over: Partial<Mail> = {}): Mail => ({
  messageId: 'id-1@loqey.test',
  recipient: 'ana',
  to: 'ana@example.com',
  subject: 'Kapı kutusu — açıldı: bir bağlantıyla, ve bu konu satırı yetmiş altı karakterden daha uzundur',
  text: 'Merhaba Ana,\n\nİğne, ışık, şöyle böyle. 3 < 4 & „so“.\n.\nEin Punkt allein.\n',
  html: '<p>Merhaba</p>',
  language: 'tr',
  ...over,
});
const from = { name: 'Loqey System', address: 'noreply@loqey.test' };
const sender = (port: number, over: Partial<SmtpOptions> = {}) => {
  const made = createSmtpSender({ host: '127.0.0.1', port, tls: false, from, timeoutMs: 2_000, ...over });
  stops.push(() => made.stop());
  return made;
};
const smtp = async (...args: Parameters<typeof startSmtp>) => {
  const peer = await startSmtp(...args);
  stops.push(() => peer.stop());
  return peer;
};

describe('a mail server', () => {
  it('gets the mail as it was meant: every letter, both forms, one id', async () => {
    const peer = await smtp();
    await sender(peer.port).send(mail());
    const [got] = peer.mails;
    expect(got).toMatchObject({ to: ['ana@example.com'], encrypted: false, subject: mail().subject, messageId: '<id-1@loqey.test>' });
    expect(got?.text.trimEnd()).toBe(mail().text.trimEnd());
    expect(got?.source).toContain('Auto-Submitted: auto-generated');
    expect(got?.source).toContain('Content-Language: tr');
    expect(got?.source).toContain('text/html');
  });

  it.each([
    [550, true],
    [553, true],
    [450, false],
    [421, false],
  ])('that answers %d to the recipient: given up = %s', async (code, isForGood) => {
    const peer = await smtp();
    peer.onRecipient = () => answer(code, 'no');
    const failed = await sender(peer.port).send(mail()).catch((error: unknown) => error);
    expect(failed instanceof MailRefused).toBe(isForGood);
    expect((failed as Error).message).toContain('no');
  });

  it.each([
    [554, true],
    [452, false],
  ])('that answers %d to the message: given up = %s', async (code, isForGood) => {
    const peer = await smtp();
    peer.onMail = () => answer(code, 'not that');
    const failed = await sender(peer.port).send(mail()).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(Error);
    expect(failed instanceof MailRefused).toBe(isForGood);
  });

  it('that is away, or takes the connection and says nothing, or stops in the middle, is tried later', async () => {
    const peer = await smtp();
    await peer.stop();
    await expect(sender(peer.port).send(mail())).rejects.toMatchObject({ name: 'Error', code: 'ESOCKET' });
    const silence = await startSilence();
    stops.push(() => silence.stop());
    await expect(sender(silence.port, { timeoutMs: 300 }).send(mail())).rejects.toThrow(/greeting|timeout|too long/i);
    const slow = await smtp();
    slow.onMail = () => new Promise(() => undefined);
    await expect(sender(slow.port, { timeoutMs: 300 }).send(mail())).rejects.toThrow(/timeout|too long/i);
  });

  it('that wants a name and a password gets them, and a wrong one is a mistake of ours, not of the mail', async () => {
    const peer = await smtp({
      authOptional: false,
      allowInsecureAuth: true,
      onAuth: ({ username, password }, _session, callback) => (password === 'right' ? callback(null, { user: username }) : callback(answer(535, 'wrong'))),
    });
    await sender(peer.port, { user: 'loqey', password: 'right' }).send(mail());
    expect(peer.mails[0]?.user).toBe('loqey');
    const failed = await sender(peer.port, { user: 'loqey', password: 'other' }).send(mail()).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(Error);
    expect(failed).not.toBeInstanceOf(MailRefused);
  });

  it('that offers no encryption gets nothing where it is required', async () => {
    const peer = await smtp();
    await expect(sender(peer.port, { tls: true }).send(mail())).rejects.toThrow(/STARTTLS/);
    expect(peer.mails).toEqual([]);
  });

  if (opensslMissing() !== undefined) process.stdout.write('skipped: a mail server is told apart from another by its certificate: no openssl\n');
  it.skipIf(opensslMissing() !== undefined)('is told apart from another by its certificate', async () => {
    const [ours, theirs] = [createAuthority('Ours'), createAuthority('Theirs')];
    stops.push(async () => {
      ours.remove();
      theirs.remove();
    });
    const { key, cert } = ours.issue('localhost', ['localhost']);
    const peer = await smtp({ key, cert });
    const there = (over: Partial<SmtpOptions>) => sender(peer.port, { host: 'localhost', tls: true, ...over });
    await there({ ca: ours.ca }).send(mail());
    expect(peer.mails[0]?.encrypted).toBe(true);
    await expect(there({ ca: theirs.ca }).send(mail())).rejects.toThrow(/certificate|issuer/i);
    await expect(there({}).send(mail())).rejects.toThrow(/certificate|issuer|signed/i);
    expect(peer.mails).toHaveLength(1);
  });

  it('cannot be given another header by a name', async () => {
    const peer = await smtp();
    await sender(peer.port).send(mail({ subject: 'x\r\nBcc: other@example.com\r\n\r\nhello' }));
    expect(peer.mails[0]?.to).toEqual(['ana@example.com']);
    expect(peer.mails[0]?.source).not.toMatch(/^Bcc:/m);
  });
});

describe('the folder of captured mails', () => {
  const folder = () => {
    const made = mkdtempSync(join(tmpdir(), 'loqey-mail-'));
    stops.push(async () => rmSync(made, { recursive: true, force: true }));
    return join(made, 'mail');
  };

  it('holds what would have been sent, for its owner alone, and gives it back', async () => {
    const at = folder();
    const to = createFolderSender({ folder: at, from, clock: systemClock });
    await to.send(mail());
    await to.send(mail({ messageId: 'id-2@loqey.test', subject: 'Plain' }));
    const names = await mailFiles(at);
    expect(names.map((name) => name.slice(25))).toEqual(['id-1.ana.eml', 'id-2.ana.eml']);
    expect(statSync(at).mode & 0o777).toBe(0o700);
    expect(statSync(join(at, names[0] ?? '')).mode & 0o777).toBe(0o600);
    const { headers, text } = readMail(readFileSync(join(at, names[0] ?? ''), 'utf8'));
    expect(headers).toMatchObject({ subject: mail().subject, to: 'ana@example.com', from: expect.stringContaining('noreply@loqey.test') as string });
    expect(text.trimEnd()).toBe(mail().text.trimEnd());
  });

  it('forgets them after some days', async () => {
    const at = folder();
    expect(await pruneMailFolder(at, 7, systemClock)).toBe(0);
    const to = createFolderSender({ folder: at, from, clock: systemClock });
    await to.send(mail());
    await to.send(mail({ messageId: 'id-2@loqey.test' }));
    const [old] = await mailFiles(at);
    const before = Date.now() / 1_000 - 8 * 86_400;
    utimesSync(join(at, old ?? ''), before, before);
    expect(await pruneMailFolder(at, 7, systemClock)).toBe(1);
    expect(readdirSync(at)).toHaveLength(1);
  });
});
