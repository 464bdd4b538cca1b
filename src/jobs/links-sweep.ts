import type { CommandBus } from '../commands/port.ts';
import { instant, type Clock } from '../platform/clock.ts';
import { derivedCommandId } from '../platform/ids.ts';
import type { OverdueLinks } from '../projections/links/overdue.ts';
import type { JobRun } from './runner.ts';

const PAGE = 500;

/**
 * Records what its own deadline should have recorded at its instant. Nothing depends on it: a link is expired by the clock
 * at each decision.
 */
export function linksSweep({ links, bus, clock }: { readonly links: OverdueLinks; readonly bus: CommandBus; readonly clock: Clock }): JobRun {
  return async (signal) => {
    const now = instant(clock.now());
    let expired = 0;
    let refused = 0;
    let after: string | undefined;
    while (!signal.aborted) {
      const page = await links.overdue(now, PAGE, after);
      for (const { linkId, deviceId, expiresAt } of page) {
        if (signal.aborted) break;
        const commandId = derivedCommandId('links.sweep', linkId, expiresAt);
        const context = { commandId, correlationId: commandId, actor: { kind: 'system', id: 'links.sweep' }, source: 'scheduled_task' } as const;
        const outcome = await bus.execute({ type: 'ExpireLink', data: { deviceId, linkId } }, context);
        if (outcome.kind === 'refused') refused++;
        else if (outcome.events.some(({ type }) => type === 'LinkExpired')) expired++;
      }
      after = page.at(-1)?.linkId;
      if (page.length < PAGE) break;
    }
    signal.throwIfAborted();
    return { success: true, expired_count: expired, ...(refused === 0 ? {} : { refused_count: refused }) };
  };
}
