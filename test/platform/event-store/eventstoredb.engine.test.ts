import { EventStoreDBClient, binaryEvent, jsonEvent } from '@eventstore/db-client';
import { expect, it, onTestFinished } from 'vitest';
import { createEventStoreDb } from '../../../src/platform/event-store/eventstoredb.ts';
import { silentLogger } from '../../../src/platform/logger.ts';
import { Metrics } from '../../../src/platform/metrics.ts';
import { all, event, eventStoreContract, newStream } from '../../contract/event-store.ts';
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

  it('finds the head behind any number of events of the system', async () => {
    const server = await startEventStoreDb();
    onTestFinished(() => server.stop());
    const store = createEventStoreDb({ connectionString: server.url, logger: silentLogger, metrics: new Metrics() });
    await store.start();
    onTestFinished(() => store.stop());
    const append = () => store.append(newStream(), 'no_stream', [event()]);
    expect(await store.head()).toBeUndefined();
    const { position } = await append();
    expect(await store.head()).toBe(position);
    const stranger = EventStoreDBClient.connectionString(server.url);
    const noise = () => stranger.appendToStream(newStream(), Array.from({ length: 1_200 }, () => jsonEvent({ type: '$figures', data: {} })));
    for (let round = 0; round < 2; round++) {
      await noise();
      expect(await store.head()).toBe(position);
    }
    const next = await append();
    expect(await store.head()).toBe(next.position);
    await noise();
    expect(await store.head()).toBe(next.position);
    await stranger.dispose();
  });

  it('hands out what is not one of our events so that no codec takes it for one', async () => {
    const server = await startEventStoreDb();
    onTestFinished(() => server.stop());
    const stranger = EventStoreDBClient.connectionString(server.url);
    const stream = newStream();
    await stranger.appendToStream(stream, [
      binaryEvent({ type: 'UnlockRequested', data: Buffer.from('{"unlockId": ') }),
      jsonEvent({ type: 'UnlockRequested', data: 'text' as unknown as Record<string, unknown>, metadata: { schemaVersion: 1 } }),
    ]);
    await stranger.dispose();
    const store = createEventStoreDb({ connectionString: server.url, logger: silentLogger, metrics: new Metrics() });
    await store.start();
    const [binary, text] = await all(store.readStream(stream));
    expect(binary).toMatchObject({ data: { $malformed: 'eyJ1bmxvY2tJZCI6IA==' }, metadata: { schemaVersion: -1 } });
    expect(text).toMatchObject({ data: { $malformed: '"text"' }, metadata: { schemaVersion: -1 } });
    const second = createEventStoreDb({ connectionString: server.url, logger: silentLogger, metrics: new Metrics() });
    await second.start();
    await store.stop();
    expect(await all(second.readStream(stream))).toHaveLength(2); // one client, which lives as long as a store uses it
    await second.stop();
  });

  it('answers all of more reads than a connection has streams, also while others take the whole log slowly', async () => {
    const server = await startEventStoreDb();
    onTestFinished(() => server.stop());
    const metrics = new Metrics();
    const store = createEventStoreDb({ connectionString: server.url, logger: silentLogger, metrics });
    await store.start();
    onTestFinished(() => store.stop());
    const stream = newStream();
    await store.append(stream, 'no_stream', Array.from({ length: 200 }, () => event()));

    // As many as may read the whole log: each has taken one event and looks at it.
    const slow = Array.from({ length: 16 }, () => store.readAll()[Symbol.asyncIterator]());
    for (const reader of slow) expect((await reader.next()).value?.stream).toBe(stream);
    const reads = Array.from({ length: 400 }, () => all(store.readStream(stream)));
    const waiting = (await metrics.registry.getSingleMetric('loqey_event_store_reads_waiting')?.get())?.values.find(({ labels }) => labels['of'] === 'streams');
    expect(waiting?.value).toBe(400 - 64);
    for (const events of await Promise.all(reads)) expect(events).toHaveLength(200);
    for (const reader of slow) await reader.return?.();
    expect(await all(store.readAll({ limit: 3 }))).toHaveLength(3);
  });
});
