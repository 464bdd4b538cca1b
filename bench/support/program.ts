import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** A program in a process of its own, whose functions can be called from here. */
export interface Program<Calls extends object> {
  readonly pid: number;
  readonly call: { readonly [Name in keyof Calls]: Calls[Name] extends (...args: infer Args) => infer Result ? (...args: Args) => Promise<Awaited<Result>> : never };
  /** Asks it to end, and waits until it did. */
  stop(): Promise<void>;
}

interface Asked {
  readonly id: number;
  readonly name: string;
  readonly args: readonly unknown[];
}

interface Answered {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

const READY_MS = 180_000;
const READY = 0;
const STOP = 'stop';

/** Starts `bench/support/<name>.ts` and waits until it says that it is there. */
export async function startProgram<Calls extends object>(name: string, environ: Readonly<Record<string, string>> = {}): Promise<Program<Calls>> {
  const child = fork(fileURLToPath(new URL(`./${name}.ts`, import.meta.url)), { env: { ...process.env, ...environ }, serialization: 'advanced' });
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.once('exit', (code) => {
    for (const { reject } of waiting.values()) reject(new Error(`${name} ended with exit code ${code}`));
  });
  child.on('message', ({ id, result, error }: Answered) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) asked?.resolve(result);
    else asked?.reject(new Error(`${name}: ${error}`));
  });
  let asked = 0;
  const answer = (id: number) => new Promise<unknown>((resolve, reject) => waiting.set(id, { resolve, reject }));
  const timer = setTimeout(() => child.kill(), READY_MS);
  await answer(READY);
  clearTimeout(timer);
  return {
    pid: child.pid ?? 0,
    call: new Proxy({} as Program<Calls>['call'], {
      get: (_, call) => (...args: unknown[]) => {
        const id = ++asked;
        child.send({ id, name: String(call), args } satisfies Asked);
        return answer(id);
      },
    }),
    async stop() {
      waiting.clear();
      if (child.connected) child.send(STOP);
      await exited;
    },
  };
}

/** In the program: answers calls until it is told to stop. */
export function serve(calls: object, stop: () => Promise<void>): void {
  const told = process as unknown as Pick<ChildProcess, 'send' | 'on'>;
  let ending = false;
  const end = () => {
    if (!ending) void stop().finally(() => process.exit());
    ending = true;
  };
  const reply = (answered: Answered) => {
    if (process.connected) told.send(answered);
  };
  told.on('message', (message: Asked | typeof STOP) => {
    if (message === STOP) return end();
    void (async () => {
      const { id, name, args } = message;
      try {
        const call = (calls as Record<string, (...args: readonly unknown[]) => unknown>)[name];
        if (call === undefined) throw new Error(`There is no call ${name}`);
        reply({ id, result: await call(...args) });
      } catch (error) {
        reply({ id, error: (error as Error).stack ?? String(error) });
      }
    })();
  });
  // Ctrl+C is for whoever started this; its end is what is heard here, so that no database stays behind.
  process.on('SIGINT', () => undefined);
  process.once('disconnect', end);
  if (!process.connected) return end();
  reply({ id: READY });
}
