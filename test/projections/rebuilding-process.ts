import { systemClock } from '../../src/platform/clock.ts';
import { createPostgresEventStore } from '../../src/platform/event-store/postgres.ts';
import { silentLogger as logger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { createDatabase } from '../../src/platform/postgres/db.ts';
import { createProjectionAdmin } from '../../src/projections/admin.ts';
import { projections } from '../../src/projections/registry.ts';
import { fakeVault } from '../support/read-side.ts';

/** A process of its own that rebuilds or rolls back until it is killed or done. `node rebuilding-process.ts <url> <log id> <action> <name>` */
const [url = '', logId = '', action = 'rebuild', name = 'all'] = process.argv.slice(2);
const metrics = new Metrics();
const db = createDatabase({ url, max: 4, applicationName: 'loqey-test-rebuilding', logger, metrics });
const store = createPostgresEventStore({ url, logger, metrics });
await store.start();
const admin = createProjectionAdmin({ db, store, projections: projections({ sealer: fakeVault() }), logId, clock: systemClock, logger });
await admin.perform(name, action as 'rebuild' | 'rollback', { onProgress: ({ phase, done }) => process.stdout.write(`${phase} ${done}\n`) });
process.stdout.write('done\n');
await store.stop();
await db.stop();
