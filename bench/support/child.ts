import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface BenchChild<Told> {
  readonly told: Told;
  readonly pid: number;
  stop(): Promise<void>;
}

/** A program with an empty data folder as its first argument, and what it says of itself in its first line. */
export async function startChild<Told>(program: string, ...args: readonly string[]): Promise<BenchChild<Told>> {
  const dataDir = mkdtempSync(join(tmpdir(), 'loqey-floor-'));
  chmodSync(dataDir, 0o755);
  const child = spawn(process.execPath, [program, dataDir, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (code) => reject(new Error(`${program} ended with exit code ${code}`)));
  });
  return {
    told: JSON.parse(line) as Told,
    pid: child.pid ?? 0,
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await ended;
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}
