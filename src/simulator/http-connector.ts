import type { ReportKind } from '../bridge/protocol/signature.ts';
import type { Connector, LinkHandlers } from './session.ts';

export interface HttpConnectorOptions {
  /** `http://127.0.0.1:8000`, without `/api/v1`. */
  readonly api: string;
  /** Seconds that one poll waits for a command. Default 20. */
  readonly waitSeconds?: number;
}

const TIMEOUT_MS = 10_000;
const MAX_QUEUED = 64;

/** The last level of a report's topic, of whatever family, as the kind in the path. */
const kinds: Readonly<Record<string, ReportKind>> = { status: 'status', heartbeat: 'heartbeat', battery: 'battery', responses: 'responses', response: 'responses' };

/**
 * A connection over HTTP for where MQTT does not get through: the same texts, POSTed, and a poll that waits for commands.
 * There is no broker, so none to refuse a subscription or to publish a will: the server notices silence.
 */
export function httpConnector({ api, waitSeconds = 20 }: HttpConnectorOptions): Connector {
  return (request, handlers) => {
    const base = `${api}/api/v1/devices/${request.username}`;
    const gone = new AbortController();
    const reports: { readonly topic: string; readonly payload: Buffer; readonly done: () => void }[] = [];
    let sending = false;
    let closed = false;
    /** The answer that opened this connection. */
    let fetched = '{"commands":[]}';

    const close = (reason: Parameters<LinkHandlers['closed']>[0]): void => {
      if (closed) return;
      closed = true;
      gone.abort();
      handlers.closed(reason);
    };

    async function call(method: 'GET' | 'POST' | 'PUT', path: string, { body, timeoutMs = TIMEOUT_MS }: { readonly body?: Buffer; readonly timeoutMs?: number } = {}): Promise<{ readonly status: number; readonly text: string }> {
      const response = await fetch(`${base}${path}`, {
        method,
        headers: { authorization: `Bearer ${request.bearer}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: new Uint8Array(body) }),
        signal: AbortSignal.any([gone.signal, AbortSignal.timeout(timeoutMs)]),
      });
      return { status: response.status, text: await response.text() };
    }

    /** True where the server has it. Anything else ends this connection: the session waits, and says hello anew. */
    function isTaken(status: number, ...good: readonly number[]): boolean {
      if (good.includes(status)) return true;
      // Also a 401: a key that was good is not any more, so there is a newer one to come back with.
      close('lost');
      return false;
    }

    async function open(): Promise<void> {
      try {
        const { status, text } = await call('GET', '/commands?wait=0');
        if (closed) return;
        if (status === 401) return close('refused');
        if (status !== 200) return close('unreachable');
        // What waited for the box came with the first answer, and comes once.
        fetched = text;
        handlers.connected();
      } catch {
        close('unreachable');
      }
    }

    function take(text: string): void {
      const { commands } = JSON.parse(text) as { readonly commands: readonly { readonly payload: string }[] };
      for (const { payload } of commands) {
        if (closed) return;
        handlers.message('', Buffer.from(payload), false);
        void acknowledge(payload);
      }
    }

    async function poll(): Promise<void> {
      take(fetched);
      while (!closed) {
        try {
          const { status, text } = await call('GET', `/commands?wait=${waitSeconds}`, { timeoutMs: (waitSeconds + 10) * 1_000 });
          if (closed || !isTaken(status, 200)) return;
          take(text);
        } catch {
          return close('lost');
        }
      }
    }

    /** Which command it was is read without trust: the server looks whether it handed it to this box. */
    async function acknowledge(payload: string): Promise<void> {
      const [, commandId] = /"command_id":"([0-9a-f-]{36})"/.exec(payload) ?? [];
      if (commandId === undefined) return;
      // Lost, it costs the server one more copy, which the box's journal knows.
      await call('PUT', `/commands/${commandId}`).catch(() => undefined);
    }

    /** One after another: the order of a box's reports is theirs on the way too. */
    async function send(): Promise<void> {
      if (sending) return;
      sending = true;
      try {
        for (let next = reports.shift(); next !== undefined && !closed; next = reports.shift()) {
          const kind = kinds[next.topic.split('/').at(-1) ?? ''];
          if (kind === undefined) continue;
          const { status } = await call('POST', `/${kind}`, { body: next.payload });
          // 413 and 404 are no reason to send it again.
          if (!closed && isTaken(status, 202, 404, 413)) next.done();
        }
      } catch {
        close('lost');
      } finally {
        sending = false;
      }
    }

    void open();
    return {
      subscribe(filters, granted) {
        void poll();
        granted(filters.map(() => 1));
      },
      publish(topic, payload, done) {
        if (reports.length < MAX_QUEUED) reports.push({ topic, payload, done });
        void send();
      },
      end(how) {
        if (how === 'destroy') return close('lost');
        // What was just said, a goodbye for one, still leaves.
        const leave = (): void => {
          if (sending && !closed) setTimeout(leave, 5);
          else close('ended');
        };
        leave();
      },
    };
  };
}
