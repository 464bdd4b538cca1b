import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { component, type Component } from '../lifecycle.ts';
import type { Logger } from '../logger.ts';

/** Paths, and under the same names the texts of the files. */
type Named = { readonly [name: string]: string | undefined };

export interface WatchedFiles<T extends Named> extends Component {
  /** As they were read last. */
  readonly current: T;
  /** The one who uses them; set before `start`. What it throws refuses the new ones. */
  onChange(apply: (files: T) => void): void;
}

const EVERY_MS = 10_000;

/**
 * Certificates are renewed while the program runs: the files are looked at again every ten seconds, by content, because
 * whoever renews them may swap links or write several. A set that `apply` refuses (half of it is written, or the key is
 * another one's) is tried again at the next change, and the old one stays in use.
 *
 * @throws at once what reading them throws: a start without its certificate must say so
 */
export function watchFiles<T extends Named>(paths: T, { logger, everyMs = EVERY_MS }: { readonly logger: Logger; readonly everyMs?: number }): WatchedFiles<T> {
  const named = Object.entries(paths).filter((entry): entry is [string, string] => entry[1] !== undefined);
  let current = Object.fromEntries(named.map(([name, path]) => [name, readFileSync(path, 'utf8')])) as T;
  let refused: T | undefined;
  let apply: ((files: T) => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();

  const same = (one: T | undefined, other: T): boolean => one !== undefined && named.every(([name]) => one[name] === other[name]);

  async function look(): Promise<void> {
    try {
      const found = Object.fromEntries(await Promise.all(named.map(async ([name, path]) => [name, await readFile(path, 'utf8')]))) as T;
      if (same(current, found) || same(refused, found)) return;
      refused = found;
      apply?.(found);
      current = found;
      refused = undefined;
      logger.info({ files: named.map(([, path]) => path) }, 'New certificates are in use');
    } catch (error) {
      logger.warn({ err: error, files: named.map(([, path]) => path) }, 'New certificates cannot be used; the old ones stay');
    }
  }

  return {
    get current() {
      return current;
    },
    onChange(next) {
      apply = next;
    },
    ...component(
      async () => {
        timer = setInterval(() => {
          looking = looking.then(look);
        }, everyMs);
        timer.unref();
      },
      async () => {
        clearInterval(timer);
        await looking;
      },
    ),
  };
}
