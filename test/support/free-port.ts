import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

/**
 * A port that nobody has now, below those that outgoing connections take: a port from there can be somebody's before we
 * listen on it, or even connect to itself while nobody does.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(12_000, 32_000);
    const free = await new Promise<boolean>((settle) => {
      const probe = createServer().once('error', () => settle(false));
      probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => settle(true)));
    });
    if (free) return port;
  }
}
