import { setTimeout as pause } from 'node:timers/promises';
import { IN_FLIGHT, openBox, type BoxLogin, type SocketBox } from './boxes.ts';
import { serve } from './program.ts';

/** Many boxes at one or more brokers, in a process of their own. Signing is done before the clock runs: it is their work. */
const fleets = new Map<string, readonly SocketBox[]>();
const AT_ONCE = 50;
/** A PUBACK has four bytes, and a box that subscribed to nothing is sent nothing else. */
const PUBACK = 4;

/** Each box keeps as many reports under way as it may. `waits` grows with each acknowledgement, in milliseconds. */
function pour(boxes: readonly SocketBox[]): { readonly waits: number[]; readonly quiet: Promise<unknown>; stop(): void } {
  const waits: number[] = [];
  let open = true;
  const quiet = boxes.map(
    ({ socket, packets }) =>
      new Promise<void>((resolve) => {
        const sentAt: number[] = [];
        const send = () => {
          const packet = open ? packets.shift() : undefined;
          if (packet === undefined) return;
          sentAt.push(performance.now());
          socket.write(packet);
        };
        let left = 0;
        const onData = (chunk: Buffer) => {
          for (left += chunk.length; left >= PUBACK; left -= PUBACK) {
            const since = sentAt.shift();
            if (open && since !== undefined) waits.push(performance.now() - since);
            send();
          }
          if (sentAt.length === 0) end();
        };
        const end = () => {
          socket.off('data', onData);
          resolve();
        };
        socket.on('data', onData);
        for (let n = 0; n < IN_FLIGHT; n++) send();
        if (sentAt.length === 0) end();
      }),
  );
  return { waits, quiet: Promise.all(quiet), stop: () => void (open = false) };
}

/** A few thousand tell as much of a distribution as all of them. */
function some(waits: readonly number[]): readonly number[] {
  const step = Math.max(1, Math.floor(waits.length / 4_000));
  return waits.filter((_, n) => n % step === 0);
}

const calls = {
  async connect(name: string, port: number, logins: readonly BoxLogin[]): Promise<void> {
    const boxes: SocketBox[] = [];
    for (let from = 0; from < logins.length; from += AT_ONCE) {
      boxes.push(...(await Promise.all(logins.slice(from, from + AT_ONCE).map((login) => openBox(login, port)))));
    }
    fleets.set(name, boxes);
  },
  disconnect(name: string): void {
    for (const { socket } of fleets.get(name) ?? []) socket.destroy();
    fleets.delete(name);
  },
  /** Reports at hand for each box. */
  prepare(name: string, each: number): void {
    for (const box of fleets.get(name) ?? []) box.prepare(each);
  },
  /** All of them send as fast as they are acknowledged: so many a second, and how long each one took. */
  async flood(name: string, ms: number): Promise<{ readonly rate: number; readonly waits: readonly number[] }> {
    const began = performance.now();
    const { waits, quiet, stop } = pour(fleets.get(name) ?? []);
    await pause(ms);
    const rate = (waits.length / (performance.now() - began)) * 1_000;
    stop();
    await quiet;
    return { rate, waits: some(waits) };
  },
  /** All that is at hand; resolves when all of it was acknowledged. */
  async empty(name: string): Promise<void> {
    await pour(fleets.get(name) ?? []).quiet;
  },
  /** `count` reports, one box after the other, evenly over the time. Resolves when all were acknowledged. */
  async trickle(name: string, count: number, ms: number): Promise<void> {
    const boxes = fleets.get(name) ?? [];
    const began = performance.now();
    const acknowledged: Promise<void>[] = [];
    for (let n = 0; n < count; n++) {
      const { socket, packets } = boxes[n % boxes.length]!;
      const wait = began + (n / count) * ms - performance.now();
      if (wait > 1) await pause(wait);
      const packet = packets.shift();
      if (packet === undefined) break;
      acknowledged.push(new Promise((resolve) => void socket.once('data', () => resolve())));
      socket.write(packet);
    }
    await Promise.all(acknowledged);
  },
};
export type BoxesCalls = typeof calls;

serve(calls, async () => {
  for (const name of fleets.keys()) calls.disconnect(name);
});
