import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { shells, type Shell } from '../../src/shell/completion.ts';

/** What the command line prints for a shell, tried in that shell. */
const scripts = Object.fromEntries(
  shells.map((shell) => [shell, execFileSync(process.execPath, [join(import.meta.dirname, '../../src/loqey.js'), 'completion', shell], { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '' } })]),
) as Record<Shell, string>;

/** The last word is the one that Tab is pressed at. */
const asked: readonly (readonly [words: readonly string[], offered: readonly string[]])[] = [
  [['dev'], ['device']],
  [['--json', 'anal'], ['analytics']],
  [['device', 're'], ['register', 'rejected', 'reprovision']],
  [['device', 'ls', '--status', 'a'], ['available', 'assigned', 'active']],
  [['device', 'ls', '--st'], ['--status']],
  [['audit', 'list', '--device', 'device', '--outcome', ''], ['accepted', 'refused', 'failed']],
  [['unlock', 'trace', '--u'], ['--url']],
  [['completion', ''], ['bash', 'zsh', 'fish']],
  [['device', 'show', ''], []],
  [['device', 'list', '--search', ''], []],
];

const missing = (shell: Shell) => (spawnSync(shell, ['-c', 'true']).status === 0 ? undefined : `${shell} is not here`);

function describeIn(shell: Shell, tests: () => void): void {
  const absent = missing(shell);
  if (absent !== undefined) process.stdout.write(`skipped: what ${shell} offers: ${absent}\n`);
  describe.skipIf(absent !== undefined)(`what ${shell} offers`, tests);
}

describeIn('bash', () => {
  const offers = (words: readonly string[]) => {
    const ask = `${scripts.bash}\nCOMP_WORDS=(loqey "$@"); COMP_CWORD=$#; _loqey 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return execFileSync('bash', ['--norc', '-c', ask, 'bash', ...words], { encoding: 'utf8' }).split('\n').filter(Boolean);
  };
  it.each(asked)('after %j', (words, offered) => {
    expect(offers(words)).toEqual(offered);
  });
});

describeIn('zsh', () => {
  // Its own functions choose by the beginning of the word, and need a screen.
  const stubs = 'compdef() { : }; _files() { : }; _message() { : }; compadd() { shift; print -l -- "$@" }; _describe() { [[ $1 == -o ]] && shift; print -l -- "${(P@)2}" }';
  const offers = (words: readonly string[]) => {
    const offered = execFileSync('zsh', ['-f', '-c', `${stubs}\n${scripts.zsh}\nwords=(loqey "$@"); CURRENT=\${#words}; _loqey`, 'zsh', ...words], { encoding: 'utf8' });
    return offered.split('\n').flatMap((line) => (line.startsWith(words.at(-1) ?? '') && line !== '' ? [line.split(':')[0]] : []));
  };
  it.each(asked)('after %j', (words, offered) => {
    expect(offers(words)).toEqual(offered);
  });
});

describeIn('fish', () => {
  const offers = (words: readonly string[]) => {
    const offered = execFileSync('fish', ['--no-config', '-c', `${scripts.fish}\ncomplete -C ${JSON.stringify(['loqey', ...words].join(' '))}`], { encoding: 'utf8' });
    return offered.split('\n').flatMap((line) => (line === '' ? [] : [line.split('\t')[0]]));
  };
  it.each(asked)('after %j', (words, offered) => {
    expect(new Set(offers(words))).toEqual(new Set(offered));
  });
});

describe('a script for a shell', () => {
  it('knows every command that the help names', () => {
    for (const command of ['start', 'simulate', 'jobs run', 'device reprovision', 'audit verify', 'admin create', 'admin grant', 'config print', 'system health', 'completion']) {
      for (const shell of shells) expect(scripts[shell]).toContain(`' ${command}'`);
    }
  });
});
