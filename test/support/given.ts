import { expect } from 'vitest';
import type { Decider, Decision, Instant, Refusal, RefusalCode } from '../../src/domain/kernel.ts';
import { fromMs, toMs } from '../../src/domain/time.ts';

/** When a spec happens unless it says otherwise. */
export const now = '2026-11-21T10:30:00.000Z';

/** `later(90)` is 90 seconds after `now`, `later(-90)` before it. */
export function later(seconds: number): Instant {
  return fromMs(toMs(now) + seconds * 1000);
}

type History<Event> = readonly (Event | { readonly at: Instant; readonly events: readonly Event[] })[];

/** Events of another moment than `now`. */
export function at<Event>(instant: Instant, ...events: readonly Event[]): { readonly at: Instant; readonly events: readonly Event[] } {
  return { at: instant, events };
}

/** Given what happened, when this is asked, then that happens, or is refused, or nothing has to. */
export function specOf<State, Command, Event extends { readonly type: string }>(decider: Decider<State, Command, Event>) {
  const fold = (state: State, events: readonly Event[], instant: Instant): State =>
    events.reduce((folded, event) => decider.evolve(folded, event, instant), state);

  function given(...history: History<Event>) {
    const state = history.reduce<State>(
      (folded, entry) => ('events' in entry ? fold(folded, entry.events, entry.at) : fold(folded, [entry], now)),
      decider.initialState,
    );
    return {
      state,
      when(command: Command, instant: Instant = now) {
        const decision: Decision<Event> = decider.decide(state, command, instant);
        const after = fold(state, decision.events, instant);
        return {
          decision,
          state: after,
          happens(...events: readonly Event[]) {
            expect(decision).toEqual({ events });
            return this;
          },
          /** These types, in this order; what they carry is another spec's. */
          happensAs(...types: readonly Event['type'][]) {
            expect(decision.refusal).toBeUndefined();
            expect(decision.events.map(({ type }) => type)).toEqual(types);
            return this;
          },
          quiet() {
            expect(decision).toEqual({ events: [] });
            return this;
          },
          refused(code: RefusalCode, details?: Refusal['details']) {
            expect(decision.events).toEqual([]);
            expectRefusal(decision.refusal, code, details);
            return this;
          },
          /** A refusal that counts: it is refused, and this is written. */
          refusedWith(code: RefusalCode, ...types: readonly Event['type'][]) {
            expectRefusal(decision.refusal, code);
            expect(decision.events.map(({ type }) => type)).toEqual(types);
            return this;
          },
          /** The same command on what came of it. */
          again(repeatedAt: Instant = instant) {
            const repeat = decider.decide(after, command, repeatedAt);
            return {
              quiet() {
                expect(repeat).toEqual({ events: [] });
              },
              refused(code: RefusalCode) {
                expect(repeat.events).toEqual([]);
                expectRefusal(repeat.refusal, code);
              },
            };
          },
        };
      },
    };
  }
  return { given };
}

function expectRefusal(refusal: Refusal | undefined, code: RefusalCode, details?: Refusal['details']): void {
  expect(refusal?.code).toBe(code);
  if (details !== undefined) expect(refusal?.details).toEqual(details);
}
