import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ReadableStream } from 'node:stream/web';
import { auditQuery, tellSearched, type AuditOptions } from './audit.ts';
import { failureOf, RemoteFailure, remoteExit } from './client.ts';
import type { Job } from './command.ts';

type Options = Omit<AuditOptions, 'limit'> & { readonly format?: string; readonly out?: string };

/** As long as a log of many millions takes on a slow line. */
const WITHIN_MS = 24 * 3_600_000;
const TELL_EVERY_MS = 500;

/** The entries of the audit log as a file, which has its name only when it is whole. */
export const download: Job<[words?: readonly string[]], Options> = async ({ terminal, remote }, [words = []], { format: given, out: output, ...options }) => {
  const format = given ?? (output?.endsWith('.ndjson') === true ? 'ndjson' : 'csv');
  if (output !== undefined && (await exists(output))) throw new RemoteFailure(remoteExit.usage, `${output} exists already and is left as it is: name a new file.`);
  const api = await remote();
  const response = await api.raw('GET', '/admin/logs/audit/export', { query: { ...(await auditQuery(api, words, options)), format }, withinMs: WITHIN_MS });
  if (!response.ok || response.body === null) throw await failureOf(response);
  const { headers } = response;

  const [body, counted] = [Readable.fromWeb(response.body as ReadableStream<Uint8Array>), counter((line) => {
    if (terminal.isTty && !terminal.json && output !== undefined) process.stderr.write(`\r\u001b[K${line}`);
  })];
  if (output === undefined) {
    await pipeline(body, counted.stream, process.stdout, { end: false }).catch(unlessReadEnough);
    tellSearched(terminal, headers);
    return 0;
  }
  const part = `${output}.part`;
  try {
    await pipeline(body, counted.stream, createWriteStream(part, { mode: 0o600 }));
    await rename(part, output);
  } catch (error) {
    await rm(part, { force: true });
    const { code, path, message } = error as NodeJS.ErrnoException;
    if (path !== undefined) throw new RemoteFailure(remoteExit.usage, code === 'ENOENT' ? `There is no folder for ${output}.` : `${output} cannot be written: ${message}.`);
    throw new RemoteFailure(remoteExit.unreachable, 'The connection ended before the file was whole: nothing was kept.');
  }
  counted.tell('');
  terminal.event('downloaded', { file: output, format, bytes: counted.bytes() });
  terminal.say(`${output}: ${sizeOf(counted.bytes())} of ${format === 'csv' ? 'CSV' : 'NDJSON'}, with names and addresses of people. Only you can read it.`);
  tellSearched(terminal, headers);
  return 0;
};

const exists = (path: string): Promise<boolean> => stat(path).then(() => true, () => false);
const sizeOf = (bytes: number): string => (bytes < 1_048_576 ? `${Math.ceil(bytes / 1_024)} kB` : `${(bytes / 1_048_576).toFixed(1)} MB`);

/** Passes on what comes, and tells how much that was. */
function counter(tell: (line: string) => void): { readonly stream: Transform; readonly bytes: () => number; readonly tell: (line: string) => void } {
  let [bytes, toldAt] = [0, 0];
  const stream = new Transform({
    transform(chunk: Buffer, _encoding, taken) {
      bytes += chunk.length;
      if (performance.now() - toldAt > TELL_EVERY_MS) {
        toldAt = performance.now();
        tell(sizeOf(bytes));
      }
      taken(null, chunk);
    },
  });
  return { stream, bytes: () => bytes, tell };
}

/** `loqey audit download | head`: whoever read had enough, and that is no mistake. */
function unlessReadEnough(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
}
