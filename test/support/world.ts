import { createSuspension } from '../../src/commands/policies/suspension.ts';
import type { ApiDeps, DeviceReportOutcome, HealthReport, SystemReport, RejectedPage, Session } from '../../src/api/ports.ts';
import { defaultRateLimits, type ApiSettings } from '../../src/api/settings.ts';
import type { ErasureRecord } from '../../src/commands/erasure.ts';
import { commandIdOfKey } from '../../src/commands/command-ids.ts';
import type { AnyCommand, CommandContext, CommandOutcome, UnlockAsk, UnlockProgress, UnlockReply } from '../../src/commands/port.ts';
import type { DomainEvent, Recorded } from '../../src/domain/events.ts';
import type { InFlightUnlock } from '../../src/domain/device/commands.ts';
import type { Actor, Refusal, Sealed } from '../../src/domain/kernel.ts';
import type { RefusalTarget } from '../../src/domain/system/events.ts';
import type { LoginState } from '../../src/domain/user/state.ts';
import { noLogins, refuseUnknown } from '../../src/domain/user/user.ts';
import { instant, type Clock } from '../../src/platform/clock.ts';
import { deviceIdOfSerial, eventIdOf, newId } from '../../src/platform/ids.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import type {
  ActivityFilter,
  ActivityRow,
  AuditFilter,
  AuditRow,
  DeliveryRow,
  DeliveryStatistics,
  DeviceFilter,
  DeviceRow,
  LinkRow,
  LiveChange,
  LiveFeed,
  Page,
  Paged,
  PersonalRow,
  PlaceInTime,
  ReadModels,
  UnlockRow,
  UserRow,
} from '../../src/projections/read-models.ts';
import { createStatesBeside } from '../../src/audit/playback/states.ts';
import { historyOver } from '../audit/history/support.ts';
import { aroundTheClock } from './inbox.ts';
import { createMemoryStore } from './memory-store.ts';
import { projectionBoard } from './projection-board.ts';

export const NOW = Date.parse('2026-11-21T10:00:00.000Z');
export const LOG_ID = '11111111-1111-4111-8111-111111111111';

export const apiSettings: ApiSettings = {
  production: true,
  name: 'Loqey Backend API',
  version: '1.0.0',
  frontendUrl: 'https://app.loqey.com',
  corsOrigins: ['https://app.loqey.com'],
  allowedHosts: ['localhost', '127.0.0.1'],
  level0: 'full',
  trustedProxies: { hops: 0 },
  metrics: 'open',
  tokens: { keys: [{ kid: 'one', secret: 'a secret of at least thirty-two bytes' }], issuer: 'loqey', audiences: { user: 'loqey-api', admin: 'loqey-admin' }, accessSeconds: 1_800 },
  links: { defaultHours: 24, maxHours: 168 },
  timeZone: 'UTC',
  backupDays: 30,
  rateLimits: { ...defaultRateLimits, enabled: false },
  readYourWritesMs: 250,
  inFlightWaitMs: 2_000,
};

/** Everything that stands behind the API, in memory: rows to put, outcomes to script, commands to look at. */
export class World {
  now = NOW;
  readonly devices = new Map<string, DeviceRow>();
  readonly links = new Map<string, LinkRow>();
  readonly deliveries = new Map<string, DeliveryRow>();
  readonly unlocks = new Map<string, UnlockRow>();
  readonly users = new Map<string, UserRow>();
  readonly personal: (PersonalRow & { readonly subject: string })[] = [];
  readonly audit: AuditRow[] = [];
  readonly activity: (ActivityRow & { readonly ownerId?: string })[] = [];
  statistics: DeliveryStatistics = { days: [], hours: [] };
  readonly fleetAsked: DeviceFilter[] = [];
  readonly auditAsked: AuditFilter[] = [];
  readonly statisticsAsked: [from: string, to: string, timeZone: string][] = [];
  readonly commands: { readonly command: AnyCommand; readonly context: CommandContext }[] = [];
  readonly asked: { readonly ask: UnlockAsk; readonly context: CommandContext; readonly until: string }[] = [];
  readonly refusals: { readonly command: string; readonly target: RefusalTarget; readonly refusal: Refusal; readonly actor: Actor }[] = [];
  readonly passwords = new Map<string, string>();
  /** What boxes without MQTT sign in with, said, and fetch. */
  readonly deviceKeys = new Map<string, string>();
  readonly deviceReports: { readonly deviceId: string; readonly kind: string; readonly payload: Buffer }[] = [];
  readonly deviceCommands = new Map<string, readonly string[]>();
  deviceOutcome: DeviceReportOutcome = 'taken';
  rejected: RejectedPage = { messages: [], counts: [] };
  readonly emails = new Map<string, string>();
  readonly sessions = new Map<string, Session & { live: boolean }>();
  readonly refreshTokens = new Map<string, { readonly session: Session; used: boolean }>();
  /** `user|network` of logins that succeeded. */
  readonly sources = new Set<string>();
  readonly keys = new Map<string, { readonly hash: string; readonly commandId: string }>();
  readonly carriedOut = new Map<string, Recorded<DomainEvent>[]>();
  readonly erased = new Map<string, ErasureRecord>();
  /** Of erasures; null: they are under way. */
  receipt: unknown = null;
  /** What was appended: states of the past are folded from it. */
  readonly log = createMemoryStore(() => this.now);
  /** What the bus says instead of accepting. */
  refuse: Partial<Record<AnyCommand['type'], Refusal>> = {};
  /** What the bus or another port throws. */
  throws: Error | undefined;
  unlock: UnlockReply | undefined;
  inFlight: InFlightUnlock | undefined;
  registerRefusal: Refusal | undefined;
  registerThrows: Error | undefined;
  registerWaits: Promise<void> | undefined;
  /** Serial number and command id of each. */
  readonly registrations: string[] = [];
  reached = true;
  /** What happens while somebody waits for the read models to have all that the log has. */
  catchUp: () => boolean = () => this.reached;
  /** Reads of `users.byId`: what a cached standing saves. */
  userReads = 0;
  health: HealthReport = {
    ready: true,
    parts: {
      database: { state: 'healthy' },
      event_store: { state: 'healthy' },
      relay: { state: 'healthy' },
      mqtt: { state: 'healthy' },
      projections: { state: 'healthy' },
      worker: { state: 'healthy' },
    },
    lag: { devices: 0 },
  };
  system: SystemReport = {
    responseMs: { database: 0.42, event_store: 1.26, relay: undefined, mqtt: 14.6 },
    readModels: [{ name: 'devices', state: 'running', behind: 0, lastEventAt: '2026-11-21T09:59:59.000Z', error: null }],
  };
  readonly changes: LiveChange[] = [];
  private readonly listeners = new Map<string, Set<(change: LiveChange) => void>>();
  private position = 100n;
  /** Where the log ends, for what says that it was further. */
  logEnd = 2n ** 60n;

  readonly clock: Clock = { now: () => this.now, monotonic: () => performance.now() };

  /** Drops what commands left behind. */
  forget(): void {
    this.commands.length = 0;
    this.carriedOut.clear();
    this.links.clear();
  }

  /** As the live group does: kept for resuming sockets, then told. */
  tell(topics: readonly string[], type: string, payload: LiveChange['payload'] = {}): LiveChange {
    const change: LiveChange = { position: ++this.position, eventId: newId(), topics, type: type as LiveChange['type'], payload };
    this.changes.push(change);
    for (const topic of topics) for (const listener of this.listeners.get(topic) ?? []) listener(change);
    return change;
  }

  listening(topic: string): number {
    return this.listeners.get(topic)?.size ?? 0;
  }

  readonly live: LiveFeed = {
    reached: async () => this.reached,
    current: async () => this.catchUp(),
    on: (topic, listener) => {
      const set = this.listeners.get(topic) ?? new Set();
      this.listeners.set(topic, set.add(listener));
      return () => void set.delete(listener);
    },
    has: async (position) => position <= this.logEnd,
    since: async (topic, position) => position > this.logEnd ? undefined : this.changes.filter((change) => change.position > position && change.topics.includes(topic)),
  };

  readonly reads: ReadModels = {
    devices: {
      byId: async (id) => this.devices.get(id),
      bySerial: async (serial) => [...this.devices.values()].find((row) => row.serialNumber === serial),
      ofOwner: async (userId) => [...this.devices.values()].filter((row) => row.ownerId === userId),
      list: async (filter, page) => {
        const { lifecycle, assigned, after, search } = filter;
        this.fleetAsked.push(filter);
        const found = paged(
          [...this.devices.values()]
            .sort((one, other) => (one.registeredAt === other.registeredAt ? one.deviceId.localeCompare(other.deviceId) : one.registeredAt < other.registeredAt ? 1 : -1))
            .filter(({ registeredAt: at, deviceId }) => after === undefined || at < after.at || (at === after.at && deviceId > after.id))
            .filter((row) => (lifecycle === undefined || row.lifecycle === lifecycle) && (assigned === undefined || (row.ownerId !== null) === assigned))
            .map((row) => ({ ...row, ownerEmail: row.ownerId === null ? null : (this.users.get(row.ownerId)?.profile?.email ?? null) })),
          page,
        );
        return { ...found, atLeast: search === 'everybody' };
      },
      counts: async () => ({ total: this.devices.size, active: [...this.devices.values()].filter((row) => row.lifecycle === 'active').length }),
    } as ReadModels['devices'],
    links: {
      byId: async (id) => this.links.get(id),
      byTokenHash: async (hash) => [...this.links.values()].find((row) => row.tokenHash === hash),
      ofOwner: async (userId, { deviceId, active, status, search, after }, page) =>
        paged(
          behind(after, [...this.links.values()], ({ linkId }) => linkId).filter(
            (row) =>
              row.ownerId === userId &&
              !row.deleted &&
              (deviceId === undefined || row.deviceId === deviceId) &&
              (active === undefined || row.isActive === active) &&
              (status === undefined || row.status === status) &&
              (search === undefined || (row.name ?? '').toLowerCase().includes(search.toLowerCase())),
          ),
          page,
        ),
    } as ReadModels['links'],
    deliveries: {
      byId: async (id) => this.deliveries.get(id),
      ofOwner: async (userId, { deviceId, linkId, states, from, to, search, after }, page) =>
        paged(
          behind(after, [...this.deliveries.values()], ({ unlockId }) => unlockId).filter(
            (row) =>
              row.ownerId === userId &&
              (deviceId === undefined || row.deviceId === deviceId) &&
              (linkId === undefined || row.linkId === linkId) &&
              (states === undefined || states.includes(row.state)) &&
              (from === undefined || row.requestedAt >= from) &&
              (to === undefined || row.requestedAt < to) &&
              (search === undefined || [row.linkName, row.courier?.name].join(' ').toLowerCase().includes(search.toLowerCase())),
          ),
          page,
        ),
      countSince: async () => this.deliveries.size,
      statistics: async (...asked) => {
        this.statisticsAsked.push(asked);
        return this.statistics;
      },
    } as ReadModels['deliveries'],
    unlocks: {
      byId: async (id) => this.unlocks.get(id),
      lastOfLink: async (linkId) => [...this.unlocks.values()].findLast((row) => row.cause.id === linkId),
    } as ReadModels['unlocks'],
    people: {
      ofSubject: async (subject, after, limit) => this.personal.filter((row) => row.subject === subject && row.ref > (after ?? '')).slice(0, limit),
      reason: async (unlockId) => this.personal.map(({ ref, fields }) => (ref === unlockId ? fields['reason'] : undefined)).find((reason) => typeof reason === 'string'),
    },
    users: {
      byId: async (id) => {
        this.userReads++;
        return this.users.get(id);
      },
      list: async ({ active, admins }, page) =>
        paged(
          [...this.users.values()]
            .filter((row) => (active === undefined || row.suspended !== active) && (admins === undefined || (row.adminRole !== null) === admins))
            .map((row) => ({ ...row, deviceCount: 0 })),
          page,
        ),
      count: async () => this.users.size,
      hasAdmin: async () => true,
    } as ReadModels['users'],
    audit: {
      list: async (filter: AuditFilter, page: Page) => {
        this.auditAsked.push(filter);
        const meant = this.audit.filter((row) => (filter.action === undefined || row.action === filter.action) && (filter.before === undefined || row.position < filter.before));
        return { ...paged(meant, page), atLeast: filter.q === 'everybody', partial: filter.q === 'everybody' || filter.q === 'old', namedSince: filter.q === 'old' ? '2026-11-02T10:00:00.000Z' : undefined };
      },
      pages: async (filter: AuditFilter, until: bigint) => ({ partial: filter.q === 'old', namedSince: filter.q === 'old' ? '2026-11-02T10:00:00.000Z' : undefined, pieces: this.pagesOf(filter, until) }),
      news: async (filter: AuditFilter, after: bigint, until: bigint, limit: number) => {
        const next = this.audit.filter(({ position }) => position > after && position <= until).sort((one, other) => Number(one.position - other.position)).slice(0, limit);
        const rows = next.filter((row) => (filter.action === undefined || row.action === filter.action) && (filter.q === undefined || row.summary.includes(filter.q)));
        return { rows, through: next.at(-1)?.position ?? until };
      },
      head: async () => this.audit.reduce((most, { position }) => (position > most ? position : most), -1n),
      byEvent: async (eventId: string) => this.audit.find((row) => row.eventId === eventId),
      chain: async (correlationId: string) => this.audit.filter((row) => row.correlationId === correlationId),
    } as ReadModels['audit'],
    activity: {
      ofOwner: async (userId: string, { deviceId, type, action, source, success, from, to, search, before }: ActivityFilter, page: Page) =>
        paged(
          this.activity.filter(
            (row) =>
              row.ownerId === userId &&
              (before === undefined || row.position < before) &&
              (deviceId === undefined || row.deviceId === deviceId) &&
              (type === undefined || row.activityType === type) &&
              (action === undefined || row.action === action) &&
              (source === undefined || row.source === source) &&
              (success === undefined || row.success === success) &&
              (from === undefined || row.occurredAt >= from) &&
              (to === undefined || row.occurredAt < to) &&
              (search === undefined || row.description.includes(search)),
          ),
          page,
        ),
      ofDevice: async (deviceId, since, page) =>
        paged(this.activity.filter((row) => row.deviceId === deviceId && (since === undefined || row.occurredAt >= since)), page),
    } as ReadModels['activity'],
  };

  private async *pagesOf({ action }: AuditFilter, until: bigint) {
    for (const row of this.audit.toReversed()) if (row.position <= until && (action === undefined || row.action === action)) yield [row];
  }

  /** Accepts what it is not told to refuse; a command id carried out before answers with the same events. */
  async execute(command: AnyCommand, context: CommandContext): Promise<CommandOutcome> {
    if (this.throws !== undefined) throw this.throws;
    this.commands.push({ command, context });
    const refusal = this.refuse[command.type] ?? this.refusalOf(command);
    if (refusal !== undefined) return { kind: 'refused', refusal, position: undefined };
    const before = this.carriedOut.get(context.commandId);
    if (before !== undefined) return { kind: 'accepted', events: before, revision: 1n, position: before.at(-1)?.position, repeated: true };
    const position = ++this.position;
    const events = this.eventsOf(command).map(
      (event, index) =>
        ({ ...event, eventId: eventIdOf(context.commandId, index), stream: 'device-x', revision: 1n, position, recordedAt: new Date(this.now).toISOString() }) as unknown as Recorded<DomainEvent>,
    );
    this.carriedOut.set(context.commandId, events);
    return { kind: 'accepted', events, revision: 1n, position, repeated: false };
  }

  private refusalOf(command: AnyCommand): Refusal | undefined {
    if (command.type === 'EndSession' && !this.users.has(command.data.userId)) return { code: 'user_not_found' };
    if ((command.type === 'LogIn' || command.type === 'ChangePassword') && !command.data.passwordMatched) return { code: 'credentials_invalid' };
    return undefined;
  }

  private eventsOf(command: AnyCommand): { readonly type: string; readonly data: unknown }[] {
    switch (command.type) {
      case 'CreateLink': {
        const { linkId, token, tokenHash, expiresAt, maxUses, requireIdentity, deviceId, userId } = command.data;
        this.links.set(linkId, linkRow({ linkId, deviceId, ownerId: userId, tokenHash, token: sealed(token), expiresAt, maxUses, requireIdentity }));
        return [{ type: 'LinkCreated', data: { linkId, token: sealed(token), tokenHash, expiresAt, maxUses, requireIdentity, assignmentId: linkId } }];
      }
      case 'RegisterUser':
        this.users.set(command.data.userId, userRow({ userId: command.data.userId, profile: command.data.profile }));
        return [{ type: 'UserRegistered', data: command.data }];
      case 'ChangeProfile': {
        const row = this.users.get(command.data.userId);
        if (row !== undefined) this.users.set(row.userId, { ...row, profile: command.data.profile });
        return [{ type: 'ProfileChanged', data: command.data }];
      }
      case 'AssignDevice': {
        const row = this.devices.get(command.data.deviceId);
        if (row !== undefined) this.devices.set(row.deviceId, { ...row, ownerId: command.data.userId, lifecycle: 'active', name: command.data.name });
        return [{ type: 'DeviceAssigned', data: command.data }];
      }
      default:
        return [{ type: `${command.type}Done`, data: {} }];
    }
  }

  deps(over: Partial<ApiDeps> = {}): ApiDeps {
    return {
      settings: apiSettings,
      bus: { execute: (command, context) => this.execute(command, context) },
      unlocks: {
        request: async (ask, context, until) => {
          if (this.throws !== undefined) throw this.throws;
          this.asked.push({ ask, context, until });
          return this.unlock ?? { kind: 'progress', unlock: progress({ deviceId: ask.deviceId }), repeated: false };
        },
        awaitInFlight: async () => this.inFlight,
      },
      registration: {
        register: async ({ serialNumber, profile = 'loqey' }, { commandId }) => {
          this.registrations.push(`${serialNumber} ${commandId}`);
          if (this.registerThrows !== undefined) throw this.registerThrows;
          await this.registerWaits;
          return this.registerRefusal === undefined
            ? {
                kind: 'registered',
                deviceId: deviceIdOfSerial(serialNumber),
                serialNumber,
                pin: '123456',
                position: ++this.position,
                provisioning: {
                  protocol: 1,
                  profile,
                  topic_prefix: `loqey/devices/${deviceIdOfSerial(serialNumber)}`,
                  mqtt: { url: 'mqtt://127.0.0.1:1883', client_id: 'device_x', username: 'x', password: 'y' },
                  device_key: '00'.repeat(32),
                  key_version: 1,
                },
              }
            : { kind: 'refused', refusal: this.registerRefusal };
        },
        reprovision: async (deviceId: string) => ({
          kind: 'reprovisioned',
          position: ++this.position,
          provisioning: {
            protocol: 1,
            profile: 'loqey',
            topic_prefix: `loqey/devices/${deviceId}`,
            mqtt: { url: 'mqtt://127.0.0.1:1883', client_id: 'device_x', username: 'x', password: 'y' },
            device_key: '11'.repeat(32),
            key_version: 2,
          },
        }),
        regeneratePin: async () => ({ kind: 'regenerated', pin: '654321', position: ++this.position }),
        pinTag: (deviceId, pin) => `tag:${deviceId}:${pin}`,
      } as ApiDeps['registration'],
      suspension: createSuspension(
        {
          execute: (command, context) => this.execute(command, context),
          load: async <State>(_: unknown, userId: string) => {
            const last = this.commands.findLast(({ command: { type, data } }) => (type === 'SuspendUser' || type === 'ActivateUser') && data.userId === userId);
            return { state: { kind: 'registered', suspended: last?.command.type === 'SuspendUser' } as State, revision: 0n };
          },
        },
        { deviceIdsOf: async (userId) => (await this.reads.devices.ofOwner(userId)).map(({ deviceId }) => deviceId) },
      ),
      adminRoles: {
        grant: async (userId, role, permissions, context) => {
          const outcome = await this.execute({ type: 'GrantAdminRole', data: { userId, role, permissions } }, context);
          const user = this.users.get(userId);
          if (outcome.kind === 'accepted' && user !== undefined) this.users.set(userId, { ...user, adminRole: role, permissions, accessVersion: user.accessVersion + 1 });
          return outcome;
        },
        revoke: (userId, context) => this.execute({ type: 'RevokeAdminRole', data: { userId } }, context),
      },
      idempotency: {
        begin: async (principal, route, key, hash) => {
          const name = `${principal}|${route}|${key}`;
          const known = this.keys.get(name);
          if (known === undefined) {
            const commandId = commandIdOfKey(principal, route, key);
            this.keys.set(name, { hash, commandId });
            return { kind: 'go', commandId, repeated: false };
          }
          return known.hash === hash ? { kind: 'go', commandId: known.commandId, repeated: true } : { kind: 'mismatch' };
        },
      },
      ...aroundTheClock(),
      projections: projectionBoard(),
      erasures: {
        request: async (userId, asked, context) => {
          const outcome = await this.execute({ type: 'EraseSubject', data: { userId, ...asked } }, context);
          if (outcome.kind === 'refused') return outcome;
          const erasureId = eventIdOf(context.commandId, 0);
          this.erased.set(erasureId, { eventId: erasureId, userId, requestedAt: instant(this.now), boxes: [], subjects: [], receipt: this.receipt, completedAt: this.receipt === null ? null : instant(this.now) });
          return { kind: 'erased', erasureId, position: outcome.position };
        },
        byId: async (erasureId) => this.erased.get(erasureId),
        awaited: async (erasureId) => this.erased.get(erasureId),
      },
      history: historyOver(this.log),
      statesBeside: () => createStatesBeside({ history: historyOver(this.log), store: this.log }),
      proofs: {
        heads: async () => ({ rows: [], total: 0 }),
        head: async () => undefined,
        keys: async () => [],
        ofEvent: async () => undefined,
        between: async (from, to) => ({ logId: LOG_ID, from, to, path: [] }),
      },
      refusals: { recordAs: (command, target, refusal, { actor }) => void this.refusals.push({ command, target, refusal, actor }) },
      reads: this.reads,
      live: this.live,
      devices: {
        authenticate: async (deviceId, bearer) => this.deviceKeys.get(deviceId) === bearer,
        report: async (deviceId, kind, payload) => {
          this.deviceReports.push({ deviceId, kind, payload });
          return this.deviceOutcome;
        },
        commands: async (deviceId) => this.deviceCommands.get(deviceId) ?? [],
        acknowledge: async (deviceId, commandId, payload) => {
          this.deviceReports.push({ deviceId, kind: commandId, payload });
          return this.deviceOutcome === 'taken' ? 'acknowledged' : this.deviceOutcome;
        },
        endPolls: () => undefined,
      },
      rejected: { ofDevice: async () => this.rejected, ofStrangers: async () => this.rejected },
      logins: {
        unknown: createUnknown(this.clock),
        sources: {
          knows: async (userId, network) => this.sources.has(`${userId}|${network}`),
          remember: async (userId, network) => void this.sources.add(`${userId}|${network}`),
        },
      },
      credentials: {
        passwords: {
          hash: async (password) => `hash:${password}`,
          verify: async (password, hash) => ({ matched: hash === `hash:${password}`, rehash: false }),
          hashOf: async (userId) => this.passwords.get(userId),
          store: async (userId, hash) => void this.passwords.set(userId, hash),
          remove: async (userId) => void this.passwords.delete(userId),
        },
        emails: {
          claim: async (email, userId) => {
            const known = this.emails.get(email);
            if (known === undefined) this.emails.set(email, userId);
            return known ?? userId;
          },
          adopt: async (email, from, to) => {
            if (this.emails.get(email) !== from) return false;
            this.emails.set(email, to);
            return true;
          },
          find: async (email) => this.emails.get(email),
        },
        sessions: {
          issue: async (session) => this.issue(session),
          rotate: async (token) => {
            const known = this.refreshTokens.get(token);
            if (known === undefined || this.sessions.get(known.session.sessionId)?.live !== true) return { kind: 'invalid' };
            if (known.used) {
              this.end(known.session.sessionId);
              return { kind: 'reused', session: known.session };
            }
            known.used = true;
            return { kind: 'rotated', session: known.session, refreshToken: this.issue(known.session) };
          },
          list: async (userId) =>
            [...this.sessions.values()]
              .filter((session) => session.userId === userId && session.live)
              .map(({ sessionId, scope }) => ({ sessionId, userId, scope, userAgent: 'a phone', createdAt: '2026-11-21T09:00:00.000Z', lastSeenAt: '2026-11-21T09:30:00.000Z' })),
          isLive: async (sessionId) => this.sessions.get(sessionId)?.live ?? false,
          end: async (sessionId) => this.end(sessionId),
          endAll: async (userId) => {
            for (const session of this.sessions.values()) if (session.userId === userId) session.live = false;
          },
        },
      },
      sealer: { open: async <T>(value: Sealed) => (value.c === '' ? undefined : (JSON.parse(value.c) as T)) },
      health: async () => this.health,
      system: async () => this.system,
      clock: this.clock,
      logger: silentLogger,
      metrics: new Metrics(),
      logId: LOG_ID,
      isTransient: (error) => error instanceof Error && error.message === 'connection terminated',
      ...over,
    };
  }

  private issue(session: Session): string {
    const token = `refresh-${newId()}`;
    this.sessions.set(session.sessionId, { ...session, live: true });
    this.refreshTokens.set(token, { session, used: false });
    return token;
  }

  private end(sessionId: string): void {
    const session = this.sessions.get(sessionId);
    if (session !== undefined) session.live = false;
  }
}

/** The rows behind one, in the order in which they were put here. */
function behind<Row>(place: PlaceInTime | undefined, rows: readonly Row[], idOf: (row: Row) => string): readonly Row[] {
  return place === undefined ? rows : rows.slice(rows.findIndex((row) => idOf(row) === place.id) + 1);
}

function paged<Row>(rows: readonly Row[], { limit, offset }: Page): Paged<Row> {
  return { rows: rows.slice(offset, offset + limit), total: rows.length };
}

/** Stands for a sealed value: the fake opener reads `c` as JSON. */
export function sealed(value: unknown): Sealed {
  return { $s: 1, sub: 'user:x', k: 'k', n: '', c: JSON.stringify(value) };
}

export function deviceRow(over: Partial<DeviceRow> = {}): DeviceRow {
  const deviceId = over.deviceId ?? newId();
  return {
    deviceId,
    serialNumber: 'LB-004471',
    model: 'LoqeyBox-V1',
    profile: 'loqey',
    lifecycle: 'active',
    ownerId: null,
    ownerSuspended: false,
    assignmentId: 'aaaaaaaa-0000-4000-8000-000000000001',
    assignedAt: '2026-11-20T10:00:00.000Z',
    name: 'Mill Lane 12',
    address: '12 Mill Lane',
    latitude: null,
    longitude: null,
    registeredAt: '2026-11-01T10:00:00.000Z',
    pin: sealed('123456'),
    pinExpiresAt: null,
    protocolLevel: 1,
    deliveriesAccepted: false,
    keyVersion: 1,
    lockStatus: 'locked',
    lockStatusAt: '2026-11-21T09:59:00.000Z',
    doorOpen: false,
    parcelPresent: null,
    batteryLevel: 62,
    firmwareVersion: '1.0.0',
    online: true,
    lastHeardAt: '2026-11-21T09:59:56.000Z',
    signalStrength: -61,
    uptimeSeconds: 3_600,
    lastUnlockAt: null,
    settings: { autoLockEnabled: true, autoLockDelay: 30, silentMode: false, ledEnabled: true, heartbeatSeconds: 60 },
    configVersion: 0,
    settingsChangedAt: null,
    reportedSettings: { autoLockEnabled: true, autoLockDelay: 30, silentMode: false, ledEnabled: true, heartbeatSeconds: 60 },
    refusedSettings: [],
    appliedConfigVersion: null,
    settingsAppliedAt: null,
    rotatingTo: null,
    keysRotatedAt: null,
    alerts: { unexplainedOpeningAt: null, cloneSuspectedAt: null, tamperedAt: null },
    unlinkRequestedAt: null,
    unlinkReason: null,
    ...over,
  } as DeviceRow;
}

export function linkRow(over: Partial<LinkRow> = {}): LinkRow {
  return {
    linkId: newId(),
    deviceId: newId(),
    ownerId: newId(),
    assignmentId: 'aaaaaaaa-0000-4000-8000-000000000001',
    tokenHash: '',
    token: null,
    name: null,
    status: 'active',
    isActive: true,
    createdAt: '2026-11-21T08:00:00.000Z',
    startsAt: null,
    expiresAt: '2026-11-22T08:00:00.000Z',
    maxUses: 1,
    currentUses: 0,
    usedAt: null,
    endedAt: null,
    deleted: false,
    requireIdentity: false,
    window: null,
    ...over,
  };
}

export function userRow(over: Partial<UserRow> = {}): UserRow {
  return {
    userId: newId(),
    profile: { email: 'ana@example.com', firstName: 'Ana', lastName: 'Silva', residentState: 'Porto' },
    profileAt: '2026-11-01T10:00:00.000Z',
    registeredAt: '2026-11-01T10:00:00.000Z',
    emailVerified: false,
    suspended: false,
    erased: false,
    adminRole: null,
    permissions: [],
    lastLoginAt: null,
    accessVersion: 0,
    ...over,
  };
}

export function unlockRow(over: Partial<UnlockRow> = {}): UnlockRow {
  return {
    unlockId: newId(),
    deviceId: newId(),
    cause: { kind: 'owner', id: newId() },
    state: 'published',
    useReturned: false,
    reason: null,
    requestedAt: '2026-11-21T09:59:58.000Z',
    expiresAt: '2026-11-21T10:00:28.000Z',
    dispatchedAt: '2026-11-21T09:59:58.002Z',
    publishedAt: '2026-11-21T09:59:58.004Z',
    acknowledgedAt: null,
    openedAt: null,
    endedAt: null,
    correlationId: newId(),
    ...over,
  };
}

export function progress(over: Partial<UnlockProgress> = {}): UnlockProgress {
  return {
    unlockId: newId(),
    deviceId: newId(),
    state: 'requested',
    requestedAt: '2026-11-21T10:00:00.000Z',
    expiresAt: '2026-11-21T10:00:30.000Z',
    at: '2026-11-21T10:00:00.000Z',
    useReturned: false,
    position: 1n,
    ...over,
  };
}

/** As the real one, in memory. */
function createUnknown(clock: Clock): ApiDeps['logins']['unknown'] {
  const known = new Map<string, LoginState>();
  return {
    async refuse(email) {
      const { logins, refusal } = refuseUnknown(known.get(email) ?? noLogins, instant(clock.now()));
      known.set(email, logins);
      return refusal;
    },
  };
}
