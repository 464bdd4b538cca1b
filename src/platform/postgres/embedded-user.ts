import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** How to start the server: as whom, and with which command in front. */
export interface ServerUser {
  /** Undefined: as the user of this process. */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
  /** Put before the server's own command line. */
  readonly prefix: readonly string[];
}

const USER = 'postgres';

/**
 * PostgreSQL refuses to run as root. Root therefore starts it as the user `postgres`, which is made where it is missing.
 * That user must reach every folder on the way to `paths`. Where one is closed to it (a clone under /root), the server
 * keeps, besides its user, the one capability to pass folders.
 */
export function serverUser(paths: readonly string[]): ServerUser {
  if (process.getuid?.() !== 0) return { ids: undefined, prefix: [] };
  const ids = idsOf(USER) ?? createUser();
  const closed = paths.map((path) => firstClosedFolder(path, ids)).find((folder) => folder !== undefined);
  if (closed === undefined) return { ids, prefix: [] };

  const capability = passingCapability(closed, ids);
  if (capability === undefined) {
    throw new Error(
      `PostgreSQL cannot run as root, and the user "${USER}" that it runs as cannot enter ${closed}.\n` +
        `Run Loqey as a normal user, or open that folder (chmod o+x ${closed}), or set DATABASE_URL to a server of your own.`,
    );
  }
  return { ids: undefined, prefix: setpriv(ids, capability) };
}

function setpriv({ uid, gid }: { uid: number; gid: number }, capability: string): string[] {
  return [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    '--securebits=+no_setuid_fixup', // else access(2), which the server asks, does not see the capability
    `--inh-caps=+${capability}`,
    `--ambient-caps=+${capability}`,
  ];
}

/** The least of what this system grants that opens `folder`. */
function passingCapability(folder: string, ids: { uid: number; gid: number }): string | undefined {
  return ['dac_read_search', 'dac_override'].find((capability) => {
    const [command, ...args] = [...setpriv(ids, capability), 'test', '-x', `${folder}/.`];
    try {
      execFileSync(command, args, { stdio: 'ignore', timeout: 5_000 });
      return true;
    } catch {
      return false;
    }
  });
}

function idsOf(user: string): { uid: number; gid: number } | undefined {
  try {
    const id = (flag: string) => Number(execFileSync('id', [flag, user], { encoding: 'utf8', timeout: 5_000, stdio: ['ignore', 'pipe', 'ignore'] }));
    return { uid: id('-u'), gid: id('-g') };
  } catch {
    return undefined;
  }
}

function createUser(): { uid: number; gid: number } {
  const attempts = [
    ['useradd', '--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', USER],
    ['adduser', '-S', '-D', '-H', USER], // busybox (Alpine)
  ];
  for (const [command = '', ...args] of attempts) {
    try {
      execFileSync(command, args, { stdio: 'ignore', timeout: 10_000 });
    } catch {
      continue;
    }
    const ids = idsOf(USER);
    if (ids !== undefined) return ids;
  }
  throw new Error(
    `PostgreSQL cannot run as root, and no user "${USER}" could be made for it.\n` +
      'Run Loqey as a normal user, or set DATABASE_URL to a PostgreSQL server of your own.',
  );
}

/** The first folder above `path`, from the root on, that the user may not pass; those that do not exist yet do not count. */
function firstClosedFolder(path: string, { uid, gid }: { uid: number; gid: number }): string | undefined {
  const folders: string[] = [];
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    folders.unshift(folder);
    if (folder === dirname(folder)) break;
  }
  return folders.find((folder) => {
    const stat = statSync(folder, { throwIfNoEntry: false });
    if (stat === undefined) return false;
    const bit = stat.uid === uid ? 0o100 : stat.gid === gid ? 0o010 : 0o001;
    return (stat.mode & bit) === 0;
  });
}
