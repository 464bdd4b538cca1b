import type { Profiler } from 'node:inspector';
import { commandFilters, uplinkFilters } from '../../src/bridge/topics.ts';
import type { BoxesCalls } from './boxes-program.ts';
import { signInAll, type Cast, type CastSize } from './cast.ts';
import type { Engines, Lane, Pace, Point } from './figure.ts';
import { folderBeside, folderWith, type Contents, type Folder } from './folders.ts';
import type { LimitsCalls } from './limits-program.ts';
import { startProgram, type Program } from './program.ts';
import { startLimitEngines, startRealEngines, type RunningEngines } from './real-engines.ts';
import { startBenchServer, type BenchServer } from './server.ts';

/** How large and how long. */
export interface Size {
  readonly pace: Pace;
  /** For what is measured once more at each size of the log. */
  readonly growthPace: Pace;
  readonly cast: CastSize;
  readonly growthCast: CastSize;
  readonly growth: readonly Point[];
  readonly rebuildEvents: number;
  readonly courierRounds: number;
  readonly idleMs: number;
}

const quickPace: Pace = { slices: 2, sliceMs: 1_000, warmupMs: 300 };
const fullPace: Pace = { slices: 5, sliceMs: 2_500, warmupMs: 1_000 };

export const sizes: Readonly<Record<'quick' | 'full', Size>> = {
  quick: {
    pace: quickPace,
    growthPace: { slices: 1, sliceMs: 1_000, warmupMs: 0 },
    cast: { owners: 8, boxesEach: 5, more: 120 },
    growthCast: { owners: 4, boxesEach: 5, more: 40 },
    growth: [
      { boxes: 100, events: 2_000 },
      { boxes: 100, events: 10_000 },
      { boxes: 1_000, events: 10_000 },
    ],
    rebuildEvents: 10_000,
    courierRounds: 5,
    idleMs: 1_000,
  },
  full: {
    pace: fullPace,
    growthPace: { slices: 3, sliceMs: 1_500, warmupMs: 500 },
    cast: { owners: 32, boxesEach: 5, more: 1_840 },
    growthCast: { owners: 16, boxesEach: 5, more: 200 },
    growth: [
      { boxes: 1_000, events: 10_000 },
      { boxes: 1_000, events: 100_000 },
      { boxes: 1_000, events: 1_000_000 },
      { boxes: 1_000, events: 400_000 },
      { boxes: 10_000, events: 400_000 },
      { boxes: 100_000, events: 400_000 },
    ],
    rebuildEvents: 100_000,
    courierRounds: 100,
    idleMs: 30_000,
  },
};

/** A server with its people and boxes, and beside it what its parts can do alone. */
export interface Rig {
  readonly server: BenchServer;
  readonly folder: Folder;
  readonly cast: Cast;
  readonly limits: Limits;
  readonly boxes: Program<BoxesCalls>;
  /** Access tokens of the owners, by their place in the cast. */
  tokens(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

export interface Limits {
  readonly http: string;
  readonly taps: string;
  readonly mqtt: string;
  readonly mqttPort: number;
  readonly pid: number;
  readonly call: Program<LimitsCalls>['call'];
}

export async function startLimits(environ?: Readonly<Record<string, string>>): Promise<Limits & { stop(): Promise<void> }> {
  const program = await startProgram<LimitsCalls>('limits-program', environ);
  const { http, taps, mqtt } = await program.call.addresses();
  return { http, taps, mqtt, mqttPort: Number(new URL(mqtt).port), pid: program.pid, call: program.call, stop: () => program.stop() };
}

/** What a figure is given: how long, how large, and what it is measured on. */
export interface Bench {
  readonly engines: Engines;
  readonly size: Size;
  readonly seed: number;
  /** To the person who waits. */
  say(text: string): void;
  /** The one with an empty past, which the figures share. */
  rig(): Promise<Rig>;
  limits(): Promise<Limits>;
  boxes(): Promise<Program<BoxesCalls>>;
  /** A folder, and the engines beside it. */
  open(contents: Contents): Promise<Opened>;
  rigOn(opened: Opened): Promise<Rig>;
  /** Where profiles are asked for: once more, with the profiler on. Not a measurement. */
  profiled(name: string, rig: Rig, lane: Lane): Promise<void>;
  stop(): Promise<void>;
}

/** A filled folder, with the real engines where they are measured. */
export interface Opened {
  readonly folder: Folder;
  readonly environ: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

export interface BenchOptions {
  readonly engines: Engines;
  readonly size: Size;
  readonly seed: number;
  say(text: string): void;
  onProfile?(name: string, profile: Profiler.Profile): void;
}

export function createBench(options: BenchOptions): Bench {
  const { engines, size, seed, say, onProfile } = options;
  const closing: (() => Promise<void>)[] = [];
  const once = <T>(make: () => Promise<T>) => {
    let made: Promise<T> | undefined;
    return () => (made ??= make().catch((error: unknown) => {
      made = undefined; // the next figure tries again
      throw error;
    }));
  };

  const limits = once(async (): Promise<Limits> => {
    const beside = engines === 'real' ? await startLimitEngines() : undefined;
    if (beside !== undefined) closing.push(() => beside.stop());
    const started = await startLimits(beside?.environ);
    closing.push(() => started.stop());
    return started;
  });
  const boxes = once(async () => {
    const program = await startProgram<BoxesCalls>('boxes-program');
    closing.push(() => program.stop());
    return program;
  });

  async function open(contents: Contents): Promise<Opened> {
    let real: RunningEngines | undefined;
    if (engines === 'real') real = await startRealEngines({ uplinkFilters, downlinkTopics: commandFilters });
    const environ = real?.environ ?? {};
    const folder = real === undefined ? await folderWith(contents, say) : await folderBeside(contents, environ, say);
    return {
      folder,
      environ,
      async close() {
        await real?.stop();
        folder.discard();
      },
    };
  }

  async function rigOn({ folder, environ }: Opened): Promise<Rig> {
    const [beside, fleet] = await Promise.all([limits(), boxes()]);
    const server = await startBenchServer({ dataDir: folder.dataDir, environ });
    return {
      server,
      folder,
      cast: folder.cast,
      limits: beside,
      boxes: fleet,
      tokens: once(() => signInAll(server.url, folder.cast)),
      stop: () => server.stop(),
    };
  }

  return {
    engines,
    size,
    seed,
    say,
    limits,
    boxes,
    open,
    rigOn,
    rig: once(async () => {
      const opened = await open({ cast: size.cast, seed });
      closing.push(() => opened.close());
      const rig = await rigOn(opened);
      closing.push(() => rig.stop());
      return rig;
    }),
    async profiled(name, { server }, lane) {
      if (onProfile === undefined) return;
      await server.call.profileStart();
      await lane.slice(Math.max(4_000, size.pace.sliceMs));
      onProfile(name, await server.call.profileStop());
    },
    async stop() {
      for (const close of closing.reverse()) await close();
    },
  };
}
