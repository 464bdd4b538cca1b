import type { ErasureVault } from '../../commands/erasure.ts';
import { isSealed } from '../../domain/kernel.ts';
import { deviceAggregate } from '../../domain/registry.ts';
import type { EventStore } from '../../platform/event-store/port.ts';
import type { Sealer } from '../../platform/vault/sealer.ts';
import type { ReadModels } from '../../projections/read-models.ts';

export interface KeyDestroyerDeps {
  readonly sealer: Pick<Sealer, 'destroyAll' | 'destroyKeys' | 'unbound'>;
  readonly store: Pick<EventStore, 'readStream'>;
  readonly reads: Pick<ReadModels, 'unlocks'>;
}

/**
 * Destroys keys by whose they are. A crash right after a courier's tap may have kept the vault from writing down whose key it
 * was: those are found by their id, in the box's own stream.
 */
export function keyDestroyer({ sealer, store, reads }: KeyDestroyerDeps): ErasureVault['destroyKeys'] {
  async function keysInLog(unlockId: string): Promise<readonly string[]> {
    const unlock = await reads.unlocks.byId(unlockId);
    if (unlock === undefined) return [];
    for await (const { type, data, metadata } of store.readStream(deviceAggregate.streamOf(unlock.deviceId))) {
      if (type !== 'UnlockRequested' || data['unlockId'] !== unlockId) continue;
      return [data['courier'], metadata.origin].flatMap((value) => (isSealed(value) ? [value.k] : []));
    }
    return [];
  }

  return async (subjects) => {
    const destroyed = await sealer.destroyAll(subjects);
    let found = 0;
    for (const subject of await sealer.unbound(subjects)) {
      const keys = await keysInLog(subject.slice(subject.indexOf(':') + 1));
      if (keys.length > 0) found += (await sealer.destroyKeys(keys)).keys;
    }
    return { keys: destroyed.keys + found };
  };
}
