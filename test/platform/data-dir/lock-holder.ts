// Takes the lock of the folder in its first argument for the port in its second, says so, and waits to be killed.
import { lockFolder } from '../../../src/platform/data-dir/lock.ts';

const [dataDir = '', port = '8000'] = process.argv.slice(2);
const lock = await lockFolder({ dataDir, port: Number(port) });
await lock.announce(`http://localhost:${port}`);
process.stdout.write('locked\n');
setInterval(() => undefined, 60_000);
