import { randomUUID } from 'node:crypto';
import type { RecordedEvent } from '../src/platform/event-store/port.ts';
import type { Lockbox } from '../src/simulator/lockbox.ts';

/**
 * What people and boxes know, whatever the server says: every request with its answer, every movement of a bolt, every
 * report that was acknowledged. The invariants hold the log and the read models against this.
 */
export interface Model {
  readonly owners: Owner[];
  readonly boxes: Box[];
  readonly links: Link[];
  readonly asked: Asked[];
  /** The log, as far as it was read: it only grows. */
  readonly log: RecordedEvent[];
  /** What is nobody's business: never in the log, in a file of the server, or on a wire where it does not belong. */
  readonly canaries: Canary[];
  /** What boxes did by commands that a restored server has never heard of. */
  readonly forgotten: Set<string>;
  /** Of what no order of events excuses: a role that ended by itself, an error of ours. */
  readonly troubles: string[];
}

export interface Owner {
  readonly userId: string;
  readonly email: string;
  readonly password: string;
  readonly name: string;
  /** Of the last sign-in. */
  token: string;
}

export interface Box {
  readonly deviceId: string;
  readonly serialNumber: string;
  pin: string;
  owner: Owner;
  /** When it became that owner's. */
  claimedAt: number;
  readonly lockbox: Lockbox;
  /** Command ids that it says it carried out; also one after the other, so that twice is seen. */
  readonly opened: string[];
  /** Report numbers that the server acknowledged by name, with the key version they were signed under. */
  readonly acked: Set<number>;
  /** Reports that the broker acknowledged. */
  readonly puback: Map<number, string>;
  /** What it said last, by topic, and the commands that came last. */
  readonly said: (readonly [topic: string, text: string])[];
  readonly commands: Buffer[];
  /** What it showed the broker last. */
  readonly connection: { password: string };
  /** When its memory was last erased or its power cut: what was under way then may stay unknown. */
  readonly lapses: number[];
}

export interface Link {
  readonly id: string;
  readonly token: string;
  readonly deviceId: string;
  readonly owner: Owner;
  readonly maxUses: number;
}

export interface Canary {
  readonly what: string;
  readonly text: string;
}

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>> & { readonly details?: Readonly<Record<string, unknown>> };
}

export type Kind = 'create' | 'revoke' | 'courier' | 'owner' | 'unlink' | 'claim' | 'suspend' | 'activate' | 'emergency' | 'settings' | 'rotate';

export interface Ask {
  readonly kind: Kind;
  readonly method: 'POST' | 'PUT' | 'DELETE';
  /** Below /api/v1. */
  readonly path: string;
  /** Undefined: a courier. */
  readonly as?: { readonly token: string } | undefined;
  readonly body?: object | undefined;
  readonly deviceId?: string | undefined;
  readonly linkId?: string | undefined;
  readonly owner?: Owner | undefined;
  readonly maxUses?: number | undefined;
}

/** One thing that somebody asked for; asked again with the same key until there is an answer. */
export interface Asked extends Ask {
  readonly key: string;
  readonly since: number;
  attempts: number;
  answer: Answer | undefined;
  answeredAt: number;
}

export function createModel(): Model {
  return { owners: [], boxes: [], links: [], asked: [], log: [], canaries: [], forgotten: new Set(), troubles: [] };
}

const ANSWER_WITHIN_MS = 12_000;

export async function ask(model: Model, url: string, what: Ask): Promise<Asked> {
  const asked: Asked = { ...what, key: randomUUID(), since: Date.now(), attempts: 0, answer: undefined, answeredAt: 0 };
  model.asked.push(asked);
  await attempt(model, url, asked);
  return asked;
}

/** Once more with the same key. Without an answer nobody knows what became of it. */
export async function attempt(model: Model, url: string, asked: Asked): Promise<void> {
  asked.attempts++;
  const answer = await send(url, asked);
  if (answer === undefined || asked.answer !== undefined) return;
  asked.answer = answer;
  asked.answeredAt = Date.now();
  if (asked.kind !== 'create' || answer.status !== 200) return;
  const { device_id: deviceId, id, link_id: token } = answer.body as { device_id: string; id: string; link_id: string };
  model.links.push({ id, token, deviceId, owner: asked.owner!, maxUses: asked.maxUses ?? 0 });
  model.canaries.push({ what: 'the token of a link', text: token });
}

/** Undefined: the connection broke, or "try again". */
export async function send(url: string, { method, path, key, as, body }: Asked): Promise<Answer | undefined> {
  try {
    const response = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: {
        'idempotency-key': key,
        ...(as === undefined ? {} : { authorization: `Bearer ${as.token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    const read = (await response.json()) as Answer['body'];
    return response.status === 503 || response.status === 429 ? undefined : { status: response.status, body: read };
  } catch {
    return undefined;
  }
}

/** The opening that an answer names, also one that says "another one is under way" or how it ended. */
export function unlockOf({ answer }: Asked): string | undefined {
  return (answer?.body['command_id'] ?? answer?.body.details?.['command_id']) as string | undefined;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
