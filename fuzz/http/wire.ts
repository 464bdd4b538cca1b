import { connect, type Socket } from 'node:net';

/** A request as it goes over the wire, to the byte. */
export interface RawRequest {
  readonly method: string;
  readonly target: string;
  /** In their order and as written; names may come twice. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** Its length is not what it says: on a connection of its own, closed behind it. */
  readonly crooked: boolean;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  readonly ms: number;
}

/** `closed`: the connection ended without an answer. */
export type Outcome = { readonly kind: 'answer'; readonly answer: RawAnswer } | { readonly kind: 'closed'; readonly ms: number } | { readonly kind: 'hang' } | { readonly kind: 'garbled'; readonly what: string; readonly bytes: Buffer };

export interface Lane {
  send(request: RawRequest): Promise<Outcome>;
  close(): void;
}

function bytesOf({ method, target, headers, body }: RawRequest): Buffer {
  const head = `${method} ${target} HTTP/1.1\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

/** One connection that is kept alive, and made anew where it must be. */
export function openLane(host: string, port: number, hangMs: number): Lane {
  let kept: Connection | undefined;
  const dial = async (): Promise<Connection> => {
    const socket = connect({ host, port, noDelay: true });
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new Connection(socket, hangMs);
  };
  return {
    async send(request) {
      const reused = kept !== undefined && !kept.ended && !request.crooked;
      const connection = reused ? kept! : await dial();
      if (!request.crooked && !reused) {
        kept?.close();
        kept = connection;
      }
      const outcome = await connection.exchange(request);
      if (request.crooked) connection.close();
      // The server may close an idle connection just when the next request leaves: only on a new one it is no coincidence.
      if (outcome.kind === 'closed' && reused) {
        kept = undefined;
        return this.send(request);
      }
      if (outcome.kind !== 'answer') {
        connection.close();
        if (kept === connection) kept = undefined;
      }
      return outcome;
    },
    close: () => kept?.close(),
  };
}

/** So long a request that is not whole is left standing. */
const GOODBYE_MS = 600;

class Connection {
  readonly #socket: Socket;
  readonly #hangMs: number;
  #buffer: Buffer = Buffer.alloc(0);
  #wake: () => void = () => undefined;
  ended = false;

  constructor(socket: Socket, hangMs: number) {
    this.#socket = socket;
    this.#hangMs = hangMs;
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
      this.#wake();
    });
    const end = (): void => {
      this.ended = true;
      this.#wake();
    };
    socket.on('end', end).on('close', end).on('error', end);
  }

  close(): void {
    this.ended = true;
    this.#socket.destroy();
  }

  async exchange(request: RawRequest): Promise<Outcome> {
    const began = performance.now();
    this.#socket.write(bytesOf(request));
    // What the server waits for in vain ends when its client goes.
    const goodbye = request.crooked ? setTimeout(() => this.#socket.end(), GOODBYE_MS) : undefined;
    try {
      return await this.#answer(request, began);
    } finally {
      clearTimeout(goodbye);
    }
  }

  async #answer(request: RawRequest, began: number): Promise<Outcome> {
    const deadline = began + this.#hangMs;
    for (;;) {
      let parsed;
      try {
        parsed = parse(this.#buffer, request.method === 'HEAD', this.ended);
      } catch (error) {
        return { kind: 'garbled', what: (error as Error).message, bytes: this.#buffer };
      }
      if (parsed !== undefined) {
        this.#buffer = this.#buffer.subarray(parsed.length);
        const closes = parsed.headers.some(([name, value]) => name.toLowerCase() === 'connection' && value.toLowerCase() === 'close');
        if (closes) this.ended = true;
        // What cannot be read as HTTP has no method: also a HEAD of that kind is told what is wrong with it, and hung up on.
        const unread = closes && [400, 408, 431].includes(parsed.status);
        if (!request.crooked && !unread && this.#buffer.length > 0) return { kind: 'garbled', what: 'more than one answer', bytes: this.#buffer };
        return { kind: 'answer', answer: { status: parsed.status, headers: parsed.headers, body: parsed.body, ms: performance.now() - began } };
      }
      if (this.ended) {
        if (this.#buffer.length > 0 && !/^HTTP\/1\.1 100 [^\r]*\r\n\r\n$/.test(this.#buffer.toString('latin1'))) return { kind: 'garbled', what: 'cut off', bytes: this.#buffer };
        return { kind: 'closed', ms: performance.now() - began };
      }
      const left = deadline - performance.now();
      if (left <= 0) return { kind: 'hang' };
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

/** undefined: not all there yet. Interim answers (100) are skipped. */
function parse(given: Buffer, isHead: boolean, atEnd: boolean): (Omit<RawAnswer, 'ms'> & { readonly length: number }) | undefined {
  const headEnd = given.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const [statusLine = '', ...lines] = given.subarray(0, headEnd).toString('latin1').split('\r\n');
  const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/.exec(statusLine)?.[1]);
  if (!Number.isInteger(status)) throw new Error(`status line ${JSON.stringify(statusLine.slice(0, 80))}`);
  const bodyAt = headEnd + 4;
  if (status >= 100 && status < 200 && status !== 101) {
    const rest = parse(given.subarray(bodyAt), isHead, atEnd);
    return rest === undefined ? undefined : { ...rest, length: rest.length + bodyAt };
  }
  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    if (colon <= 0) throw new Error(`header ${JSON.stringify(line.slice(0, 80))}`);
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  const of = (wanted: string): string | undefined => headers.find(([name]) => name.toLowerCase() === wanted)?.[1];
  if (isHead || status === 204 || status === 304) return { status, headers, body: Buffer.alloc(0), length: bodyAt };
  if (of('transfer-encoding') === 'chunked') {
    const pieces: Buffer[] = [];
    for (let at = bodyAt; ; ) {
      const lineEnd = given.indexOf('\r\n', at);
      if (lineEnd < 0) return undefined;
      const size = Number.parseInt(given.subarray(at, lineEnd).toString('latin1'), 16);
      if (!(size >= 0)) throw new Error('a chunk without a size');
      if (given.length < lineEnd + 2 + size + 2) return undefined;
      if (size === 0) return { status, headers, body: Buffer.concat(pieces), length: lineEnd + 4 };
      pieces.push(given.subarray(lineEnd + 2, lineEnd + 2 + size));
      at = lineEnd + 2 + size + 2;
    }
  }
  const length = of('content-length');
  if (length === undefined) return atEnd ? { status, headers, body: given.subarray(bodyAt), length: given.length } : undefined;
  const end = bodyAt + Number(length);
  return given.length < end ? undefined : { status, headers, body: given.subarray(bodyAt, end), length: end };
}
