import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { request, Agent } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import mqtt from 'mqtt';

/** Milliseconds from a tap to the device's message, at the least that this machine can do it with these parts. */
export async function measureFloor(rounds: number, warmup: number, pauseMs: number): Promise<number[]> {
  const dataDir = mkdtempSync(join(tmpdir(), 'loqey-floor-'));
  chmodSync(dataDir, 0o755);
  const password = randomBytes(16).toString('hex');
  const child = spawn(process.execPath, ['bench/support/floor-server.ts', dataDir, password], { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve);
    child.once('exit', (code) => reject(new Error(`The floor ended with exit code ${code}`)));
  });
  const { http, mqtt: broker, deviceId, topic } = JSON.parse(line) as Record<'http' | 'mqtt' | 'deviceId' | 'topic', string>;
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
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
  rmSync(dataDir, { recursive: true, force: true });
  return samples;
}
