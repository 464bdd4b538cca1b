import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';
import { newId } from '../platform/ids.ts';
import type { AuditFilter, LinkRow, LiveChange } from '../projections/read-models.ts';
import type { Api } from './api.ts';
import { createAuditTails, type TailSocket } from './audit-tail.ts';
import { bearer } from './app.ts';
import { MAX_USER_AGENT } from './call.ts';
import { ApiError, forbidden, invalid, notFound, refusalWords, toApiError, tooMany, unauthorized, unavailable } from './errors.ts';
import { linkOfToken } from './links.ts';
import { adminMessage, courierMessage, doorMessage, ownerMessage, type Message } from './live-messages.ts';
import { originAllowed } from './origins.ts';
import { createPlaybacks, type PlaybackRequest } from './playback.ts';
import type { AccountPrincipal } from './principal.ts';
import { clientAddress, hostAllowed, namesOneHost, networkOf } from './client.ts';
import { limit } from './rate-limit.ts';
import { AFTERGLOW_MS } from './routes/delivery.ts';
import type { Attached } from './server.ts';
import type { Claims } from './tokens.ts';

/** Codes of ours in a close frame; the rest are of the protocol. */
const closeCodes = { unauthorized: 4401, forbidden: 4403, tryLater: 1013, goingAway: 1001, tooMany: 1008, failed: 1011 } as const;

const MAX_PAYLOAD = 64 * 1_024;
/** A socket that is so far behind is cut: it resumes from its last position. */
const MAX_BUFFERED = 1_024 * 1_024;
const MAX_QUEUED = 1_000;
const MAX_SOCKETS = 10_000;
/** Of one address, behind which may be a whole office. */
const MAX_SOCKETS_PER_NETWORK = 200;
const PING_EVERY_MS = 30_000;
/** How soon a change of rights is felt by a socket that nothing is sent to. */
const CHECK_EVERY_MS = 1_000;
/** How old what is known of a box's owner may be when something of it is sent. */
const OWNER_KNOWN_MS = 250;
const AUTH_WITHIN_MS = 10_000;
const CLOSE_WITHIN_MS = 1_000;
const MESSAGES_PER_CHECK = 20;

/** What a path of a socket is about: what it needs, what it hears, how that reads. */
interface Subject {
  readonly topics: readonly string[];
  /** @throws ApiError when it may no longer hear this */
  readonly authorise: () => Promise<void>;
  readonly message: (change: LiveChange) => Message | undefined | Promise<Message | undefined>;
  /** What sends by itself instead, from a place on. */
  readonly follow?: (from: bigint | undefined, socket: TailSocket) => Promise<Following>;
}

interface Following {
  readonly stop: () => void;
  /** What the client says, where it may say anything. */
  readonly receive?: (text: string) => void;
}

type Target =
  | { readonly kind: 'device'; readonly deviceId: string }
  | { readonly kind: 'devices' }
  | { readonly kind: 'delivery'; readonly token: string }
  | { readonly kind: 'admin' }
  | { readonly kind: 'audit'; readonly filter: AuditFilter }
  | { readonly kind: 'playback'; readonly request: PlaybackRequest };

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

function targetOf(path: string, auditFilterOf: () => AuditFilter, playbackOf: () => PlaybackRequest): Target | undefined {
  const [, room, what, key, ...rest] = path.replace(/^\/api(?:\/v1)?(?=\/)/, '').replace(/\/$/, '').split('/');
  if (room !== 'ws' || rest.length > 0) return undefined;
  if (what === 'devices' && key !== undefined && UUID.test(key)) return { kind: 'device', deviceId: key.toLowerCase() };
  if (what === 'device-status' && key === undefined) return { kind: 'devices' };
  if (what === 'delivery' && key !== undefined && key !== '') return { kind: 'delivery', token: key };
  if (what === 'admin' && key === 'system') return { kind: 'admin' };
  if (what === 'admin' && key === 'audit') return { kind: 'audit', filter: auditFilterOf() };
  if (what === 'admin' && key === 'playback') return { kind: 'playback', request: playbackOf() };
  return undefined;
}

/** Live changes over WebSockets, on the port of `server`. */
export function attachLive(server: Server, api: Api): Attached {
  const { deps, gate, tokens, positions } = api;
  const { settings, live, reads, clock } = deps;
  const logger = deps.logger.child({ component: 'live' });
  const tails = createAuditTails(api);
  const playbacks = createPlaybacks(api);
  const open = deps.metrics.gauge('loqey_ws_open', 'Open WebSockets', ['kind']);
  const sent = deps.metrics.counter('loqey_ws_sent_total', 'Messages sent over WebSockets', ['kind']);
  const cut = deps.metrics.counter('loqey_ws_cut_total', 'WebSockets closed by us', ['code']);
  const sockets = new Set<LiveSocket>();
  const bySource = new Map<string, number>();
  const addressOf = clientAddress(settings.trustedProxies);
  const wss = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_PAYLOAD,
    perMessageDeflate: false,
    clientTracking: false,
    // A browser fails the connection unless one of its protocols is chosen; the one with the token only if it is alone.
    handleProtocols: (offered) => [...offered].find((name) => !name.startsWith('bearer.')) ?? [...offered][0] ?? false,
  });
  // The library's own words would be a text that no route here answers.
  wss.on('wsClientError', (error, socket) => refuse(socket, invalid('handshake', error.message, 'Invalid WebSocket handshake'), { 'Sec-WebSocket-Version': '13' }));
  wss.on('error', (error) => logger.error({ err: error }, 'The WebSocket server had an error'));
  let stopping = false;

  /** Who has a box, known for a moment: a burst of news of one box asks once. */
  const owners = new Map<string, { readonly ownerId: string | null; readonly readAt: number }>();
  async function ownerOf(deviceId: string): Promise<string | null> {
    const now = clock.monotonic();
    const known = owners.get(deviceId);
    if (known !== undefined && now - known.readAt < OWNER_KNOWN_MS) return known.ownerId;
    const ownerId = (await reads.devices.byId(deviceId))?.ownerId ?? null;
    if (owners.size > MAX_SOCKETS) owners.clear();
    owners.set(deviceId, { ownerId, readAt: now });
    return ownerId;
  }

  function subjectOf(target: Exclude<Target, { kind: 'delivery' }>, claims: Claims): Subject {
    const admitted = async (): Promise<AccountPrincipal> => {
      if (claims.expiresAt * 1_000 <= clock.now()) throw unauthorized();
      return gate.admit(claims);
    };
    switch (target.kind) {
      case 'device': {
        const { deviceId } = target;
        return {
          topics: [`device:${deviceId}`],
          // What it was told of is for whoever had the box then, also when it is missed or settled after the box changed hands.
          message: (change) => (isOf(claims.userId, change) ? ownerMessage(change) : undefined),
          async authorise() {
            const { userId } = await admitted();
            if ((await ownerOf(deviceId)) !== userId) throw forbidden('Device not found or access denied');
          },
        };
      }
      case 'devices':
        return {
          topics: [`user:${claims.userId}`],
          message: (change) => ownerMessage(change),
          authorise: async () => void (await admitted()),
        };
      case 'admin':
        return {
          topics: ['admin'],
          message: (change) => adminMessage(change),
          async authorise() {
            if (!(await admitted()).permissions.has('system:read')) throw forbidden();
          },
        };
      case 'audit':
        return {
          topics: [],
          message: () => undefined,
          async authorise() {
            if (!(await admitted()).permissions.has('audit:read')) throw forbidden();
          },
          follow: async (from, socket) => ({ stop: await tails.follow(target.filter, from, socket) }),
        };
      case 'playback':
        return {
          topics: [],
          message: () => undefined,
          async authorise() {
            if (!(await admitted()).permissions.has('audit:read')) throw forbidden();
          },
          follow: async (_, socket) => playbacks.open(target.request, claims.userId, socket),
        };
    }
  }

  /** In the order of the log; undefined when that is too long ago, or beyond its end. */
  async function missedOf(topics: readonly string[], from: bigint): Promise<readonly LiveChange[] | undefined> {
    const each = await Promise.all(topics.map((topic) => live.since(topic, from)));
    const missed = each.flatMap((changes, index) => (changes ?? []).filter((change) => isFirst(topics, index, change)));
    return each.includes(undefined) ? undefined : missed.sort((a, b) => Number(a.position - b.position));
  }

  async function courierSubject(token: string): Promise<Subject> {
    const link = await linkOfToken(api, token);
    if (link === undefined || link.deleted) throw notFound('Access link not found');
    const { ownerId } = link;
    const topic = `link:${link.linkId}`;
    let openedAt = (await reads.unlocks.lastOfLink(link.linkId))?.openedAt ?? undefined;
    /** The box itself: to whoever has just opened it, what it did since, and not what it does for its next owner. */
    function isShown(change: LiveChange): boolean {
      if (openedAt === undefined || clock.now() >= Date.parse(openedAt) + AFTERGLOW_MS) return false;
      return String(change.payload['timestamp']) >= openedAt && isOf(ownerId, change);
    }
    return {
      topics: [topic, `device:${link.deviceId}`],
      message(change) {
        if (change.type === 'links_revoked') return endOf(link, change);
        if (!change.topics.includes(topic)) return isShown(change) ? doorMessage(change) : undefined;
        if (change.payload['status'] === 'opened') openedAt = String(change.payload['timestamp']);
        return courierMessage(change);
      },
      authorise: async () => undefined,
    };
  }

  /** The box's links have ended at once: whether this one did is looked up, by whoever listens for it. */
  async function endOf({ linkId, assignmentId }: LinkRow, { payload }: LiveChange): Promise<Message | undefined> {
    if (payload['assignment_id'] !== assignmentId) return undefined;
    const status = (await reads.links.byId(linkId))?.status;
    return status === undefined || status === 'active' ? undefined : { type: 'link_update', status, timestamp: payload['timestamp'] };
  }

  class LiveSocket {
    readonly kind: Target['kind'];
    private readonly ws: WebSocket;
    private readonly network: string;
    private subject: Subject | undefined;
    private unsubscribe: (() => void) | undefined;
    private expiry: NodeJS.Timeout | undefined;
    private alive = true;
    private received = 0;
    /** Changes wait here while earlier ones are being authorised: order is kept. */
    private waiting: LiveChange[] = [];
    private sending = false;
    private resuming = false;

    constructor(ws: WebSocket, kind: Target['kind'], network: string) {
      this.ws = ws;
      this.kind = kind;
      this.network = network;
      sockets.add(this);
      bySource.set(network, (bySource.get(network) ?? 0) + 1);
      open.inc({ kind });
      ws.on('error', () => undefined); // a close follows
      ws.on('pong', () => (this.alive = true));
      ws.on('close', () => this.release());
      ws.on('message', (data) => this.receive(data));
    }

    /** For sockets that say who they are in their first message. */
    onFirstMessage: ((text: string) => Promise<void>) | undefined;
    /** For those that take commands afterwards. */
    private onCommand: ((text: string) => void) | undefined;

    async subscribe(subject: Subject, after: string | undefined, expiresAt?: number): Promise<void> {
      await subject.authorise();
      const from = after === undefined ? undefined : positions.decode(after);
      if (after !== undefined && from === undefined) throw invalid('after', 'is not a position of this log');
      this.subject = subject;
      if (expiresAt !== undefined) {
        // A timer counts 31 bits of milliseconds; a token that lives longer is caught by the regular check.
        const ms = Math.min(expiresAt * 1_000 - clock.now(), 2 ** 31 - 1);
        this.expiry = setTimeout(() => this.close(closeCodes.unauthorized, 'Token expired'), ms);
      }
      if (subject.follow !== undefined) {
        const { stop, receive } = await subject.follow(from, {
          authorise: subject.authorise,
          send: (message) => this.write(message),
          unsent: () => this.ws.bufferedAmount,
          tooSlow: () => this.cutOff(),
          fail: (error) => this.fail(error),
        });
        this.unsubscribe = stop;
        this.onCommand = receive;
        if (this.ws.readyState !== this.ws.OPEN) stop();
        return;
      }
      this.resuming = from !== undefined;
      const { topics } = subject;
      const stops = topics.map((topic, index) => live.on(topic, (change) => isFirst(topics, index, change) && this.take(change)));
      this.unsubscribe = () => stops.forEach((stop) => stop());
      this.write({ type: 'subscribed' });
      if (from !== undefined) await this.resume(topics, from);
    }

    /** Every second: rights may have changed without a word on this topic. */
    async check(): Promise<void> {
      this.received = 0;
      await this.subject?.authorise().catch((error: unknown) => this.fail(error));
    }

    ping(): void {
      if (!this.alive) {
        this.ws.terminate();
        return;
      }
      this.alive = false;
      this.ws.ping();
    }

    close(code: number, reason: string): void {
      if (this.ws.readyState !== this.ws.OPEN) return;
      cut.inc({ code: `${code}` });
      this.unsubscribe?.();
      this.ws.close(code, reason);
      setTimeout(() => this.ws.terminate(), CLOSE_WITHIN_MS).unref();
    }

    fail(error: unknown): void {
      const { status, message } = toApiError(error, deps.isTransient);
      if (status === 401) this.close(closeCodes.unauthorized, message);
      else if (status === 403 || status === 404) this.close(closeCodes.forbidden, message);
      else if (status === 400) this.close(closeCodes.tooMany, message);
      else if (status === 429 || status === 503) this.close(closeCodes.tryLater, message);
      else {
        logger.error({ err: error }, 'A WebSocket failed');
        this.close(closeCodes.failed, message);
      }
    }

    private async resume(topics: readonly string[], from: bigint): Promise<void> {
      const missed = await missedOf(topics, from);
      // What is no longer kept, or what a restored log does not have, cannot be told: the client reads the state anew.
      if (missed === undefined) this.write({ type: 'resync' });
      const later = this.waiting;
      this.waiting = [...(missed ?? []), ...later.filter((change) => missed?.some(({ eventId }) => eventId === change.eventId) !== true)];
      this.resuming = false;
      void this.drain();
    }

    private take(change: LiveChange): void {
      if (this.waiting.length >= MAX_QUEUED) {
        this.close(closeCodes.tryLater, 'Too slow');
        return;
      }
      this.waiting.push(change);
      if (!this.resuming) void this.drain();
    }

    /** Each message is authorised at the moment it is sent. */
    private async drain(): Promise<void> {
      if (this.sending) return;
      this.sending = true;
      try {
        for (let change = this.waiting.shift(); change !== undefined; change = this.waiting.shift()) {
          const message = await this.subject?.message(change);
          if (message === undefined || this.ws.readyState !== this.ws.OPEN) continue;
          await this.subject?.authorise();
          this.write({ ...message, position: positions.encode(change.position), event_id: change.eventId });
        }
      } catch (error) {
        this.fail(error);
      } finally {
        this.sending = false;
      }
    }

    private write(message: Message): void {
      if (this.ws.readyState !== this.ws.OPEN) return;
      this.ws.send(JSON.stringify(message));
      sent.inc({ kind: this.kind });
      if (this.ws.bufferedAmount > MAX_BUFFERED) this.cutOff();
    }

    /** It reads nothing, so it would not read a close frame either. */
    private cutOff(): void {
      cut.inc({ code: `${closeCodes.tryLater}` });
      this.unsubscribe?.();
      this.ws.close(closeCodes.tryLater, 'Too slow');
      this.ws.terminate();
    }

    private receive(data: RawData): void {
      if (++this.received > MESSAGES_PER_CHECK) {
        this.close(closeCodes.tooMany, 'Too many messages');
        return;
      }
      const first = this.onFirstMessage;
      this.onFirstMessage = undefined;
      const text = Buffer.isBuffer(data) ? data.toString('utf8') : '';
      // Nothing else is asked over a socket than who it is, but by those that take commands.
      if (first === undefined) this.onCommand?.(text);
      else first(text).catch((error: unknown) => this.fail(error));
    }

    private release(): void {
      this.unsubscribe?.();
      clearTimeout(this.expiry);
      if (!sockets.delete(this)) return;
      open.dec({ kind: this.kind });
      const left = (bySource.get(this.network) ?? 1) - 1;
      if (left > 0) bySource.set(this.network, left);
      else bySource.delete(this.network);
    }
  }

  async function upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // Before anything else: a page that had its name pointed at us (DNS rebinding) says its own name here.
    if (!namesOneHost(req) || !hostAllowed(req.headers.host, settings.allowedHosts)) throw invalid('host', 'is not a name of this server', 'Invalid host header');
    const { origin } = req.headers;
    if (origin !== undefined && !isOwnOrigin(origin, req.headers.host) && !originAllowed(origin, settings)) throw forbidden('This origin is not allowed');
    // An absolute address or none at all is no path of ours.
    const url = URL.parse(req.url?.startsWith('/') === true ? `http://socket${req.url}` : '');
    const target = url === null ? undefined : targetOf(url.pathname, () => tails.filterOf(url.searchParams), () => playbacks.requestOf(url.searchParams));
    if (url === null || target === undefined) throw notFound();
    if (req.method !== 'GET') throw new ApiError('method_not_allowed', `${req.method} is not possible here`, undefined, { Allow: 'GET' });
    if (stopping) throw unavailable('The service is stopping');
    if (sockets.size >= MAX_SOCKETS) throw unavailable('Too many connections', 10);
    const network = networkOf(addressOf(req));
    if ((bySource.get(network) ?? 0) >= MAX_SOCKETS_PER_NETWORK) throw tooMany('Too many connections from this address', 10);
    await limit(api.limiter, settings.rateLimits, 'anonymous', network);
    const after = url.searchParams.get('after') ?? undefined;

    if (target.kind === 'delivery') {
      const subject = await courierSubject(target.token);
      accept(req, socket, head, { target, network }, (connected) => connected.subscribe(subject, after));
      return;
    }
    const token = bearer(req) ?? protocolToken(req);
    if (token !== undefined) {
      const claims = claimsOf(token);
      const subject = subjectOf(target, claims);
      // Refused before the upgrade where that is possible: a client sees the status.
      await admit(subject, target, claims, req);
      accept(req, socket, head, { target, network }, (connected) => connected.subscribe(subject, after, claims.expiresAt));
      return;
    }
    accept(req, socket, head, { target, network }, async (connected) => {
      const late = setTimeout(() => connected.close(closeCodes.unauthorized, 'Authentication required'), AUTH_WITHIN_MS);
      connected.onFirstMessage = async (text) => {
        clearTimeout(late);
        const claims = claimsOf(firstMessageToken(text));
        const subject = subjectOf(target, claims);
        await admit(subject, target, claims, req);
        await connected.subscribe(subject, after, claims.expiresAt);
      };
    });
  }

  /** Whoever reaches for what administrators hear, and is none, is in the audit log, as with any other route of theirs. */
  async function admit(subject: Subject, { kind }: Target, { userId }: Claims, req: IncomingMessage): Promise<void> {
    try {
      await subject.authorise();
    } catch (error) {
      if (error instanceof ApiError && error.status === 403 && kind !== 'device' && kind !== 'devices') {
        const id = newId();
        const userAgent = req.headers['user-agent']?.slice(0, MAX_USER_AGENT);
        const origin = { ip: addressOf(req), ...(userAgent === undefined ? {} : { userAgent }) };
        deps.refusals.recordAs(`listen_${kind}`, { kind: 'user', id: userId }, { code: error.message === refusalWords.user_suspended.message ? 'user_suspended' : 'role_missing' }, { commandId: id, correlationId: id, actor: { kind: 'user', id: userId }, source: 'web_dashboard', origin });
      }
      throw error;
    }
  }

  function claimsOf(token: string | undefined): Claims {
    const claims = token === undefined ? undefined : tokens.verify(token);
    if (claims === undefined) throw unauthorized();
    return claims;
  }

  function accept(
    req: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    { target, network }: { readonly target: Target; readonly network: string },
    then: (connected: LiveSocket) => Promise<void>,
  ): void {
    wss.handleUpgrade(req, socket, head, (ws) => {
      const connected = new LiveSocket(ws, target.kind, network);
      then(connected).catch((error: unknown) => connected.fail(error));
    });
  }

  const onUpgrade = (req: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => socket.destroy());
    upgrade(req, socket, head).catch((error: unknown) => refuse(socket, toApiError(error, deps.isTransient)));
  };
  server.on('upgrade', onUpgrade);
  const pings = setInterval(() => sockets.forEach((socket) => socket.ping()), PING_EVERY_MS).unref();
  const checks = setInterval(() => sockets.forEach((socket) => void socket.check()), CHECK_EVERY_MS).unref();

  return {
    async stop() {
      stopping = true;
      clearInterval(pings);
      clearInterval(checks);
      tails.stop();
      playbacks.stop();
      for (const socket of sockets) socket.close(closeCodes.goingAway, 'The service is stopping');
      const deadline = performance.now() + CLOSE_WITHIN_MS + 500;
      while (sockets.size > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
      server.off('upgrade', onUpgrade);
      wss.close();
    },
  };
}

/** It happened to a box while this user had it. */
function isOf(userId: string, { topics }: LiveChange): boolean {
  return topics.includes(`user:${userId}`);
}

/** A change of several of these topics is told once: with the first of them. */
function isFirst(topics: readonly string[], index: number, change: LiveChange): boolean {
  return topics.findIndex((topic) => change.topics.includes(topic)) === index;
}

/** A page of our own may listen to us, whatever the server is called. */
function isOwnOrigin(origin: string, host: string | undefined): boolean {
  return host !== undefined && (origin === `https://${host}` || origin === `http://${host}`);
}

/** A browser cannot set a header: `new WebSocket(url, ['loqey', 'bearer.<token>'])`. */
function protocolToken(req: IncomingMessage): string | undefined {
  const offered = (req.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  return offered.find((name) => name.startsWith('bearer.'))?.slice('bearer.'.length);
}

function firstMessageToken(text: string): string | undefined {
  try {
    const message = JSON.parse(text) as { type?: unknown; token?: unknown } | null;
    return message?.type === 'auth' && typeof message.token === 'string' ? message.token : undefined;
  } catch {
    return undefined;
  }
}

function refuse(socket: Duplex, error: ApiError, also: Readonly<Record<string, string>> = {}): void {
  const body = JSON.stringify({ error: error.code, message: error.message, ...(error.details === undefined ? {} : { details: error.details }) });
  const headers = { ...error.headers, ...also, 'Content-Type': 'application/json; charset=utf-8', 'Content-Length': `${Buffer.byteLength(body)}`, Connection: 'close' };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${error.status} ${error.code}\r\n${lines.join('')}\r\n${body}`);
}
