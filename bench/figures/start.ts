import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { createEmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { silentLogger as logger } from '../../src/platform/logger.ts';
import { admin } from '../support/cast.ts';
import { measuredOnce, type Figure } from '../support/figure.ts';
import { folderWith } from '../support/folders.ts';
import { settingsFor, startBenchServer } from '../support/server.ts';
import { quantile } from '../support/statistics.ts';

/** The program as a person starts it (`npm start`): how fast it is there, what it weighs, and whether logins hold it up. */
export const start: Figure = {
  name: 'start',
  about: 'Start to ready, beside PostgreSQL alone on the same folder; memory of an idle process; other requests while people sign in.',
  beyond: 'Node and its modules, migrations checked, the log’s identity, read models caught up, keys loaded, brokers and routes opened.',
  engines: ['embedded'],
  async run(bench) {
    const { dataDir, discard } = await folderWith({ cast: { owners: 1, boxesEach: 1, more: 0 }, seed: bench.seed }, bench.say);
    try {
      const times = bench.size.pace.slices;
      const postgresMs: number[] = [];
      const readyMs: number[] = [];
      for (let n = 0; n < times; n++) {
        postgresMs.push(await postgresAlone(dataDir));
        const server = await startProgramAsUser(dataDir);
        readyMs.push(server.readyMs);
        await server.stop();
      }
      const server = await startProgramAsUser(dataDir);
      await pause(bench.size.idleMs);
      const memoryMb = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1_024;
      const quiet = await pings(server.url, 2_000);
      const busy = await whileEightSignIn(server.url);
      await server.stop();
      const late = await loopDelays(dataDir);
      const inSeconds = (values: readonly number[]) => values.map((value) => value / 1_000);
      return [
        measuredOnce({ figure: 'start', what: 'npm start → ready, on an existing folder', unit: 's', values: inSeconds(readyMs), limit: { what: 'PostgreSQL alone', values: inSeconds(postgresMs) } }),
        measuredOnce({ figure: 'start', what: `memory, idle for ${bench.size.idleMs / 1_000} s, PostgreSQL apart`, unit: 'MB', values: [memoryMb] }),
        measuredOnce({ figure: 'start', what: 'another request while eight people sign in, p99', unit: 'ms', values: [quantile(busy, 0.99)], limit: { what: 'the same while nobody does', values: [quantile(quiet, 0.99)] } }),
        measuredOnce({ figure: 'start', what: 'its event loop is late while eight people sign in, p99', unit: 'ms', values: [late.busy], limit: { what: 'the same while nobody does', values: [late.quiet] } }),
      ];
    } finally {
      discard();
    }
  },
};

async function postgresAlone(dataDir: string): Promise<number> {
  const postgres = createEmbeddedPostgres({ dataDir, logger });
  const began = performance.now();
  await postgres.start();
  const took = performance.now() - began;
  await postgres.stop();
  return took;
}

/** Seen from inside: what a request waits for before anything of it begins. */
async function loopDelays(dataDir: string): Promise<{ readonly quiet: number; readonly busy: number }> {
  const server = await startBenchServer({ dataDir });
  try {
    const during = async (work: () => Promise<unknown>) => {
      await server.call.watchLoop();
      await work();
      return server.call.loopDelay();
    };
    return { quiet: await during(() => pause(2_000)), busy: await during(() => whileEightSignIn(server.url)) };
  } finally {
    await server.stop();
  }
}

interface Started {
  readonly url: string;
  readonly pid: number;
  readonly readyMs: number;
  stop(): Promise<void>;
}

async function startProgramAsUser(dataDir: string): Promise<Started> {
  const began = performance.now();
  const child = spawn(process.execPath, ['src/loqey.js', 'start', '--json'], { env: { ...process.env, ...settingsFor(dataDir) }, stdio: ['ignore', 'pipe', 'inherit'] });
  const url = await untilReady(child);
  return {
    url,
    pid: child.pid ?? 0,
    readyMs: performance.now() - began,
    async stop() {
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await exited;
    },
  };
}

const READY_MS = 60_000;

function untilReady(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('The server was not ready in time')), READY_MS);
    child.once('exit', (code) => reject(new Error(`The server ended with exit code ${code}`)));
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const event = JSON.parse(line) as { readonly event: string; readonly http: string };
      if (event.event !== 'ready') return;
      clearTimeout(timer);
      resolve(event.http);
    });
  });
}

async function pings(url: string, until: number | Promise<unknown>): Promise<readonly number[]> {
  const took: number[] = [];
  let going = true;
  const ended = (typeof until === 'number' ? pause(until) : until).finally(() => (going = false));
  while (going) {
    const since = performance.now();
    await (await fetch(`${url}/health/live`)).text();
    took.push(performance.now() - since);
    await pause(5);
  }
  await ended;
  return took;
}

function whileEightSignIn(url: string): Promise<readonly number[]> {
  const signIn = async () => {
    const answer = await fetch(`${url}/api/v1/admin/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(admin) });
    if (!answer.ok) throw new Error(`A login was answered with ${answer.status}`);
    await answer.text();
  };
  return pings(url, Promise.all(Array.from({ length: 8 }, signIn)));
}
