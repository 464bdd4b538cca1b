import { PassThrough, type Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import { generate } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { FramingViolation, GuardedConnection } from '../../../src/platform/mqtt/framing-guard.ts';

const limits = { maxConnectBytes: 4_096, maxPacketBytes: 65_536 };

/** A guard over a stream that stands in for the socket, with what came out and why it ended. */
function guard(known: boolean) {
  const socket = Object.assign(new PassThrough() as Duplex, { destroySoon() {}, resetAndDestroy() {} }) as unknown as Socket;
  const connection = new GuardedConnection(socket, socket, limits);
  if (known) connection.markKnown();
  const out: Buffer[] = [];
  const errors: Error[] = [];
  connection.on('data', (chunk: Buffer) => out.push(chunk));
  connection.on('error', (error) => errors.push(error));
  return { connection, out, errors, feed: (chunk: Buffer) => void (socket as unknown as Duplex).emit('data', chunk) };
}

const connectPacket = generate({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: 'device_1', keepalive: 30 });

/** Cuts `bytes` at random places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % bytes.length))].sort((a, b) => a - b);
  return [0, ...at].map((begin, index, all) => bytes.subarray(begin, all[index + 1] ?? bytes.length)).filter((part) => part.length > 0);
}

describe('framing guard', () => {
  it('lets every well-formed stream pass unchanged, however the network cuts it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 6 }), fc.array(fc.nat(), { maxLength: 12 }), async (sizes, places) => {
        const bytes = Buffer.concat([
          connectPacket,
          ...sizes.map((size) => generate({ cmd: 'publish', topic: 't', payload: Buffer.alloc(size, 7), qos: 0, retain: false, dup: false })),
        ]);
        const { feed, out, errors } = guard(true);
        for (const part of cut(bytes, places)) feed(part);
        await new Promise(setImmediate);
        expect(errors).toEqual([]);
        expect(Buffer.compare(Buffer.concat(out), bytes)).toBe(0);
      }),
      { numRuns: 100 },
    );
  });

  it('finds a length beyond the limit wherever the network cuts, and before any of its body', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.integer({ min: 1, max: 268_000_000 }), fc.array(fc.nat(), { maxLength: 6 }), async (known, beyond, places) => {
        const length = Math.min(268_435_455, (known ? limits.maxPacketBytes : limits.maxConnectBytes) + beyond);
        const header = [0x10];
        for (let rest = length; ; rest = Math.floor(rest / 128)) {
          header.push(rest >= 128 ? (rest % 128) | 0x80 : rest);
          if (rest < 128) break;
        }
        const { connection, feed, out, errors } = guard(known);
        for (const part of cut(Buffer.from(header), places)) feed(part);
        feed(Buffer.alloc(1_000));
        await new Promise(setImmediate);
        expect(connection.destroyed).toBe(true);
        expect(errors[0]).toBeInstanceOf(FramingViolation);
        expect(Buffer.concat(out).length).toBeLessThanOrEqual(header.length);
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    ['a first packet that is no CONNECT', Buffer.from([0x30, 0x02, 0x00, 0x00])],
    ['a length of more than four bytes', Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff])],
    ['more than four times the limit before it is known', Buffer.concat([connectPacket, ...Array.from({ length: 17 }, () => Buffer.concat([Buffer.from([0x30, 0x80, 0x08]), Buffer.alloc(1_024)]))])],
  ])('ends on %s', async (_what, bytes) => {
    const { connection, feed, errors } = guard(false);
    feed(bytes);
    await new Promise(setImmediate);
    expect(connection.destroyed).toBe(true);
    expect(errors[0]).toBeInstanceOf(FramingViolation);
  });
});
