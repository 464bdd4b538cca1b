import { describe, it } from 'vitest';

export type OptionalServer = 'kafka' | 'mosquitto' | 'eventstoredb';

/**
 * Tests that need a server which not every machine has. Without it they are skipped by name; with the server's name in
 * REQUIRE_SERVERS (a list with commas) its absence is a failure.
 */
export function describeWithServer(server: OptionalServer, missing: string | undefined, title: string, tests: () => void): void {
  if (missing === undefined) {
    describe(title, tests);
  } else if ((process.env['REQUIRE_SERVERS'] ?? '').split(',').includes(server)) {
    describe(title, () => {
      it(`has ${server}`, () => {
        throw new Error(`REQUIRE_SERVERS names ${server}: ${missing}`);
      });
    });
  } else {
    process.stdout.write(`skipped: ${title}: ${missing}\n`);
    describe.skip(title, tests);
  }
}
