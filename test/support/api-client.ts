import { randomUUID } from 'node:crypto';

/** An answer of the API that was not what the caller had asked for. */
export class UnexpectedAnswer extends Error {
  override readonly name = 'UnexpectedAnswer';
  readonly status: number;
  readonly body: unknown;

  constructor(method: string, path: string, status: number, body: unknown) {
    super(`${method} ${path} answered ${status}: ${JSON.stringify(body)}`);
    this.status = status;
    this.body = body;
  }
}

export interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

/** The public API, as a stranger's program would use it. */
export interface ApiClient {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  put<T>(path: string, body?: unknown): Promise<T>;
  /** Whatever the status is. */
  call<T>(method: string, path: string, body?: unknown): Promise<Answer<T>>;
  as(accessToken: string): ApiClient;
}

const TIMEOUT_MS = 15_000;

export function createClient(baseUrl: string, accessToken?: string): ApiClient {
  async function call<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    const isSignIn = path.includes('/auth/');
    const response = await fetch(`${baseUrl}/api/v1${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }),
        ...(method === 'GET' || isSignIn ? {} : { 'idempotency-key': randomUUID() }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? undefined : JSON.parse(text)) as T };
  }

  async function ok<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await call<T>(method, path, body);
    if (answer.status < 200 || answer.status > 299) throw new UnexpectedAnswer(method, path, answer.status, answer.body);
    return answer.body;
  }

  return {
    call,
    get: (path) => ok('GET', path),
    post: (path, body) => ok('POST', path, body),
    put: (path, body) => ok('PUT', path, body),
    as: (token) => createClient(baseUrl, token),
  };
}
