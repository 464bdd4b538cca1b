import { setPriority } from 'node:os';
import { compareSync, hashSync } from 'bcryptjs';

// On Linux this is the thread's own priority: a login never takes the core from an unlock.
if (process.platform === 'linux') setPriority(10);

export type PasswordTask =
  | { readonly kind: 'hash'; readonly password: string; readonly rounds: number }
  | { readonly kind: 'compare'; readonly password: string; readonly hash: string };

export default function run(task: PasswordTask): string | boolean {
  return task.kind === 'hash' ? hashSync(task.password, task.rounds) : compareSync(task.password, task.hash);
}
