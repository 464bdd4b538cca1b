import { commandFilters, uplinkFilters } from '../../src/bridge/topics.ts';
import { startEventStoreDb } from '../../test/support/servers-eventstoredb.ts';
import { startKafka } from '../../test/support/servers-kafka.ts';
import { mosquittoServices, startMosquitto } from '../../test/support/servers.ts';

/** EventStoreDB, Kafka's protocol and Mosquitto where the machine has them, as settings for one server process. */
export async function startRealEngines(): Promise<{ readonly environ: Readonly<Record<string, string>>; stop(): Promise<void> }> {
  const [eventStore, kafka, mosquitto] = await Promise.all([startEventStoreDb(), startKafka(), startMosquitto({ uplinkFilters, downlinkTopics: commandFilters })]);
  await kafka.createTopics('', 4);
  return {
    environ: {
      EVENTSTORE_URL: eventStore.url,
      KAFKA_BOOTSTRAP_SERVERS: kafka.brokers.join(','),
      // librdkafka's test cluster ends a waiting fetch only when its time is over; a real Kafka when a message comes.
      KAFKA_FETCH_WAIT_MS: '2',
      MQTT_URL: mosquitto.url,
      MQTT_USERNAME: mosquittoServices.uplink.username,
      MQTT_PASSWORD: mosquittoServices.uplink.password,
      MQTT_DOWNLINK_USERNAME: mosquittoServices.downlink.username,
      MQTT_DOWNLINK_PASSWORD: mosquittoServices.downlink.password,
      MQTT_ADMIN_USERNAME: mosquittoServices.provisioner.username,
      MQTT_ADMIN_PASSWORD: mosquittoServices.provisioner.password,
    },
    async stop() {
      await Promise.all([eventStore.stop(), kafka.stop(), mosquitto.stop()]);
    },
  };
}
