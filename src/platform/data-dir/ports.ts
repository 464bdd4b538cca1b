import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename } from 'node:path';
import { allProcesses, workingDirectory } from './processes.ts';
import { exitCodes, StartFailure } from './start-failure.ts';

export interface WantedPort {
  /** The setting that chooses it: `PORT`. */
  readonly env: string;
  readonly port: number;
  readonly host: string;
}

/** A taken port, and one that is free: for the question on a terminal. */
export class PortTaken extends StartFailure {
  readonly wanted: WantedPort;
  readonly freePort: number | undefined;

  constructor(wanted: WantedPort, holder: PortHolder | undefined, freePort: number | undefined) {
    const { env, port } = wanted;
    const by = holder === undefined ? 'another program' : `"${holder.name}" (pid ${holder.pid}${holder.folder === undefined ? '' : `, ${holder.folder}`})`;
    super(exitCodes.portTaken, [
      `✖ Port ${port} is in use by ${by}.`,
      '  Nothing was started and no data was changed.',
      `  Use another port:   ${env}=${freePort ?? port + 10} npm start`,
      ...(holder === undefined ? [] : [`  Or stop that one:   kill ${holder.pid}`]),
    ]);
    this.wanted = wanted;
    this.freePort = freePort;
  }
}

/** @throws PortTaken (10) for the first that cannot be listened on */
export async function requireFreePorts(wanted: readonly WantedPort[]): Promise<void> {
  for (const each of wanted) {
    const code = await tryToListen(each.port, each.host);
    if (code === undefined) continue;
    if (code === 'EADDRINUSE') throw new PortTaken(each, portHolder(each.port), await freePortAfter(each));
    throw new StartFailure(exitCodes.portTaken, [
      code === 'EACCES'
        ? `✖ Port ${each.port} needs rights that this user does not have.`
        : `✖ This machine cannot listen on ${each.host}, port ${each.port} (${code}).`,
      '  Nothing was started and no data was changed.',
      code === 'EACCES' ? `  Use a port above 1023:   ${each.env}=8010 npm start` : '  Use another address:   HOST=127.0.0.1 npm start',
    ]);
  }
}

/** The error code, or undefined when it worked. */
function tryToListen(port: number, host: string): Promise<string | undefined> {
  return new Promise((settle) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => settle(undefined)));
  });
}

async function freePortAfter({ port, host }: WantedPort): Promise<number | undefined> {
  for (let candidate = port + 10; candidate < Math.min(port + 210, 65_536); candidate += 10) {
    if ((await tryToListen(candidate, host)) === undefined) return candidate;
  }
  return undefined;
}

export interface PortHolder {
  readonly pid: number;
  readonly name: string;
  readonly folder: string | undefined;
}

/** Who listens on a TCP port, where the system says and this user may know (Linux). */
function portHolder(port: number): PortHolder | undefined {
  const inodes = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) => listeningInodes(file, port)));
  if (inodes.size === 0) return undefined;
  const sockets = new Set([...inodes].map((inode) => `socket:[${inode}]`));
  const pid = allProcesses().find((candidate) => openFiles(candidate).some((file) => sockets.has(file)));
  if (pid === undefined) return undefined;
  try {
    const thread = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    // Node names its first thread so, whatever the program is.
    const name = thread === 'MainThread' ? basename(readlinkSync(`/proc/${pid}/exe`)) : thread;
    return { pid, name, folder: workingDirectory(pid) };
  } catch {
    return undefined;
  }
}

const LISTENING = '0A';

/** `sl local_address rem_address st … inode`, addresses as hex with the port behind a colon. */
function listeningInodes(file: string, port: number): string[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[1]?.endsWith(wanted) === true && fields[3] === LISTENING)
      .flatMap((fields) => fields[9] ?? []);
  } catch {
    return [];
  }
}

function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}
