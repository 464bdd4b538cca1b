import type { Dice } from '../dice.ts';
import type { Operation } from './operations.ts';

const MOST = 300;
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/;

/** Ids, tokens and the like by the name under which they are asked for: what one answer tells is put into other requests. */
export class KnownThings {
  readonly #pools = new Map<string, string[]>();
  readonly #never = new Set<string>();

  /** Of whoever keeps the run going: nobody may be told to take their rights away. */
  spare(...ids: readonly string[]): void {
    for (const id of ids) this.#never.add(id);
  }

  /** @param of who has it, or saw it */
  learn(name: string, value: string, of?: string): void {
    if (value === '' || this.#never.has(value)) return;
    if (of !== undefined) this.learn(`${of}|${alike[name] ?? name}`, value);
    const pool = this.#pools.get(name) ?? [];
    this.#pools.set(name, pool);
    if (pool.includes(value)) return;
    if (pool.length < MOST) pool.push(value);
    else pool[Number.parseInt(value.slice(-6), 36) % MOST || 0] = value;
  }

  /** Whoever lost an account lost what was in it. */
  forget(of: string): void {
    for (const name of this.#pools.keys()) if (name.startsWith(`${of}|`)) this.#pools.delete(name);
  }

  /** @param of whose, more often than not */
  one(name: string, dice: Dice, of?: string): string | undefined {
    const own = of === undefined || dice.chance(0.2) ? undefined : this.#pools.get(`${of}|${alike[name] ?? name}`);
    const pool = own ?? this.#pools.get(alike[name] ?? name);
    return pool === undefined || pool.length === 0 ? undefined : dice.pick(pool);
  }

  /** Any id of any kind: what belongs to one thing is not another. */
  any(dice: Dice): string | undefined {
    const names = [...this.#pools.keys()];
    return names.length === 0 ? undefined : dice.pick(this.#pools.get(dice.pick(names)) ?? []);
  }

  learnFrom(operation: Operation, of: string, body: unknown, headers: readonly (readonly [string, string])[]): void {
    this.#walk(body, kindOf(operation.path), of, 0);
    for (const [name, value] of headers) {
      if (/^loqey-position$/i.test(name)) this.learn('position', value);
      if (/^x-next-cursor$/i.test(name)) this.learn('cursor', value);
    }
  }

  #walk(value: unknown, kind: string, of: string, depth: number): void {
    if (depth > 6 || typeof value !== 'object' || value === null) return;
    if (Array.isArray(value)) {
      for (const each of value.slice(0, 5)) this.#walk(each, kind, of, depth + 1);
      return;
    }
    for (const [name, each] of Object.entries(value)) {
      if (typeof each === 'object') this.#walk(each, kind, of, depth + 1);
      if (typeof each !== 'string') continue;
      if (name === 'id') this.learn(UUID.test(each) ? kind : 'position', each, of);
      else if (name === 'link_id' && !UUID.test(each)) this.learn('link_token', each, of);
      else if (known.has(name) && each.length < 600) this.learn(alike[name] ?? name, each, of);
    }
  }
}

const known: ReadonlySet<string> = new Set([
  'device_id', 'link_id', 'user_id', 'owner_id', 'command_id', 'unlock_id', 'delivery_id', 'session_id', 'notification_id', 'event_id', 'causation_id', 'correlation_id', 'serial_number', 'position', 'refresh_token', 'action', 'type',
]);

/** Names of one thing. */
const alike: Readonly<Record<string, string>> = { owner_id: 'user_id', unlock_id: 'command_id', delivery_id: 'command_id', before: 'position', after: 'position', causation_id: 'event_id', refresh: 'refresh_token', actor: 'user_id' };

function kindOf(path: string): string {
  if (path.includes('/sessions')) return 'session_id';
  if (path.includes('/notifications')) return 'notification_id';
  if (/\/(?:users|admins|auth|profile)/.test(path)) return 'user_id';
  if (/\/(?:access|links)/.test(path)) return 'link_id';
  if (/\/(?:deliveries|commands)/.test(path)) return 'command_id';
  return 'device_id';
}
