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
