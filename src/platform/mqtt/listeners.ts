import { constants } from 'node:crypto';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createSecureContext, createServer as createTlsServer, type SecureContextOptions, type Server as TlsServer, type TLSSocket } from 'node:tls';

export interface BrokerCertificate {
  readonly key: string;
  readonly cert: string;
  /** Who signs the devices' certificates; needed where they are asked for. */
  readonly ca?: string;
}

/** Whether a device must show a certificate. Its CN must be the username; the password stays required in any case. */
export type ClientCertificates = 'off' | 'optional' | 'required';

export interface EmbeddedBrokerTls extends BrokerCertificate {
  /** 0 = any free one. */
  readonly port: number;
  /** Default off. */
  readonly clientCertificates?: ClientCertificates;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A certificate that its CA did not sign, and who showed it. */
export interface ForeignCertificate {
  readonly claimed: string;
  readonly address: string | undefined;
}

export interface ListenersOptions {
  readonly host: string;
  /** Without TLS. 0 = any free one; undefined: not without TLS. */
  readonly port: number | undefined;
  readonly tls: EmbeddedBrokerTls | undefined;
  readonly limits: {
    readonly maxConnectionsPerAddress: number;
    /** Of those, whose owner is not known yet. */
    readonly maxStrangersPerAddress: number;
    /** Also of the TLS handshake. */
    readonly connectTimeoutMs: number;
  };
  /** A socket that may speak. `transport` is the TCP one, also under TLS; the name is the CN of a certificate that is in order. */
  readonly welcome: (socket: Socket, transport: Socket, certificateName?: string) => void;
  readonly turnedAway: (reason: 'too_many_connections' | 'tls', certificate?: ForeignCertificate) => void;
}

/**
 * Where the embedded broker listens, without TLS and with it, and how many sockets one address may have: so that nobody who
 * has no password takes the places of those who do (docs/decisions/0092 for the certificates).
 */
export interface Listeners {
  /** @throws where a port is taken; then it listens nowhere */
  open(): Promise<void>;
  /** Takes nobody new from now on. Resolves when every socket is closed, which is the caller's part. */
  close(): Promise<void>;
  readonly listening: boolean;
  /** The owner of this socket is known: it counts as a stranger's no more. */
  known(transport: Socket): void;
  /** Without TLS, or with TLS alone. @throws before `open` */
  address(): Address;
  /** @throws where there is no TLS, and before `open` */
  tlsAddress(): Address;
  /** For connections from now on. @throws when key and certificate do not fit; the old ones stay in use */
  renewCertificate(certificate: BrokerCertificate): void;
}

interface AddressCounts {
  all: number;
  strangers: number;
}

export function createListeners({ host, port, tls, limits, welcome, turnedAway }: ListenersOptions): Listeners {
  let plain: Server | undefined;
  let secure: TlsServer | undefined;
  let certificate: BrokerCertificate | undefined = tls;
  let closing = false;

  const perAddress = new Map<string, AddressCounts>();
  /** TCP sockets whose owner is not known yet. */
  const strangers = new Map<Socket, AddressCounts>();

  function admitSocket(transport: Socket): boolean {
    const address = transport.remoteAddress;
    if (address === undefined || closing) return false;
    let counts = perAddress.get(address);
    if (counts === undefined) perAddress.set(address, (counts = { all: 0, strangers: 0 }));
    if (counts.all >= limits.maxConnectionsPerAddress || counts.strangers >= limits.maxStrangersPerAddress) {
      turnedAway('too_many_connections');
      return false;
    }
    const count = counts;
    count.all++;
    count.strangers++;
    strangers.set(transport, count);
    transport.once('close', () => {
      known(transport);
      if (--count.all === 0) perAddress.delete(address);
    });
    return true;
  }

  function known(transport: Socket): void {
    const count = strangers.get(transport);
    if (count === undefined) return;
    strangers.delete(transport);
    count.strangers--;
  }

  function plainServer(): Server {
    return createServer({ noDelay: true }, (socket) => {
      if (admitSocket(socket)) welcome(socket, socket);
      else socket.destroy();
    });
  }

  function tlsServer({ clientCertificates = 'off' }: EmbeddedBrokerTls): TlsServer {
    /** The TCP socket under each TLS one: only it can be reset. */
    const transports = new Map<string, Socket>();
    const peer = (socket: Socket): string => `${socket.remoteAddress}|${socket.remotePort}`;
    const server = createTlsServer({
      noDelay: true,
      ...secureContext(certificate!),
      requestCert: clientCertificates !== 'off',
      rejectUnauthorized: clientCertificates === 'required',
      handshakeTimeout: limits.connectTimeoutMs,
    });
    server.on('connection', (transport: Socket) => {
      if (!admitSocket(transport)) return void transport.destroy();
      const name = peer(transport);
      transports.set(name, transport);
      transport.once('close', () => transports.delete(name));
    });
    server.on('secureConnection', (socket: TLSSocket) => {
      const transport = transports.get(peer(socket));
      if (transport === undefined) return void socket.destroy();
      if (clientCertificates === 'off') return welcome(socket, transport);
      const { subject } = socket.getPeerCertificate();
      if (subject === undefined) return welcome(socket, transport); // none was shown, and none is required
      if (!socket.authorized) {
        turnedAway('tls', { claimed: String(subject.CN), address: transport.remoteAddress });
        socket.on('error', () => undefined);
        return void socket.destroy();
      }
      welcome(socket, transport, String(subject.CN));
    });
    server.on('tlsClientError', () => turnedAway('tls'));
    return server;
  }

  return {
    async open() {
      closing = false;
      try {
        if (port !== undefined) {
          plain = plainServer();
          await listen(plain, host, port);
        }
        if (tls !== undefined) {
          secure = tlsServer(tls);
          await listen(secure, host, tls.port);
        }
      } catch (error) {
        plain?.close();
        throw error;
      }
    },
    async close() {
      closing = true;
      await Promise.all([plain, secure].flatMap((server) => (server?.listening === true ? [new Promise((resolve) => server.close(resolve))] : [])));
      plain = undefined;
      secure = undefined;
    },
    get listening() {
      return plain?.listening === true || secure?.listening === true;
    },
    known,
    address: () => addressOf(plain ?? secure),
    tlsAddress: () => addressOf(secure),
    renewCertificate(next) {
      const context = secureContext(next);
      createSecureContext(context); // throws here, before the one in use is given up
      certificate = next;
      secure?.setSecureContext(context);
    },
  };
}

function addressOf(server: Server | undefined): Address {
  const address = server?.address() as AddressInfo | null | undefined;
  if (address === null || address === undefined) throw new Error('The embedded broker is not listening');
  return { host: address.address, port: address.port };
}

/** No tickets: a session that is resumed shows no certificate, and would outlive one that was replaced. */
function secureContext({ key, cert, ca }: BrokerCertificate): SecureContextOptions {
  return { key, cert, ...(ca === undefined ? {} : { ca }), minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_TICKET };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}
