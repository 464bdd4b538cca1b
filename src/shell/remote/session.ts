import { text } from 'node:stream/consumers';
import type { Terminal } from '../terminal.ts';
import { forgetSession, readSession, RemoteFailure, remoteExit, serverUrl, sessionFile, signIn, storeSession } from './client.ts';
import type { Job } from './command.ts';
import { details } from './words.ts';

export const login: Job<[email: string | undefined], { passwordStdin?: true }> = async ({ environ, url: given, terminal }, [asked], { passwordStdin }) => {
  const url = await serverUrl(environ, given);
  terminal.say(`Signing in at ${url}`);
  const email = asked ?? (await needed(terminal, terminal.ask('E-mail address: ')));
  const password = environ['LOQEY_PASSWORD'] ?? (passwordStdin === true ? (await text(process.stdin)).replace(/\r?\n$/, '') : await needed(terminal, terminal.askSecret('Password: ')));
  await storeSession(environ, await signIn(url, email, password));
  terminal.event('signed_in', { url, email });
  terminal.say(`Signed in as ${email}. The session is in ${sessionFile(environ)}.`);
  return 0;
};

async function needed(_terminal: Terminal, answer: Promise<string | undefined>): Promise<string> {
  const given = await answer;
  if (given === undefined || given === '') throw new RemoteFailure(remoteExit.usage, 'Nobody can be asked here.', ['loqey login <email> --password-stdin < file', 'or with LOQEY_PASSWORD in the environment']);
  return given;
}

export const logout: Job = async ({ environ, terminal, remote }) => {
  if ((await readSession(environ)) === undefined) {
    terminal.say('You are not signed in.');
    return 0;
  }
  try {
    await (await remote()).send('POST', '/auth/logout');
  } catch (error) {
    // The session ends here in any case; there it runs out by itself.
    if (!(error instanceof RemoteFailure)) throw error;
  }
  await forgetSession(environ);
  terminal.event('signed_out', {});
  terminal.say('Signed out.');
  return 0;
};

interface Me {
  readonly id: string;
  readonly email: string;
  readonly full_name: string;
  readonly role: string | null;
  readonly permissions: readonly string[];
}

export const whoami: Job = async ({ terminal, remote }) => {
  const api = await remote();
  const me = await api.get<Me>('/auth/me');
  terminal.event('account', { url: api.url, ...me });
  if (!terminal.json) {
    terminal.out(details([['E-mail', me.email], ['Name', me.full_name], ['Role', me.role], ['Granted besides', me.permissions.join(', ') || '-'], ['Id', me.id], ['Server', api.url]]));
  }
  return 0;
};
