import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { readMail } from '../../src/platform/mail/read.ts';

export interface Received {
  readonly to: readonly string[];
  readonly encrypted: boolean;
  readonly user: string | undefined;
  readonly source: string;
  readonly subject: string;
  readonly text: string;
  readonly messageId: string;
}

export interface SmtpPeer {
  readonly port: number;
  readonly mails: Received[];
  /** What becomes of the next mails. An error's `responseCode` is the server's answer. */
  onRecipient: (address: string) => Error | undefined;
  onMail: (mail: Received) => Error | undefined | Promise<Error | undefined>;
  stop(): Promise<void>;
}

export const answer = (responseCode: number, message: string): Error => Object.assign(new Error(message), { responseCode });

/** A real SMTP server on this machine. */
export async function startSmtp(options: Partial<SMTPServerOptions> = {}): Promise<SmtpPeer> {
  const peer: Omit<SmtpPeer, 'port' | 'stop'> = { mails: [], onRecipient: () => undefined, onMail: () => undefined };
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: options.key === undefined ? ['STARTTLS'] : [],
    disableReverseLookup: true,
    logger: false,
    closeTimeout: 100,
    onRcptTo: ({ address }, _session, callback) => callback(peer.onRecipient(address)),
    onData(stream, session, callback) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const source = Buffer.concat(chunks).toString();
        const { headers, text } = readMail(source);
        const mail: Received = {
          to: session.envelope.rcptTo.map(({ address }) => address),
          encrypted: session.secure,
          user: typeof session.user === 'string' ? session.user : undefined,
          source,
          subject: headers['subject'] ?? '',
          text,
          messageId: headers['message-id'] ?? '',
        };
        void Promise.resolve(peer.onMail(mail)).then((error) => {
          if (error === undefined) peer.mails.push(mail);
          callback(error);
        });
      });
    },
    ...options,
  });
  server.on('error', () => undefined); // a client that hangs up in the middle of a handshake
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  return Object.assign(peer, {
    port: (server.server.address() as AddressInfo).port,
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  });
}

/** Takes connections and says nothing. */
export async function startSilence(): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
