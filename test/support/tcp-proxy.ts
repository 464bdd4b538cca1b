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
}

export async function startTcpProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const pairs = new Set<Pair>();
  let mode: 'pass' | 'stall' | 'refuse' = 'pass';
  let answered = 0;
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
    const pair: Pair = { client, server, marked: false, frozen: false };
    pairs.add(pair);
    client.setNoDelay(true);
    server.setNoDelay(true);
    client.on('data', (chunk) => {
      if (trap !== undefined && chunk.includes(trap.marker)) pair.marked = true;
      forward(pair, chunk, client, server);
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
      forward(pair, chunk, server, client);
    });
    if (mode === 'stall') hold(pair);
    for (const [one, other] of [[client, server], [server, client]] as const) {
      one.on('error', () => undefined);
      one.on('close', () => {
        other.destroy();
        pairs.delete(pair);
      });
    }
  });

  const hold = ({ client, server }: Pair) => {
    client.pause();
    server.pause();
  };

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
