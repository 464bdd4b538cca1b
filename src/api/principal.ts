import type { Uuid } from '../domain/kernel.ts';
import type { AdminRole, SessionScope } from '../domain/user/events.ts';
import type { LinkRow } from '../projections/read-models.ts';

/** On whose behalf a request is. */
export type Principal = NoPrincipal | AccountPrincipal | CourierPrincipal | DevicePrincipal;

export interface NoPrincipal {
  readonly kind: 'none';
}

export interface AccountPrincipal {
  readonly kind: 'account';
  readonly userId: Uuid;
  readonly sessionId: Uuid;
  readonly scope: SessionScope;
  readonly role: AdminRole | null;
  /** Empty in a user's session, also an administrator's. */
  readonly permissions: ReadonlySet<string>;
  /** Seconds since the epoch at which the access token ends. */
  readonly expiresAt: number;
}

export interface CourierPrincipal {
  readonly kind: 'courier';
  readonly link: LinkRow;
}

/** A box, by its own key. What it says is proven by its signature, not by this. */
export interface DevicePrincipal {
  readonly kind: 'device';
  readonly deviceId: Uuid;
}

export const nobody: NoPrincipal = { kind: 'none' };
