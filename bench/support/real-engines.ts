import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from '../../test/support/free-port.ts';
import { eventStoreDbMissing, startEventStoreDb } from '../../test/support/servers-eventstoredb.ts';
import { kafkaMissing, startKafka } from '../../test/support/servers-kafka.ts';
import { mosquittoMissing, mosquittoServices, startMosquitto } from '../../test/support/servers.ts';

export interface RunningEngines {
  /** Settings of whoever uses them. */
  readonly environ: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** Which of them this machine lacks, each with why. */
export function missingEngines(): readonly string[] {
  return Object.entries({ EventStoreDB: eventStoreDbMissing(), Kafka: kafkaMissing(), Mosquitto: mosquittoMissing() }).flatMap(([engine, why]) => (why === undefined ? [] : [`${engine}: ${why}`]));
}

/** EventStoreDB (in memory), Kafka's protocol and Mosquitto, as settings for one server process. */
export async function startRealEngines(topics: Parameters<typeof startMosquitto>[0]): Promise<RunningEngines> {
  const [eventStore, kafka, mosquitto] = await Promise.all([startEventStoreDb(), startKafka(), startMosquitto(topics)]);
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

/** Others of the same kind for the limits: a store that nobody else writes to, and a broker without rules. */
export async function startLimitEngines(): Promise<RunningEngines> {
  const [eventStore, mosquitto] = await Promise.all([startEventStoreDb(), startOpenMosquitto()]);
  return {
    environ: { LIMIT_EVENTSTORE_URL: eventStore.url, LIMIT_MQTT_URL: mosquitto.url },
    async stop() {
      await Promise.all([eventStore.stop(), mosquitto.stop()]);
    },
  };
}

async function startOpenMosquitto(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const [port, folder] = [await freePort(), mkdtempSync(join(tmpdir(), 'loqey-bench-mosquitto-'))];
  const settings = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'set_tcp_nodelay true', 'max_inflight_messages 1000', 'max_queued_messages 100000', 'persistence false', 'log_type error'];
  writeFileSync(join(folder, 'mosquitto.conf'), `${settings.join('\n')}\n`);
  const child = spawn('mosquitto', ['-c', join(folder, 'mosquitto.conf')], { stdio: 'ignore', env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/usr/local/sbin` } });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const onExit = () => child.kill('SIGKILL');
  process.once('exit', onExit);
  const accepts = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => (socket.destroy(), resolve(true))).once('error', () => resolve(false));
    });
  for (const deadline = performance.now() + 10_000; !(await accepts()); await pause(20)) {
    if (performance.now() > deadline) throw new Error('Mosquitto did not start');
  }
  return {
    url: `mqtt://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGTERM');
      await exited;
      process.removeListener('exit', onExit);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
