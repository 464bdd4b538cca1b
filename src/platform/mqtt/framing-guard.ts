import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

export interface FramingLimits {
  /** Remaining length of one packet before the client is known, and four times that for all it sends until then. */
  readonly maxConnectBytes: number;
  /** Remaining length of one packet afterwards. */
  readonly maxPacketBytes: number;
}

/** The peer broke a framing limit; `message` names which. */
export class FramingViolation extends Error {
  override readonly name = 'FramingViolation';
}

const CONNECT = 1;

/**
 * Stands between a socket and the broker. MQTT allows 256 MB in one packet and the broker's parser collects until a
 * packet is whole, so a stranger's five bytes could cost it 200 MB: here each fixed header is read first, and a length
 * beyond the limit ends the connection before a byte of the body is kept.
 *
 * Closing also matters: once the client is known, its socket is reset instead of closed in good order. An orderly close
 * leaves what was written in the kernel's buffer, which goes on trying to deliver it: a command would arrive late.
 */
export class GuardedConnection extends Duplex {
  /** The TCP socket, also under TLS. */
  readonly transport: Socket;
  readonly #socket: Socket;
  readonly #limits: FramingLimits;
  #known = false;
  #first = true;
  #received = 0;
  /** Bytes of the current packet's body still to come. 0 with #lengthBytes 0 = a fixed header is next. */
  #body = 0;
  #length = 0;
  #lengthBytes = -1;

  constructor(socket: Socket, transport: Socket, limits: FramingLimits) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.transport = transport;
    this.#limits = limits;
    socket.on('data', (chunk: Buffer) => {
      if (this.destroyed) return;
      const violation = this.#inspect(chunk);
      if (violation !== undefined) {
        this.destroy(new FramingViolation(violation));
      } else if (!this.push(chunk)) {
        socket.pause();
      }
    });
    socket.on('end', () => this.push(null));
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
    if (transport !== socket) transport.on('error', () => undefined); // TLS hands it on to `socket`
  }

  /** From here on the client is an authenticated one. */
  markKnown(): void {
    this.#known = true;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#socket.write(chunk, callback);
  }

  /** The parts of a packet, most of them a byte or two long (a PUBACK): in one piece they cost a third less than corked. */
  override _writev(chunks: { chunk: Buffer; encoding: BufferEncoding }[], callback: (error?: Error | null) => void): void {
    this.#socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (this.#known) {
      if (!this.transport.destroyed) this.transport.resetAndDestroy();
      this.#socket.destroy();
    } else {
      this.#socket.destroySoon(); // a refusal (CONNACK) still has to reach the client
    }
    callback(error);
  }

  #inspect(chunk: Buffer): string | undefined {
    if (!this.#known) {
      this.#received += chunk.length;
      if (this.#received > 4 * this.#limits.maxConnectBytes) return 'too much before it was let in';
    }
    let at = 0;
    while (at < chunk.length) {
      if (this.#body > 0) {
        const taken = Math.min(this.#body, chunk.length - at);
        this.#body -= taken;
        at += taken;
        continue;
      }
      const byte = chunk[at++]!;
      if (this.#lengthBytes < 0) {
        if (this.#first && byte >> 4 !== CONNECT) return 'first packet is not CONNECT';
        this.#first = false;
        this.#lengthBytes = 0;
        this.#length = 0;
        continue;
      }
      this.#length += (byte & 0x7f) * 128 ** this.#lengthBytes++;
      if ((byte & 0x80) !== 0) {
        if (this.#lengthBytes === 4) return 'malformed length';
        continue;
      }
      if (this.#length > (this.#known ? this.#limits.maxPacketBytes : this.#limits.maxConnectBytes)) return 'packet too large';
      this.#body = this.#length;
      this.#lengthBytes = -1;
    }
    return undefined;
  }
}
