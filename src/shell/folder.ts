import { rename } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { pause } from '../platform/backoff.ts';
import { lockHolder } from '../platform/data-dir/lock.ts';
import { isAlive } from '../platform/data-dir/processes.ts';
import { StartFailure } from '../platform/data-dir/start-failure.ts';
import type { Terminal } from './terminal.ts';

const STOP_MS = 30_000;

/** 0: it runs; 7: it does not. */
export async function status(dataDir: string, terminal: Terminal): Promise<number> {
  const holder = await lockHolder(dataDir);
  if (holder === undefined) {
    terminal.event('status', { running: false, data: dataDir });
    if (!terminal.json) terminal.out(`No Loqey runs on ${dataDir}.\nStart it: npm start`);
    return 7;
  }
  const { pid, since, url } = holder;
  const health = url === undefined ? undefined : await askHealth(url);
  terminal.event('status', { running: true, pid, since, url, health, data: dataDir });
  if (!terminal.json) {
    terminal.out(`Loqey runs on ${dataDir} (pid ${pid}, since ${since.slice(0, 19).replace('T', ' ')} UTC).`);
    if (url !== undefined) terminal.out(`API             ${url}/api/v1`);
    // What this installation has none of is no news about it.
    for (const [part, state] of Object.entries(health ?? {})) if (state !== 'not_used') terminal.out(`${part.padEnd(16)}${state}`);
    terminal.out('Stop it: npm run stop');
  }
  return 0;
}

async function askHealth(url: string): Promise<Record<string, string> | undefined> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(3_000) });
    const body = (await response.json()) as { services?: Record<string, string> };
    return body.services;
  } catch {
    return undefined; // it answers nothing: the lock is all that is known, and it is shown
  }
}

export async function stop(dataDir: string, terminal: Terminal): Promise<number> {
  const holder = await lockHolder(dataDir);
  if (holder === undefined) {
    terminal.say(`No Loqey runs on ${dataDir}: there is nothing to stop.`);
    return 0;
  }
  process.kill(holder.pid, 'SIGTERM');
  const deadline = performance.now() + STOP_MS;
  while (isAlive(holder.pid) && performance.now() < deadline) await pause(100);
  if (isAlive(holder.pid)) {
    throw new StartFailure(6, [`✖ Loqey (pid ${holder.pid}) has not stopped within ${STOP_MS / 1_000} s.`, `  Its log says why: ${dataDir}/logs/loqey.log`, `  To end it at once, losing nothing acknowledged:   kill -9 ${holder.pid}`]);
  }
  terminal.say(`Stopped (pid ${holder.pid}).`);
  terminal.event('stopped', { pid: holder.pid });
  return 0;
}

/** Moves the data folder aside; never deletes it. */
export async function reset(dataDir: string, yes: boolean, terminal: Terminal): Promise<number> {
  if (!yes) {
    const name = basename(resolve(dataDir));
    const answer = await terminal.ask(`This sets ${dataDir} aside with all its boxes, people and history. Type "${name}" to go on: `);
    if (answer === undefined) throw new StartFailure(2, [`✖ To start over without a question:   npm run reset -- --yes`]);
    if (answer !== name) {
      terminal.say('Nothing was changed.');
      return 2;
    }
  }
  await stop(dataDir, terminal);
  const aside = `${resolve(dataDir)}.old-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
  try {
    await rename(resolve(dataDir), aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    terminal.say(`There is no ${dataDir}: nothing to reset.`);
    return 0;
  }
  terminal.say(`${dataDir} is now ${aside}. A new start begins empty: npm start`);
  terminal.event('reset', { moved_to: aside });
  return 0;
}
