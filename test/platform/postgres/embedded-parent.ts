// Starts the embedded server in the folder of its first argument, says so, and waits to be killed.
import { silentLogger } from '../../../src/platform/logger.ts';
import { createEmbeddedPostgres } from '../../../src/platform/postgres/embedded.ts';

const [dataDir = '', settings = '{}'] = process.argv.slice(2);
const server = createEmbeddedPostgres({ dataDir, logger: silentLogger, settings: JSON.parse(settings) as Record<string, string> });
const url = await server.start();
process.stdout.write(`${JSON.stringify({ url, pid: server.pid })}\n`);
