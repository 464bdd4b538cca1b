import type { Instant, Uuid } from '../domain/kernel.ts';
import { timeOf } from '../platform/ids.ts';
import type { AuditRow, UnlockRow } from '../projections/read-models.ts';
import { millisecondsBetween } from './views.ts';

/** The way of one opening, from the request to the bolt: what was reached when, and where it broke. */

export type StepName = 'request' | 'asked' | 'dispatched' | 'published' | 'acknowledged' | 'confirmed' | 'delivered';

interface TraceStep {
  readonly step: StepName;
  readonly state: 'done' | 'untold' | 'waiting' | 'broken' | 'not_reached';
  readonly at: Instant | null;
  readonly offset_ms: number | null;
  readonly latency_ms: number | null;
  readonly event_id: Uuid | null;
  readonly note: string | null;
}

interface Standing {
  readonly is: 'complete' | 'under_way' | 'broken';
  readonly step: StepName;
  readonly since: Instant;
  readonly text: string;
}

/** A request waits its turn at a busy box for seconds. What is further away is a repeat with a key of long ago. */
const SAME_REQUEST_MS = 600_000;

/** When the HTTP request came in: its id says it. Undefined where it was no request, or another process's clock is ahead. */
export function requestedAt(correlationId: Uuid, askedAt: Instant): Instant | undefined {
  if (correlationId.charAt(14) !== '7') return undefined;
  const at = new Date(timeOf(correlationId)).toISOString();
  const ago = millisecondsBetween(at, askedAt);
  return ago >= 0 && ago <= SAME_REQUEST_MS ? at : undefined;
}

const eventOf: Readonly<Partial<Record<StepName, readonly string[]>>> = {
  asked: ['UnlockRequested'],
  dispatched: ['UnlockDispatched'],
  published: ['UnlockPublished'],
  acknowledged: ['UnlockAcknowledged'],
  confirmed: ['UnlockConfirmed', 'UnlockSettled'],
  delivered: ['UnlockConfirmed', 'UnlockSettled'],
};

/** @param chain its events, as far as the audit log has them */
export function stepsOf(unlock: UnlockRow, chain: readonly AuditRow[], use: { readonly use: number | null; readonly maxUses: number } | undefined): { readonly startedAt: Instant; readonly steps: readonly TraceStep[]; readonly standing: Standing } {
  const asked = chain.find(({ type }) => type === 'UnlockRequested')?.occurredAt ?? unlock.requestedAt;
  const request = requestedAt(unlock.correlationId, asked);
  const startedAt = request ?? asked;
  const isDelivery = unlock.cause.kind === 'link';
  const reached: readonly (readonly [StepName, Instant | null])[] = [
    ...(request === undefined ? [] : [['request', request] as const]),
    ['asked', unlock.requestedAt],
    ['dispatched', unlock.dispatchedAt],
    ['published', unlock.publishedAt],
    ['acknowledged', unlock.acknowledgedAt],
    ['confirmed', unlock.openedAt],
    ...(isDelivery ? [['delivered', unlock.openedAt] as const] : []),
  ];
  const standing = standingOf(unlock, reached);
  const last = reached.findLastIndex(([, at]) => at !== null);
  const next = reached.findIndex(([step]) => step === standing.step);
  let before: Instant | undefined;
  const steps = reached.map(([step, at], index): TraceStep => {
    const note = step === 'asked' && use !== undefined ? `use ${use.use ?? '?'} of ${use.maxUses}` : step === standing.step && standing.is === 'broken' ? unlock.reason : null;
    const state = at !== null ? 'done' : index < last ? 'untold' : standing.is !== 'complete' && index === next ? (standing.is === 'broken' ? 'broken' : 'waiting') : 'not_reached';
    const latency = at === null || before === undefined ? null : millisecondsBetween(before, at);
    if (at !== null) before = at;
    const event = at === null ? undefined : chain.find(({ type }) => eventOf[step]?.includes(type));
    return { step, state, at, offset_ms: at === null ? null : millisecondsBetween(startedAt, at), latency_ms: latency, event_id: event?.eventId ?? null, note };
  });
  return { startedAt, steps, standing };
}

function standingOf(unlock: UnlockRow, reached: readonly (readonly [StepName, Instant | null])[]): Standing {
  const { state, reason, useReturned, requestedAt: asked, dispatchedAt, publishedAt, acknowledgedAt, openedAt, endedAt, cause, expiresAt } = unlock;
  const told = acknowledgedAt ?? publishedAt ?? dispatchedAt ?? asked;
  const kept = cause.kind !== 'link' ? '' : useReturned ? ' The use of the link came back.' : ' The use of the link stays counted.';
  const because = reason === null ? '' : `: ${reason}`;
  const broken = (step: StepName, since: Instant, text: string): Standing => ({ is: 'broken', step, since, text });
  switch (state) {
    case 'opened': {
      const at = openedAt ?? told;
      return { is: 'complete', step: reached.at(-1)?.[0] ?? 'confirmed', since: at, text: `The bolt moved ${millisecondsBetween(asked, at)} ms after it was asked for.` };
    }
    case 'requested':
      return { is: 'under_way', step: 'dispatched', since: asked, text: `It is allowed and not sent yet. Not sent by ${expiresAt}, it never will be.` };
    case 'dispatched':
      return { is: 'under_way', step: 'published', since: told, text: 'It was sent; the broker has not said that it has it.' };
    case 'published':
      return { is: 'under_way', step: 'acknowledged', since: told, text: 'The broker has it; the box has not said anything yet.' };
    case 'acknowledged':
      return { is: 'under_way', step: 'confirmed', since: told, text: 'The box has it; it has not said that the bolt moved.' };
    case 'expired':
      return broken('dispatched', endedAt ?? expiresAt, `It was not sent within its time, and will not be.${kept}`);
    case 'cancelled':
      return broken('dispatched', endedAt ?? asked, `It was cancelled before it was sent${because}.${kept}`);
    case 'failed':
      return broken('confirmed', endedAt ?? told, `The box did not open, as it says${because}.${kept}`);
    case 'unknown': {
      const [step, text] =
        reason === 'interrupted'
          ? (['confirmed', 'The box was interrupted while it opened.'] as const)
          : reason === 'unproven_refusal'
            ? (['confirmed', 'The box refused it, without proof that it did not open before.'] as const)
            : acknowledgedAt !== null
              ? (['confirmed', 'The box took it, and never said what became of it.'] as const)
              : publishedAt !== null
                ? (['acknowledged', 'The broker has it, and the box never answered.'] as const)
                : (['published', 'It was sent, and nobody ever answered.'] as const);
      return broken(step, told, `${text}${kept} The box will not open later.`);
    }
  }
}
