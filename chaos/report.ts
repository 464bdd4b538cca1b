import { createTerminal, table, type Terminal } from '../src/shell/terminal.ts';
import { invariants } from './invariants.ts';

export interface Finding {
  /** `I1` to `I15`, `liveness`, or `trouble`. */
  readonly of: string;
  readonly text: string;
  /** Number of the round, and the faults that struck in it. */
  readonly round: number;
  readonly faults: readonly string[];
  readonly world: string;
}

export interface Tally {
  readonly seed: number;
  readonly faults: Map<string, number>;
  readonly leftOut: Map<string, string>;
  readonly checks: Map<string, number>;
  readonly findings: Finding[];
  /** The longest way back to rest, and what was waited for last. */
  longest: { readonly ms: number; readonly round: number; readonly last: string };
  rounds: number;
  requests: number;
  askedAgain: number;
  events: number;
  openings: number;
}

export function createTally(seed: number): Tally {
  return { seed, faults: new Map(), leftOut: new Map(), checks: new Map(), findings: [], longest: { ms: 0, round: 0, last: '' }, rounds: 0, requests: 0, askedAgain: 0, events: 0, openings: 0 };
}

export function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

export interface Reporter {
  readonly terminal: Terminal;
  /** What happens now: one line that moves on a terminal, one line each elsewhere. */
  now(text: string): void;
  finding(finding: Finding): void;
  summary(tally: Tally, again: string, kept: readonly string[], seconds: number): void;
}

const LONGEST = 1_500;

export function createReporter(json: boolean): Reporter {
  const terminal = createTerminal({ json, stdout: process.stdout, stderr: process.stderr, color: process.env['NO_COLOR'] === undefined ? undefined : false });
  const { paint } = terminal;
  const clear = () => void (terminal.isTty && !json && process.stderr.write('\r\u001b[K'));
  return {
    terminal,
    now(text) {
      if (json) return;
      if (terminal.isTty) process.stderr.write(`\r\u001b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`);
      else terminal.say(text);
    },
    finding(finding) {
      clear();
      terminal.event('finding', { ...finding });
      terminal.say(`${paint.red('✖')} ${finding.of}, round ${finding.round} (${finding.faults.join(', ')}; ${finding.world}): ${finding.text.slice(0, LONGEST)}`);
    },
    summary(tally, again, kept, seconds) {
      clear();
      const struck = [...tally.faults].sort(([a], [b]) => a.localeCompare(b));
      const of = (fault: string) => tally.findings.filter(({ faults }) => faults.includes(fault)).length;
      const total = struck.reduce((sum, [, times]) => sum + times, 0);
      terminal.event('summary', {
        seed: tally.seed,
        rounds: tally.rounds,
        faults: Object.fromEntries(struck),
        left_out: Object.fromEntries(tally.leftOut),
        checks: Object.fromEntries(tally.checks),
        findings: tally.findings.length,
        requests: tally.requests,
        asked_again: tally.askedAgain,
        events: tally.events,
        openings: tally.openings,
        longest_rest: tally.longest,
        seconds: Math.round(seconds),
        again,
        kept,
      });
      if (json) return;
      const columns = terminal.columns;
      terminal.out('');
      terminal.out(table(['FAULT', 'TIMES', 'FINDINGS IN ITS ROUNDS'], struck.map(([name, times]) => [name, times, of(name)]), { columns, flexible: [0] }));
      for (const [name, why] of tally.leftOut) terminal.out(`left out: ${name} (${why})`);
      terminal.out('');
      const known = new Map([...invariants.map(({ id, text }) => [id, text] as const), ['I14', 'of somebody who was erased nothing is left'], ['liveness', 'everything comes to its end'], ['trouble', 'no process ends by itself, and no answer is an error of ours']]);
      const found = (id: string) => tally.findings.filter((finding) => finding.of === id).length;
      terminal.out(table(['', 'INVARIANT', 'CHECKED', 'FINDINGS'], [...known].map(([id, text]) => [id, text, tally.checks.get(id) ?? 0, found(id)]), { columns, flexible: [1] }));
      terminal.out(
        `\n${total} faults in ${tally.rounds} rounds, ${tally.requests.toLocaleString('en')} requests (${tally.askedAgain.toLocaleString('en')} asked again), ${tally.openings.toLocaleString('en')} openings, ` +
          `${tally.events.toLocaleString('en')} events, ${Math.round(seconds)} s. Longest way back to rest: ${(tally.longest.ms / 1_000).toFixed(1)} s in round ${tally.longest.round}, for: ${tally.longest.last}.`,
      );
      if (tally.findings.length === 0) terminal.out(`${paint.green('✔')} Nothing was found. Seed ${tally.seed}.`);
      else terminal.out(`${paint.red('✖')} ${tally.findings.length} findings. The same again:\n  ${again}\n${kept.map((folder) => `  kept: ${folder}`).join('\n')}`);
    },
  };
}
