import { text } from 'node:stream/consumers';
import { failureOf, RemoteFailure, remoteExit } from './client.ts';
import type { Job } from './command.ts';

const METHODS: ReadonlySet<string> = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** The answer goes out as it came. */
export const api: Job<[method: string, path: string], { body?: string }> = async ({ terminal, remote }, [given, path], { body }) => {
  const method = given.toUpperCase();
  if (!METHODS.has(method)) throw new RemoteFailure(remoteExit.usage, `${given} is no method: GET, POST, PUT, PATCH or DELETE.`);
  const payload = body === '-' ? await text(process.stdin) : body;
  const response = await (await remote()).raw(method, path.startsWith('/') ? path : `/${path}`, payload === undefined ? {} : { body: payload });
  if (!response.ok) throw await failureOf(response);
  terminal.out(await response.text());
  return 0;
};
