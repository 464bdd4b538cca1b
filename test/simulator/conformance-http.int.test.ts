import { afterAll, beforeAll } from 'vitest';
import { deviceConformance } from '../contract/device-conformance.ts';
import { startPostgres, type TestPostgres } from '../support/servers.ts';
import { httpWire } from '../support/wires.ts';

let postgres: TestPostgres;
let url: string;
beforeAll(async () => {
  postgres = await startPostgres();
  url = await postgres.migratedDatabase();
});
afterAll(() => postgres.stop());

// Each costs a statement: the whole of both is in the unit tests and on the broker.
deviceConformance('HTTP', (time) => httpWire(postgres, url)(time), { flips: 300, rubbish: 500 });
