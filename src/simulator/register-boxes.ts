import { StartFailure } from '../platform/data-dir/start-failure.ts';
import type { Provisioning } from './provisioning.ts';

export interface RegisterBoxesOptions {
  /** `http://127.0.0.1:8000`, without `/api/v1`. */
  readonly api: string;
  readonly email: string;
  readonly password: string;
  readonly count: number;
  /** No further one is begun once this is true. */
  readonly asked?: () => boolean;
  readonly progress?: (done: number) => void;
}

const AT_ONCE = 4;
const TIMEOUT_MS = 10_000;
const TRIES = 5;

/** Registers new boxes through the admin's API, as the station that flashes them does. */
export async function registerBoxes(options: RegisterBoxesOptions): Promise<readonly Provisioning[]> {
  const { api, email, password, count, asked = () => false, progress } = options;
  const login = await post(`${api}/api/v1/admin/auth/login`, { email, password });
  if (login.status === 401 || login.status === 403) {
    throw new StartFailure(1, [`✖ ${api} refused ${email} and this password.`, '  Set ADMIN_EMAIL and ADMIN_PASSWORD to those of the first admin, printed at the first start.']);
  }
  const token = member<string>(login, 'access_token');
  // New serials every time: a box that was registered once is not given its key again.
  const run = Date.now().toString(36).toUpperCase();
  const boxes: Provisioning[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let n = next++; n < count && !asked(); n = next++) {
      const serial = `SIM-${run}-${String(n + 1).padStart(4, '0')}`;
      const reply = await post(`${api}/api/v1/admin/devices/register`, { serial_number: serial, device_model: 'simulated' }, token, serial);
      boxes[n] = member(reply, 'provisioning');
      progress?.(boxes.filter((box) => box !== undefined).length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, worker));
  return boxes.filter((box) => box !== undefined);
}

interface Reply {
  readonly url: string;
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Waits where the API asks to, and repeats under one idempotency key what may not have arrived. */
async function post(url: string, body: object, token?: string, idempotencyKey?: string): Promise<Reply> {
  for (let attempt = 1; ; attempt++) {
    let response: Response;
    try {
      response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey }),
        },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      const { origin } = new URL(url);
      throw new StartFailure(7, [`✖ Nobody answers at ${origin} (${reasonOf(error)}).`, '  Start the server with `npm start`, or name another one with --api, or use --provisioning <file>.']);
    }
    if ((response.status === 429 || response.status === 503) && attempt < TRIES) {
      const wait = Math.min(60, Number(response.headers.get('retry-after') ?? 1) || 1);
      await response.body?.cancel();
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
      continue;
    }
    return { url, status: response.status, body: (await response.json().catch(() => ({}))) as Record<string, unknown> };
  }
}

function member<T>(reply: Reply, name: string): T {
  const value = reply.body[name];
  if (reply.status >= 300 || value === undefined) throw new StartFailure(1, [`✖ ${reply.url} answered ${reply.status}: ${JSON.stringify(reply.body).slice(0, 300)}`]);
  return value as T;
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return (cause as { code?: string } | undefined)?.code ?? message;
}
