import { randomUUID } from 'node:crypto';
import type { Lockbox } from '../../src/simulator/lockbox.ts';
import { newLink, tap, type Person, type UnlockAnswer } from './people.ts';

export interface CourierRound {
  readonly answers: readonly UnlockAnswer[];
  /** Command ids that the box carried out, in their order; its bolt may have been open already. */
  readonly openings: readonly string[];
  /** From the first tap to the last answer. */
  readonly ms: number;
}

/** So many couriers at the same instant, each with a key of their own, on a new link. What the box did is told by its own record. */
export async function courierRound(options: {
  readonly url: string;
  readonly owner: Person;
  readonly box: Lockbox;
  readonly couriers: number;
  readonly maxUses: number;
}): Promise<CourierRound> {
  const { url, owner, box, couriers, maxUses } = options;
  const link = await newLink(owner, box.deviceId, maxUses);
  const openings: string[] = [];
  const off = box.on((event) => {
    if (event.type === 'opened') openings.push(event.commandId ?? '');
  });
  const began = performance.now();
  const answers = await Promise.all(Array.from({ length: couriers }, () => tap(url, link.token, randomUUID())));
  const ms = performance.now() - began;
  off();
  return { answers, openings, ms };
}

/** What must hold, or what did not. */
export function faultsOf({ answers, openings }: CourierRound, { couriers, maxUses }: { readonly couriers: number; readonly maxUses: number }): readonly string[] {
  const count = (status: number) => answers.filter((answer) => answer.status === status).length;
  const opened = answers.filter(({ status }) => status === 200).map(({ body }) => body.command_id);
  return [
    ...(openings.length === maxUses ? [] : [`${openings.length} openings instead of ${maxUses}`]),
    ...(new Set(openings).size === openings.length ? [] : ['one command was carried out twice']),
    ...(count(200) === maxUses && count(422) === couriers - maxUses ? [] : [`answers ${JSON.stringify(tally(answers))} instead of ${maxUses} × 200 and ${couriers - maxUses} × 422`]),
    ...(opened.every((id) => id !== undefined && openings.includes(id)) ? [] : ['a 200 without its opening']),
  ];
}

export function tally(answers: readonly UnlockAnswer[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { status, body } of answers) {
    const name = `${status} ${body.message ?? ''}`;
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}
