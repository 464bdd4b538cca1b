import type { Command, Option } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

interface Word {
  readonly word: string;
  readonly about: string;
}

interface Flag extends Word {
  readonly names: readonly string[];
  /** What comes after it: nothing, a file, one of these words, or something that nobody knows beforehand. */
  readonly takes: 'nothing' | 'file' | 'anything' | readonly string[];
}

/** One place in the tree: `device list` is ` device list`, the top is empty. */
interface Place {
  readonly at: string;
  /** Other ways to say the same. */
  readonly otherwise: readonly string[];
  readonly commands: readonly Word[];
  readonly flags: readonly Flag[];
  /** Of its first argument, where they are known. */
  readonly choices: readonly string[];
  readonly files: boolean;
}

/** What a shell offers after Tab: the words of this tree. It asks no server. */
export function completionScript(shell: Shell, program: Command): string {
  return { bash, zsh, fish }[shell](places(program));
}

function places(command: Command, at = '', otherwise: readonly string[] = [], above: readonly Option[] = []): readonly Place[] {
  const help = command.createHelp();
  const children = command.commands.filter((child) => child.name() !== 'help');
  const argument = command.registeredArguments[0];
  const flags = [...help.visibleOptions(command), ...above].map(flagOf);
  return [
    {
      at,
      otherwise,
      commands: children.map((child) => ({ word: child.name(), about: help.subcommandDescription(child) })),
      flags,
      choices: argument?.argChoices ?? [],
      files: argument !== undefined && isFile(argument.name()),
    },
    ...children.flatMap((child) =>
      places(
        child,
        `${at} ${child.name()}`,
        child.aliases().map((alias) => `${at} ${alias}`),
        [...above, ...command.options.filter((option) => option.long !== '--version')],
      ),
    ),
  ];
}

function flagOf(option: Option): Flag {
  const names = [option.short, option.long].filter((name) => name !== undefined);
  const value = /[<[]([^>\].]+)/.exec(option.flags)?.[1];
  const takes = value === undefined ? 'nothing' : (option.argChoices ?? (isFile(value) ? 'file' : 'anything'));
  return { word: option.long ?? option.short ?? '', names, about: option.description, takes };
}

const isFile = (argument: string): boolean => argument === 'file' || argument === 'csv';

/** `'a'|'b'`, as `case` of bash and zsh takes them. */
const either = (patterns: readonly string[]) => patterns.map((pattern) => `'${pattern}'`).join('|');

/** Lines of the `case` that walks down the tree, one word at a time. */
function walk(all: readonly Place[]): string {
  return all.flatMap(({ at, otherwise }) => (at === '' ? [] : [`      ${either([at, ...otherwise])}) at='${at}' ;;`])).join('\n');
}

const after = ({ at }: Place, { names }: Flag) => names.map((name) => `${at} ${name}`);

/** Flags with a value, by what they take: one line for all that take the same. */
function values(all: readonly Place[]): readonly { readonly takes: Flag['takes']; readonly patterns: readonly string[] }[] {
  const found = new Map<string, { takes: Flag['takes']; patterns: string[] }>();
  for (const place of all) {
    for (const flag of place.flags.filter(({ takes }) => takes !== 'nothing')) {
      const key = [flag.takes].flat().join(' ');
      const line = found.get(key) ?? { takes: flag.takes, patterns: [] };
      line.patterns.push(...after(place, flag));
      found.set(key, line);
    }
  }
  return [...found.values()];
}

/** For the bash of macOS too, which is of 2007. */
function bash(all: readonly Place[]): string {
  const offer = (words: readonly string[]) => `COMPREPLY=($(compgen -W '${words.join(' ')}' -- "$word"))`;
  return `# loqey in bash. In ~/.bashrc: eval "$(loqey completion bash)"
_loqey() {
  local word=\${COMP_WORDS[COMP_CWORD]} at= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$at \${COMP_WORDS[i]}" in
${walk(all)}
    esac
  done
  case "$at \${COMP_WORDS[COMP_CWORD-1]}" in
${values(all)
  .map(({ takes, patterns }) => `    ${either(patterns)}) ${takes === 'file' ? 'return' : typeof takes === 'string' ? 'compopt +o default 2>/dev/null; return' : `${offer(takes)}; return`} ;;`)
  .join('\n')}
  esac
  if [[ $word == -* ]]; then
    case "$at" in
${all.map(({ at, flags }) => `      '${at}') ${offer(flags.map(({ word }) => word))} ;;`).join('\n')}
    esac
    return
  fi
  case "$at" in
${all.map(({ at, commands, choices, files }) => `    '${at}') ${files ? 'return' : offer([...commands.map(({ word }) => word), ...choices])} ;;`).join('\n')}
  esac
  compopt +o default 2>/dev/null
}
complete -o default -F _loqey loqey`;
}

function zsh(all: readonly Place[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const described = (words: readonly Word[]) => words.map(({ word, about }) => quoted(`${word.replaceAll(':', '\\:')}:${about}`)).join(' ');
  return `#compdef loqey
# loqey in zsh. In ~/.zshrc, after compinit: eval "$(loqey completion zsh)"
_loqey() {
  local at= i
  local -a found
  for ((i = 2; i < CURRENT; i++)); do
    case "$at \${words[i]}" in
${walk(all)}
    esac
  done
  case "$at \${words[CURRENT-1]}" in
${values(all)
  .map(({ takes, patterns }) => `    ${either(patterns)}) ${takes === 'file' ? '_files' : typeof takes === 'string' ? '_message value' : `compadd -- ${takes.join(' ')}`}; return ;;`)
  .join('\n')}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then
    case "$at" in
${all.map(({ at, flags }) => `      '${at}') found=(${described(flags)}) ;;`).join('\n')}
    esac
    _describe -o option found
    return
  fi
  case "$at" in
${all.map(({ at, commands, choices, files }) => `    '${at}') ${files ? '_files; return' : `found=(${described([...commands, ...choices.map((word) => ({ word, about: '' }))])})`} ;;`).join('\n')}
  esac
  _describe command found
}
if [[ \${funcstack[1]} == _loqey ]]; then
  _loqey "$@"
else
  compdef _loqey loqey
fi`;
}

function fish(all: readonly Place[]): string {
  const quoted = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const offered = (place: Place): readonly string[] => {
    const here = `complete -c loqey -n ${quoted(`__loqey_at '${place.at}'`)}`;
    return [
      ...place.commands.map(({ word, about }) => `${here} -a ${word} -d ${quoted(about)}`),
      ...(place.choices.length === 0 ? [] : [`${here} -a ${quoted(place.choices.join(' '))}`]),
      ...(place.files ? [`${here} -F`] : []),
      ...place.flags.map(({ names, takes, about }) => {
        const named = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)).join(' ');
        const value = takes === 'nothing' ? '' : takes === 'file' ? ' -rF' : takes === 'anything' ? ' -x' : ` -xa ${quoted(takes.join(' '))}`;
        return `${here} ${named}${value} -d ${quoted(about)}`;
      }),
    ];
  };
  return `# loqey in fish. In ~/.config/fish/config.fish: loqey completion fish | source
function __loqey_at
    set -l at ''
    for word in (commandline -opc)
        switch "$at $word"
${all.flatMap(({ at, otherwise }) => (at === '' ? [] : [`            case ${[at, ...otherwise].map(quoted).join(' ')}\n                set at ${quoted(at)}`])).join('\n')}
        end
    end
    test "$at" = "$argv[1]"
end
complete -c loqey -f
${all.flatMap(offered).join('\n')}`;
}
