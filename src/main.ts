import { existsSync, readFileSync } from 'node:fs';
import { createCli } from './cli.ts';

// The one place that reads the environment and the arguments. Started by `loqey.js`.
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };

process.on('unhandledRejection', (reason) => {
  // A promise that nobody waited for failed: what state we are in is not known, so this is an exit.
  process.stderr.write(`${reason instanceof Error ? (reason.stack ?? reason.message) : String(reason)}\n\n✖ Something failed that nothing was prepared for. Start it again; please report the lines above.\n`);
  process.exit(1);
});

// Settings may stand in a file `.env` of the working folder; what the environment says goes before it.
if (existsSync('.env')) process.loadEnvFile('.env');

// `loqey audit list | head` closes its end early: that ends no server, and is no error of what was asked for.
process.stdout.on('error', () => undefined);

process.exitCode = await createCli({ environ: process.env, version }).run(process.argv.slice(2));
// What was printed into a pipe may still be on its way: it is let out before the exit.
const printed = (stream: NodeJS.WriteStream) => new Promise<void>((resolve) => void stream.write('', () => resolve()));
await Promise.all([printed(process.stdout), printed(process.stderr)]);
// Nothing may keep a finished command alive: what it had open was closed in order, or it failed.
process.exit();
