import type pg from 'pg';
import type { Uuid } from '../domain/kernel.ts';
import { commandIdOfKey } from './command-ids.ts';
import type { Idempotency } from './port.ts';

const KEEP = '24 hours';

/** Which opening a request was answered with that joined one under way: a repeat of it must not become one of its own. */
export interface Joins {
  of(commandId: Uuid): Promise<Uuid | undefined>;
  /** On disk when it resolves, where the request had a key. */
  keep(commandId: Uuid, unlockId: Uuid): Promise<void>;
}

export interface IdempotencyKeys extends Idempotency {
  readonly joins: Joins;
  /** Removes keys older than 24 h; for a job. Answers how many. */
  prune(): Promise<number>;
}

/** Keys live in `work.idempotency`: a hash of the request, no body and no secret. */
export function createIdempotency(pool: pg.Pool): IdempotencyKeys {
  return {
    async begin(principal, route, key, requestHash) {
      const commandId = commandIdOfKey(principal, route, key);
      const answer = await pool.query<{ taken: Buffer | null }>({
        name: 'take-idempotency-key',
        text: 'SELECT work.take_idempotency_key($1, $2) AS taken',
        values: [commandId, Buffer.from(requestHash, 'hex')],
      });
      const taken = answer.rows[0]?.taken ?? null;
      if (taken === null) return { kind: 'go', commandId, repeated: false };
      if (taken.toString('hex') !== requestHash) return { kind: 'mismatch' };
      return { kind: 'go', commandId, repeated: true };
    },

    joins: {
      async of(commandId) {
        const { rows } = await pool.query<{ joined_unlock: Uuid | null }>({ name: 'joined-unlock', text: 'SELECT joined_unlock FROM work.idempotency WHERE command_id = $1', values: [commandId] });
        return rows[0]?.joined_unlock ?? undefined;
      },
      async keep(commandId, unlockId) {
        await pool.query({ name: 'join-unlock', text: 'UPDATE work.idempotency SET joined_unlock = $2 WHERE command_id = $1', values: [commandId, unlockId] });
      },
    },

    async prune() {
      const answer = await pool.query(`DELETE FROM work.idempotency WHERE created_at < now() - interval '${KEEP}'`);
      return answer.rowCount ?? 0;
    },
  };
}
