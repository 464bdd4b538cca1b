import { operations, type Operations, type Schemas } from './schema.ts';

/**
 * A client of the API, typed by its description. It needs nothing but `fetch`: this folder can be copied into an app as it is.
 */

export type OperationId = keyof Operations;
export type ApiError = Schemas['Error'];

type Replies<Id extends OperationId> = Operations[Id]['replies'];
/** The bodies of an operation that did what was asked. */
export type Reply<Id extends OperationId> = Replies<Id>[keyof Replies<Id>];
type Row<T> = T extends readonly (infer R)[] ? R : never;

/** What an operation takes, and an Idempotency-Key where a repeat of an earlier request is meant. */
export type Args<Id extends OperationId> = Omit<Operations[Id], 'replies'> & { readonly idempotencyKey?: string };
/** Nothing needs to be said where nothing is required. */
type Given<Id extends OperationId> = Record<never, never> extends Args<Id> ? [args?: Args<Id>] : [args: Args<Id>];

export type Answer<Id extends OperationId> = { readonly headers: Headers } & (
  | { readonly ok: true; readonly status: number; readonly body: Reply<Id> }
  | { readonly ok: false; readonly status: number; readonly body: ApiError }
);

/** An answer that was not what the caller had asked for. */
export class UnexpectedAnswer extends Error {
  override readonly name = 'UnexpectedAnswer';
  readonly operation: OperationId;
  readonly status: number;
  readonly body: ApiError;

  constructor(operation: OperationId, status: number, body: ApiError) {
    super(`${operation} answered ${status}: ${JSON.stringify(body)}`);
    this.operation = operation;
    this.status = status;
    this.body = body;
  }
}

export interface Client {
  /** The answer, whatever its status is. */
  call<Id extends OperationId>(id: Id, ...args: Given<Id>): Promise<Answer<Id>>;
  /** @throws UnexpectedAnswer for every answer that is an error */
  ask<Id extends OperationId>(id: Id, ...args: Given<Id>): Promise<Reply<Id>>;
  /**
   * Rows of an operation that answers lists.
   * @throws UnexpectedAnswer for every answer that is an error
   */
  list<Id extends OperationId>(id: Id, ...args: Given<Id>): Promise<readonly Row<Reply<Id>>[]>;
  /** The same client with the access token of an account. */
  as(accessToken: string): Client;
}

export interface ClientOptions {
  /** Where the server is, without a path: `https://api.example.com`. */
  readonly baseUrl: string;
  readonly accessToken?: string;
  /** Milliseconds until an answer is given up. Default 15,000. */
  readonly timeoutMs?: number;
  readonly fetch?: typeof fetch;
}

interface AnyArgs {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly idempotencyKey?: string;
}

export function createClient(options: ClientOptions): Client {
  const { baseUrl, accessToken, timeoutMs = 15_000 } = options;
  const send = options.fetch ?? fetch;

  async function call<Id extends OperationId>(id: Id, ...[args]: Given<Id>): Promise<Answer<Id>> {
    const { params = {}, query = {}, body, idempotencyKey } = (args ?? {}) as AnyArgs;
    const { method, path, sends = 'application/json' }: { readonly method: string; readonly path: string; readonly sends?: string } = operations[id];
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
    const response = await send(`${baseUrl.replace(/\/$/, '')}${filled}${search.size === 0 ? '' : `?${search.toString()}`}`, {
      method,
      headers: {
        Accept: 'application/json',
        ...(body === undefined ? {} : { 'Content-Type': sends }),
        ...(accessToken === undefined ? {} : { Authorization: `Bearer ${accessToken}` }),
        ...(idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey }),
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text();
    const isJson = (response.headers.get('content-type') ?? '').startsWith('application/json');
    const answer: unknown = isJson && text !== '' ? JSON.parse(text) : text;
    const { status, ok, headers } = response;
    // What the server answers is what it describes: its own tests hold every answer against this very description.
    return { ok, status, headers, body: answer } as Answer<Id>;
  }

  async function ask<Id extends OperationId>(id: Id, ...args: Given<Id>): Promise<Reply<Id>> {
    const answer = await call(id, ...args);
    if (!answer.ok) throw new UnexpectedAnswer(id, answer.status, answer.body);
    return answer.body;
  }

  return {
    call,
    ask,
    async list(id, ...args) {
      const rows = await ask(id, ...args);
      if (!Array.isArray(rows)) throw new TypeError(`${id} answered a page: ask for it without page and page_size`);
      return rows as never;
    },
    as: (token) => createClient({ ...options, accessToken: token }),
  };
}
