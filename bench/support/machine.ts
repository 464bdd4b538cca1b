import { execFileSync } from 'node:child_process';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { embeddedBinaries } from '../../src/platform/postgres/embedded-binaries.ts';

/** What the figures were measured on, without its name or its paths. */
export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryGb: number;
  readonly system: string;
  readonly node: string;
  readonly postgres: string;
}

export async function thisMachine(): Promise<Machine> {
  const { postgres } = await embeddedBinaries();
  return {
    cores: availableParallelism(),
    processor: (cpus()[0]?.model ?? 'unknown').replaceAll(/\s+/g, ' ').trim(),
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    system: `${process.platform} ${process.arch}`,
    node: process.versions.node,
    postgres: /\d+(\.\d+)*/.exec(execFileSync(postgres, ['--version'], { encoding: 'utf8' }))?.[0] ?? 'unknown',
  };
}
