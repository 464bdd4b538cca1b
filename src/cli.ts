import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { helpText, printConfig } from './platform/config-text.ts';
import { StartFailure } from './platform/data-dir/start-failure.ts';
import { configOf, startServer, type Running } from './shell/start.ts';
import { createTerminal, type Terminal } from './shell/terminal.ts';
import type { AdminRole } from './domain/user/events.ts';
import { shells, type Shell } from './shell/completion.ts';
import { RemoteFailure } from './shell/remote/client.ts';
import { addCommand } from './shell/remote/command.ts';
import { adminCommands, registerRemoteCommands } from './shell/remote/tree.ts';
import { registerSimulateCommand } from './simulator/cli.ts';

export interface CliContext {
  readonly environ: Readonly<Record<string, string | undefined>>;
  readonly version: string;
}

const EXIT_CODES = `Exit codes:
  0 ok            4 sign in first           7 server unreachable
  1 unexpected    5 not found               10-13 start failed: port,
  2 usage         6 outcome unknown, late         lock, version, disk
  3 refused by a rule                       130 Ctrl+C`;

/** Nothing is installed for the whole machine: how `loqey` is typed where the program lies. */
const IN_THIS_FOLDER = `In the folder of the program, loqey is npm run --silent loqey --. In a shell:
  alias loqey='npm run --silent loqey --'`;

const HERE = 'On the data folder of this machine, with a server or without:';
const ADMINISTRATION = 'As an administrator, through the API of a server (loqey login first):';

export const exitCode = { ok: 0, unexpected: 1, usage: 2, interrupted: 130 } as const;

/**
 * The tree of `loqey` commands. Each prints its own result and answers its exit code. What only one of them needs is
 * loaded when it runs: a server carries no simulator in its memory.
 */
export function createCli(context: CliContext): { run(argv: readonly string[]): Promise<number> } {
  let result = 0;
  const program = new Command('loqey')
    .description('Backend for smart lockboxes: a box opens once, in time, for someone allowed, and never otherwise.')
    .version(context.version)
    .exitOverride()
    .addHelpText('after', `\n${EXIT_CODES}\n\n${IN_THIS_FOLDER}`)
    .configureHelp({ showGlobalOptions: true, subcommandDescription: phrase, commandDescription: sentence })
    .addOption(new Option('--json', 'one JSON object per line instead of words'));

  const terminalOf = (command: Command): Terminal =>
    createTerminal({ json: command.optsWithGlobals<{ json?: boolean }>().json === true, stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, color: colorOf(context.environ) });

  program.commandsGroup('The server, and boxes for it:');
  program
    .command('start')
    .description('start the server (npm start)')
    .option('--verbose', 'show the server log here as well')
    .addHelpText('after', () => `\n${helpText()}`)
    .action(async (options: { verbose?: boolean }, command: Command) => {
      result = await serve(context, terminalOf(command), options.verbose === true);
    });

  const local = { environ: context.environ, version: context.version };
  const dataDir = () => configOf(context.environ).dataDir;
  const command = (name: string, description: string, work: (terminal: Terminal, ...args: string[]) => Promise<number>, parent = program): Command =>
    parent
      .command(name)
      .description(description)
      .action(async (...args: unknown[]) => {
        const self = args.at(-1) as Command;
        result = await work(terminalOf(self), ...(args.slice(0, -2) as string[]));
      });

  command('status', 'whether a server runs on this data folder, and how it is', async (terminal) => (await import('./shell/folder.ts')).status(dataDir(), terminal));
  command('stop', 'stop the server of this data folder', async (terminal) => (await import('./shell/folder.ts')).stop(dataDir(), terminal));
  program
    .command('reset')
    .description('set the data folder aside and begin empty (nothing is deleted)')
    .option('--yes', 'without a question')
    .addHelpText('after', '\nExamples:\n  npm run reset\n  npm run reset -- --yes')
    .action(async ({ yes }: { yes?: boolean }, self: Command) => {
      const { reset } = await import('./shell/folder.ts');
      result = await reset(dataDir(), yes === true, terminalOf(self));
    });
  program
    .command('demo')
    .description('one delivery from registration to audit, told step by step')
    .option('--stay', 'then leave the box switched on, with a link to open in a browser, until Ctrl+C')
    .addHelpText('after', '\nExamples:\n  npm run demo\n  npm run demo -- --stay')
    .action(async ({ stay }: { stay?: boolean }, self: Command) => {
      const { runDemo } = await import('./shell/demo.ts');
      const told = await runDemo({ ...local, terminal: terminalOf(self), stay: stay === true ? untilSignal() : undefined });
      result = told ? exitCode.ok : exitCode.unexpected;
    });
  registerSimulateCommand(program, terminalOf, async () => {
    const { lendAdmin, serverHere } = await import('./shell/lent-admin.ts');
    const url = await serverHere(context.environ);
    return url === undefined ? undefined : { url, lendAdmin: () => lendAdmin('simulate', local) };
  });

  program.commandsGroup(HERE);
  const readModels = program.command('projections').description('the read models: how far they are, rebuilding them, comparing and switching. Needs the data folder, and no server.');
  const models = () => import('./shell/projections.ts');
  command('status', 'position, lag, size and progress of each', async (terminal) => (await models()).projectionsStatus(local, terminal), readModels);
  command('show', 'one read model with its generations, and what was compared last', async (terminal, name = '') => (await models()).projectionsShow(local, name, terminal), readModels).argument('<name>', 'as status names it');
  readModels
    .command('rebuild')
    .description('Build one anew over all past data beside the live one, then switch. Stops at the first event that it cannot take.')
    .argument('<name>', 'a read model, or all: every one in one pass')
    .option('--no-switch', 'leave it waiting for 24 hours instead of switching')
    .option('--compare', 'hold it against the live one first; a difference leaves it waiting')
    .option('--accept-differences', 'switch although they differ')
    .addHelpText('after', '\nExamples:\n  loqey projections rebuild all\n  loqey projections rebuild devices --compare\n  loqey projections rebuild devices --no-switch')
    .action(async (name: string, { switch: switches, compare = false, acceptDifferences = false }: { switch: boolean; compare?: boolean; acceptDifferences?: boolean }, self: Command) => {
      result = await (await models()).projectionsPerform(local, name, 'rebuild', { ...(switches ? {} : { switch: false }), compare, acceptDifferences }, terminalOf(self), untilSignal());
    });
  readModels
    .command('compare')
    .description('Hold the generation that waits, or a new one, against the live one: rows, hashes, and the first rows that differ')
    .argument('<name>', 'as status names it')
    .addHelpText('after', '\nExample:\n  loqey projections compare devices')
    .action(async (name: string, _: unknown, self: Command) => {
      result = await (await models()).projectionsPerform(local, name, 'compare', {}, terminalOf(self), untilSignal());
    });
  readModels
    .command('switch')
    .description('Bring the generation that waits up to date and read it from then on, unless it differs from the live one')
    .argument('<name>', 'as status names it')
    .option('--to <generation>', 'another one than the one that waits', wholeNumber)
    .option('--accept-differences', 'although they differ')
    .addHelpText('after', '\nExamples:\n  loqey projections switch devices\n  loqey projections switch devices --to 4 --accept-differences')
    .action(async (name: string, { to, acceptDifferences = false }: { to?: number; acceptDifferences?: boolean }, self: Command) => {
      result = await (await models()).projectionsPerform(local, name, 'switch', { ...(to === undefined ? {} : { generation: to }), acceptDifferences }, terminalOf(self), untilSignal());
    });
  readModels
    .command('rollback')
    .description('Go back to the generation before this one, within 24 hours; it is brought up to date first')
    .argument('<name>', 'as status names it')
    .addHelpText('after', '\nExample:\n  loqey projections rollback devices')
    .action(async (name: string, _: unknown, self: Command) => {
      result = await (await models()).projectionsPerform(local, name, 'rollback', {}, terminalOf(self), untilSignal());
    });
  command('cancel', 'take back what waits or runs for one; what is read stays as it is', async (terminal, name = '') => (await models()).projectionsCancel(local, name, terminal), readModels)
    .argument('<name>', 'as status names it')
    .addHelpText('after', '\nExample:\n  loqey projections cancel devices');
  readModels
    .command('skip')
    .description('Let a stopped one go on after the event that it stands before; who and why is kept in the audit log')
    .argument('<name>', 'as status names it')
    .requiredOption('--position <position>', 'of the event, as status names it')
    .requiredOption('--reason <words>', 'why; kept in clear, for ever: name nobody in it')
    .addHelpText('after', '\nExample:\n  loqey projections skip audit --position 4711 --reason "a report that firmware 1.2 sent twice"')
    .action(async (name: string, given: { position: string; reason: string }, self: Command) => {
      result = await (await models()).projectionsSkip(local, name, given, terminalOf(self));
    });

  const jobs = program.command('jobs').description('what runs around the clock');
  command('list', 'when each ran last and how that went, and when it runs next', async (terminal) => (await import('./shell/jobs.ts')).jobsList(local, terminal), jobs);
  command('run', 'run one now instead of at its next time; needs a running server', async (terminal, name = '') => (await import('./shell/jobs.ts')).jobsRun(local, name, terminal), jobs)
    .argument('<name>', 'as the list names it')
    .addHelpText('after', '\nExample:\n  loqey jobs run audit.heads');

  const mail = program.command('mail').description('mails that were kept in a folder instead of being sent');
  command('list', 'the newest last', async (terminal) => (await import('./shell/mail.ts')).mailList(dataDir(), terminal), mail);
  command('show', 'one of them, as text', async (terminal, name = '') => (await import('./shell/mail.ts')).mailShow(dataDir(), name, terminal), mail).argument('<name>', 'its name in the list or the beginning of it; last = the newest')
    .addHelpText('after', '\nExamples:\n  loqey mail show last\n  loqey mail show 2026-11-21T14-02');

  const contextOf = (self: Command) => ({ environ: context.environ, terminal: terminalOf(self) });
  const done = (code: number): void => {
    result = code;
  };
  program.commandsGroup(ADMINISTRATION);
  registerRemoteCommands(program, contextOf, done);

  const audit = program.commands.find((group) => group.name() === 'audit') ?? program.command('audit');
  audit
    .command('export')
    .description('The whole log as it is stored, what is personal sealed, one JSON line for each event, for verify and for keeping. Needs the data folder, and no server. (In words and with names, from a server: audit download.)')
    .argument('[file]', 'a new file (default: standard output)')
    .option('--backup <where>', 'of a backup instead of this log: as for verify')
    .addHelpText('after', '\nExamples:\n  loqey audit export log.ndjson\n  loqey audit export | zstd > log.ndjson.zst')
    .action(async (file: string | undefined, { backup }: { backup?: string }, self: Command) => {
      result = await (await import('./shell/verify.ts')).auditExport(local, file, backup, terminalOf(self));
    });
  audit
    .command('proof')
    .description('Shows to anybody that one event was in the log when it was signed. Needs the data folder, and no server.')
    .argument('<event>', 'its id, as event_id in the audit log')
    .option('--size <events>', 'of the head that it is shown for, as in heads.ndjson (default: the newest)')
    .addHelpText('after', '\nExample:\n  loqey audit proof 0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50 > proof.json')
    .action(async (event: string, { size }: { size?: string }, self: Command) => {
      result = await (await import('./shell/verify.ts')).auditProof(local, event, size, terminalOf(self));
    });
  audit
    .command('consistency')
    .description('Shows to anybody that of the log between two heads nothing was changed, only added to it. Needs the data folder, and no server.')
    .argument('<from>', 'size of the earlier head, as in heads.ndjson')
    .argument('[to]', 'size of the later one (default: the newest)')
    .addHelpText('after', '\nExample:\n  loqey audit consistency 10482 > consistency.json\n  node verify/loqey-verify.mjs --consistency consistency.json --heads kept.ndjson --public-key public-key.pem')
    .action(async (from: string, to: string | undefined, _: unknown, self: Command) => {
      result = await (await import('./shell/verify.ts')).auditConsistency(local, from, to, terminalOf(self));
    });
  audit
    .command('verify')
    .description('Hold the log, an export or a backup against signed heads: is it what it was? Needs no server, and no secret but the way to the data.')
    .option('--heads <file>', 'signed heads, best a copy kept elsewhere (default: AUDIT_HEADS_DIR/heads.ndjson)')
    .option('--public-key <file>', 'PEM of the key that signed them (default: AUDIT_HEADS_DIR/public-key.pem)')
    .option('--export <file>', 'an export of a log instead of this one')
    .option('--backup <where>', 'a copied data folder, or the URL of a restored PostgreSQL or EventStoreDB')
    .option('--until <time>', 'only heads signed until then: for a copy made then')
    .addHelpText(
      'after',
      '\nExamples:\n  loqey audit verify --heads /mnt/elsewhere/heads.ndjson --public-key /mnt/elsewhere/public-key.pem\n  loqey audit verify --backup /mnt/backup/data --until 2026-11-20T03:00:00Z\n  loqey audit verify --backup postgres://reader@db.example.com/restored --json',
    )
    .action(async (options: { heads?: string; publicKey?: string; export?: string; backup?: string; until?: string }, self: Command) => {
      result = await (await import('./shell/verify.ts')).auditVerify(local, options, terminalOf(self));
    });

  program.commandsGroup(HERE);
  const receipts = program.command('receipt').description('receipts of erasures');
  receipts
    .command('verify')
    .description('Hold a receipt against the public key of the installation that signed it. Needs no server and no data.')
    .argument('<file>', 'the receipt, as JSON')
    .option('--public-key <file>', 'PEM of the key that signed it (default: AUDIT_HEADS_DIR/public-key.pem)')
    .addHelpText('after', '\nExamples:\n  loqey receipt verify receipt.json\n  loqey receipt verify receipt.json --public-key public-key.pem --json')
    .action(async (file: string, options: { publicKey?: string }, self: Command) => {
      result = await (await import('./shell/receipt.ts')).receiptVerify(context.environ, file, options, terminalOf(self));
    });

  const admin = program.command('admin').description('administrators: make the first one here, manage them all').helpGroup(ADMINISTRATION);
  admin
    .command('create')
    .description('Make an administrator of this installation, or let one in again; the password is printed once. Needs the data folder and no server.')
    .argument('<email>')
    .addOption(new Option('--role <role>', 'default super_admin').choices(['super_admin', 'admin', 'support']))
    .addHelpText('after', '\nExamples:\n  loqey admin create ana@example.com\n  loqey admin create sam@example.com --role support')
    .action(async (email: string, { role = 'super_admin' }: { role?: AdminRole }, self: Command) => {
      result = await (await import('./shell/admins.ts')).adminCreate(local, email, role, terminalOf(self));
    });
  command('list', 'Who administers. Needs the data folder and no server.', async (terminal) => (await import('./shell/admins.ts')).adminList(local, terminal), admin).alias('ls');
  for (const spec of adminCommands) addCommand(admin, spec, contextOf, done);

  const config = program.command('config').description('settings');
  command('print', 'what this program would start with, secrets left out', async (terminal) => {
    terminal.out(printConfig(configOf(context.environ)));
    return exitCode.ok;
  }, config);

  program
    .command('completion')
    .description('what bash, zsh or fish offers after Tab')
    .addArgument(new Argument('<shell>').choices(shells))
    .addHelpText('after', '\nExamples:\n  eval "$(loqey completion bash)"\n  loqey completion fish | source')
    .action(async (shell: Shell, _: unknown, self: Command) => {
      terminalOf(self).out((await import('./shell/completion.ts')).completionScript(shell, program));
      result = exitCode.ok;
    });

  program.commandsGroup(HERE).helpCommand(true);
  pointToHelp(program);
  return {
    async run(argv) {
      try {
        await program.parseAsync(commandLine(argv), { from: 'user' });
        return result;
      } catch (error) {
        return failed(error, argv.includes('--json'));
      }
    },
  };
}

/** `loqey` alone starts the server. A first word that is no command is a mistake, and answered with the nearest one. */
function commandLine(argv: readonly string[]): string[] {
  const other = (arg: string) => !arg.startsWith('-') || ['-h', '--help', '-V', '--version'].includes(arg);
  return argv.some(other) ? [...argv] : ['start', ...argv];
}

/** After a mistake, where help is: of the command or the group in which it was made. */
function pointToHelp(command: Command, path = command.name()): void {
  command.showHelpAfterError(`(help: ${path} --help)`);
  for (const each of command.commands) pointToHelp(each, `${path} ${each.name()}`);
}

/** In a list of commands: one phrase of many. */
function phrase(command: Command): string {
  const [first = ''] = (command.summary() || command.description()).split(/(?<=[.?]) (?=[A-Z(])/);
  return `${first.charAt(0).toLowerCase()}${first.slice(1).replace(/\.$/, '')}`;
}

/** In its own help. */
function sentence(command: Command): string {
  const text = command.description();
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.?)]$/.test(text) ? '' : '.'}`;
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It is a whole number, as show lists them.');
  return Number(text);
}

/** Aborted by Ctrl+C or SIGTERM; a second signal does not wait. */
function untilSignal(): AbortSignal {
  const ended = new AbortController();
  const onSignal = () => (ended.signal.aborted ? process.exit(exitCode.interrupted) : ended.abort());
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return ended.signal;
}

/** Runs until Ctrl+C or SIGTERM. A second signal does not wait. */
async function serve(context: CliContext, terminal: Terminal, verbose: boolean): Promise<number> {
  let running: Running | undefined;
  let asked = false;
  const askedToStop = new Promise<void>((resolve) => {
    const onSignal = () => {
      if (asked) {
        running?.abandon();
        process.exit(exitCode.interrupted);
      }
      asked = true;
      terminal.say('\nStopping… (again: at once)');
      resolve();
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
  running = await startServer({ ...context, verbose, terminal });
  // Asked while it started: what has started by then is stopped in order, so that nothing is left behind.
  const code = asked ? exitCode.interrupted : exitCode.ok;
  await askedToStop;
  try {
    await running.stop();
  } catch (error) {
    terminal.say(`✖ It did not stop cleanly: ${(error as Error).message}`);
    return exitCode.unexpected;
  }
  terminal.say('Stopped. Bye.');
  terminal.event('stopped', {});
  return code;
}

function failed(error: unknown, json: boolean): number {
  const code = (error as { exitCode?: number }).exitCode;
  // commander has printed its own words: help, version, usage.
  if ((error as { code?: string }).code?.startsWith('commander.') === true) return code === 0 ? exitCode.ok : exitCode.usage;
  if (error instanceof RemoteFailure) {
    const { message, hints, envelope } = error;
    if (json) process.stdout.write(`${JSON.stringify({ event: 'failed', exit_code: error.exitCode, ...(envelope ?? { error: 'failed', message }) })}\n`);
    process.stderr.write(`✖ ${message}\n${hints.map((hint) => `  ${hint}\n`).join('')}`);
    return error.exitCode;
  }
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
