import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrapMosquitto, type MosquittoServices } from '../../src/platform/mqtt/dynamic-security.ts';
import { freePort } from './free-port.ts';

/** The services' passwords in every test broker. */
export const mosquittoServices = {
  uplink: { username: 'bridge-uplink', password: 'uplink-password' },
  downlink: { username: 'bridge-downlink', password: 'downlink-password' },
  provisioner: { username: 'provisioner', password: 'provisioner-password' },
  monitor: { username: 'monitor', password: 'monitor-password' },
} as const;

export interface MosquittoServer {
  readonly url: string;
  readonly port: number;
  /** SIGKILL, as a crash; undefined where the broker is not ours. */
  readonly kill: (() => Promise<void>) | undefined;
  /** Brings it back on the same port with what it had written. */
  readonly start: (() => Promise<void>) | undefined;
  stop(): Promise<void>;
}

const plugins = [
  '/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so',
  '/usr/lib/aarch64-linux-gnu/mosquitto_dynamic_security.so',
  '/usr/lib/mosquitto_dynamic_security.so',
  '/usr/local/lib/mosquitto_dynamic_security.so',
  '/opt/homebrew/opt/mosquitto/lib/mosquitto_dynamic_security.so',
];
const binaries = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/opt/homebrew/sbin/mosquitto', '/usr/bin/mosquitto'];

/** Why there is no Mosquitto here, or nothing. */
export function mosquittoMissing(): string | undefined {
  if (process.env['TEST_MQTT_URL'] !== undefined) return undefined;
  if (!binaries.some(existsSync)) return 'no mosquitto binary';
  if (!plugins.some(existsSync)) return 'no mosquitto_dynamic_security.so';
  return undefined;
}

/**
 * The broker of TEST_MQTT_URL where set (its dynamic security file made by bootstrapMosquitto with the services above),
 * else a Mosquitto of this test's own, with the settings of deploy/mosquitto, on a free loopback port.
 */
export async function startMosquitto(topics: Pick<MosquittoServices, 'uplinkFilters' | 'downlinkTopics'>, { listeners = '' }: { readonly listeners?: string } = {}): Promise<MosquittoServer> {
  const external = process.env['TEST_MQTT_URL'];
  if (external !== undefined) {
    return { url: external, port: Number(new URL(external).port) || 1883, kill: undefined, start: undefined, stop: async () => undefined };
  }
  const binary = binaries.find(existsSync);
  const plugin = plugins.find(existsSync);
  if (binary === undefined || plugin === undefined) throw new Error(`Mosquitto cannot be started here: ${mosquittoMissing()}`);
  const folder = await mkdtemp(join(tmpdir(), 'loqey-mosquitto-'));
  const port = await freePort();
  const ours = new Map([
    ['plugin', plugin],
    ['plugin_opt_config_file', join(folder, 'dynamic-security.json')],
    ['persistence_location', `${folder}/`],
    ['include_dir', join(folder, 'listeners')],
    ['user', undefined],
  ]);
  const deployed = await readFile(new URL('../../deploy/mosquitto/mosquitto.conf', import.meta.url), 'utf8');
  const settings = deployed.split('\n').map((line) => {
    const key = line.split(' ', 1)[0]!;
    return ours.has(key) ? `${key} ${ours.get(key)}` : line;
  });
  // Started by root it would become the user `mosquitto`, who may not write here.
  if (process.getuid?.() === 0) settings.push('user root');
  await mkdir(join(folder, 'listeners'));
  await writeFile(join(folder, 'listeners', 'test.conf'), `listener ${port} 127.0.0.1\n${listeners}`);
  await writeFile(join(folder, 'mosquitto.conf'), settings.join('\n'));
  await writeFile(join(folder, 'dynamic-security.json'), bootstrapMosquitto({ ...mosquittoServices, ...topics }), { mode: 0o600 });

  let child: ChildProcess | undefined;
  let output = '';
  async function start(): Promise<void> {
    output = '';
    child = spawn(binary!, ['-c', join(folder, 'mosquitto.conf')], { stdio: ['ignore', 'pipe', 'pipe'] });
    const collect = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-20_000));
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    const deadline = Date.now() + 10_000;
    while (!(await accepts(port))) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`Mosquitto did not start:\n${output}`);
    }
  }
  async function end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child!.once('exit', resolve));
    child.kill(signal);
    await exited;
  }
  // A test process that ends in the middle takes its server along.
  const onExit = (): void => {
    child?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', onExit);
  await start();
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    start,
    kill: () => end('SIGKILL'),
    async stop() {
      process.off('exit', onExit);
      await end('SIGTERM');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', () => setTimeout(resolve, 20, false));
  });
}
