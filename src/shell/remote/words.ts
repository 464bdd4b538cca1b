import type { Terminal } from '../terminal.ts';
import { RemoteFailure, remoteExit } from './client.ts';

/** `4 s ago`, `3 h ago`; `-` for never. */
export function ago(instant: string | null | undefined, nowMs = Date.now()): string {
  if (instant == null) return '-';
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(instant)) / 1_000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** `2026-11-21 14:02:11` in UTC. */
export function moment(instant: string | null | undefined): string {
  return instant == null ? '-' : instant.slice(0, 19).replace('T', ' ');
}

export const day = (instant: string | null | undefined): string => (instant == null ? '-' : instant.slice(0, 10));

/** Names in front, values behind. */
export function details(rows: readonly (readonly [name: string, value: string | number | null | undefined])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value ?? '-'}`).join('\n');
}

/** Says what will happen, and goes on only when it is wanted. */
export async function agreed(terminal: Terminal, impact: string, yes: boolean): Promise<boolean> {
  if (yes) return true;
  const answer = await terminal.ask('Go on? (y/N) ', impact);
  if (answer === undefined) throw new RemoteFailure(remoteExit.usage, `${impact} Nobody can be asked here.`, ['Without a question: the same with --yes']);
  if (/^y(es)?$/i.test(answer)) return true;
  terminal.say('Nothing was changed.');
  return false;
}

export function shown(count: number, total: number, what: string): string {
  const things = total === 1 ? what : what === 'box' ? 'boxes' : `${what}s`;
  return count === total ? `${total.toLocaleString('en')} ${things}` : `${count.toLocaleString('en')} of ${total.toLocaleString('en')} ${things}`;
}
