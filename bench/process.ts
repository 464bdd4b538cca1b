import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { table } from '../src/shell/terminal.ts';
import { quantile } from './support/figures.ts';
import { registerOwner } from './support/people.ts';
import { startBenchServer } from './support/server.ts';

/** The process itself: how fast it is there, what it weighs, and whether logins hold it up. */
const dataDir = mkdtempSync(join(tmpdir(), 'loqey-bench-process-'));
chmodSync(dataDir, 0o755);

const first = await startBenchServer({ dataDir });
await registerOwner(first.url);
await first.stop();
const second = await startBenchServer({ dataDir });

const IDLE_MS = 15_000;
await pause(IDLE_MS);
const rssMb = Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${second.pid}/status`, 'utf8'))?.[1] ?? Number.NaN) / 1_024;

/** The event loop's delay as the server measures it (its own metric), while eight people sign in. */
async function loopDelay(): Promise<number> {
  const text = await (await fetch(`${second.url}/metrics`)).text();
  return Number(/^loqey_nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(text)?.[1] ?? Number.NaN) * 1_000;
}

function logIn(): Promise<void> {
  return new Promise((resolve, reject) => {
    const req = request(`${second.url}/api/v1/admin/auth/login`, { method: 'POST', headers: { 'content-type': 'application/json' } }, (res) => {
      res.resume();
      res.on('end', resolve);
    });
    req.on('error', reject);
    req.end(JSON.stringify(second.admin));
  });
}

await loopDelay(); // each reading begins a new window
const pings: number[] = [];
let signingIn = true;
const watch = (async () => {
  while (signingIn) {
    const since = performance.now();
    await (await fetch(`${second.url}/health/live`)).text();
    pings.push(performance.now() - since);
    await pause(5);
  }
})();
const began = performance.now();
await Promise.all(Array.from({ length: 8 }, logIn));
const took = performance.now() - began;
signingIn = false;
await watch;
const delay = await loopDelay();

process.stdout.write(
  `${table(
    ['the process', 'measured', 'must be at most'],
    [
      ['start on a new folder → ready', `${(first.readyMs / 1_000).toFixed(1)} s`, ''],
      ['start on an existing folder → ready', `${(second.readyMs / 1_000).toFixed(1)} s`, '3 s'],
      [`memory, idle for ${IDLE_MS / 1_000} s, embedded Postgres apart`, `${rssMb.toFixed(0)} MB`, '150 MB'],
      [`event loop delay p99 during 8 logins (${(took / 1_000).toFixed(1)} s, bcrypt cost 12)`, `${delay.toFixed(1)} ms`, '20 ms'],
      ['p99 of another request meanwhile', `${quantile(pings, 0.99).toFixed(1)} ms`, ''],
    ],
  )}\n`,
);
await second.stop();
rmSync(dataDir, { recursive: true, force: true });
process.exit();
