import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allProcesses, commandLine, workingDirectory } from '../../src/platform/data-dir/processes.ts';
import { copyTemplate } from './servers.ts';
import { until } from './until.ts';

export { freePort } from './free-port.ts';

/** One run of the program as a person or a supervisor starts it. */
export interface Program {
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What `--json` printed, one object a line. */
  readonly events: readonly ProgramEvent[];
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  signal(signal: NodeJS.Signals): void;
  type(text: string): void;
}

export type ProgramEvent = { readonly event: string } & Readonly<Record<string, unknown>>;

/** Only what a test says is set: settings of the machine that the tests run on must not decide them. */
export type Settings = Readonly<Record<string, string>>;

const main = new URL('../../src/loqey.js', import.meta.url).pathname;
const running = new Set<ChildProcess>();
const folders = new Set<string>();

/** Quick passwords and nothing limited: not what these tests are about. */
const quick: Settings = { BCRYPT_ROUNDS: '4', RATE_LIMIT_ENABLED: 'false', NO_COLOR: '1' };

export function run(args: readonly string[], settings: Settings, command: readonly [string, ...string[]] = [process.execPath, main]): Program {
  const [file, ...before] = command;
  const child = spawn(file, [...before, ...args], {
    cwd: tmpdir(), // no .env of anybody's
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], TMPDIR: tmpdir(), ...quick, ...settings },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined); // it ended before it read
  const exited = new Promise<Awaited<Program['exited']>>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  return {
    pid: child.pid ?? 0,
    get stdout() {
      return stdout;
    },
    get stderr() {
      return stderr;
    },
    get events() {
      return stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as ProgramEvent);
    },
    exited,
    signal: (signal) => void child.kill(signal),
    type: (text) => void child.stdin.write(text),
  };
}

/** Runs to the end. */
export async function finish(args: readonly string[], settings: Settings): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const program = run(args, settings);
  const { code } = await program.exited;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

export interface ServerProcess extends Program {
  readonly url: string;
  readonly mqtt: string;
}

const READY_MS = 60_000;

/** `loqey start --json`, ready. */
export async function startServerProcess(settings: Settings): Promise<ServerProcess> {
  const program = run(['start', '--json'], settings);
  const ended = program.exited.then(({ code, signal }) => {
    throw new Error(`The server ended (${code ?? signal}) before it was ready:\n${program.stderr}`);
  });
  const ready = await Promise.race([until('the server to be ready', () => completeEvents(program).find(({ event }) => event === 'ready'), READY_MS), ended]);
  ended.catch(() => undefined);
  return Object.defineProperties(program, {
    url: { value: ready['http'] },
    mqtt: { value: ready['mqtt'] },
  }) as ServerProcess;
}

/** The last line may still be on its way. */
function completeEvents({ stdout }: Program): ProgramEvent[] {
  return stdout.slice(0, stdout.lastIndexOf('\n') + 1).split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as ProgramEvent);
}

/** A data folder below a folder of its own, both removed by `cleanUp`. `prepared`: with an empty database in it, which saves seconds. */
export async function dataFolder({ prepared = true }: { readonly prepared?: boolean } = {}): Promise<string> {
  const parent = mkdtempSync(join(tmpdir(), 'loqey-e2e-'));
  chmodSync(parent, 0o755); // the database server runs as another user where the tests run as root
  folders.add(parent);
  const folder = join(parent, 'data');
  if (prepared) {
    mkdirSync(folder, { mode: 0o711 });
    await copyTemplate(folder);
  }
  return folder;
}

/** Of the database server in a data folder, running or not. */
export function postgresPid(folder: string): number | undefined {
  try {
    return Number(readFileSync(join(folder, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
  } catch {
    return undefined;
  }
}

/** Whatever still runs on a data folder. */
export function processesOf(folder: string): number[] {
  return allProcesses().filter((pid) => workingDirectory(pid) === join(folder, 'postgres') || commandLine(pid)?.some((part) => part.startsWith(join(folder, 'postgres'))) === true);
}

/** Ends what a failed test left running, and removes the folders (with TEST_KEEP set it names them instead). */
export async function cleanUp(): Promise<void> {
  for (const child of running) child.kill('SIGKILL');
  for (const folder of folders) {
    const left = () => processesOf(join(folder, 'data'));
    for (const pid of left()) kill(pid);
    await until(`nothing to run in ${folder}`, () => left().length === 0);
    if (process.env['TEST_KEEP'] === undefined) rmSync(folder, { recursive: true, force: true });
    else process.stdout.write(`kept: ${folder}\n`);
  }
  folders.clear();
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone meanwhile
  }
}
