import type { LRUCache } from 'lru-cache';
import type { Uuid } from '../domain/kernel.ts';
import type { AdminRole } from '../domain/user/events.ts';
import { boundedCache } from '../platform/bounded-cache.ts';
import type { Clock } from '../platform/clock.ts';
import type { LiveFeed, UserQueries } from '../projections/read-models.ts';
import { forbidden, unauthorized, unavailable } from './errors.ts';
import { permissionsOf } from './permissions.ts';
import type { Credentials } from './ports.ts';
import type { AccountPrincipal } from './principal.ts';
import type { Claims } from './tokens.ts';

interface Standing {
  readonly found: boolean;
  readonly suspended: boolean;
  readonly erased: boolean;
  readonly version: number;
  readonly role: AdminRole | null;
  readonly permissions: ReadonlySet<string>;
  readonly readAt: number;
}

interface Entry {
  /** Counts what was heard of this user: a read that began before the last word is read again. */
  heard: number;
  standing: Standing | undefined;
  loading: Promise<Standing> | undefined;
  readonly forget: () => void;
}

const MAX_USERS = 10_000;
/** A word that got lost on the way is made good after so long. */
const MAX_AGE_MS = 30_000;
/** So long after a registration its row may still be on the way to the read models. */
const SETTLING_SECONDS = 10;

/** News of a user's boxes and links, on the same topic: they say nothing of the user. */
const ofThings: ReadonlySet<string> = new Set(['status_update', 'link_update', 'links_revoked', 'unlock_progress', 'alert', 'settings_update']);

const noPermissions: ReadonlySet<string> = new Set();

/**
 * Whether a token that is genuine is still good: suspension, role, password and session can change while it lives. Each
 * user's standing is kept in memory and read again after any change that the live feed tells, from whichever process;
 * the vault answers for sessions, from memory too.
 */
export class AccessGate {
  private readonly users: UserQueries;
  private readonly sessions: Pick<Credentials['sessions'], 'isLive'>;
  private readonly live: LiveFeed;
  private readonly clock: Clock;
  private readonly entries: LRUCache<Uuid, Entry>;

  constructor(deps: {
    readonly users: UserQueries;
    readonly sessions: Pick<Credentials['sessions'], 'isLive'>;
    readonly live: LiveFeed;
    readonly clock: Clock;
  }) {
    this.users = deps.users;
    this.sessions = deps.sessions;
    this.live = deps.live;
    this.clock = deps.clock;
    this.entries = boundedCache<Uuid, Entry>({ max: MAX_USERS, dispose: (entry) => entry.forget() });
  }

  /** @throws ApiError 401 ended or outdated · 403 suspended · 503 not known yet */
  async admit(claims: Claims): Promise<AccountPrincipal> {
    const standing = this.current(claims.userId) ?? (await this.read(claims.userId));
    const { userId, sessionId, scope, expiresAt } = claims;
    if (!standing.found) {
      if (this.clock.now() / 1_000 - claims.issuedAt > SETTLING_SECONDS) throw unavailable('The service is catching up. Try again');
      if (scope === 'admin') throw unauthorized();
      return { kind: 'account', userId, sessionId, scope, role: null, permissions: noPermissions, expiresAt };
    }
    if (standing.erased) throw unauthorized();
    if (standing.suspended) throw forbidden('User account is suspended');
    if (standing.version > claims.version) throw unauthorized();
    if (!(await this.sessions.isLive(sessionId))) throw unauthorized();
    if (scope === 'admin' && standing.role === null) throw unauthorized();
    return { kind: 'account', userId, sessionId, scope, role: standing.role, permissions: scope === 'admin' ? standing.permissions : noPermissions, expiresAt };
  }

  /** What this process itself just changed need not wait for the feed. */
  forget(userId: Uuid): void {
    const entry = this.entries.get(userId);
    if (entry === undefined) return;
    entry.heard++;
    entry.standing = undefined;
  }

  stop(): void {
    this.entries.clear();
  }

  private current(userId: Uuid): Standing | undefined {
    const standing = this.entries.get(userId)?.standing;
    return standing !== undefined && this.clock.now() - standing.readAt < MAX_AGE_MS ? standing : undefined;
  }

  private async read(userId: Uuid): Promise<Standing> {
    let entry = this.entries.get(userId);
    if (entry === undefined) {
      // Listening starts before the first read: nothing falls between the two.
      const forget = this.live.on(`user:${userId}`, ({ type }) => {
        if (!ofThings.has(type)) this.forget(userId);
      });
      entry = { heard: 0, standing: undefined, loading: undefined, forget };
      this.entries.set(userId, entry);
    }
    const reading = entry;
    reading.loading ??= this.load(userId, reading).finally(() => {
      reading.loading = undefined;
    });
    return reading.loading;
  }

  private async load(userId: Uuid, entry: Entry): Promise<Standing> {
    for (let attempt = 0; ; attempt++) {
      const heard = entry.heard;
      const readAt = this.clock.now();
      const row = await this.users.byId(userId);
      const standing: Standing = {
        found: row !== undefined,
        suspended: row?.suspended ?? false,
        erased: row?.erased ?? false,
        version: row?.accessVersion ?? 0,
        role: row?.adminRole ?? null,
        permissions: permissionsOf(row?.adminRole ?? null, row?.permissions ?? []),
        readAt,
      };
      if (heard !== entry.heard && attempt < 3) continue;
      // Not kept where it may already be old, or where there is nothing yet to keep.
      if (heard === entry.heard && standing.found) entry.standing = standing;
      return standing;
    }
  }
}
