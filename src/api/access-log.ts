import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Clock } from '../platform/clock.ts';
import type { Call } from './call.ts';
import type { RecentTimes } from './recent-times.ts';

/** What is shown of a request that met no route. Nothing of its path: a mistyped link still holds its token. */
const UNMATCHED = '(no route)';
/** Asked every few seconds by whoever watches: worth a line only when the answer is bad. */
const WATCHED = /^(?:\/api\/v1)?\/(?:health|metrics)/;

/** One line and one observation per request, by the pattern of its path: no token, no query, no body. */
export function accessLog(logger: Logger, metrics: Metrics, clock: Clock, times: RecentTimes) {
  const log = logger.child({ component: 'http' });
  const durations = metrics.histogram('loqey_http_request_duration_seconds', 'From the first byte of the head to the answer', ['route', 'method', 'status']);
  const children = new Map<string, { observe(seconds: number): void }>();

  return (call: Call, pattern: string | undefined, status: number, error?: unknown): void => {
    const { method } = call.req;
    const ms = clock.monotonic() - call.startedAt;
    const path = pattern ?? UNMATCHED;
    const known = pattern === undefined ? 'other' : method;
    const key = `${known} ${path} ${status}`;
    let child = children.get(key);
    if (child === undefined) children.set(key, (child = durations.labels(path, known, `${status}`)));
    child.observe(ms / 1_000);
    if (pattern !== undefined && !WATCHED.test(path)) times.add(ms);

    // "Try again" that was meant is no fault of ours; where it has a cause, that is one.
    const level = status >= 500 ? (status === 503 && error === undefined ? 'warn' : 'error') : WATCHED.test(path) ? 'debug' : 'info';
    if (!log.isLevelEnabled(level)) return;
    const line = {
      requestId: call.id,
      traceId: call.traceId,
      method,
      path,
      status,
      ms: Math.round(ms * 100) / 100,
      ...(call.who.kind === 'account' ? { userId: call.who.userId } : {}),
      ...(call.who.kind === 'courier' ? { linkId: call.who.link.linkId } : {}),
      ...(error === undefined ? {} : { err: error }),
    };
    log[level](line, 'request');
  };
}
