import { readdir, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';

export interface LogFileOptions {
  readonly path: string;
  readonly rotateAtBytes: number;
  /** Days that files which are no longer written to are kept. */
  readonly keepDays: number;
  /** Lines that wait for the disk beyond this many characters are dropped. */
  readonly maxWaiting?: number;
  readonly now?: () => number;
}

/** One line after the other, in order; never throws, never blocks. */
export interface LogFile {
  write(line: string): void;
  /** Resolves when everything is with the file. */
  close(): Promise<void>;
}

const DAY_MS = 86_400_000;
/** How long a disk that refused a write is left alone. */
const RETRY_MS = 5_000;
const MAX_WAITING = 8 * 1_024 ** 2;

/**
 * The file at `path` is always the one being written. At the size, and at midnight UTC, it becomes
 * `<name>-<day>.<n>.log` and a new one is begun; a thousandth of one day is not. A disk that is full costs lines, not the program.
 */
export async function openLogFile({ path, rotateAtBytes, keepDays, maxWaiting = MAX_WAITING, now = Date.now }: LogFileOptions): Promise<LogFile> {
  const folder = dirname(resolve(path));
  const name = basename(path);
  const stem = name.replace(/\.log$/, '');
  let stream: RotatingFileStream | undefined;
  let waiting: string[] = [];
  let waitingLength = 0;
  let dropped = 0;
  let writing: Promise<void> | undefined;
  let refusedUntil = 0;

  await prune();
  stream = await open();

  async function open(): Promise<RotatingFileStream> {
    const opened = createStream((time, index) => (time instanceof Date ? `${stem}-${time.toISOString().slice(0, 10)}.${index}.log` : name), {
      path: folder,
      size: `${rotateAtBytes}B`,
      interval: '1d',
      intervalUTC: true,
      intervalBoundary: true, // named after the day that they are of
      initialRotation: true,
      mode: 0o640,
    });
    opened.on('rotated', () => void prune());
    await new Promise<void>((settle, fail) => {
      opened.once('open', () => settle());
      opened.once('error', fail);
    });
    // What a write failed of, its callback says.
    opened.on('error', () => undefined);
    return opened;
  }

  /** Everything that came meanwhile goes in one write: a busy second costs a few calls of the system, not thousands. */
  async function writeAll(): Promise<void> {
    while (waiting.length > 0 && now() >= refusedUntil) {
      const lines = waiting;
      waiting = [];
      waitingLength = 0;
      if (dropped > 0) {
        lines.push(`${JSON.stringify({ level: 'warn', time: new Date(now()).toISOString(), msg: 'Log lines were dropped: the disk did not take them', dropped })}\n`);
        dropped = 0;
      }
      try {
        stream ??= await open();
        const target = stream;
        await new Promise<void>((settle, fail) => target.write(lines.join(''), (error) => (error == null ? settle() : fail(error))));
      } catch {
        // A stream that failed once takes nothing more.
        stream?.destroy();
        stream = undefined;
        dropped += lines.length;
        refusedUntil = now() + RETRY_MS;
      }
    }
  }

  /** Of this log alone: what else is in the folder is not ours. */
  async function prune(): Promise<void> {
    const oldest = now() - keepDays * DAY_MS;
    const ended = (file: string) => file.startsWith(`${stem}-`) && /^\d{4}-\d\d-\d\d\.\d+\.log$/.test(file.slice(stem.length + 1));
    for (const file of (await readdir(folder).catch(() => [])).filter(ended)) {
      const at = join(folder, file);
      const { mtimeMs } = await stat(at).catch(() => ({ mtimeMs: Infinity }));
      if (mtimeMs < oldest) await unlink(at).catch(() => undefined);
    }
  }

  function pump(): void {
    writing ??= writeAll().finally(() => (writing = undefined));
  }

  return {
    write(line) {
      if (waitingLength + line.length > maxWaiting) {
        dropped++;
        return;
      }
      waiting.push(line);
      waitingLength += line.length;
      pump();
    },
    async close() {
      refusedUntil = 0;
      pump();
      await writing;
      const ending = stream;
      stream = undefined;
      if (ending !== undefined) await new Promise<void>((settle) => ending.end(() => settle()));
    },
  };
}
