/** Everything that runs has these two. Both idempotent; concurrent calls share one promise. */
export interface Component {
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** `start` and `stop` each run once at a time and share their promise; a stop waits for a start under way. */
export function component(start: () => Promise<void>, stop: () => Promise<void>): Component {
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  return {
    start() {
      stopping = undefined;
      starting ??= start();
      return starting;
    },
    stop() {
      stopping ??= (async () => {
        const started = starting;
        starting = undefined;
        if (started === undefined) return;
        await started.catch(() => undefined); // its own caller saw it; what did start must still be released
        await stop();
      })();
      return stopping;
    },
  };
}

/** Starts components in the order they were added and stops them in the reverse one. */
export interface Stack {
  add<T extends Pick<Component, 'stop'>>(name: string, part: T): T;
  stop(): Promise<void>;
}

/**
 * What was started is released last in, first out, each part with what is left of one deadline. A part that fails to stop
 * does not keep the others from it.
 */
export function stack(options: { readonly deadlineMs: number; readonly onFailure: (name: string, error: unknown) => void }): Stack {
  const parts: { readonly name: string; readonly part: Pick<Component, 'stop'> }[] = [];
  let stopping: Promise<void> | undefined;

  async function release(): Promise<void> {
    const deadline = performance.now() + options.deadlineMs;
    for (const { name, part } of parts.reverse()) {
      let timer: NodeJS.Timeout | undefined;
      try {
        const late = new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new Error(`${name} did not stop in time`)), Math.max(500, deadline - performance.now()));
        });
        await Promise.race([part.stop(), late]);
      } catch (error) {
        options.onFailure(name, error);
      } finally {
        clearTimeout(timer);
      }
    }
  }

  return {
    add(name, part) {
      parts.push({ name, part });
      return part;
    },
    stop: () => (stopping ??= release()),
  };
}
