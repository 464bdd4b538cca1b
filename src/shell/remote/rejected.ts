import { table } from '../terminal.ts';
import type { Job } from './command.ts';
import { theDevice } from './devices.ts';
import { moment } from './words.ts';

interface Rejected {
  readonly received_at: string;
  readonly reason: string;
  readonly via: string;
  readonly topic: string | null;
  readonly field: string | null;
  readonly size: number;
  readonly sample: string;
  /** Of strangers alone. */
  readonly claimed?: string | null;
  readonly address?: string | null;
}

interface Page {
  readonly counts: readonly { readonly reason: string; readonly count: number; readonly last_at: string }[];
  readonly messages: readonly Rejected[];
}

export const rejected: Job<[device: string | undefined]> = async ({ terminal, remote }, [named]) => {
  const api = await remote();
  const device = named === undefined ? undefined : await theDevice(api, named);
  const { counts, messages } = await api.get<Page>(device === undefined ? '/admin/rejected-messages' : `/admin/devices/${device.id}/rejected-messages`);
  for (const message of [...messages].reverse()) terminal.event('rejected', { ...message });
  for (const count of counts) terminal.event('rejected_count', { ...count });
  if (terminal.json) return 0;
  if (messages.length > 0) {
    const ofStrangers = device === undefined;
    const head = ['TIME (UTC)', 'REASON', 'VIA', 'ABOUT', ...(ofStrangers ? ['CALLS ITSELF', 'FROM'] : []), 'BYTES', 'BEGINS WITH'];
    // The newest at the end, where the eye is.
    const cells = [...messages].reverse().map((message) => [
      moment(message.received_at).slice(5),
      message.reason,
      message.via,
      harmless(message.field ?? message.topic),
      ...(ofStrangers ? [harmless(message.claimed), harmless(message.address)] : []),
      message.size,
      harmless(message.sample),
    ]);
    terminal.out(table(head, cells, { columns: terminal.columns, flexible: ofStrangers ? [3, 4, 5, 7] : [3, 5], lastly: [1] }));
    terminal.out(`\n${table(['REASON', 'IN ALL', 'LAST (UTC)'], counts.map(({ reason, count, last_at: last }) => [reason, count, moment(last).slice(5)]))}`);
  }
  const total = counts.reduce((sum, { count }) => sum + count, 0);
  terminal.say(total === 0 ? `Nothing of ${device?.serial_number ?? 'strangers'} was rejected.` : `The last ${messages.length} of ${total.toLocaleString('en')} are shown.`);
  return 0;
};

/** Whoever sent it chose each character: none of them moves the cursor or changes what is on the screen. */
function harmless(text: string | null | undefined): string {
  return text == null || text === '' ? '-' : text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '·');
}
