import type { CommandBus, CommandContext, DeviceRegistration, Idempotency, UnlockService } from '../commands/port.ts';
import type { History } from '../audit/history/history.ts';
import type { StatesBeside } from '../audit/playback/states.ts';
import type { AdminRoles } from '../commands/admin-roles.ts';
import type { ErasureRecord, ErasureRequests } from '../commands/erasure.ts';
import type { Suspension } from '../commands/policies/suspension.ts';
import type { Instant, Refusal, Sealed, Uuid } from '../domain/kernel.ts';
import type { RefusalTarget } from '../domain/system/events.ts';
import type { SessionScope } from '../domain/user/events.ts';
import type { Clock } from '../platform/clock.ts';
import type { Json } from '../platform/event-store/port.ts';
import type { Logger } from '../platform/logger.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { RateLimiter } from '../platform/rate-limits.ts';
import type { Tracing } from '../platform/tracing.ts';
import type { Proofs } from '../projections/proof/proofs.ts';
import type { ProjectionAdmin } from '../projections/admin.ts';
import type { FreshReads } from '../projections/fresh-reads.ts';
import type { LiveFeed, Page, ReadModels } from '../projections/read-models.ts';
import type { ApiSettings } from './settings.ts';

/** Everything the API stands on. compose.ts gives the real ones, tests small fakes. */
export interface ApiDeps {
  readonly settings: ApiSettings;
  readonly bus: CommandBus;
  readonly unlocks: UnlockService;
  readonly registration: DeviceRegistration;
  readonly suspension: Suspension;
  readonly adminRoles: Pick<AdminRoles, 'grant' | 'revoke'>;
  readonly idempotency: Idempotency;
  readonly refusals: RefusalRecorder;
  readonly reads: ReadModels;
  readonly live: LiveFeed;
  /** Where `reads` wait for what was acknowledged. Default: they do not, and whoever writes waits. */
  readonly fresh?: Pick<FreshReads, 'acknowledged' | 'behind'>;
  readonly credentials: Credentials;
  readonly logins: Logins;
  readonly sealer: Opener;
  readonly devices: DeviceAdapter;
  readonly rejected: RejectedMessages;
  readonly health: () => Promise<HealthReport>;
  readonly proofs: Proofs;
  /** For one playback. */
  readonly statesBeside: () => StatesBeside;
  /** States of the past. */
  readonly history: Pick<History, 'at' | 'event'>;
  readonly jobs: JobBoard;
  readonly projections: ProjectionBoard;
  readonly inbox: Inbox;
  readonly erasures: Erasures;
  readonly boxHealth: BoxHealthCheck;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly system: () => Promise<SystemReport>;
  /** Identity of the log, for position tokens. */
  readonly logId: Uuid;
  /** Whether an error of the infrastructure is worth the same request again. */
  readonly isTransient: (error: unknown) => boolean;
  /** Default: none. */
  readonly tracing?: Tracing;
  /** Default: counted in this process alone. */
  readonly rateLimiter?: RateLimiter;
}

/** What is refused outside an aggregate's decision is recorded all the same. */
export interface RefusalRecorder {
  recordAs(command: string, target: RefusalTarget, refusal: Refusal, context: CommandContext): void;
}

export interface Opener {
  /** undefined: erased. */
  open<T extends Json>(sealed: Sealed, type: string, path: string): Promise<T | undefined>;
}

/** What is known of logins beside the accounts themselves. */
export interface Logins {
  readonly unknown: {
    /** Counts a login with an address that has no account; answers what an account would have answered. */
    refuse(email: string): Promise<Refusal>;
  };
  /** From where an account signed in lately. */
  readonly sources: {
    knows(userId: Uuid, network: string): Promise<boolean>;
    remember(userId: Uuid, network: string): Promise<void>;
  };
}

/** Passwords, sessions and the e-mail index: the parts of the vault that logins need. */
export interface Credentials {
  readonly passwords: {
    /** @throws TooBusy when the workers' queue is full */
    hash(password: string): Promise<string>;
    /** Takes as long without a stored hash as with one. */
    verify(password: string, hash: string | undefined): Promise<{ readonly matched: boolean; readonly rehash: boolean }>;
    hashOf(userId: Uuid): Promise<string | undefined>;
    store(userId: Uuid, hash: string): Promise<void>;
    remove(userId: Uuid): Promise<void>;
  };
  readonly emails: {
    /** The user whose address this is, or `userId`, who holds it from now on. */
    claim(email: string, userId: Uuid): Promise<Uuid>;
    /** Takes the address from `from`, for whom there is no user. False: somebody else has it by now. */
    adopt(email: string, from: Uuid, to: Uuid): Promise<boolean>;
    find(email: string): Promise<Uuid | undefined>;
  };
  readonly sessions: {
    issue(session: Session & { readonly userAgent?: string }): Promise<string>;
    rotate(refreshToken: string): Promise<Rotation>;
    /** Those of a user that have not ended, newest first. */
    list(userId: Uuid): Promise<readonly LiveSession[]>;
    /** From memory, at most a second old. */
    isLive(sessionId: Uuid): Promise<boolean>;
    end(sessionId: Uuid): Promise<void>;
    endAll(userId: Uuid): Promise<void>;
  };
}

export interface Session {
  readonly sessionId: Uuid;
  readonly userId: Uuid;
  readonly scope: SessionScope;
}

export interface LiveSession extends Session {
  readonly userAgent: string | undefined;
  readonly createdAt: Instant;
  /** When its tokens were last renewed. */
  readonly lastSeenAt: Instant;
}

export type Rotation =
  | { readonly kind: 'rotated'; readonly session: Session; readonly refreshToken: string }
  /** A token that was exchanged before came again: its family has ended. */
  | { readonly kind: 'reused'; readonly session: Session }
  | { readonly kind: 'invalid' };

/** Boxes that speak HTTP instead of MQTT. What they send is bytes: nothing here looks into them. */
export interface DeviceAdapter {
  /** Whether this is the box's own bearer, and the box in service. */
  authenticate(deviceId: Uuid, bearer: string, address: string | undefined): Promise<boolean>;
  report(deviceId: Uuid, kind: DeviceReportKind, payload: Buffer): Promise<DeviceReportOutcome>;
  /** Signed texts, or undefined where it asks too often. Waits for the first one, at most so long. */
  commands(deviceId: Uuid, waitMs: number, signal: AbortSignal): Promise<readonly string[] | undefined>;
  acknowledge(deviceId: Uuid, commandId: Uuid, answer: Buffer): Promise<Exclude<DeviceReportOutcome, 'taken'> | 'acknowledged' | 'not_found'>;
  endPolls(): void;
}

export type DeviceReportKind = 'status' | 'heartbeat' | 'battery' | 'responses';
export type DeviceReportOutcome = 'taken' | 'too_large' | 'too_many' | 'no_such_kind' | 'unavailable';

/** What had no effect, for administrators. */
export interface RejectedMessages {
  ofDevice(deviceId: Uuid): Promise<RejectedPage>;
  ofStrangers(): Promise<RejectedPage>;
}

export interface RejectedPage {
  readonly messages: readonly {
    readonly reason: string;
    readonly via: 'mqtt' | 'http';
    readonly topic: string | undefined;
    readonly field: string | undefined;
    readonly claimed: string | undefined;
    readonly address: string | undefined;
    readonly size: number;
    readonly sample: string;
    readonly receivedAt: Instant;
  }[];
  readonly counts: readonly { readonly reason: string; readonly messages: number; readonly lastAt: Instant }[];
}

export interface Erasures extends ErasureRequests {
  /** What is known of one once it is complete, or after `timeoutMs`. */
  awaited(erasureId: Uuid, timeoutMs: number): Promise<ErasureRecord | undefined>;
}

/** The read models: how far they are, and what is asked of them. */
export type ProjectionBoard = Pick<ProjectionAdmin, 'status' | 'ask' | 'cancel' | 'skip'>;

/** What runs around the clock, and asking for a run. */
export interface JobBoard {
  list(): Promise<readonly JobView[]>;
  /** Recorded. undefined: there is no such job · started false: a run waits or is under way already */
  run(name: string, context: CommandContext): Promise<{ readonly started: boolean } | undefined>;
}

export interface JobView {
  readonly name: string;
  readonly summary: string;
  readonly schedule: string | null;
  readonly state: 'idle' | 'waiting' | 'running' | 'retrying' | 'failed';
  readonly nextRun: Instant | null;
  readonly lastRun: { readonly startedAt: Instant; readonly finishedAt: Instant | null; readonly durationMs: number | null; readonly error: string | null } | null;
  readonly result: Readonly<Record<string, number | boolean | string>> | null;
  readonly succeededAt: Instant | null;
  readonly runs: number;
  readonly failures: number;
  readonly failuresInARow: number;
  readonly waiting: number;
  readonly givenUp: number;
}

/** What somebody was told, and how that person wants to be told. */
export interface Inbox {
  list(userId: Uuid, filter: { readonly unread: boolean }, page: Page): Promise<{ readonly rows: readonly InboxEntry[]; readonly total: number; readonly unread: number }>;
  /** False: this person has no such notification. */
  read(userId: Uuid, id: Uuid): Promise<boolean>;
  readAll(userId: Uuid): Promise<number>;
  settings(userId: Uuid, isAdmin: boolean): Promise<InboxSettings>;
  change(userId: Uuid, change: { readonly language?: 'en' | 'tr'; readonly timeZone?: string; readonly mail?: Readonly<Record<string, boolean>> }): Promise<void>;
}

export interface InboxEntry {
  readonly id: Uuid;
  readonly kind: string;
  readonly title: string;
  readonly text: string;
  readonly deviceId: Uuid | null;
  readonly linkId: Uuid | null;
  readonly unlockId: Uuid | null;
  readonly occurredAt: Instant;
  readonly readAt: Instant | null;
}

export interface InboxSettings {
  readonly language: 'en' | 'tr';
  readonly timeZone: string;
  readonly mail: Readonly<Record<string, boolean>>;
}

export interface BoxHealthCheck {
  /** Whether a box is heard of, looked at now. undefined: there is no such box */
  one(deviceId: Uuid): Promise<{ readonly online: boolean; readonly lastHeardAt: string | undefined; readonly wentOffline: boolean } | undefined>;
}

export interface HealthReport {
  /** False: this process should get no traffic. */
  readonly ready: boolean;
  /** It finishes what it has and takes nothing new. */
  readonly stopping?: boolean;
  readonly parts: Readonly<Record<HealthPart, PartHealth>>;
  /** Projections by name: events behind the log's end. */
  readonly lag: Readonly<Record<string, number>>;
}

/** What is measured when an administrator looks: it asks each dependency anew. */
export interface SystemReport {
  /** Milliseconds to an answer; undefined where there was none, and where there is nobody to ask. */
  readonly responseMs: Readonly<Record<'database' | 'event_store' | 'relay' | 'mqtt', number | undefined>>;
  readonly readModels: readonly ReadModelHealth[];
}

export interface ReadModelHealth {
  readonly name: string;
  readonly state: 'running' | 'catching_up' | 'stopped';
  /** Positions of the log that it has not seen. */
  readonly behind: number;
  readonly lastEventAt: string | null;
  readonly error: string | null;
}

export type HealthPart = 'database' | 'event_store' | 'relay' | 'mqtt' | 'projections' | 'worker';

export interface PartHealth {
  readonly state: 'healthy' | 'degraded' | 'down' | 'not_here';
  /** What is wrong and since when, in one sentence. */
  readonly detail?: string;
}
