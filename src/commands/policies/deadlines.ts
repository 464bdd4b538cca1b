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
  due(now: string, limit: number): Promise<readonly Deadline[]>;
  /** When the next one is due after `now`; undefined when there is none. */
  nextAfter(now: string): Promise<string | undefined>;
  /** Calls back when a deadline was added, with its instant; a hint, the sleep is bounded anyway. */
  onAdded(listener: (dueAt: string) => void): () => void;
}

const LONGEST_SLEEP_MS = 5_000;
/** A command that was refused or failed is tried again, not at once. */
const RETRY_AFTER_MS = 1_000;
const PAGE = 500;

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
}): (signal: AbortSignal) => Promise<void> {
  const { queue, bus, clock, metrics } = deps;
  const logger = deps.logger.child({ component: 'deadlines' });
  const fired = metrics.counter('loqey_deadlines_total', 'Deadlines that fell due', ['command', 'outcome']);
  const late = metrics.histogram('loqey_deadline_lateness_seconds', 'From its instant to its command');

  return async (signal) => {
    const attempted = new Map<string, number>();
    while (!signal.aborted) {
      const wakeUp = new AbortController();
      // While it is not known when to wake, every new deadline counts; then only an earlier one.
      let wakeAt = Number.POSITIVE_INFINITY;
      const stop = queue.onAdded((dueAt) => {
        if (Date.parse(dueAt) < wakeAt) wakeUp.abort();
      });
      try {
        const now = clock.now();
        const iso = new Date(now).toISOString();
        const due = await queue.due(iso, PAGE);
        let worked = false;
        for (const deadline of due) {
          if (signal.aborted) return;
          // The read model is behind its own effect for a moment: what was just sent is not sent again.
          if (now - (attempted.get(deadline.key) ?? 0) < RETRY_AFTER_MS) continue;
          attempted.set(deadline.key, now);
          worked = true;
          await fire(deadline);
        }
        if (attempted.size > 10_000) attempted.clear();
        if (worked && due.length === PAGE) continue;
        const next = await queue.nextAfter(iso);
        const untilNext = next === undefined ? LONGEST_SLEEP_MS : Math.max(1, Date.parse(next) - clock.now());
        const sleep = Math.min(untilNext, due.length > 0 ? RETRY_AFTER_MS : LONGEST_SLEEP_MS);
        wakeAt = clock.now() + sleep;
        if (!wakeUp.signal.aborted) await pause(sleep, AbortSignal.any([signal, wakeUp.signal]));
      } catch (error) {
        logger.warn({ err: error }, 'Deadlines could not be read; trying again');
        await pause(RETRY_AFTER_MS, signal);
      } finally {
        stop();
      }
    }
  };

  async function fire({ command, key, dueAt }: Deadline): Promise<void> {
    late.observe(Math.max(0, (clock.now() - Date.parse(dueAt)) / 1_000));
    const commandId = derivedCommandId('deadline', key, dueAt);
    try {
      const outcome = await bus.execute(command, { commandId, correlationId: commandId, actor: { kind: 'system', id: 'deadlines' }, source: 'scheduled_task' });
      fired.inc({ command: command.type, outcome: outcome.kind });
    } catch (error) {
      fired.inc({ command: command.type, outcome: 'error' });
      logger.warn({ err: error, command: command.type, key }, 'A deadline could not be carried out; trying again');
    }
  }
}
