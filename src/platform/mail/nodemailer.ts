import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SendMailOptions, Transporter } from 'nodemailer';
import { instant, type Clock } from '../clock.ts';
import { MailRefused, type Mail, type MailSender } from './port.ts';

export interface Sender {
  readonly name: string;
  readonly address: string;
}

export interface SmtpOptions {
  readonly host: string;
  readonly port: number;
  /** True: nothing is sent over a connection that is not encrypted, from its first byte (port 465) or by STARTTLS. */
  readonly tls: boolean;
  /** PEM of who signed the server's certificate, where that is not a public authority. */
  readonly ca?: string;
  readonly user?: string;
  readonly password?: string;
  readonly from: Sender;
  readonly timeoutMs: number;
}

/** Beyond it the connection is given up, however lively the server is. */
const LONGEST_SEND_FACTOR = 3;

/** Through an SMTP server. A connection for each mail: there are few of them, and none is kept open for nothing. */
export function createSmtpSender(options: SmtpOptions): MailSender {
  const { host, port, tls, ca, user, password = '', from, timeoutMs } = options;
  const implicit = tls && port === 465;
  let opening: Promise<Transporter> | undefined;

  // Loaded with the first mail: a server that sends none carries no mail client in its memory.
  async function open(): Promise<Transporter> {
    const { createTransport } = await import('nodemailer');
    return createTransport({
      host,
      port,
      secure: implicit,
      requireTLS: tls && !implicit,
      ignoreTLS: !tls,
      tls: { minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) },
      ...(user === undefined ? {} : { auth: { user, pass: password } }),
      connectionTimeout: timeoutMs,
      greetingTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      dnsTimeout: timeoutMs,
      disableFileAccess: true,
      disableUrlAccess: true,
    });
  }

  return {
    describe: `${host}:${port} (${tls ? 'TLS' : 'not encrypted'})`,
    async send(mail) {
      const transport = await (opening ??= open());
      let timer: NodeJS.Timeout | undefined;
      try {
        const late = new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new Error('The mail server took too long')), LONGEST_SEND_FACTOR * timeoutMs);
        });
        const sending = transport.sendMail(messageOf(mail, from));
        sending.catch(() => undefined); // where the time limit was first
        await Promise.race([sending, late]);
      } catch (error) {
        throw isForGood(error) ? new MailRefused((error as Error).message, { cause: error }) : error;
      } finally {
        clearTimeout(timer);
      }
    },
    async stop() {
      (await opening)?.close();
    },
  };
}

/** Into files, one a mail, for whoever reads them there (`loqey mail list`). */
export function createFolderSender({ folder, from, clock }: { readonly folder: string; readonly from: Sender; readonly clock: Clock }): MailSender {
  let opening: Promise<Transporter<{ readonly message: unknown }>> | undefined;

  async function open() {
    const { createTransport } = await import('nodemailer');
    return createTransport({ streamTransport: true, buffer: true, newline: 'windows' });
  }

  /** The folder is there but for the first mail, and after somebody has removed it. */
  async function write(file: string, message: Buffer): Promise<void> {
    try {
      await writeFile(file, message, { mode: 0o600 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await writeFile(file, message, { mode: 0o600 });
    }
  }

  return {
    describe: `the folder ${folder}`,
    async send(mail) {
      const transport = await (opening ??= open());
      const { message } = await transport.sendMail(messageOf(mail, from));
      const name = `${instant(clock.now()).replaceAll(':', '-')}-${mail.messageId.replace(/@.*$/, '')}.${mail.recipient}`;
      // Under its name only when it is whole.
      const file = join(folder, name);
      await write(`${file}.tmp`, message as Buffer);
      await rename(`${file}.tmp`, `${file}.eml`);
    },
    stop: async () => undefined,
  };
}

function messageOf({ messageId, to, subject, text, html, language }: Mail, from: Sender): SendMailOptions {
  return {
    from,
    to: { name: '', address: to },
    subject,
    text,
    html,
    messageId: `<${messageId}>`,
    headers: { 'Auto-Submitted': 'auto-generated', 'X-Auto-Response-Suppress': 'All', 'Content-Language': language },
  };
}

/**
 * A 5xx to this recipient or this message. One to the sign-in or to the greeting says that our settings or the server are
 * wrong: that may be mended while the mail waits.
 */
function isForGood(error: unknown): boolean {
  const { responseCode, command } = error as { responseCode?: number; command?: string };
  return responseCode !== undefined && responseCode >= 500 && (command === 'RCPT TO' || command === 'DATA');
}
