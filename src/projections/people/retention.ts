import type { Instant } from '../../domain/kernel.ts';
import type { Reader, Schemas } from '../schemas.ts';

const forget = {
  name: 'people.forget_couriers',
  text: (s: Schemas) => `
    WITH gone AS (
      DELETE FROM ${s['people']}.people WHERE ref IN (
        SELECT ref FROM ${s['people']}.people WHERE kind = 'courier' AND since < $1::timestamptz LIMIT 5000
      ) RETURNING 1
    ) SELECT count(*)::integer AS gone FROM gone`,
};

/**
 * Forgets the couriers of deliveries before an instant. After their data keys were destroyed: then a rebuild, which can open
 * nothing of theirs any more, gives the same rows.
 *
 * @returns how many
 */
export async function forgetCouriers(reader: Reader, before: Instant): Promise<number> {
  for (let total = 0; ; ) {
    const gone = (await reader.first<{ gone: number }>(forget, [before]))?.gone ?? 0;
    total += gone;
    if (gone < 5_000) return total;
  }
}
