import { Help, Option, type Command } from 'commander';
import type { Terminal } from '../terminal.ts';
import { openRemote, type Remote } from './client.ts';

/** What a command of an administrator works with. */
export interface JobContext {
  readonly environ: Readonly<Record<string, string | undefined>>;
  readonly url: string | undefined;
  readonly terminal: Terminal;
  /** Signed in, or a RemoteFailure that says how to. */
  readonly remote: () => Promise<Remote>;
}

/** Answers its exit code. */
export type Job<Args extends readonly unknown[] = readonly [], Options extends object = object> = (context: JobContext, args: Args, options: Options) => Promise<number>;

export interface CommandSpec {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly purpose: string;
  readonly args?: readonly (readonly [spec: string, text: string])[];
  readonly options?: readonly (readonly [flags: string, text: string, choices?: readonly string[]])[];
  /** Options that it cannot do without. */
  readonly needs?: readonly (readonly [flags: string, text: string])[];
  /** Two or three, without `loqey`. */
  readonly examples: readonly string[];
  readonly run: (context: JobContext, args: never, options: never) => Promise<number>;
}

/** Purpose, examples, then flags: in this order a person looks for them. */
export function addCommand(parent: Command, spec: CommandSpec, contextOf: (self: Command) => Omit<JobContext, 'url' | 'remote'>, done: (code: number) => void): void {
  const command = parent.command(spec.name).description(spec.purpose);
  for (const alias of spec.aliases ?? []) command.alias(alias);
  for (const [argument, text] of spec.args ?? []) command.argument(argument, text);
  for (const [flags, text] of spec.needs ?? []) command.requiredOption(flags, text);
  for (const [flags, text, choices] of spec.options ?? []) {
    const option = new Option(flags, text);
    if (choices !== undefined) option.choices([...choices]);
    command.addOption(option);
  }
  command.option('--url <url>', 'of the server; else LOQEY_URL, the one signed in to, or the one of this folder');
  command.configureHelp({
    showGlobalOptions: true,
    formatHelp(self, helper) {
      const [usage = '', purpose = '', ...rest] = new Help().formatHelp(self, helper).split('\n\n');
      return [usage, purpose, ['Examples:', ...spec.examples.map((example) => `  loqey ${example}`)].join('\n'), ...rest].join('\n\n');
    },
  });
  command.action(async (...given: unknown[]) => {
    const self = given.at(-1) as Command;
    const { url, ...options } = given.at(-2) as { url?: string };
    const context = contextOf(self);
    const remote = () => openRemote(context.environ, url);
    done(await (spec.run as Job<readonly unknown[]>)({ ...context, url, remote }, given.slice(0, -2), options));
  });
}
