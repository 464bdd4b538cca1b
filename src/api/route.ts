import type { IncomingMessage } from 'node:http';
import { Type, type Static, type TObject, type TSchema } from 'typebox';
import type { Call } from './call.ts';
import type { Api } from './api.ts';
import type { Permission } from './permissions.ts';
import type { AccountPrincipal, CourierPrincipal, DevicePrincipal, NoPrincipal } from './principal.ts';

/** Who may call a route. Denied is what is not declared: a route without it does not compile. */
export type Access =
  /** Anyone, no account. */
  | { readonly kind: 'anyone' }
  /** Whoever has the token of an access link, in the parameter `link_token`. */
  | { readonly kind: 'link' }
  /** Any signed-in account; whose things it may see is decided by owner. */
  | { readonly kind: 'account' }
  /** The box of the parameter `device_id`, with its own key. */
  | { readonly kind: 'device' }
  | { readonly kind: 'admin'; readonly permission: Permission };

export type PrincipalOf<A extends Access> = A extends { kind: 'link' }
  ? CourierPrincipal
  : A extends { kind: 'account' | 'admin' }
    ? AccountPrincipal
    : A extends { kind: 'device' }
      ? DevicePrincipal
      : NoPrincipal;

export const anyone = { kind: 'anyone' } as const;
export const linkBearer = { kind: 'link' } as const;
export const account = { kind: 'account' } as const;
export const device = { kind: 'device' } as const;
export const admin = (permission: Permission) => ({ kind: 'admin', permission }) as const;

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type Tag = 'authentication' | 'devices' | 'access-links' | 'deliveries' | 'delivery' | 'commands' | 'notifications' | 'device-adapter' | 'admin' | 'system';

type Replies = Readonly<Record<number, TSchema>>;

export type ReplyOf<R extends Replies> = {
  [S in keyof R & number]: Omit<Reply, 'status' | 'body'> & { readonly status: S; readonly body: Static<R[S]> };
}[keyof R & number];

export interface Reply {
  readonly status: number;
  /** Of another type than JSON: text or bytes, sent as they are; what comes piece by piece is sent so. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: the first that the route declares. */
  readonly contentType?: string;
}

export interface Upload {
  readonly contentType: string;
  readonly schema: TSchema;
  /** @throws ApiError 400 · 413 · 415 */
  readonly read: (req: IncomingMessage) => Promise<unknown>;
}

export interface Path {
  readonly method: Method;
  /** Below each prefix, with `{parameter}` segments. */
  readonly path: string;
}

interface Declared {
  readonly id: string;
  readonly tag: Tag;
  readonly summary: string;
  readonly method: Method;
  readonly path: string;
  /** Other names of the same thing; deprecated in the description of the API. */
  readonly aliases?: readonly Path[];
  /** Served at the root as well as below the prefixes, or only there. */
  readonly root?: 'also' | 'only';
  readonly access: Access;
  readonly params: TObject;
  readonly query: TObject;
  readonly body: TSchema | undefined;
  /** A body that is no JSON: how it is read, into what the handler gets. */
  readonly upload?: Upload;
  /** An absent body is an empty one. */
  readonly bodyOptional?: boolean;
  /** The body goes to the handler as the bytes that it is (`call.bytes`); `body` only describes it. */
  readonly rawBody?: true;
  readonly replies: Replies;
  /** Statuses of the error envelope beyond those that follow from the rest. */
  readonly errors?: readonly number[];
  /** A stricter limit on top of that of the principal; `none`: not even that. */
  readonly limit?: 'login' | 'registration' | 'refresh' | 'pin' | 'unlock' | 'none';
  /** False where an Idempotency-Key means nothing: reads, and all under auth/. */
  readonly idempotent: boolean;
  /** Not JSON. Where there are several, the reply says which one it is. */
  readonly contentTypes?: readonly string[];
}

export interface Route extends Declared {
  readonly handle: (call: Call, api: Api) => Promise<Reply>;
}

const nothing = Type.Object({}, { additionalProperties: false });

type Spec<A extends Access, P extends TObject, Q extends TObject, B extends TSchema, R extends Replies> = Omit<
  Declared,
  'access' | 'params' | 'query' | 'body' | 'replies' | 'idempotent'
> & {
  readonly access: A;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly replies: R;
  readonly idempotent?: boolean;
};

type Handler<A extends Access, P extends TObject, Q extends TObject, B extends TSchema, R extends Replies> = (
  call: Call<Static<P>, Static<Q>, Static<B>, PrincipalOf<A>>,
  api: Api,
) => Promise<ReplyOf<R>>;

/**
 * One row of the route table: router, validation, authorisation and OpenAPI are read from it. What it declares first is
 * what its handler, given second, is checked against.
 */
export function route<
  const A extends Access,
  const R extends Replies,
  P extends TObject = typeof nothing,
  Q extends TObject = typeof nothing,
  B extends TSchema = typeof nothing,
>(spec: Spec<A, P, Q, B, R>): (handler: Handler<A, P, Q, B, R>) => Route {
  const { params, query, body, idempotent, ...rest } = spec;
  return (handler) => ({
    ...rest,
    params: params ?? nothing,
    query: query ?? nothing,
    body,
    idempotent: idempotent ?? (spec.method !== 'GET' && spec.access.kind !== 'anyone' && spec.access.kind !== 'device'),
    // The call that arrives was validated against these very schemas and this access.
    handle: handler as unknown as Route['handle'],
  });
}
