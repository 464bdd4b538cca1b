import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A pid of this machine that runs; a process of another user counts. */
export function isAlive(pid: number): boolean {
  return isTaken(pid) && !isZombie(pid);
}

/** A pid that signals reach, also that of a dead process that nobody has waited for. */
export function isTaken(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A dead child that nobody has waited for answers to signals, but holds nothing. */
function isZombie(pid: number): boolean {
  return processFields(pid)?.[0] === 'Z';
}

/** `/proc/<pid>/stat` from the state on; the name before it may hold spaces and brackets. Linux only. */
function processFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** The command line of a process as arguments, undefined when it is gone or this system does not say. */
export function commandLine(pid: number): readonly string[] | undefined {
  if (!isAlive(pid)) return undefined;
  if (process.platform === 'linux') {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter((part) => part !== '');
    } catch {
      return undefined;
    }
  }
  if (process.platform === 'win32') return undefined;
  try {
    return [execFileSync('ps', ['-o', 'command=', '-p', `${pid}`], { encoding: 'utf8', timeout: 5_000 }).trim()];
  } catch {
    return undefined;
  }
}

/**
 * A mark of when a process started, equal for as long as it lives: tells a process from a later one with its pid.
 * Undefined where this system does not say.
 */
export function startMark(pid: number): string | undefined {
  if (process.platform === 'linux') {
    const ticks = processFields(pid)?.[19];
    if (ticks === undefined) return undefined;
    try {
      // Ticks count from boot: after a reboot the same number means another process.
      return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${ticks}`;
    } catch {
      return ticks;
    }
  }
  if (process.platform === 'win32') return undefined;
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', `${pid}`], { encoding: 'utf8', timeout: 5_000 }).trim() || undefined;
  } catch {
    return undefined;
  }
}

export function workingDirectory(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}

/** Pids of all processes that this user may see; empty where there is no /proc. */
export function allProcesses(): number[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
  } catch {
    return [];
  }
}
