import type { ReadModelHealth, SystemReport } from '../api/ports.ts';
import type { EventStore } from '../platform/event-store/port.ts';
import type { Database } from '../platform/postgres/db.ts';
import { answerMs, connectMs } from '../platform/probe.ts';
import { readCheckpoints } from '../projections/checkpoints.ts';

interface Address {
  readonly host: string;
  readonly port: number;
}

export interface SystemHealthDeps {
  readonly db: Database;
  readonly store: EventStore;
  /** Undefined where the relay is in this process: there is nobody to ask. */
  readonly relay: Address | undefined;
  readonly broker: () => Address | undefined;
}

/** What an administrator asks for: how long each dependency takes to answer, and where each read model stands. */
export function createSystemHealth({ db, store, relay, broker }: SystemHealthDeps): () => Promise<SystemReport> {
  const reached = (address: Address | undefined) => (address === undefined ? undefined : connectMs(address.host, address.port));

  async function readModels(): Promise<readonly ReadModelHealth[]> {
    const [head, checkpoints] = await Promise.all([store.head().catch(() => undefined), readCheckpoints(db).catch(() => [])]);
    return checkpoints.map(({ name, state, position, lastEventAt, error }) => ({
      name,
      state,
      behind: head === undefined || position >= head ? 0 : Number(head - (position < 0n ? 0n : position)),
      lastEventAt: lastEventAt ?? null,
      error: error == null ? null : `stands before position ${error.position}: ${error.message}`,
    }));
  }

  return async () => {
    const [database, eventStore, relayMs, mqtt, models] = await Promise.all([
      answerMs(() => db.pool.query('SELECT 1')),
      answerMs(() => store.head()),
      reached(relay),
      reached(broker()),
      readModels(),
    ]);
    return { responseMs: { database, event_store: eventStore, relay: relayMs, mqtt }, readModels: models };
  };
}

/** Of a URL or of `host:port`. */
export function addressOf(text: string | undefined, defaultPort: number): Address | undefined {
  const url = text === undefined || text === '' ? undefined : URL.parse(text.includes('://') ? text : `tcp://${text}`);
  return url == null ? undefined : { host: url.hostname.replace(/^\[|\]$/g, ''), port: url.port === '' ? defaultPort : Number(url.port) };
}
