import type pg from 'pg';
import { commandIdOfKey } from './command-ids.ts';
import type { Idempotency } from './port.ts';

const KEEP = '24 hours';

export interface IdempotencyKeys extends Idempotency {
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

    async prune() {
      const answer = await pool.query(`DELETE FROM work.idempotency WHERE created_at < now() - interval '${KEEP}'`);
      return answer.rowCount ?? 0;
    },
  };
}
