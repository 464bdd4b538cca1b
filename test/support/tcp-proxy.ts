import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Stands between a client and its server, and does to their connections what networks do. */
export interface TcpProxy {
  readonly port: number;
  /** Bytes that the server's answers had so far. */
  readonly answered: number;
  /** The ordinary state; also ends `stall` and `refuse`. What was held back in a stall is delivered. */
  pass(): void;
  /** Connections stay open, nothing moves: a server that was stopped, a cable that was pulled. */
  stall(): void;
  /** Present connections stay open and silent for ever; new ones are taken as usual. */
  freeze(): void;
  /** Everything arrives so many milliseconds later, each way, in order; 0: as it comes. */
  delay(ms: number): void;
  /** Ends all connections; new ones are taken as usual. */
  cut(): void;
  /** Ends all connections, and each new one at once. */
  refuse(): void;
  /**
   * Waits for a request that holds `marker`, lets it through, and ends all connections instead of the answer.
   * Resolves when that happened.
   */
  cutBeforeAnswerTo(marker: string): Promise<void>;
  close(): Promise<void>;
}

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  marked: boolean;
  frozen: boolean;
  /** What is on its way to each. */
  readonly late: { readonly client: Late[]; readonly server: Late[] };
}

interface Late {
  readonly due: number;
  readonly run: () => void;
}

export async function startTcpProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const pairs = new Set<Pair>();
  let mode: 'pass' | 'stall' | 'refuse' = 'pass';
  let answered = 0;
  let lateMs = 0;
  let trap: { readonly marker: Buffer; readonly sprung: () => void } | undefined;

  const cut = () => {
    for (const { client, server } of pairs) {
      client.destroy();
      server.destroy();
    }
    pairs.clear();
  };

  const listener = createServer((client) => {
    if (mode === 'refuse') {
      client.destroy();
      return;
    }
    const server = connect(target.port, target.host);
    const pair: Pair = { client, server, marked: false, frozen: false, late: { client: [], server: [] } };
    pairs.add(pair);
    client.setNoDelay(true);
    server.setNoDelay(true);
    client.on('data', (chunk) => {
      if (trap !== undefined && chunk.includes(trap.marker)) pair.marked = true;
      later(pair, 'server', () => forward(pair, chunk, client, server));
    });
    server.on('data', (chunk) => {
      if (pair.marked && trap !== undefined) {
        const { sprung } = trap;
        trap = undefined;
        cut();
        sprung();
        return;
      }
      answered += chunk.length;
      later(pair, 'client', () => forward(pair, chunk, server, client));
    });
    if (mode === 'stall') hold(pair);
    for (const [one, other, towards] of [[client, server, 'server'], [server, client, 'client']] as const) {
      one.on('error', () => undefined);
      one.on('close', () =>
        later(pair, towards, () => {
          other.destroy();
          pairs.delete(pair);
        }),
      );
    }
  });

  const hold = ({ client, server }: Pair) => {
    client.pause();
    server.pause();
  };

  /** After the delay, and after what is already on its way: also when the delay was shortened meanwhile. */
  function later(pair: Pair, towards: 'client' | 'server', run: () => void): void {
    const queue = pair.late[towards];
    if (lateMs === 0 && queue.length === 0) return run();
    queue.push({ due: performance.now() + lateMs, run });
    if (queue.length === 1) arrive(queue);
  }

  function arrive(queue: Late[]): void {
    const [next] = queue;
    if (next === undefined) return;
    setTimeout(() => {
      queue.shift();
      next.run();
      arrive(queue);
    }, Math.max(0, next.due - performance.now()));
  }

  function forward(pair: Pair, chunk: Buffer, from: Socket, to: Socket): void {
    if (to.write(chunk)) return;
    from.pause(); // the slow side slows the fast one, as without a proxy
    to.once('drain', () => {
      if (mode !== 'stall' && !pair.frozen) from.resume();
    });
  }

  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    get answered() {
      return answered;
    },
    pass() {
      mode = 'pass';
      for (const { client, server, frozen } of pairs) {
        if (frozen) continue;
        client.resume();
        server.resume();
      }
    },
    freeze() {
      for (const pair of pairs) {
        pair.frozen = true;
        hold(pair);
      }
    },
    stall() {
      mode = 'stall';
      for (const pair of pairs) hold(pair);
    },
    delay(ms) {
      lateMs = ms;
    },
    cut,
    refuse() {
      mode = 'refuse';
      cut();
    },
    cutBeforeAnswerTo(marker) {
      return new Promise((resolve) => (trap = { marker: Buffer.from(marker), sprung: resolve }));
    },
    async close() {
      cut();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
