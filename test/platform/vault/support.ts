import { silentLogger } from '../../../src/platform/logger.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import type { Database } from '../../../src/platform/postgres/db.ts';
import { createNotifications, type Notifications } from '../../../src/platform/postgres/notifications.ts';
import { createMasterKey, type MasterKey } from '../../../src/platform/vault/master-key.ts';
import type { TestPostgres } from '../../support/servers.ts';

/** One process as the vault sees it: its own pool, its own notifications, the shared master key. */
export interface VaultProcess {
  readonly db: Database;
  readonly notifications: Notifications;
  readonly master: MasterKey;
  readonly metrics: Metrics;
}

export const masterSecret = Buffer.alloc(32, 7);

/** `build` makes the parts before the listening starts, as compose does. */
export async function vaultProcess<T>(
  server: TestPostgres,
  url: string,
  build: (process: VaultProcess) => T,
): Promise<T & { readonly process: VaultProcess; stop(): Promise<void> }> {
  const process: VaultProcess = {
    db: server.connect(url),
    notifications: createNotifications({ url, applicationName: 'loqey-test-listen', logger: silentLogger }),
    master: createMasterKey(masterSecret),
    metrics: new Metrics(),
  };
  const parts = build(process);
  await process.notifications.start();
  return { ...parts, process, stop: () => process.notifications.stop() };
}
