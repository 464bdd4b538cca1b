import { randomBytes } from 'node:crypto';
import { request, Agent } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import mqtt from 'mqtt';
import { startChild } from './child.ts';

/** Milliseconds from a tap to the device's message, at the least that this machine can do it with these parts. */
export async function measureFloor(rounds: number, warmup: number, pauseMs: number): Promise<number[]> {
  const password = randomBytes(16).toString('hex');
  const floor = await startChild<Record<'http' | 'mqtt' | 'deviceId' | 'topic', string>>('bench/support/floor-server.ts', password);
  const { http, mqtt: broker, deviceId, topic } = floor.told;
  const device = await mqtt.connectAsync(broker, { clientId: `device_${deviceId}`, username: deviceId, password, protocolVersion: 4 });
  (device.stream as unknown as { setNoDelay(on: boolean): void }).setNoDelay(true);
  await device.subscribeAsync(topic, { qos: 1 });
  let arrived: (() => void) | undefined;
  device.on('message', () => arrived?.());

  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const samples: number[] = [];
  for (let round = 0; round < rounds + warmup; round++) {
    await pause(pauseMs);
    const since = performance.now();
    const told = new Promise<void>((resolve) => (arrived = resolve));
    const answered = new Promise<void>((resolve, reject) => {
      const req = request(http, { method: 'POST', agent }, (res) => res.resume().on('end', resolve));
      req.setNoDelay(true);
      req.on('error', reject);
      req.end();
    });
    await told;
    if (round >= warmup) samples.push(performance.now() - since);
    await answered;
  }
  await device.endAsync(true);
  agent.destroy();
  await floor.stop();
  return samples;
}
