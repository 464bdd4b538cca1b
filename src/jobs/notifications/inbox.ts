import type { Instant, Uuid } from '../../domain/kernel.ts';
import type { Page, ReadModels } from '../../projections/read-models.ts';
import { alwaysMailed, isMailed, kinds, type Kind, type Language, type MailSwitches } from './kinds.ts';
import type { NotificationStore } from './store.ts';
import { tell } from './telling.ts';

export interface InboxEntry {
  readonly id: Uuid;
  readonly kind: Kind;
  readonly title: string;
  readonly text: string;
  readonly deviceId: Uuid | null;
  readonly linkId: Uuid | null;
  readonly unlockId: Uuid | null;
  readonly occurredAt: Instant;
  readonly readAt: Instant | null;
}

export interface InboxSettings {
  readonly language: Language;
  readonly timeZone: string;
  /** Every kind that this person may be told of. */
  readonly mail: Readonly<Partial<Record<Kind, boolean>>>;
}

/** What one person was told, and how that person wants to be told. */
export interface Inbox {
  list(userId: Uuid, filter: { readonly unread: boolean }, page: Page): Promise<{ readonly rows: readonly InboxEntry[]; readonly total: number; readonly unread: number }>;
  /** False: this person has no such notification. */
  read(userId: Uuid, id: Uuid): Promise<boolean>;
  readAll(userId: Uuid): Promise<number>;
  settings(userId: Uuid, isAdmin: boolean): Promise<InboxSettings>;
  /** Only what is given changes. */
  change(userId: Uuid, change: { readonly language?: Language; readonly timeZone?: string; readonly mail?: MailSwitches }): Promise<void>;
}

export function createInbox({ store, reads }: { readonly store: NotificationStore; readonly reads: Pick<ReadModels, 'devices' | 'links' | 'people'> }): Inbox {
  const idIn = (facts: Readonly<Record<string, unknown>>, name: string): Uuid | null => (typeof facts[name] === 'string' ? facts[name] : null);
  return {
    async list(userId, filter, page) {
      const { rows, total, unread } = await store.list(userId, filter, page);
      const said = await tell(rows, await store.settings(userId), reads);
      return {
        rows: rows.map(({ id, kind, deviceId, facts, occurredAt, readAt }, index) => {
          const { title = '', text = '' } = said[index] ?? {};
          return { id, kind, title, text, deviceId, linkId: idIn(facts, 'link_id'), unlockId: idIn(facts, 'unlock_id'), occurredAt, readAt };
        }),
        total,
        unread,
      };
    },
    read: (userId, id) => store.markRead(userId, id),
    readAll: (userId) => store.markAllRead(userId),
    async settings(userId, isAdmin) {
      const { language, timeZone, mail } = await store.settings(userId);
      const offered = kinds.filter((kind) => isAdmin || !kind.startsWith('admin_'));
      return { language, timeZone, mail: Object.fromEntries(offered.map((kind) => [kind, isMailed(kind, mail)])) };
    },
    async change(userId, { language, timeZone, mail = {} }) {
      const before = await store.settings(userId);
      const switches = Object.fromEntries(Object.entries(mail).filter(([kind]) => !alwaysMailed.has(kind as Kind)));
      await store.saveSettings(userId, { language: language ?? before.language, timeZone: timeZone ?? before.timeZone, mail: { ...before.mail, ...switches } });
    },
  };
}
