import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { EventStore } from '../src/platform/event-store/port.ts';
import { startTcpProxy, type TcpProxy } from '../test/support/tcp-proxy.ts';
import type { Role } from './processes.ts';

/** A running installation: processes, engines, and a proxy on every way between two of them. */
export interface World {
  /** What it is made of, in words. */
  readonly name: string;
  readonly roles: readonly Role[];
  readonly engines: readonly Engine[];
  readonly ways: readonly Way[];
  /** Of the API and of the brokers, through their proxies. */
  readonly url: string;
  readonly mqtt: { readonly host: string; readonly port: number };
  /** Settings for the command line and for looking into its stores, past all proxies. */
  settings(): Promise<Readonly<Record<string, string>>>;
  databaseUrl(): Promise<string>;
  /** The log, past all proxies; whoever opens it stops it. */
  openStore(): Promise<EventStore>;
  /** Folder of an embedded installation's data; undefined where each engine keeps its own. */
  readonly dataDir: string | undefined;
  /** Copies everything that it keeps, and answers how to put it back; each only while nothing runs. */
  readonly backUp: (() => Promise<() => Promise<void>>) | undefined;
  /** A data folder that is a file system of its own, and small. */
  readonly smallDisk: string | undefined;
  /** Where it keeps the signed heads of the log, by role. */
  readonly headFolder: string;
  /** Files that the program writes: nothing secret may be in them. */
  readonly logFiles: () => readonly string[];
  /** Whether the broker answers PUBACK only for what is stored. */
  readonly durablePuback: boolean;
  /** Answers the folder where it is to be kept. */
  stop(keep: boolean): Promise<string | undefined>;
}

/** Something that is restarted as it would be after a crash. */
export interface Engine {
  readonly name: string;
  /** Kills it, and sees to it that it is back `downMs` later. */
  crash(downMs: number): Promise<void>;
  /** Each of its answers takes so much longer, where no proxy can do that: 0 ends it. */
  slow?(milliseconds: number): Promise<void>;
}

/** Between two parts. */
export interface Way {
  readonly name: string;
  readonly proxy: TcpProxy;
}

export const ADMIN = { email: 'admin@example.com', password: 'correct horse battery' } as const;

/** Short, so that what was interrupted is decided within a round. */
const UNLOCK_TTL_SECONDS = 5;

/** Of every process, whatever it runs. */
export const everyRole: Readonly<Record<string, string>> = {
  ADMIN_EMAIL: ADMIN.email,
  ADMIN_PASSWORD: ADMIN.password,
  ACCESS_TOKEN_EXPIRE_MINUTES: '600',
  BCRYPT_ROUNDS: '4',
  RATE_LIMIT_ENABLED: 'false',
  UNLOCK_TTL_SECONDS: `${UNLOCK_TTL_SECONDS}`,
  UNLOCK_WAIT_SECONDS: '2',
};

export async function openWay(name: string, port: number): Promise<Way> {
  return { name, proxy: await startTcpProxy({ host: '127.0.0.1', port }) };
}

/** Everything is as it should be again, also what was held up for good. */
export function calm({ ways, roles }: World): void {
  for (const { proxy } of ways) {
    proxy.delay(0);
    proxy.pass();
    proxy.cut();
  }
  for (const role of roles) role.thaw();
}

/** A URL of the same server through a proxy: always TCP, also where the server offers a socket of the file system. */
export function through(url: string, { proxy }: Way): string {
  const over = new URL(url);
  over.hostname = '127.0.0.1';
  over.port = `${proxy.port}`;
  if (over.protocol.startsWith('postgres')) over.search = '';
  return over.href;
}

export async function query<Row extends object>(url: string, text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'chaos', connectionTimeoutMillis: 10_000 });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query<Row>(text, [...values])).rows;
  } finally {
    await client.end();
  }
}

export function logFolder(parent: string): string {
  const folder = join(parent, 'logs');
  if (!existsSync(folder)) mkdirSync(folder);
  return folder;
}
