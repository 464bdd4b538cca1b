import { createEventStoreDb } from '../../../src/platform/event-store/eventstoredb.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { eventStoreContract } from '../../contract/event-store.ts';
import { describeWithServer } from '../../support/optional-server.ts';
import { eventStoreDbMissing, startEventStoreDb } from '../../support/servers-eventstoredb.ts';
import { startTcpProxy } from '../../support/tcp-proxy.ts';

describeWithServer('eventstoredb', eventStoreDbMissing(), 'EventStoreDB', () => {
  eventStoreContract('EventStoreDB', async () => {
    const server = await startEventStoreDb();
    const proxy = await startTcpProxy(server);
    const url = new URL(server.url);
    url.host = `127.0.0.1:${proxy.port}`;
    const store = createEventStoreDb({ connectionString: url.href, logger: silentLogger, metrics: new Metrics() });
    await store.start();
    return {
      store,
      proxy,
      async stop() {
        await store.stop();
        await proxy.close();
        await server.stop();
      },
    };
  });
});
