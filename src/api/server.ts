import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { component, type Component } from '../platform/lifecycle.ts';
import type { Logger } from '../platform/logger.ts';
import { networkOf } from './client.ts';

// Not imported: for an import Node reads every member of the module, its WebSocket client too, and with it loads the client behind
// `fetch` and HTTP/2, which are of no use here and weigh 14 MB.
const { createServer } = process.getBuiltinModule('node:http');

export interface HttpServerOptions {
  readonly host: string;
  /** 0 = any free one; see `address`. */
  readonly port: number;
  readonly logger: Logger;
  /** Milliseconds that requests under way get at a stop. Default 10,000. */
  readonly drainMs?: number;
  /** Milliseconds a client has to send a whole request. Default 30,000; its head alone half of that. */
  readonly requestTimeoutMs?: number;
  /** Milliseconds a connection is kept without a request. Default 5,000. */
  readonly keepAliveMs?: number;
  /** Most connections of one network; whoever is a proxy in front has no such limit. Default 500. */
  readonly connectionsPerNetwork?: number;
  /** Whether an address is a proxy of ours. */
  readonly isProxy?: (address: string) => boolean;
}

/** A head of at most so many bytes and fields. */
const MAX_HEAD_BYTES = 16 * 1_024;
const MAX_HEAD_FIELDS = 100;
const MAX_CONNECTIONS = 20_000;
/** A connection over which nothing moves although an answer is due: longer than the longest answer takes. */
const STUCK_MS = 90_000;

export interface HttpServer extends Component {
  readonly server: Server;
  /** Where it listens; undefined before the start. */
  address(): { readonly host: string; readonly port: number } | undefined;
}

/** What shares the port and is closed first: sockets are told that the server goes away. */
export interface Attached {
  stop(): Promise<void>;
}

/**
 * Listens for `app`. A stop takes no new connection, lets requests under way finish, and then closes what is left.
 *
 * @throws from `start` what `listen` throws: EADDRINUSE, EACCES, EADDRNOTAVAIL
 */
export function createHttpServer(app: RequestListener, attach: ((server: Server) => Attached) | undefined, options: HttpServerOptions): HttpServer {
  const { host, port, drainMs = 10_000, requestTimeoutMs = 30_000, keepAliveMs = 5_000, connectionsPerNetwork = 500, isProxy = () => false } = options;
  const logger = options.logger.child({ component: 'http' });
  let stopping = false;
  let underWay = 0;

  const serverOptions = {
    connectionsCheckingInterval: Math.min(5_000, requestTimeoutMs / 4),
    maxHeaderSize: MAX_HEAD_BYTES,
    // `namesOneHost` looks at it: Node would answer without a word.
    requireHostHeader: false,
    // Anything but a WebSocket is answered as the request that it also is: curl offers h2c with each.
    shouldUpgradeCallback: (req: IncomingMessage) => req.headers.upgrade?.toLowerCase() === 'websocket',
  };
  const server = createServer(serverOptions, (req, res) => {
    underWay++;
    res.once('close', () => underWay--);
    // A connection that is kept alive would otherwise send its next request into a closing server.
    if (stopping) res.shouldKeepAlive = false;
    app(req, res);
  });
  server.on('checkExpectation', (_req: IncomingMessage, res: ServerResponse) => {
    const body = '{"error":"validation_error","message":"Expect can only be 100-continue"}';
    res.writeHead(417, { 'Content-Type': 'application/json', 'Content-Length': body.length, Connection: 'close' }).end(body);
  });
  server.requestTimeout = requestTimeoutMs;
  server.headersTimeout = requestTimeoutMs / 2;
  server.keepAliveTimeout = keepAliveMs;
  server.maxRequestsPerSocket = 0;
  server.maxHeadersCount = MAX_HEAD_FIELDS;
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = STUCK_MS;

  const connected = new Map<string, number>();
  server.on('connection', (socket) => {
    const { remoteAddress = '' } = socket;
    if (isLoopback(remoteAddress) || isProxy(remoteAddress)) return;
    const network = networkOf(remoteAddress.replace('::ffff:', ''));
    const count = (connected.get(network) ?? 0) + 1;
    connected.set(network, count);
    socket.once('close', () => {
      const left = (connected.get(network) ?? 1) - 1;
      if (left > 0) connected.set(network, left);
      else connected.delete(network);
    });
    if (count > connectionsPerNetwork) socket.destroy();
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return;
    const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
    const body = '{"error":"validation_error","message":"The request could not be read"}';
    socket.end(`HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
  });
  const attached = attach?.(server);

  async function drain(): Promise<void> {
    const deadline = performance.now() + drainMs;
    while (underWay > 0 && performance.now() < deadline) {
      server.closeIdleConnections();
      await delay(20);
    }
    if (underWay > 0) logger.warn({ requests: underWay }, 'Requests were cut off: they were not done in time');
  }

  return {
    server,
    address() {
      const bound = server.address() as AddressInfo | null;
      return bound === null ? undefined : { host: bound.address, port: bound.port };
    },
    ...component(
      async () => {
        stopping = false;
        await new Promise<void>((resolve, reject) => {
          server.once('error', reject);
          server.listen(port, host, () => {
            server.off('error', reject);
            resolve();
          });
        });
        server.on('error', (error) => logger.error({ err: error }, 'The HTTP server had an error'));
      },
      async () => {
        stopping = true;
        const closed = new Promise<void>((resolve) => server.close(() => resolve()));
        await attached?.stop();
        server.closeIdleConnections();
        await drain();
        server.closeAllConnections();
        await closed;
      },
    ),
  };
}

/** Ours, or a proxy on this machine. */
function isLoopback(address: string): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address);
}
