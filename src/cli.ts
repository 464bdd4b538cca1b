import { Command, Option } from 'commander';
import { helpText } from './platform/config-text.ts';
import { StartFailure } from './platform/data-dir/start-failure.ts';
import { startServer, type Running } from './shell/start.ts';
import { createTerminal, type Terminal } from './shell/terminal.ts';

export interface CliContext {
  readonly environ: Readonly<Record<string, string | undefined>>;
  readonly version: string;
}

/** Exit codes: 0 ok · 1 unexpected · 2 usage · 10–13 start failures · 130 Ctrl+C. */
export const exitCode = { ok: 0, unexpected: 1, usage: 2, interrupted: 130 } as const;

/** The tree of `loqey` commands. Each prints its own result and answers its exit code. */
export function createCli(context: CliContext): { run(argv: readonly string[]): Promise<number> } {
  let result = 0;
  const program = new Command('loqey')
    .description('Backend for smart lockboxes: a box opens once, in time, for someone allowed, and never otherwise.')
    .version(context.version)
    .exitOverride()
    .showHelpAfterError('(all commands: loqey --help)')
    .configureHelp({ showGlobalOptions: true })
    .addOption(new Option('--json', 'one JSON object per line instead of words'));

  const terminalOf = (command: Command): Terminal =>
    createTerminal({ json: command.optsWithGlobals<{ json?: boolean }>().json === true, stdout: process.stdout, stderr: process.stderr, color: colorOf(context.environ) });

  program
    .command('start', { isDefault: true })
    .description('start the server (npm start)')
    .option('--verbose', 'show the server log here as well')
    .addHelpText('after', () => `\n${helpText()}`)
    .action(async (options: { verbose?: boolean }, command: Command) => {
      result = await serve(context, terminalOf(command), options.verbose === true);
    });

  return {
    async run(argv) {
      try {
        await program.parseAsync([...argv], { from: 'user' });
        return result;
      } catch (error) {
        return failed(error, argv.includes('--json'));
      }
    },
  };
}

/** Runs until Ctrl+C or SIGTERM. A second signal does not wait. */
async function serve(context: CliContext, terminal: Terminal, verbose: boolean): Promise<number> {
  let running: Running | undefined;
  let signals = 0;
  const stopped = new Promise<number>((resolve) => {
    const onSignal = (signal: NodeJS.Signals) => {
      signals++;
      if (signals > 1) {
        running?.abandon();
        process.exit(exitCode.interrupted);
      }
      if (running === undefined) {
        process.exit(exitCode.interrupted);
      }
      terminal.say('\nStopping… (again: at once)');
      running.stop().then(
        () => {
          terminal.say('Stopped. Bye.');
          terminal.event('stopped', {});
          resolve(signal === 'SIGINT' ? exitCode.ok : exitCode.ok);
        },
        (error: unknown) => {
          terminal.say(`✖ It did not stop cleanly: ${(error as Error).message}`);
          resolve(exitCode.unexpected);
        },
      );
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
  running = await startServer({ ...context, verbose, terminal });
  return stopped;
}

function failed(error: unknown, json: boolean): number {
  const code = (error as { exitCode?: number }).exitCode;
  // commander has printed its own words: help, version, usage.
  if ((error as { code?: string }).code?.startsWith('commander.') === true) return code === 0 ? exitCode.ok : exitCode.usage;
  if (error instanceof StartFailure) {
    if (json) process.stdout.write(`${JSON.stringify({ event: 'failed', exit_code: error.exitCode, message: error.lines.join('\n') })}\n`);
    process.stderr.write(`${error.lines.join('\n')}\n`);
    return error.exitCode;
  }
  const { message, stack } = error as Error;
  if (json) process.stdout.write(`${JSON.stringify({ event: 'failed', exit_code: exitCode.unexpected, message })}\n`);
  process.stderr.write(`${stack ?? message}\n\n✖ ${message}\n`);
  return exitCode.unexpected;
}

function colorOf(environ: CliContext['environ']): boolean | undefined {
  if ((environ['NO_COLOR'] ?? '') !== '') return false;
  if ((environ['FORCE_COLOR'] ?? '') !== '') return true;
  return undefined;
}
