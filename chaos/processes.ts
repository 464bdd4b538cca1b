import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** One process of the program: killed, frozen, stopped and started again, with the same settings each time. */
export interface Role {
  readonly name: string;
  /** Undefined while it does not run. */
  readonly pid: number | undefined;
  /** Where its health and figures are. */
  readonly url: string;
  /** Resolves when it is ready. @throws with the end of its log */
  start(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM; answers the exit code. */
  stop(): Promise<number | null>;
  freeze(): void;
  thaw(): void;
}

export interface RoleOptions {
  readonly name: string;
  readonly settings: Readonly<Record<string, string>>;
  /** Each run appends what it prints to `<name>.log` there. */
  readonly logs: string;
  /** It ended although nobody had told it to. */
  readonly onDeath: (how: string) => void;
}

const main = new URL('../src/loqey.js', import.meta.url).pathname;
const READY_MS = 120_000;
const STOP_MS = 60_000;
const TAIL_BYTES = 4_000;

/** Whatever still runs when this process ends, in the middle or not, ends with it. */
const groups = new Set<number>();
process.once('exit', () => {
  for (const group of groups) signalGroup(group, 'SIGKILL');
});

export function createRole({ name, settings, logs, onDeath }: RoleOptions): Role {
  const logPath = join(logs, `${name}.log`);
  let child: ChildProcess | undefined;
  let exited: Promise<number | null> = Promise.resolve(null);
  let url = '';
  let told = false;

  function end(signal: NodeJS.Signals): Promise<number | null> {
    if (child?.pid === undefined) return Promise.resolve(null);
    told = true;
    signalGroup(child.pid, 'SIGCONT');
    if (signal === 'SIGKILL') signalGroup(child.pid, signal);
    else child.kill(signal);
    return exited;
  }

  return {
    name,
    get pid() {
      return child?.pid;
    },
    get url() {
      return url;
    },
    async start() {
      const log = openSync(logPath, 'a');
      const from = statSync(logPath).size;
      // A group of its own: Ctrl+C in the terminal reaches the harness alone, which stops everything in order.
      const running = spawn(process.execPath, [main, 'start', '--json'], {
        cwd: tmpdir(),
        detached: true,
        env: { PATH: process.env['PATH'], HOME: process.env['HOME'], TMPDIR: tmpdir(), NO_COLOR: '1', ...settings },
        stdio: ['ignore', 'pipe', log],
      });
      closeSync(log);
      child = running;
      told = false;
      const { pid } = running;
      if (pid !== undefined) groups.add(pid);
      const ready = new Promise<string>((resolve) => {
        createInterface({ input: running.stdout! }).on('line', (line) => {
          const event = JSON.parse(line) as { readonly event: string; readonly http?: string };
          if (event.event === 'ready') resolve(event.http ?? '');
        });
      });
      exited = new Promise((resolve) => {
        running.once('error', () => resolve(null));
        running.once('exit', (code, signal) => {
          if (pid !== undefined) groups.delete(pid);
          if (child === running) child = undefined;
          if (!told) onDeath(`${name} ended by itself with ${signal ?? `exit code ${code}`}:\n${tail(logPath, from)}`);
          resolve(code);
        });
      });
      const timeout = new AbortController();
      const late = new Promise<never>((_, reject) => {
        const timer = setTimeout(() => reject(new Error(`${name} was not ready within ${READY_MS / 1_000} s:\n${tail(logPath, from)}`)), READY_MS);
        timeout.signal.addEventListener('abort', () => clearTimeout(timer));
      });
      const ended = exited.then((code) => {
        throw new Error(`${name} ended with exit code ${code} before it was ready:\n${tail(logPath, from)}`);
      });
      ended.catch(() => undefined);
      try {
        url = await Promise.race([ready, late, ended]);
      } finally {
        timeout.abort();
      }
    },
    async kill() {
      await end('SIGKILL');
    },
    async stop() {
      const patience = setTimeout(() => {
        onDeath(`${name} did not stop within ${STOP_MS / 1_000} s of SIGTERM`);
        void end('SIGKILL');
      }, STOP_MS);
      const code = await end('SIGTERM');
      clearTimeout(patience);
      return code;
    },
    freeze: () => void (child?.pid !== undefined && signalGroup(child.pid, 'SIGSTOP')),
    thaw: () => void (child?.pid !== undefined && signalGroup(child.pid, 'SIGCONT')),
  };
}

function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch {
    // gone meanwhile
  }
}

function tail(path: string, from: number): string {
  const text = readFileSync(path).subarray(from).toString();
  return text.slice(-TAIL_BYTES);
}
