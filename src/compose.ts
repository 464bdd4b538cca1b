import type { HealthPart, HealthReport, PartHealth } from './api/ports.ts';
import { createHistory } from './audit/history/history.ts';
import { createMilestoneStore } from './audit/history/milestones.ts';
import { createStatesBeside } from './audit/playback/states.ts';
import { createHttpAdapter } from './bridge/http-adapter.ts';
import { createKeyring } from './bridge/keyring.ts';
import { createLiveDevices, isOldFirmware } from './bridge/live-devices.ts';
import { createMailbox } from './bridge/mailbox.ts';
import { createOfflineCheck } from './bridge/offline.ts';
import { createPresence } from './bridge/presence.ts';
import { createProvisioner } from './bridge/provisioning.ts';
import { createRejectedMessages } from './bridge/rejected-messages.ts';
import { createAdmin, type FirstAdmin } from './commands/first-admin.ts';
import { createCommandBus } from './commands/handle.ts';
import { createIdempotency } from './commands/idempotency.ts';
import { createAwaitInFlight } from './commands/in-flight.ts';
import { createAdminRoles } from './commands/admin-roles.ts';
import { createSuspension } from './commands/policies/suspension.ts';
import { createRefusalLog } from './commands/refusals.ts';
import { createRegistration } from './commands/registration.ts';
import { createSnapshots } from './commands/snapshots.ts';
import { tracedBus } from './commands/traced.ts';
import { createUnknownLogins } from './commands/unknown-logins.ts';
import { createUnlockWatches } from './commands/unlock-watch.ts';
import { createUnlockService } from './commands/unlocks.ts';
import { startDownlink, startUplink } from './compose/bridge.ts';
import { openBroker, type Broker } from './compose/broker.ts';
import { askForErasures, carryOutErasures, checkAtStart } from './compose/erasure.ts';
import { openGround, type ComposeOptions } from './compose/ground.ts';
import { startHealth } from './compose/health.ts';
import { startJobs, type Jobs } from './compose/jobs.ts';
import { addressOf, createSystemHealth } from './compose/system-health.ts';
import { startWorker } from './compose/worker.ts';
import type { RetentionTask } from './jobs/cleanup.ts';
import { createErasureBook } from './jobs/erasure/records.ts';
import { instant } from './platform/clock.ts';
import { stack, type Stack } from './platform/lifecycle.ts';
import type { Metrics } from './platform/metrics.ts';
import { BrokerUnavailable } from './platform/mqtt/port.ts';
import { isTransient } from './platform/postgres/db.ts';
import { exclusively } from './platform/postgres/exclusive.ts';
import { createNotifications } from './platform/postgres/notifications.ts';
import { createQuickReads } from './platform/postgres/quick-reads.ts';
import { createSharedRateLimiter } from './platform/postgres/shared-rate-limits.ts';
import { checkSecrets } from './platform/vault/check-values.ts';
import { createCredentialEraser } from './platform/vault/credential-eraser.ts';
import { createDeviceCredentials } from './platform/vault/device-credentials.ts';
import { createDeviceKeys } from './platform/vault/device-keys.ts';
import { createEmailIndex } from './platform/vault/email-index.ts';
import { createLoginSources } from './platform/vault/login-sources.ts';
import { createMasterKey } from './platform/vault/master-key.ts';
import { createPasswords } from './platform/vault/passwords.ts';
import { createRefreshTokens } from './platform/vault/refresh-tokens.ts';
import { createSealer } from './platform/vault/sealer.ts';
import { createTags } from './platform/vault/tags.ts';

import { createProjectionAdmin } from './projections/admin.ts';
import { createDeadlineQueue } from './projections/deadlines/queries.ts';
import { createFreshReads } from './projections/fresh-reads.ts';
import { createLiveFeed } from './projections/live-feed.ts';
import { forgetCouriers, forgetRefused } from './projections/people/retention.ts';
import { createProofs } from './projections/proof/proofs.ts';
import { createProofQueries } from './projections/proof/queries.ts';
import { createReadModels } from './projections/queries.ts';
import { backgroundProjections, projections, versionsOf } from './projections/registry.ts';
import { createProjectionRunner } from './projections/runner.ts';
import { createReader, ReadModelUnavailable } from './projections/schemas.ts';

export type { ComposeOptions } from './compose/ground.ts';

/** Days. Telemetry is not the log; where refused strangers came from is nobody's business for long. */
const TELEMETRY_DAYS = 30;
const REFUSAL_DAYS = 90;
/** How long a suspension waits for the read model to know all of a user's boxes, and the like. */
const CAUGHT_UP_MS = 2_000;
/** How long a start waits for the read models before it goes on without them. */
const READ_MODELS_MS = 15_000;

export interface App {
  /** `http`: the API, or without that role health and metrics alone. `mqtt`: the embedded broker. */
  readonly addresses: { readonly http: string; readonly mqtt?: string };
  /** Set when this start made the first administrator. */
  readonly firstAdmin: FirstAdmin | undefined;
  readonly metrics: Metrics;
  health(): Promise<HealthReport>;
  /** Takes nothing new, finishes what is under way, closes. Idempotent. */
  stop(): Promise<void>;
}

function needed<T>(env: string, secret: T | undefined): T {
  if (secret === undefined) throw new Error(`${env} is needed by the roles of this process`);
  return secret;
}

/** Builds and starts what the roles of this process need. If something fails, what had started is stopped again. */
export async function compose(options: ComposeOptions): Promise<App> {
  const { config, logger } = options;
  const parts = stack({
    deadlineMs: config.stopTimeoutSeconds * 1_000,
    onFailure: (name, error) => logger.error({ err: error, part: name }, 'A part did not stop cleanly'),
  });
  try {
    return await build(options, parts);
  } catch (error) {
    await parts.stop();
    throw error;
  }
}

async function build(options: ComposeOptions, parts: Stack): Promise<App> {
  const ground = await openGround(options, parts);
  let stopping = false;
  const { config, clock, logger, metrics, store, relay, tracing, logId, url, start, health } = ground;
  const { secrets, version } = options;
  const has = (role: (typeof config.roles)[number]) => config.roles.includes(role);

  const db = ground.database('loqey', config.databasePoolSize);
  const notifications = createNotifications({ url, applicationName: 'loqey-listen', logger });
  const deviceCredentials = createDeviceCredentials({ db, notifications });
  const broker = await openBroker(ground, deviceCredentials, (deviceId) => isOldFirmware(db, deviceId));
  /** How far this process has seen the log; what sees nothing of it lags behind nothing. */
  const seen: { feed?: { readonly position: bigint } } = {};
  if (config.roles.every((role) => role === 'bridge')) {
    // It carries bytes: no vault, no read models, and none of the secrets that open them.
    await start('notifications', notifications);
    await startDownlink(ground, broker);
    await startUplink(ground, broker);
    return running(broker, await startHealth({ report, metrics, logger }, config, start), undefined);
  }

  // The vault.
  const { dataKeyMaster, secretKey, auditSigningKey } = secrets;
  await checkSecrets(
    db,
    [
      { env: 'DATA_KEY_MASTER', secret: dataKeyMaster },
      { env: 'SECRET_KEY', secret: secretKey, previous: config.secretKeyPrevious },
      { env: 'AUDIT_SIGNING_KEY', secret: auditSigningKey },
    ].flatMap(({ secret, ...each }) => (secret === undefined ? [] : [{ ...each, secret }])),
  );
  const master = createMasterKey(needed('DATA_KEY_MASTER', dataKeyMaster));
  const tags = createTags(master);
  const sealer = createSealer({ db, notifications, master, logger, metrics, inAdvance: ['delivery'] });
  const deviceKeys = createDeviceKeys({ db, notifications, master });
  const passwords = createPasswords({ db, metrics, rounds: config.bcryptRounds });
  const emails = createEmailIndex({ db, tags });
  const sessions = createRefreshTokens({ db, notifications, master, lifetimeDays: config.refreshTokenDays });
  const loginSources = createLoginSources({ db, master });
  const book = createErasureBook(db, notifications);

  // What counts tries. Its own connections: a full pool of the API must not make it blind.
  const limitsPool = ground.database('loqey-limits', 2).pool;
  const keyedBy = (purpose: 'rate-limit' | 'unknown-login') => (text: string) => Buffer.from(master.tag(purpose, text), 'hex').subarray(0, 16);
  const rateLimiter = createSharedRateLimiter({ pool: limitsPool, keyOf: keyedBy('rate-limit'), clock, logger, metrics });
  const unknownLogins = createUnknownLogins({ pool: limitsPool, keyOf: keyedBy('unknown-login'), clock });

  // The read side.
  const allProjections = projections({ sealer });
  const reader = createReader(db, await start('quick reads', createQuickReads({ url, applicationName: 'loqey-quick', logger, metrics })), versionsOf(allProjections));
  const reads = createReadModels(reader, clock);
  const onSwitched = () => reader.refresh();
  const feed = createLiveFeed({ db, store, notifications, background: backgroundProjections, onSwitched, logger, metrics });
  seen.feed = feed;
  const mailbox = createMailbox({ db, notifications, clock });
  const onCommitted = feed.push.bind(feed);
  const runner = has('projector') ? createProjectionRunner({ db, store, notifications, projections: allProjections, logId, clock, logger, metrics, onCommitted, onSwitched }) : undefined;
  await start('notifications', notifications);
  await start('sealer', sealer);
  if (runner !== undefined) {
    await start('projections', runner);
    health.set('projections', () => {
      const { ok, role, usable, projections: each } = runner.health();
      const named = (wanted: string) => each.filter(({ state }) => state === wanted).map(({ name }) => name);
      const [stopped, built] = [named('stopped'), named('rebuilding')];
      const details = [...(stopped.length > 0 ? [`stopped: ${stopped.join(', ')}`] : []), ...(built.length > 0 ? [`being built: ${built.join(', ')}`] : [])];
      return { state: ok ? 'healthy' : usable ? 'degraded' : 'down', detail: details.length > 0 ? details.join('; ') : role };
    });
  }
  await start('live feed', feed);
  // Those of a new installation are built a moment later, here or by the projector's process.
  const readModelsThere = await feed.current(READ_MODELS_MS);

  // Commands.
  const refusals = await start('refusals', createRefusalLog({ store, sealer, clock, logger, metrics }));
  const snapshots = await start('snapshots', createSnapshots({ pool: db.pool, logger, metrics }));
  const plainBus = createCommandBus({ store, sealer, refusals, snapshots, clock, metrics });
  const bus = tracing.on ? tracedBus(plainBus, tracing) : plainBus;
  const history = await start('history', createHistory({ store, milestones: createMilestoneStore(db.pool), logger, metrics }));
  bus.onAppended((events) => {
    for (const { stream, revision } of events) history.grown(stream, revision);
  });
  const idempotency = createIdempotency(db.pool);
  const watches = createUnlockWatches({
    store,
    onAppended: bus.onAppended,
    // Where another process may be the worker, the end of an unlock is heard from the live feed.
    foreign: has('worker') && config.kafkaBrokers === undefined ? undefined : feed,
    logger,
  });

  // The devices' side.
  const unlockDb = ground.database('loqey-unlock', 4);
  // With the relay in this process no other one takes in reports: what the boxes said last is then at hand in memory.
  const live = createLiveDevices(unlockDb, { soleWriter: config.kafkaBrokers === undefined, clock });
  const keyring = createKeyring(deviceKeys);
  const rejected = await start('rejected messages', createRejectedMessages({ db, logger, metrics }));
  const provisioner = createProvisioner({
    keys: deviceKeys,
    credentials: broker.credentials,
    live,
    settings: { brokerUrl: () => broker.url(), caPem: broker.caPem },
  });
  await startDownlink(ground, broker);
  const boxes = {
    async deviceIdsOf(userId: string) {
      await caughtUp('devices');
      return (await reads.devices.ofOwner(userId)).map(({ deviceId }) => deviceId);
    },
  };
  /** Better to fail and be repeated than to miss what happened a moment ago. */
  async function caughtUp(readModel: string): Promise<void> {
    if (!(await feed.current(CAUGHT_UP_MS))) throw new ReadModelUnavailable(readModel, 'behind');
  }
  async function superAdmins(): Promise<readonly string[]> {
    await caughtUp('users');
    const { rows } = await reads.users.list({ admins: true, active: true }, { limit: 1_000, offset: 0 });
    return rows.flatMap(({ userId, adminRole }) => (adminRole === 'super_admin' ? [userId] : []));
  }
  const adminRoles = createAdminRoles({ bus, refusals, superAdmins, exclusively: (work) => exclusively(db, 'admin-roles', work) });
  const offline = createOfflineCheck({ bus, live, clock, logger });
  const erasing = { db, bus, boxes, book, sealer, reads, credentials: createCredentialEraser({ db, emails, passwords, sessions }) };
  const erasures = has('worker') ? carryOutErasures(ground, { ...erasing, feed, rejected, auditSigningKey: needed('AUDIT_SIGNING_KEY', auditSigningKey) }) : undefined;
  if (erasures !== undefined) {
    await start('erasures', checkAtStart(erasures.check, logger));
    await startWorker(ground, { bus, live, keyring, rejected, provisioner, deviceKeys, awaitInFlight: createAwaitInFlight(bus, watches), boxes, sessions, deadlines: createDeadlineQueue(reader, feed), offline, erasures: erasures.reactor });
  }
  const works = has('worker');
  const jobs = works || has('api') ? await startJobs(ground, { bus, reads, reader, feed, sealer, offline, retention: retention(), erasures: erasures?.check, auditSigningKey, works }) : undefined;

  await startUplink(ground, broker);
  await start('passwords', passwords);
  const firstAdmin = await makeFirstAdmin();
  const http = has('api') && jobs !== undefined ? await serveApi(jobs) : await startHealth({ report, metrics, logger }, config, start);

  return running(broker, http, firstAdmin);

  function running({ device, url: brokerUrl }: Broker, address: string, madeAdmin: FirstAdmin | undefined): App {
    return {
      addresses: { http: address, ...(device === undefined || config.mqttUrl !== undefined ? {} : { mqtt: brokerUrl() }) },
      firstAdmin: madeAdmin,
      metrics,
      health: report,
      stop() {
        stopping = true;
        return parts.stop();
      },
    };
  }

  /** What is not the log and ages: personal data first loses its key, then its row. */
  function retention(): RetentionTask[] {
    const daysAgo = (days: number) => instant(clock.now() - days * 86_400_000);
    return [
      { name: 'idempotency keys', run: () => idempotency.prune() },
      { name: 'telemetry', run: () => live.prune(daysAgo(TELEMETRY_DAYS)) },
      { name: 'rejected messages', run: () => rejected.prune(daysAgo(TELEMETRY_DAYS)) },
      { name: 'commands to be fetched', run: () => mailbox.prune() },
      { name: 'sessions', run: () => sessions.sweep() },
      { name: 'rate limits', run: () => rateLimiter.prune() },
      { name: 'logins without an account', run: () => unknownLogins.prune() },
      { name: 'places of logins', run: () => loginSources.prune() },
      {
        name: 'refusals without an account',
        async run() {
          const { keys } = await sealer.destroyOlderThan('refusals', daysAgo(REFUSAL_DAYS));
          await forgetRefused(reader, daysAgo(REFUSAL_DAYS));
          return keys;
        },
      },
      {
        name: 'couriers',
        async run() {
          const { keys } = await sealer.destroyOlderThan('delivery', daysAgo(config.courierDataDays));
          await forgetCouriers(reader, daysAgo(config.courierDataDays));
          return keys;
        },
      },
    ];
  }

  async function serveApi({ board, inbox }: Jobs): Promise<string> {
    // A bridge or worker alone needs no web server in its memory.
    const { startApi } = await import('./compose/api.ts');
    const unlocks = createUnlockService({
      bus,
      watches,
      presence: createPresence(live, clock, config.allowLevel0Devices),
      refusals,
      joins: idempotency.joins,
      settings: { ttlMs: config.unlockTtlSeconds * 1_000, waitMs: config.unlockWaitSeconds * 1_000, level0Deliveries: config.allowLevel0Devices && config.environment === 'development' },
      clock,
      metrics,
    });
    // A database in this process's own folder: nobody else answers for it.
    const fresh = config.databaseUrl === undefined && has('projector') ? createFreshReads(reads, feed, clock) : undefined;
    const registration = createRegistration({
      bus,
      provisioner,
      sealer,
      refusals,
      pinTag: tags.pinTag,
      settings: { pinLength: config.devicePinLength, pinExpiryHours: config.devicePinExpiryHours, defaultModel: 'LoqeyBox-V1' },
      clock,
    });
    const devices = await start('device http', createHttpAdapter({ relay, mailbox, live, keyring, credentials: deviceCredentials, clock, logger, metrics }));
    const deps = {
      bus,
      unlocks,
      devices,
      rejected,
      registration,
      suspension: adminRoles.sparing(createSuspension(bus, boxes)),
      adminRoles,
      idempotency,
      refusals,
      reads: fresh?.models ?? reads,
      ...(fresh === undefined ? {} : { fresh }),
      live: feed,
      credentials: { passwords, emails, sessions },
      logins: { unknown: unknownLogins, sources: loginSources },
      rateLimiter: await start('rate limits', rateLimiter),
      tracing,
      system: createSystemHealth({
        db,
        store,
        relay: addressOf(config.kafkaBrokers?.[0], 9_092),
        broker: () => addressOf(config.mqttUrl ?? broker.url(), config.mqttUrl?.startsWith('mqtts') === true ? 8_883 : 1_883),
      }),
      sealer,
      health: report,
      history,
      statesBeside: () => createStatesBeside({ history, store }),
      proofs: createProofs({ store, queries: createProofQueries(reader), logId }),
      jobs: board,
      projections: createProjectionAdmin({ db, store, projections: allProjections, logId, clock, logger, sealer }),
      inbox,
      erasures: { ...askForErasures(ground, erasing, adminRoles), awaited: book.awaited },
      boxHealth: offline,
      clock,
      logger,
      metrics,
      logId,
      isTransient: (error: unknown) => isTransient(error) || error instanceof ReadModelUnavailable || error instanceof BrokerUnavailable,
    };
    return startApi(deps, { config, secrets, version }, start);
  }

  async function makeFirstAdmin(): Promise<FirstAdmin | undefined> {
    const { adminEmail: email, adminPassword: password } = config;
    if (!has('api') || email === undefined || !readModelsThere || (await reads.users.hasAdmin())) return undefined;
    const vault = { claimEmail: emails.claim, hashPassword: passwords.hash, storePassword: passwords.store, endSessions: sessions.endAll };
    return createAdmin({ bus, vault }, { email, password });
  }

  async function report(): Promise<HealthReport> {
    const names: readonly HealthPart[] = ['database', 'event_store', 'relay', 'mqtt', 'projections', 'worker'];
    const entries = await Promise.all(names.map(async (name): Promise<[HealthPart, PartHealth]> => [name, (await health.get(name)?.()) ?? { state: 'not_here' }]));
    const byName = Object.fromEntries(entries) as HealthReport['parts'];
    const head = await store.head().catch(() => undefined);
    const position = seen.feed?.position ?? head;
    const lag = head === undefined || position === undefined || head <= position ? 0 : Number(head - position);
    return { ready: !stopping && entries.every(([, { state }]) => state !== 'down'), stopping, parts: byName, lag: { live: lag } };
  }
}
