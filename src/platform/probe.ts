import { connect } from 'node:net';

const WITHIN_MS = 2_000;

/** Milliseconds until something at that address takes a connection; undefined when nothing does within two seconds. */
export function connectMs(host: string, port: number): Promise<number | undefined> {
  const since = performance.now();
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: WITHIN_MS });
    const end = (ms: number | undefined) => {
      socket.destroy();
      resolve(ms);
    };
    socket.once('connect', () => end(performance.now() - since));
    socket.once('timeout', () => end(undefined));
    socket.once('error', () => end(undefined));
  });
}

/** Milliseconds that it takes; undefined when it fails or takes longer than two seconds. */
export async function answerMs(ask: () => Promise<unknown>): Promise<number | undefined> {
  const since = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('late')), WITHIN_MS);
  });
  try {
    await Promise.race([ask(), late]);
    return performance.now() - since;
  } catch {
    return undefined; // why is what the part's own health says
  } finally {
    clearTimeout(timer);
  }
}
