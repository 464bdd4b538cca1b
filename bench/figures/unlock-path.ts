import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { migrations } from '../../migrations/index.ts';
import { silentLogger as logger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createDatabase } from '../../src/platform/postgres/db.ts';
import { createEmbeddedPostgres } from '../../src/platform/postgres/embedded.ts';
import { migrate } from '../../src/platform/postgres/migrate.ts';
import { ada, asSystem, startBackend, type Backend } from '../../test/support/backend.ts';
import { interleave, reading, type Figure, type Lane } from '../support/figure.ts';

/** Where the time of an opening goes, without HTTP and MQTT: one box after another is asked, and answers as soon as it is told. */
export const unlockPath: Figure = {
  name: 'unlock-path',
  about: 'The stages of one opening without HTTP and MQTT; beside one append.',
  beyond: 'An opening is three appends one after the other, and between them a box that answers.',
  engines: ['embedded'],
  async run({ size }) {
    const dataDir = mkdtempSync(join(tmpdir(), 'loqey-bench-'));
    chmodSync(dataDir, 0o755); // PostgreSQL runs as another user where this runs as root
    const postgres = createEmbeddedPostgres({ dataDir, logger });
    const url = await postgres.start();
    await migrate({ url, migrations, programVersion: '0.0.0-bench', logger });
    const backend = await startBackend({ connect: (to) => createDatabase({ url: to, max: 8, applicationName: 'loqey-bench', logger, metrics: new Metrics() }) }, { url });
    try {
      const boxes = await Promise.all(Array.from({ length: 20 }, () => backend.box()));
      for (const box of boxes) await box.hello();
      const taken = await interleave([appending(backend), commanding(backend, boxes), unlocking(backend, boxes)], size.pace);
      const line = (what: string, of: string) => reading(taken, { figure: 'unlock-path', what, unit: 'ms', of, limit: { what: 'one append', of: 'append.times' } });
      return [
        line('a command that appends once', 'command.times'),
        line('request → accepted', 'unlock.accepted'),
        line('accepted → claimed', 'unlock.claimed'),
        line('claimed → broker', 'unlock.broker'),
        line('request → broker', 'unlock.toBroker'),
        line('broker → confirmed', 'unlock.confirmed'),
        line('request → confirmed', 'unlock.all'),
      ];
    } finally {
      await backend.stop();
      await postgres.stop();
      rmSync(dataDir, { recursive: true, force: true });
    }
  },
};

type Boxes = readonly Awaited<ReturnType<Backend['box']>>[];

function appending({ store }: Backend): Lane {
  const metadata = { commandId: '', correlationId: '', actor: { kind: 'system', id: 'bench' }, source: 'system', schemaVersion: 1, causationId: '' } as const;
  let n = 0;
  return repeating('append', async () => {
    const event = { eventId: asSystem().commandId, type: 'Bench', data: {}, metadata: { ...metadata, occurredAt: new Date().toISOString() } };
    return timing(() => store.append(`bench-${n++ % 20}`, 'any', [event], { lane: 'urgent' }));
  });
}

function commanding({ bus }: Backend, boxes: Boxes): Lane {
  let n = 0;
  return repeating('command', () => {
    const { deviceId } = boxes[Math.floor(n / 2) % boxes.length]!;
    return timing(() => bus.execute({ type: n++ % 2 === 0 ? 'StartMaintenance' : 'EndMaintenance', data: { deviceId } }, asSystem()));
  }, () => n % 2 === 0); // no box stays in maintenance
}

function unlocking({ bus, downlink, unlocks }: Backend, boxes: Boxes): Lane {
  let n = 0;
  return repeating('unlock', async () => {
    const box = boxes[n++ % boxes.length]!;
    let [accepted, claimed, atBroker] = [0, 0, 0];
    const stop = bus.onAppended((events) => {
      for (const { type } of events) {
        if (type === 'UnlockRequested') accepted = performance.now();
        if (type === 'UnlockDispatched') claimed = performance.now();
      }
    });
    downlink.answer = (topic, payload) => {
      if (topic.endsWith('unlock')) {
        atBroker = performance.now();
        const command = JSON.parse(payload.toString()) as Record<string, unknown>;
        setImmediate(() => void box.opens(command));
      }
      return { delivered: true };
    };
    const began = performance.now();
    const reply = await unlocks.request({ deviceId: box.deviceId, cause: { kind: 'owner', id: ada } }, asSystem(), 'outcome');
    const done = performance.now();
    stop();
    if (reply.kind !== 'progress' || reply.unlock.state !== 'opened') throw new Error(JSON.stringify(reply));
    downlink.published.length = 0;
    return { accepted: accepted - began, claimed: claimed - accepted, broker: atBroker - claimed, toBroker: atBroker - began, confirmed: done - atBroker, all: done - began };
  });
}

async function timing(work: () => Promise<unknown>): Promise<{ times: number }> {
  const since = performance.now();
  await work();
  return { times: performance.now() - since };
}

function repeating(name: string, one: () => Promise<Readonly<Record<string, number>>>, mayEnd: () => boolean = () => true): Lane {
  return {
    name,
    async slice(ms) {
      const samples: Record<string, number[]> = {};
      for (const end = performance.now() + ms; performance.now() < end || !mayEnd(); ) {
        for (const [key, value] of Object.entries(await one())) (samples[key] ??= []).push(value);
      }
      return samples;
    },
  };
}
