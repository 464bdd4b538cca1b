import { createPostgresEventStore } from '../../../src/platform/event-store/postgres.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { eventStoreContract } from '../../contract/event-store.ts';
import { startPostgres } from '../../support/servers.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

eventStoreContract('PostgreSQL', async () => {
  const postgres = await startPostgres();
  const direct = new URL(await postgres.migratedDatabase());
  const proxy = await startTcpProxy({ host: direct.hostname, port: Number(direct.port) });
  const proxied = new URL(direct);
  proxied.host = `127.0.0.1:${proxy.port}`;
  const store = createPostgresEventStore({ url: proxied.href, logger: silentLogger, metrics: new Metrics() });
  const other = createPostgresEventStore({ url: direct.href, logger: silentLogger, metrics: new Metrics() });
  await Promise.all([store.start(), other.start()]);
  return {
    store,
    proxy,
    other,
    async stop() {
      await Promise.all([store.stop(), other.stop()]);
      await proxy.close();
      await postgres.stop();
    },
  };
});
