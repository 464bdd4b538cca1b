import { pause } from '../../platform/backoff.ts';
import type { Clock } from '../../platform/clock.ts';
import { derivedCommandId } from '../../platform/ids.ts';
import type { Logger } from '../../platform/logger.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { AnyCommand, CommandBus } from '../port.ts';

/** One thing that is due, from the read model of deadlines. */
export interface Deadline {
  readonly dueAt: string;
  readonly command: AnyCommand;
  /** Tells one deadline from another: the same one gives the same command id. */
  readonly key: string;
}

export interface DeadlineQueue {
  /** Oldest first; with `after` those that come behind it in this order. */
  due(now: string, limit: number, after?: Deadline): Promise<readonly Deadline[]>;
  /** When the next one is due after `now`; undefined when there is none. */
  nextAfter(now: string): Promise<string | undefined>;
  /** Calls back when a deadline was added, with its instant; a hint, the sleep is bounded anyway. */
  onAdded(listener: (dueAt: string) => void): () => void;
}

export interface DeadlineKeeper {
  /** Until `signal` aborts. One process at a time. */
  run(signal: AbortSignal): Promise<void>;
  /** Unhealthy while some deadline could not be kept in several tries. */
  health(): { readonly healthy: boolean; readonly detail: string };
}

const LONGEST_SLEEP_MS = 5_000;
/** From one try to the next: doubles from the first to the longest. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 300_000;
/** Tries after which a deadline is one that fails, not one that its read model has yet to drop. */
const STUCK_AFTER = 5;
const PAGE = 500;
/** Commands under way at once; those of one box queue in the bus. */
const SIDE_BY_SIDE = 8;
/** Repeats of one round. What fails for ever takes its turns between what has just fallen due, never before it. */
const RETRIES_A_ROUND = 4 * SIDE_BY_SIDE;
const MOST_REMEMBERED = 50_000;

interface Attempt {
  readonly tries: number;
  readonly notBefore: number;
  readonly command: string;
  /** Refusal code or error of the last try. */
  readonly problem: string | undefined;
}

/**
 * Sleeps until the next deadline and sends its command; sweeps what fell due while nobody was there. Nothing is safe only
 * because of it: every decision compares times itself.
 */
export function deadlineKeeper(deps: {
  readonly queue: DeadlineQueue;
  readonly bus: CommandBus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}): DeadlineKeeper {
  const { queue, bus, clock, metrics } = deps;
  const logger = deps.logger.child({ component: 'deadlines' });
  const fired = metrics.counter('loqey_deadlines_total', 'Deadlines that fell due', ['command', 'outcome']);
  const late = metrics.histogram('loqey_deadline_lateness_seconds', 'From its instant to its first command');
  const stuck = metrics.gauge('loqey_deadlines_stuck', 'Deadlines that could not be kept in several tries');
  /** What was sent and is still in the read model: it is behind its own effect for a moment, or the command failed. */
  const attempts = new Map<string, Attempt>();

  /** Sends what is due, and what may be tried again. @returns when to try the next one again, in milliseconds since the epoch */
  async function round(signal: AbortSignal): Promise<number> {
    const now = clock.now();
    const iso = new Date(now).toISOString();
    const seen = new Set<string>();
    const again: Deadline[] = [];
    let retryAt = Number.POSITIVE_INFINITY;
    for (let after: Deadline | undefined; !signal.aborted; ) {
      const page = await queue.due(iso, PAGE, after);
      const fresh: Deadline[] = [];
      for (const deadline of page) {
        seen.add(deadline.key);
        const attempt = attempts.get(deadline.key);
        if (attempt === undefined) fresh.push(deadline);
        else if (attempt.notBefore > now || again.length >= RETRIES_A_ROUND) retryAt = Math.min(retryAt, Math.max(attempt.notBefore, now));
        else again.push(deadline);
      }
      await fireAll(fresh, signal);
      for (const { key } of fresh) retryAt = Math.min(retryAt, attempts.get(key)?.notBefore ?? retryAt);
      after = page.at(-1);
      if (page.length < PAGE) break;
    }
    await fireAll(again, signal);
    for (const { key } of again) retryAt = Math.min(retryAt, attempts.get(key)?.notBefore ?? retryAt);
    if (signal.aborted) return retryAt;
    for (const key of attempts.keys()) if (!seen.has(key)) attempts.delete(key);
    if (attempts.size > MOST_REMEMBERED) attempts.clear();
    stuck.set([...attempts.values()].filter(isStuck).length);
    return retryAt;
  }

  async function fireAll(deadlines: readonly Deadline[], signal: AbortSignal): Promise<void> {
    const waiting = [...deadlines].reverse();
    const lane = async (): Promise<void> => {
      for (let next = waiting.pop(); next !== undefined && !signal.aborted; next = waiting.pop()) await fire(next);
    };
    await Promise.all(Array.from({ length: Math.min(SIDE_BY_SIDE, deadlines.length) }, lane));
  }

  async function fire({ command, key, dueAt }: Deadline): Promise<void> {
    const tries = (attempts.get(key)?.tries ?? 0) + 1;
    if (tries === 1) late.observe(Math.max(0, (clock.now() - Date.parse(dueAt)) / 1_000));
    const commandId = derivedCommandId('deadline', key, dueAt);
    let problem: string | undefined;
    try {
      const outcome = await bus.execute(command, { commandId, correlationId: commandId, actor: { kind: 'system', id: 'deadlines' }, source: 'scheduled_task' });
      fired.inc({ command: command.type, outcome: outcome.kind });
      if (outcome.kind === 'refused') problem = outcome.refusal.code;
    } catch (error) {
      problem = (error as Error).message;
      fired.inc({ command: command.type, outcome: 'error' });
      logger.warn({ err: error, command: command.type, key, tries }, 'A deadline could not be carried out; trying again');
    }
    const wait = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(tries - 1, 20));
    attempts.set(key, { tries, notBefore: clock.now() + wait, command: command.type, problem });
  }

  return {
    async run(signal) {
      attempts.clear(); // another process led meanwhile
      while (!signal.aborted) {
        const wakeUp = new AbortController();
        // While it is not known when to wake, every new deadline counts; then only an earlier one.
        let wakeAt = Number.POSITIVE_INFINITY;
        const stop = queue.onAdded((dueAt) => {
          if (Date.parse(dueAt) < wakeAt) wakeUp.abort();
        });
        try {
          const looked = new Date(clock.now()).toISOString();
          const retryAt = await round(signal);
          const next = await queue.nextAfter(looked);
          const nextAt = Math.min(next === undefined ? Number.POSITIVE_INFINITY : Date.parse(next), retryAt);
          const sleep = Math.max(1, Math.min(LONGEST_SLEEP_MS, nextAt - clock.now()));
          wakeAt = clock.now() + sleep;
          if (!wakeUp.signal.aborted) await pause(sleep, AbortSignal.any([signal, wakeUp.signal]));
        } catch (error) {
          logger.warn({ err: error }, 'Deadlines could not be read; trying again');
          await pause(FIRST_RETRY_MS, signal);
        } finally {
          stop();
        }
      }
    },

    health() {
      const failing = [...attempts.values()].filter(isStuck);
      const [first] = failing;
      if (first === undefined) return { healthy: true, detail: 'kept' };
      return { healthy: false, detail: `${failing.length} cannot be kept, as ${first.command}: ${first.problem ?? 'still in the read model'}` };
    },
  };
}

function isStuck({ tries }: Attempt): boolean {
  return tries >= STUCK_AFTER;
}
