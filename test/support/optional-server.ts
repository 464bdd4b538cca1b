import { describe, it } from 'vitest';

export type OptionalServer = 'kafka' | 'mosquitto' | 'eventstoredb' | 'chromium';

/**
 * Tests that need a server which not every machine has. Without it they are skipped by name; with the server's name in
 * REQUIRE_SERVERS (a list with commas) its absence is a failure.
 */
export function describeWithServer(server: OptionalServer, missing: string | undefined, title: string, tests: () => void): void {
  describeWithServers({ [server]: missing }, title, tests);
}

/** The same for tests that need several: each with why it is missing, or undefined. */
export function describeWithServers(servers: Partial<Record<OptionalServer, string | undefined>>, title: string, tests: () => void): void {
  const absent = Object.entries(servers).filter(([, missing]) => missing !== undefined);
  const required = (process.env['REQUIRE_SERVERS'] ?? '').split(',');
  if (absent.length === 0) {
    describe(title, tests);
  } else if (absent.some(([server]) => required.includes(server))) {
    describe(title, () => {
      it.each(absent.filter(([server]) => required.includes(server)))('has %s', (server, missing) => {
        throw new Error(`REQUIRE_SERVERS names ${server}: ${missing}`);
      });
    });
  } else {
    process.stdout.write(`skipped: ${title}: ${absent.map(([, missing]) => missing).join('; ')}\n`);
    describe.skip(title, tests);
  }
}
