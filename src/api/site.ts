import type { Call } from './call.ts';
import type { CourierPrincipal } from './principal.ts';
import type { Method, Reply } from './route.ts';

/** Pages for people, on the same port as the API and over the same routes. It looks at a path before the route table does. */
export interface Site {
  /** The page at this path; undefined: none of ours. */
  find(path: string): Page | undefined;
}

export interface Page {
  /** The path with the names of its parameters: the only form that logs and metrics see. */
  readonly pattern: string;
  readonly methods: readonly Method[];
  /** Answers whatever happens; what it throws all the same is answered as the API does. */
  answer(call: Call, visit: Visit): Promise<PageReply>;
}

export interface PageReply {
  readonly status: number;
  /** Beside those that every answer has; a name of theirs replaces that one. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  /** What went wrong where nobody but the log is told. */
  readonly error?: unknown;
}

/** What a page may do with the request that it answers. */
export interface Visit {
  /**
   * Counts the request as one without an account, once, and finds the link.
   * @throws ApiError 429 · 404
   */
  courier(token: string): Promise<CourierPrincipal>;
  /**
   * Asks a route as if it had been asked over HTTP: the same limits, rights, validation and idempotency.
   * @throws ApiError as the route would answer
   */
  ask(method: Method, path: string, body: unknown, idempotencyKey: string): Promise<Reply>;
  /** The fields of a form that was sent; none of another kind of body. */
  form(): Promise<URLSearchParams>;
}
