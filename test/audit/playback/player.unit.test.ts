import fc from 'fast-check';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { createPlayer, PAGE_LINES, type Frame, type Line, type PlaybackClock, type PlaybackSource, type PlayerOptions, type Player } from '../../../src/audit/playback/player.ts';
import type { createStatesBeside } from '../../../src/audit/playback/states.ts';

const START = Date.parse('2026-11-21T10:00:00.000Z');
const at = (ms: number) => new Date(START + ms).toISOString();
/** One line at each of these milliseconds. */
const past = (...times: number[]): Line[] => times.map((ms, n) => ({ position: BigInt(n + 1), occurredAt: at(ms) }));

/** Time that passes when it is waited for; what was waited is told. */
function clockOf() {
  let now = 0;
  const waits: number[] = [];
  /** Resolved by hand where a test holds it. */
  let hold: ((ms: number) => Promise<number>) | undefined;
  const clock: PlaybackClock = {
    monotonic: () => now,
    async wait(ms, signal) {
      waits.push(ms);
      const took = hold === undefined ? ms : await Promise.race([hold(ms), new Promise<number>((resolve) => signal.addEventListener('abort', () => resolve(ms / 2)))]);
      now += took;
    },
  };
  return { clock, waits, holding: (by: typeof hold) => (hold = by) };
}

function sourceOf(lines: readonly Line[]): PlaybackSource<Line> & { readonly asked: number[] } {
  const asked: number[] = [];
  return {
    asked,
    async from(place, limit) {
      asked.push(limit);
      const first = place.kind === 'beginning' ? 0 : lines.findIndex((line) => (place.kind === 'after' ? line.position > place.position : line.occurredAt >= place.at));
      return first === -1 ? [] : lines.slice(first, first + limit);
    },
    before: async (position) => lines.findLast((line) => line.position < position),
  };
}

function playerOf(lines: readonly Line[], options: Partial<PlayerOptions<Line>> = {}) {
  const time = clockOf();
  const source = sourceOf(lines);
  const player = createPlayer({ source, speed: 1, maxWaitMs: Infinity, clock: time.clock, ...options });
  return { player, source, ...time };
}

/** Takes lines until it has ended, or so many. */
async function watch(player: Player<Line>, most = Infinity): Promise<Frame<Line>[]> {
  const seen: Frame<Line>[] = [];
  const frames = player.frames();
  while (seen.length < most) {
    const next = frames.next();
    const ended = new Promise<undefined>((resolve) => {
      const look = () => (player.status().state === 'ended' ? resolve(undefined) : setImmediate(look));
      setImmediate(look);
    });
    const first = await Promise.race([next, ended]);
    if (first === undefined || first.done === true) break;
    seen.push(first.value);
  }
  return seen;
}

const positions = (frames: readonly Frame<Line>[]) => frames.map(({ line }) => Number(line.position));

describe('playback', () => {
  it('shows every line once, in the order of the log, as it came at that speed', async () => {
    const { player, waits } = playerOf(past(0, 100, 100, 50, 1_050), { speed: 10 });
    const seen = await watch(player);
    expect(positions(seen)).toEqual([1, 2, 3, 4, 5]);
    expect(seen.map(({ gapMs }) => gapMs)).toEqual([0, 100, 0, 0, 1_000]); // a clock that went back is no gap
    expect(waits).toEqual([10, 100]);
    expect(player.status()).toEqual({ state: 'ended', speed: 10, position: 5n });
  });

  it('passes over what was idle, and says how long that was', async () => {
    const { player, waits } = playerOf(past(0, 3_600_000, 3_601_000), { maxWaitMs: 2_000 });
    const seen = await watch(player);
    expect(waits).toEqual([2_000, 1_000]);
    expect(seen.map(({ skippedMs }) => skippedMs)).toEqual([0, 3_598_000, 0]);
  });

  it('waits for nothing at full speed', async () => {
    const { player, waits } = playerOf(past(0, 1_000_000), { speed: Infinity });
    expect(positions(await watch(player))).toEqual([1, 2]);
    expect(waits).toEqual([]);
  });

  it('has no more than a page in its hands', async () => {
    const lines = past(...Array.from({ length: PAGE_LINES * 2 + 5 }, (_, n) => n));
    const { player, source } = playerOf(lines, { speed: Infinity });
    expect(positions(await watch(player, PAGE_LINES))).toHaveLength(PAGE_LINES);
    expect(source.asked).toEqual([PAGE_LINES]);
    await watch(player);
    expect(new Set(source.asked)).toEqual(new Set([PAGE_LINES]));
  });

  it('stands still from the start where that was asked for, and is stepped through, also back', async () => {
    const { player, waits } = playerOf(past(0, 100, 200, 300), { paused: true });
    const frames = player.frames();
    player.step(1);
    expect((await frames.next()).value?.line.position).toBe(1n);
    player.step(2);
    expect([(await frames.next()).value?.line.position, (await frames.next()).value?.line.position]).toEqual([2n, 3n]);
    player.step(-1);
    expect((await frames.next()).value?.line.position).toBe(2n);
    player.step(-1);
    expect((await frames.next()).value?.line.position).toBe(1n);
    player.step(-1); // there is nothing before
    player.step(1);
    expect((await frames.next()).value?.line.position).toBe(2n);
    expect(player.status()).toMatchObject({ state: 'paused', position: 2n });
    expect(waits).toEqual([]);
  });

  it('seeks a position and an instant, shows it also while it stands, and begins again after its end', async () => {
    const { player } = playerOf(past(0, 100, 200, 300), { paused: true });
    const frames = player.frames();
    player.seek({ kind: 'after', position: 2n });
    expect((await frames.next()).value?.line.position).toBe(3n);
    player.seek({ kind: 'since', at: at(50) });
    expect((await frames.next()).value?.line.position).toBe(2n);
    player.setSpeed(Infinity);
    player.play();
    expect([(await frames.next()).value?.line.position, (await frames.next()).value?.line.position]).toEqual([3n, 4n]);
    const more = frames.next();
    await expect.poll(() => player.status().state).toBe('ended');
    player.play();
    expect((await more).value?.line.position).toBe(1n);
  });

  it('hears a command while it waits: the rest of a gap goes at the new speed, and a pause keeps what was waited', async () => {
    const { player, waits, holding } = playerOf(past(0, 1_000), {});
    const frames = player.frames();
    await frames.next();
    holding(() => new Promise(() => undefined));
    const next = frames.next();
    await expect.poll(() => waits).toEqual([1_000]);
    player.setSpeed(10); // half of it was waited
    await expect.poll(() => waits).toEqual([1_000, 50]);
    player.pause();
    await expect.poll(() => player.status().state).toBe('paused');
    holding(undefined);
    player.play();
    expect((await next).value?.line.position).toBe(2n);
    expect(waits).toEqual([1_000, 50, 25]);
  });

  it('tells each change of how it stands, and ends when it is told to', async () => {
    const states: string[] = [];
    const { player } = playerOf(past(0, 1), { speed: Infinity, onStatus: ({ state, speed }) => states.push(`${state} ${speed}`) });
    await watch(player);
    player.pause();
    player.setSpeed(2);
    expect(states).toEqual(['ended Infinity', 'paused Infinity', 'paused 2']);
    const frames = player.frames();
    const last = frames.next();
    player.stop();
    expect(await last).toEqual({ done: true, value: undefined });
    expect(() => player.setSpeed(0)).toThrow(RangeError);
    expect(() => player.setSpeed(NaN)).toThrow(RangeError);
  });

  it('whatever is asked of it, in whatever order, what follows a line is the next line of the log or where somebody went', async () => {
    const lines = past(...Array.from({ length: 30 }, (_, n) => n * 10));
    const command = fc.oneof(
      fc.constant({ do: 'play' } as const),
      fc.constant({ do: 'pause' } as const),
      fc.record({ do: fc.constant('step' as const), lines: fc.constantFrom(-1, 1, 3) }),
      fc.record({ do: fc.constant('seek' as const), position: fc.integer({ min: 0, max: 31 }) }),
      fc.record({ do: fc.constant('speed' as const), speed: fc.constantFrom(1, 1_000, Infinity) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(command, fc.nat(3)), { maxLength: 12 }), async (commands) => {
        const { player } = playerOf(lines, { speed: Infinity, paused: true });
        const seen: number[] = [];
        let jumped = false;
        const watching = (async () => {
          for await (const { line } of player.frames()) {
            const [before, now] = [seen.at(-1), Number(line.position)];
            expect(now >= 1 && now <= 30).toBe(true);
            if (!jumped && before !== undefined) expect(now).toBe(before + 1);
            jumped = false;
            seen.push(now);
            await new Promise(setImmediate);
          }
        })();
        for (const [each, turns] of commands) {
          if (each.do === 'play' || each.do === 'pause') {
            if (each.do === 'play' && player.status().state === 'ended') jumped = true;
            player[each.do]();
          } else if (each.do === 'step') {
            if (each.lines < 0) jumped = true;
            player.step(each.lines);
          } else if (each.do === 'seek') {
            jumped = true;
            player.seek({ kind: 'after', position: BigInt(each.position) });
          } else player.setSpeed(each.speed);
          for (let n = 0; n < turns; n++) await new Promise(setImmediate);
        }
        player.stop();
        await watching;
      }),
      { numRuns: 200 },
    );
  });
});

describe('what it has in its hands', () => {
  it('can only be read from', () => {
    expectTypeOf<keyof PlaybackSource<Line>>().toEqualTypeOf<'from' | 'before'>();
    type StatesDeps = Parameters<typeof createStatesBeside>[0];
    expectTypeOf<keyof StatesDeps['store']>().toEqualTypeOf<'readStream'>();
    expectTypeOf<keyof StatesDeps['history']>().toEqualTypeOf<'at'>();
  });
});
