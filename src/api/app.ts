import { createHash } from 'node:crypto';
import cors from 'cors';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import type { RefusalTarget } from '../domain/system/events.ts';
import type { Api } from './api.ts';
import { Call } from './call.ts';
import { accessLog } from './access-log.ts';
import { documentsSite } from './docs/site.ts';
import { statusSite } from './status/site.ts';
import { readForm, readJson } from './body.ts';
import { cameUnencrypted, clientAddress, hostAllowed, namesOneHost } from './client.ts';
import { admitDevice } from './device-access.ts';
import { ApiError, invalid, keyUsedBefore, notFound, refused, toApiError, unauthorized, unavailable } from './errors.ts';
import { securityHeaders } from './headers.ts';
import { linkOfToken } from './links.ts';
import { limit, type LimitClass } from './rate-limit.ts';
import type { Reply } from './route.ts';
import { Router, type Endpoint } from './router.ts';
import { originAllowed } from './origins.ts';
import { endPieces, isStream, sendPieces } from './stream.ts';
import type { CourierPrincipal } from './principal.ts';
import type { Page, PageReply, Site, Visit } from './site.ts';
import { routeTable } from './table.ts';

/** Longer than the longest wait of an opening with what is around it: an answer that is not there by then does not come. */
const ANSWER_WITHIN_MS = 45_000;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/** What is asked of a route, wherever it came from. */
interface Asked {
  readonly endpoint: Endpoint;
  readonly values: readonly string[];
  readonly query: () => Record<string, unknown>;
  readonly body: () => Promise<unknown>;
  readonly key: string | string[] | undefined;
}

/** The HTTP API, and the pages beside it, as an express app. It listens to nothing and knows no environment. */
export function createApp(api: Api, sites: readonly Site[] = []): Express {
  const { settings, metrics, clock, isTransient } = api.deps;
  const logger = api.deps.logger.child({ component: 'api' });
  const router = new Router(routeTable);
  const logLine = accessLog(api.deps.logger, metrics, clock, api.times);
  const { tracing } = api.deps;
  const baseHeaders = [...securityHeaders(settings), 'Cache-Control', 'no-store'];
  const json = 'application/json; charset=utf-8';
  const addressOf = clientAddress(settings.trustedProxies);
  const isUnencrypted = cameUnencrypted(settings.trustedProxies);
  const unknownTokens = metrics.counter('loqey_link_tokens_unknown_total', 'Requests with a link token that no link has');
  const unauthenticated = metrics.counter('loqey_unauthenticated_total', 'Requests refused for want of a good access token');
  const pages = [documentsSite(settings), statusSite(settings), ...sites];

  const allowCors = cors({
    origin: (origin, answer) => answer(null, origin !== undefined && originAllowed(origin, settings)),
    credentials: true,
    methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
    exposedHeaders: [
      'X-Total-Count', 'Link', 'X-Next-Cursor', 'Loqey-Position', 'Loqey-Consistency', 'Loqey-Count', 'Loqey-Search', 'Loqey-Search-Since', 'X-Request-Id', 'Retry-After',
      'X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset',
    ],
    maxAge: 600,
  });

  /** The end of a request, once: its line, its figure, and the end of its span. */
  function log(call: Call, pattern: string | undefined, status: number, error?: unknown): void {
    if (call.ended) return;
    call.ended = true;
    logLine(call, pattern, status, error);
    const { span } = call;
    if (span === undefined) return;
    span.rename(`${call.req.method} ${pattern ?? '(no route)'}`);
    span.set({ 'http.request.method': call.req.method, 'http.route': pattern ?? '', 'http.response.status_code': status, 'loqey.request_id': call.id });
    if (error !== undefined) span.fail(error);
    span.end();
  }

  function send(call: Call, res: Response, status: number, body: string | Buffer, contentType: string): void {
    if (res.headersSent || res.destroyed) return;
    const headers = baseHeaders.concat(
      'Content-Type', contentType,
      'Content-Length', `${Buffer.byteLength(body)}`,
      'X-Request-Id', call.id,
      call.headers,
    );
    if (call.position !== undefined) headers.push('Loqey-Position', api.positions.encode(call.position));
    if (!call.consistent || api.deps.fresh?.behind === true) headers.push('Loqey-Consistency', 'pending');
    res.writeHead(status, headers);
    res.end(body);
  }

  function fail(call: Call, res: Response, thrown: unknown, pattern: string | undefined): void {
    const error = toApiError(thrown, isTransient);
    const { code, message, details, headers, status } = error;
    for (const [name, value] of Object.entries(headers ?? {})) {
      // It takes the place of what was said before, as of a wider limit that still had room.
      const at = call.headers.indexOf(name);
      if (at < 0) call.headers.push(name, value);
      else call.headers[at + 1] = value;
    }
    const body = { error: code, message, ...(details === undefined ? {} : { details }), trace_id: call.traceId };
    send(call, res, status, JSON.stringify(body), json);
    log(call, pattern, status, error === thrown ? undefined : thrown);
  }

  async function courierOf(call: Call, token: string): Promise<CourierPrincipal> {
    const link = await linkOfToken(api, token);
    if (link === undefined) {
      unknownTokens.inc();
      await limit(api.limiter, settings.rateLimits, 'unknownLink', call.ip);
      throw notFound('Access link not found');
    }
    return { kind: 'courier', link };
  }

  /** A stricter limit on top: what is left of it is what the caller is shown. */
  async function tighten(call: Call, kind: LimitClass, source: string): Promise<void> {
    call.headers.length = 0;
    call.headers.push(...(await limit(api.limiter, settings.rateLimits, kind, source)));
  }

  async function principal(call: Call, endpoint: Endpoint): Promise<void> {
    const { access } = endpoint.route;
    if (access.kind === 'anyone' || access.kind === 'link') {
      const kind = endpoint.route.limit;
      if (kind === 'none') return;
      if (call.who.kind !== 'courier') {
        call.headers.push(...(await limit(api.limiter, settings.rateLimits, 'anonymous', call.ip)));
        if (access.kind === 'link') call.who = await courierOf(call, (call.params as { link_token: string }).link_token);
      }
      if (kind !== undefined) await tighten(call, kind, call.who.kind === 'courier' ? call.who.link.linkId : call.ip);
      return;
    }
    const token = bearer(call.req);
    if (access.kind === 'device') {
      call.who = await admitDevice(api, call, token);
      return;
    }
    const claims = token === undefined ? undefined : api.tokens.verify(token);
    if (claims === undefined) {
      unauthenticated.inc();
      // Who guesses tokens spends the same allowance as anyone without an account.
      await limit(api.limiter, settings.rateLimits, 'anonymous', call.ip);
      throw unauthorized(token === undefined ? 'Authentication required' : undefined);
    }
    call.headers.push(...(await limit(api.limiter, settings.rateLimits, 'account', claims.userId)));
    const strict = endpoint.route.limit;
    if (strict === 'pin') await tighten(call, strict, claims.userId);
    if (strict === 'login') await tighten(call, strict, call.ip);
    const who = await api.gate.admit(claims);
    call.who = who;
    if (access.kind === 'admin' && !who.permissions.has(access.permission)) {
      const refusal = { code: 'role_missing' } as const;
      api.deps.refusals.recordAs(endpoint.route.id, targetOf(call.params as Record<string, string>, who.userId), refusal, call.context());
      throw refused(refusal);
    }
  }

  /** The same key is the same command: its id is the first one's, and so is its effect. */
  async function idempotency(call: Call, { route }: Endpoint, key: string | string[] | undefined): Promise<void> {
    if (key === undefined || !route.idempotent || call.who.kind === 'none' || call.who.kind === 'device') return;
    if (typeof key !== 'string' || !IDEMPOTENCY_KEY.test(key)) throw invalid('Idempotency-Key', 'must be 1 to 255 printable ASCII characters');
    const by = call.who.kind === 'courier' ? call.who.link.linkId : call.who.userId;
    // With the key, which is kept nowhere: from a hash of the request alone a PIN in it could be found by trying all.
    const hash = createHash('sha256').update(JSON.stringify([key, call.params, call.query, call.body])).digest('hex');
    const begun = await api.deps.idempotency.begin(by, route.id, key, hash);
    if (begun.kind === 'mismatch') throw keyUsedBefore();
    call.commandId = begun.commandId;
    call.seenBefore = begun.repeated;
  }

  async function run(call: Call, { endpoint, values, query, body, key }: Asked): Promise<Reply> {
    const { route, names, checkParams, checkQuery, checkBody } = endpoint;
    call.route = route;
    const params: Record<string, string> = {};
    for (let i = 0; i < names.length; i++) {
      const value = values[i] ?? '';
      params[names[i] ?? ''] = UUID.test(value) ? value.toLowerCase() : value;
    }
    call.params = params;
    await principal(call, endpoint);
    checkParams?.(params);
    call.query = query();
    checkQuery(call.query);
    if (route.upload !== undefined) call.body = await route.upload.read(call.req);
    else if (checkBody !== undefined) {
      call.body = await body();
      checkBody(call.body);
    }
    await idempotency(call, endpoint, key);
    return route.handle(call, api);
  }

  function visitOf(call: Call): Visit {
    return {
      async courier(token) {
        call.headers.push(...(await limit(api.limiter, settings.rateLimits, 'anonymous', call.ip)));
        const who = await courierOf(call, token);
        call.who = who;
        return who;
      },
      ask(method, path, body, key) {
        const found = router.find(method, path);
        if (found.kind !== 'found') throw notFound();
        return run(call, { ...found, query: () => ({}), body: async () => body, key });
      },
      form: () => readForm(call.req),
    };
  }

  function sendPage(call: Call, res: Response, { status, headers, body }: PageReply): void {
    if (res.headersSent || res.destroyed) return;
    for (let i = 0; i < baseHeaders.length; i += 2) res.setHeader(baseHeaders[i] ?? '', baseHeaders[i + 1] ?? '');
    for (let i = 0; i < call.headers.length; i += 2) res.setHeader(call.headers[i] ?? '', call.headers[i + 1] ?? '');
    res.setHeader('X-Request-Id', call.id);
    res.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
    res.end(body);
  }

  async function servePage(call: Call, page: Page, res: Response): Promise<void> {
    const { method } = call.req;
    if (!page.methods.includes((method === 'HEAD' ? 'GET' : method) as (typeof page.methods)[number])) {
      const allow = [...page.methods, 'HEAD', 'OPTIONS'].join(', ');
      if (method !== 'OPTIONS') throw new ApiError('method_not_allowed', `${method} is not possible here`, undefined, { Allow: allow });
      sendPage(call, res, { status: 204, headers: { Allow: allow }, body: '' });
      return log(call, '(options)', 204);
    }
    const reply = await page.answer(call, visitOf(call));
    sendPage(call, res, reply);
    log(call, page.pattern, reply.status, reply.error);
  }

  async function serve(req: Request, res: Response, next: NextFunction): Promise<void> {
    const call = new Call(req, clock.monotonic(), addressOf(req));
    let pattern: string | undefined;
    if (tracing?.on === true) {
      call.span = tracing.begin(req.method, 'server', call.traceparent);
      call.traceparent = call.span.traceparent;
    }
    // An answer that has begun may take its time: what is long is sent piece by piece.
    const late = setTimeout(() => {
      if (!res.headersSent) fail(call, res, tookTooLong(), pattern);
    }, ANSWER_WITHIN_MS);
    res.once('close', () => clearTimeout(late));
    try {
      if (!namesOneHost(req) || !hostAllowed(req.headers.host, settings.allowedHosts)) throw invalid('host', 'is not a name of this server', 'Invalid host header');
      if (settings.production && req.headers.host !== undefined && isUnencrypted(req)) {
        res.writeHead(308, [...baseHeaders, 'Location', `https://${req.headers.host}${req.url}`, 'Content-Length', '0']).end();
        return log(call, '(to https)', 308);
      }
      const { origin } = req.headers;
      if (origin !== undefined) {
        // Answers a preflight by itself; for anything else it only adds headers.
        let answered = true;
        allowCors(req, res, () => (answered = false));
        if (answered) return log(call, '(preflight)', res.statusCode);
      }
      const mark = req.url.indexOf('?');
      const path = mark < 0 ? req.url : req.url.slice(0, mark);
      for (const site of pages) {
        const page = site.find(path);
        if (page === undefined) continue;
        pattern = page.pattern;
        return await servePage(call, page, res);
      }
      const found = router.find(req.method, path);
      switch (found.kind) {
        case 'found': {
          pattern = found.endpoint.pattern;
          const reply = await run(call, {
            ...found,
            query: () => queryOf(req),
            body: () => readJson(req),
            key: req.headers['idempotency-key'],
          });
          for (const [name, value] of Object.entries(reply.headers ?? {})) call.headers.push(name, value);
          const contentType = reply.contentType ?? found.endpoint.route.contentTypes?.[0];
          if (isStream(reply.body)) {
            res.writeHead(reply.status, baseHeaders.concat('Content-Type', contentType ?? json, 'X-Request-Id', call.id, call.headers));
            if (req.method === 'HEAD') await endPieces(res, reply.body);
            else await sendPieces(res, reply.body);
            return log(call, pattern, reply.status);
          }
          send(call, res, reply.status, contentType === undefined ? JSON.stringify(reply.body) : (reply.body as string | Buffer), contentType ?? json);
          return log(call, pattern, reply.status);
        }
        case 'wrong_method':
          if (req.method === 'OPTIONS') {
            call.headers.push('Allow', found.allow);
            send(call, res, 204, '', json);
            return log(call, '(options)', 204);
          }
          throw new ApiError('method_not_allowed', `${req.method} is not possible here`, undefined, { Allow: found.allow });
        case 'malformed':
          throw invalid('path', 'has a percent sign that escapes nothing', 'Invalid path');
        case 'nothing':
          throw notFound();
      }
    } catch (error) {
      try {
        fail(call, res, error, pattern);
      } catch (worse) {
        next(worse);
      }
    }
  }

  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use((req, res, next) => void serve(req, res, next));
  // Nothing should come here; if it does, the connection still gets an answer and the log the reason.
  app.use((error: unknown, _req: Request, res: Response, _next: NextFunction) => {
    logger.error({ err: error }, 'A request failed outside its handler');
    if (res.headersSent) res.destroy();
    else res.status(500).json({ error: 'internal_error', message: 'An unexpected error occurred' });
  });
  return app;
}

function tookTooLong(): ApiError {
  return unavailable('This took too long. It is not known whether it was done; repeat it with the same Idempotency-Key');
}

export function bearer(req: { readonly headers: { readonly authorization?: string | undefined } }): string | undefined {
  const header = req.headers.authorization;
  return header !== undefined && /^bearer /i.test(header) ? header.slice(7).trim() : undefined;
}

/** @throws ApiError 400 when a name is given twice: which of the two counts would be a guess */
function queryOf(req: Request): Record<string, unknown> {
  if (!req.url.includes('?')) return {};
  const query: Record<string, unknown> = { ...(req.query as Record<string, unknown>) };
  for (const [name, value] of Object.entries(query)) {
    if (typeof value !== 'string') throw invalid(name, 'must be given once');
    if (UUID.test(value)) query[name] = value.toLowerCase();
  }
  return query;
}

/** What somebody without the right reached for; parameters are not validated at that point. */
function targetOf({ device_id: deviceId = '', user_id: userId = '', unlock_id: unlockId = '' }: Readonly<Record<string, string>>, self: string): RefusalTarget {
  if (UUID.test(deviceId)) return { kind: 'device', id: deviceId };
  if (UUID.test(unlockId)) return { kind: 'unlock', id: unlockId };
  return { kind: 'user', id: UUID.test(userId) ? userId : self };
}
