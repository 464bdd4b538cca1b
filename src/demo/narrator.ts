import type { Terminal } from '../shell/terminal.ts';

/** A step of the story was not what it should be. */
export class StepFailed extends Error {
  override readonly name = 'StepFailed';
}

/** @throws StepFailed with what was expected, in words */
export function expect(condition: boolean, expectation: string): asserts condition {
  if (!condition) throw new StepFailed(expectation);
}

/** Tells the story line by line, each step with what came of it and how long it took. */
export interface Narrator {
  step<T>(title: string, work: () => Promise<{ readonly value: T; readonly detail: string }>): Promise<T>;
  readonly steps: number;
}

export function createNarrator(terminal: Terminal): Narrator {
  const { paint } = terminal;
  let count = 0;
  return {
    get steps() {
      return count;
    },
    async step(title, work) {
      count++;
      const since = performance.now();
      const number = `${count}`.padStart(2);
      try {
        const { value, detail } = await work();
        const ms = performance.now() - since;
        terminal.say(`${number}  ${paint.green('✔')} ${title.padEnd(62)} ${paint.dim(`${ms.toFixed(ms < 10 ? 1 : 0)} ms`)}`);
        for (const line of detail.split('\n')) terminal.say(`      ${paint.dim(line)}`);
        terminal.event('step', { number: count, title, detail, ms: Math.round(ms * 10) / 10, ok: true });
        return value;
      } catch (error) {
        terminal.say(`${number}  ${paint.red('✖')} ${title}`);
        terminal.say(`      ${(error as Error).message}`);
        terminal.event('step', { number: count, title, ok: false, error: (error as Error).message });
        throw error;
      }
    },
  };
}
