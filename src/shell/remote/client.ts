import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { lockHolder } from '../../platform/data-dir/lock.ts';
import { configOf } from '../start.ts';

/** A running server, asked through its API in the name of whoever signed in. */
export interface Remote {
  readonly url: string;
  get<T>(path: string, query?: Query): Promise<T>;
  /** The rows of one part of a list, and how many there are in all. */
  list<T>(path: string, query?: Query): Promise<{ readonly rows: readonly T[]; readonly total: number; readonly headers: Headers }>;
  send<T>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<T>;
  /** Whatever it answers, as it is. */
  raw(method: string, path: string, init?: RawInit): Promise<Response>;
  /** A WebSocket, once it is open. */
  socket(path: string, query?: Query): Promise<RemoteSocket>;
}

export interface RemoteSocket {
  /** Each message in order until it closes, or `take` says that it is enough. `refused`: the right to it is gone. */
  each(take: (text: string) => boolean): Promise<'closed' | 'refused'>;
  send(text: string): void;
  close(): void;
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;
export interface RawInit {
  readonly query?: Query;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  readonly contentType?: string;
  /** Milliseconds to the end of the answer. Default 30,000. */
  readonly withinMs?: number;
}

export interface Envelope {
  readonly error: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, string | number | boolean>>;
  readonly trace_id?: string;
}

/** How a command ends that did not do what it was asked for (`loqey help exit-codes`). */
export const remoteExit = { unexpected: 1, usage: 2, refused: 3, signIn: 4, notFound: 5, unknown: 6, unreachable: 7 } as const;

export class RemoteFailure extends Error {
  override readonly name = 'RemoteFailure';
  readonly exitCode: number;
  /** What to do next, one line each. */
  readonly hints: readonly string[];
  readonly envelope: Envelope | undefined;

  constructor(exitCode: number, message: string, hints: readonly string[] = [], envelope?: Envelope) {
    super(message);
    this.exitCode = exitCode;
    this.hints = hints;
    this.envelope = envelope;
  }
}

export interface StoredSession {
  readonly url: string;
  readonly email: string;
  readonly access_token: string;
  readonly refresh_token: string;
}

type Environ = Readonly<Record<string, string | undefined>>;

const WITHIN_MS = 30_000;

export function sessionFile(environ: Environ): string {
  return join(environ['XDG_CONFIG_HOME'] || join(environ['HOME'] || homedir(), '.config'), 'loqey', 'session.json');
}

export async function readSession(environ: Environ): Promise<StoredSession | undefined> {
  try {
    return JSON.parse(await readFile(sessionFile(environ), 'utf8')) as StoredSession;
  } catch {
    return undefined; // there is none, or it is no more than half of one: signing in makes a new one
  }
}

/** For this user's eyes alone. */
export async function storeSession(environ: Environ, session: StoredSession): Promise<void> {
  const path = sessionFile(environ);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const next = `${path}.${process.pid}`;
  await writeFile(next, `${JSON.stringify(session, null, 2)}\n`, { mode: 0o600 });
  await rename(next, path);
}

export async function forgetSession(environ: Environ): Promise<void> {
  await rm(sessionFile(environ), { force: true });
}

/** `--url`, `LOQEY_URL`, the server that was signed in to, the one that runs on this data folder; in this order. */
export async function serverUrl(environ: Environ, given: string | undefined): Promise<string> {
  const named = given ?? environ['LOQEY_URL'] ?? (await readSession(environ))?.url ?? (await lockHolder(configOf(environ).dataDir))?.url;
  if (named === undefined) {
    throw new RemoteFailure(remoteExit.unreachable, 'No server is known.', ['Start one here: npm start', 'Another one: loqey login --url https://…']);
  }
  return named.replace(/\/+$/, '').replace(/\/api(?:\/v1)?$/, '');
}

export async function openRemote(environ: Environ, givenUrl?: string): Promise<Remote> {
  const url = await serverUrl(environ, givenUrl);
  const token = environ['LOQEY_TOKEN'];
  const stored = token === undefined ? await readSession(environ) : undefined;
  // A session is for the server that it was made at, and is shown to no other.
  let session = stored?.url === url ? stored : undefined;
  if (token === undefined && session === undefined) throw notSignedIn();

  function addressOf(path: string, query: Query): string {
    const search = new URLSearchParams(Object.entries(query).flatMap(([name, value]): [string, string][] => (value === undefined ? [] : [[name, `${value}`]]))).toString();
    return `${url}${path.startsWith('/api/') ? '' : '/api/v1'}${path}${search === '' ? '' : `?${search}`}`;
  }

  async function fetchOnce(method: string, path: string, { query = {}, body, contentType = 'application/json', withinMs = WITHIN_MS }: RawInit): Promise<Response> {
    return reach(url, () =>
      fetch(addressOf(path, query), {
        method,
        headers: { authorization: `Bearer ${token ?? session?.access_token}`, ...(body === undefined ? {} : { 'content-type': contentType }) },
        ...(body === undefined ? {} : { body }),
        signal: AbortSignal.timeout(withinMs),
      }),
    );
  }

  async function raw(method: string, path: string, init: RawInit = {}): Promise<Response> {
    const response = await fetchOnce(method, path, init);
    if (response.status !== 401 || session === undefined) return response;
    const renewed = await renew(url, session);
    if (renewed === undefined) throw notSignedIn();
    session = renewed;
    await storeSession(environ, renewed);
    return fetchOnce(method, path, init);
  }

  async function good(method: string, path: string, init?: RawInit): Promise<Response> {
    const response = await raw(method, path, init);
    if (!response.ok) throw await failureOf(response);
    return response;
  }

  return {
    url,
    raw,
    get: async <T>(path: string, query: Query = {}) => (await (await good('GET', path, { query })).json()) as T,
    async list<T>(path: string, query: Query = {}) {
      const response = await good('GET', path, { query });
      const rows = (await response.json()) as T[];
      return { rows, total: Number(response.headers.get('x-total-count') ?? rows.length), headers: response.headers };
    },
    async socket(path, query = {}) {
      const open = () => openSocket(url, addressOf(path, query).replace(/^http/, 'ws'), `${token ?? session?.access_token}`);
      try {
        return await open();
      } catch (error) {
        if (!(error instanceof RemoteFailure) || error.exitCode !== remoteExit.signIn || session === undefined) throw error;
        await good('GET', '/auth/me'); // renews an access token that is over
        return open();
      }
    },
    send: async <T>(method: string, path: string, body?: unknown) => (await (await good(method, path, body === undefined ? {} : { body: JSON.stringify(body) })).json()) as T,
  };
}

async function openSocket(url: string, address: string, token: string): Promise<RemoteSocket> {
  const { WebSocket } = await import('ws');
  const ws = new WebSocket(address, { headers: { authorization: `Bearer ${token}` }, handshakeTimeout: WITHIN_MS });
  const heard: string[] = [];
  let wake = (): void => undefined;
  let closed: number | undefined;
  ws.on('message', (data: Buffer) => {
    heard.push(data.toString('utf8'));
    if (heard.length >= MOST_HEARD) ws.pause(); // what reads it is slower: the server waits
    wake();
  });
  ws.on('close', (code: number) => {
    closed = code;
    wake();
  });
  await new Promise<void>((resolve, reject) => {
    ws.once('open', resolve);
    ws.on('error', (error) => reject(unreachable(url, error))); // later ones are followed by a close
    ws.once('unexpected-response', (_request, answer) => {
      let text = '';
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()));
      answer.on('end', () => void failureOf(new Response(text, { status: answer.statusCode ?? 500 })).then(reject));
    });
  });
  return {
    async each(take) {
      for (;;) {
        for (let text = heard.shift(); text !== undefined; text = heard.shift()) {
          if (take(text)) continue;
          ws.terminate();
          return 'closed';
        }
        if (closed !== undefined) return closed === CLOSED_FORBIDDEN ? 'refused' : 'closed';
        if (ws.isPaused) ws.resume();
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
    send: (text) => ws.send(text, () => undefined), // where it has closed, `each` says so
    close: () => ws.close(),
  };
}

const MOST_HEARD = 1_000;
/** The right is gone. A token that is over is renewed with the next connection, or refused by it. */
const CLOSED_FORBIDDEN = 4403;

async function renew(url: string, session: StoredSession): Promise<StoredSession | undefined> {
  const response = await reach(url, () =>
    fetch(`${url}/api/v1/auth/refresh`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ refresh_token: session.refresh_token }),
      signal: AbortSignal.timeout(WITHIN_MS),
    }),
  );
  if (!response.ok) return undefined;
  const { access_token, refresh_token } = (await response.json()) as StoredSession;
  return { ...session, access_token, refresh_token };
}

export async function signIn(url: string, email: string, password: string): Promise<StoredSession> {
  const response = await reach(url, () =>
    fetch(`${url}/api/v1/admin/auth/login`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email, password }),
      signal: AbortSignal.timeout(WITHIN_MS),
    }),
  );
  if (!response.ok) {
    const failure = await failureOf(response);
    // Wrong is not the same as not signed in: there is nothing to sign in again for.
    throw new RemoteFailure(remoteExit.refused, failure.message, [], failure.envelope);
  }
  const { access_token, refresh_token } = (await response.json()) as StoredSession;
  return { url, email, access_token, refresh_token };
}

async function reach(url: string, ask: () => Promise<Response>): Promise<Response> {
  try {
    return await ask();
  } catch (error) {
    const { cause } = error as Error;
    throw unreachable(url, cause instanceof Error ? cause : (error as Error));
  }
}

function unreachable(url: string, error: Error): RemoteFailure {
  return new RemoteFailure(remoteExit.unreachable, `${url} cannot be reached: ${error.message || (error as NodeJS.ErrnoException).code}.`, ['Whether it runs here: npm run status']);
}

export async function failureOf(response: Response): Promise<RemoteFailure> {
  const text = await response.text();
  let envelope: Envelope;
  try {
    envelope = JSON.parse(text) as Envelope;
  } catch {
    return new RemoteFailure(remoteExit.unexpected, `The server answered ${response.status} and nothing that this program can read.`);
  }
  const { message, details = {}, trace_id: trace } = envelope;
  const said = Object.entries(details).flatMap(([name, value]) => (name === 'reason' || typeof value !== 'string' ? [] : [`${name.replaceAll('_', ' ')} ${instantInWords(value)}`]));
  const hints = [...(response.status === 401 ? ['Sign in: loqey login'] : []), ...(trace === undefined ? [] : [`request ${trace}`])];
  return new RemoteFailure(exitOf(response.status), [message, ...said].join(': '), hints, envelope);
}

function instantInWords(text: string): string {
  return /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text) ? `${text.slice(0, 19).replace('T', ' ')} UTC` : text;
}

function exitOf(status: number): number {
  if (status === 400) return remoteExit.usage;
  if (status === 401) return remoteExit.signIn;
  if (status === 404) return remoteExit.notFound;
  return status < 500 ? remoteExit.refused : remoteExit.unexpected;
}

function notSignedIn(): RemoteFailure {
  return new RemoteFailure(remoteExit.signIn, 'You are not signed in.', ['Sign in as an administrator: loqey login', 'The first one is made by: loqey admin create <email>']);
}
