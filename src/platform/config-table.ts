import {
  boolean,
  email,
  fraction,
  headerList,
  hostAndPort,
  integer,
  key32,
  listOf,
  listenPort,
  longSecret,
  oneOf,
  oneOrMore,
  origin,
  password,
  port,
  postgresUrl,
  proxies,
  size,
  text,
  timeZone,
  url,
  type Value,
} from './config-values.ts';

/** One setting of the program: its name outside, its value inside, and what the help says about it. */
export interface Setting<T> {
  readonly env: string;
  readonly aliases: readonly string[];
  readonly section: Section;
  readonly schema: Value<T>;
  readonly doc: string;
  readonly secret: boolean;
  readonly fallback: T | ((basis: Basis) => T);
  /** What stands for the default in the help where it is not one value. */
  readonly fallbackText: string | undefined;
}

/** What defaults may depend on. */
export interface Basis {
  readonly environment: Environment;
  readonly port: number;
  /** The embedded broker has a certificate. */
  readonly tls: boolean;
}

export type Environment = 'development' | 'staging' | 'production';
export type Role = 'api' | 'projector' | 'worker' | 'bridge';

export const sections = [
  'Server',
  'First administrator',
  'Secrets',
  'Database, event store, relay',
  'Devices over MQTT',
  'Unlocks, links and devices',
  'Sign-in',
  'Rate limits',
  'Mail',
  'Privacy',
  'Logs',
] as const;
export type Section = (typeof sections)[number];

interface Shape {
  readonly doc: string;
  readonly aliases?: readonly string[];
  readonly secret?: boolean;
  readonly fallbackText?: string;
}

/** A setting that always has a value. */
function setting<T>(section: Section, env: string, schema: Value<T>, fallback: T | ((basis: Basis) => T), shape: Shape): Setting<T> {
  const { doc, aliases = [], secret = false, fallbackText } = shape;
  return { env, aliases, section, schema, doc, secret, fallback, fallbackText };
}

/** A setting that may be absent, and means something else then. */
function optional<T>(section: Section, env: string, schema: Value<T>, shape: Shape): Setting<T | undefined> {
  const orAbsent: Value<T | undefined> = {
    allowed: schema.allowed,
    parse: (raw) => schema.parse(raw),
    format: (value) => (value === undefined ? '' : schema.format(value)),
  };
  return setting<T | undefined>(section, env, orAbsent, undefined, shape);
}

const secret = true;

/**
 * Every setting of the program, once: reading the environment, the help, `.env.example` and the words for what is wrong all
 * follow from these lines.
 */
export const table = {
  environment: setting<Environment>('Server', 'ENVIRONMENT', oneOf('development', 'staging', 'production'), 'development', {
    doc: 'production makes no secret by itself, adds no demo data and is strict with old devices.',
  }),
  host: setting('Server', 'HOST', text(255), '127.0.0.1', { doc: 'Address to listen on, for HTTP and MQTT. 0.0.0.0 = reachable from outside.' }),
  port: setting('Server', 'PORT', listenPort, 8_000, { doc: 'HTTP port; 0 = any free one.' }),
  dataDir: setting('Server', 'DATA_DIR', text(1_000), './data', { doc: 'Everything that is kept: database, secrets, logs.' }),
  roles: setting<readonly Role[]>(
    'Server',
    'ROLES',
    listOf(oneOf('api', 'projector', 'worker', 'bridge'), 'any of api, projector, worker, bridge'),
    ['api', 'projector', 'worker', 'bridge'],
    { doc: 'What this process runs. Several processes need DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS and MQTT_URL.' },
  ),
  projectName: setting('Server', 'PROJECT_NAME', text(100), 'Loqey Backend API', { doc: 'Title of the API in its documentation.' }),
  frontendUrl: setting('Server', 'FRONTEND_URL', url('https://app.loqey.com', 'https', 'http'), local('https://app.loqey.com'), {
    doc: 'Address of this server for people: links for couriers and in mails start with it.',
    fallbackText: 'this server',
  }),
  adminDashboardUrl: setting(
    'Server',
    'ADMIN_DASHBOARD_URL',
    url('https://admin.loqey.com', 'https', 'http'),
    local('https://admin.loqey.com'),
    { doc: 'Where administrators open the console.', fallbackText: 'this server' },
  ),
  deliveryBaseUrl: setting(
    'Server',
    'DELIVERY_BASE_URL',
    url('https://delivery.loqey.com', 'https', 'http'),
    local('https://delivery.loqey.com'),
    { doc: 'Another address under which the pages of delivery links are served.', fallbackText: 'this server' },
  ),
  corsOrigins: setting<readonly string[]>(
    'Server',
    'BACKEND_CORS_ORIGINS',
    listOf(origin, 'origins such as https://app.example.com'),
    ['http://localhost:3000', 'https://loqey.com', 'https://admin.loqey.com'],
    { doc: 'Web origins that may call the API, exactly. Outside production localhost may as well, and * is possible.' },
  ),
  allowedHosts: setting<readonly string[]>(
    'Server',
    'ALLOWED_HOSTS',
    listOf(text(255), 'host names'),
    ['localhost', '127.0.0.1', 'api.loqey.com'],
    { doc: 'Host names that requests may ask for; *.example.com and * are possible.' },
  ),
  trustProxy: setting<number | readonly string[]>('Server', 'TRUST_PROXY', proxies, 0, {
    doc: 'Proxies in front whose X-Forwarded-For is believed: how many, or their networks (loopback, 10.0.0.0/8).',
    aliases: ['TRUST_PROXY_HOPS'],
  }),
  keepAliveSeconds: setting('Server', 'KEEP_ALIVE', integer(1, 600, 'seconds'), 5, {
    doc: 'Seconds an idle HTTP connection is kept.',
    aliases: ['TIMEOUT_KEEP_ALIVE'],
  }),
  stopTimeoutSeconds: setting('Server', 'STOP_TIMEOUT_SECONDS', integer(1, 120, 'seconds'), 10, {
    doc: 'Seconds that a stop waits for work under way.',
  }),
  timeZone: setting('Server', 'TIMEZONE', timeZone, 'UTC', { doc: 'Whose midnight starts a day in figures and reports.' }),

  adminEmail: setting<string | undefined>('First administrator', 'ADMIN_EMAIL', email as Value<string | undefined>, defaultAdmin, {
    doc: 'Made at the first start, when there is no administrator.',
    fallbackText: 'admin@example.com, in production none',
  }),
  adminPassword: optional('First administrator', 'ADMIN_PASSWORD', password, {
    doc: 'Absent: one is made and printed once. In production it must be given.',
    secret,
  }),

  secretKey: optional('Secrets', 'SECRET_KEY', longSecret, { doc: 'Signs access tokens; for api. Absent: made once in DATA_DIR/secrets.', secret }),
  secretKeyPrevious: optional('Secrets', 'SECRET_KEY_PREVIOUS', oneOrMore(longSecret), {
    doc: 'Keys that tokens may be signed with besides SECRET_KEY: the one before a change until its last token has expired, or the next one. Several: a JSON array.',
    secret,
  }),
  dataKeyMaster: optional('Secrets', 'DATA_KEY_MASTER', key32, {
    doc: 'Opens names, addresses and device keys; not for bridge. Absent: made once in DATA_DIR/secrets. Back it up.',
    secret,
  }),
  auditSigningKey: optional('Secrets', 'AUDIT_SIGNING_KEY', key32, {
    doc: 'Ed25519 seed that signs the audit log; for worker. Absent: made once in DATA_DIR/secrets.',
    secret,
  }),

  auditHeadsDir: optional('Secrets', 'AUDIT_HEADS_DIR', text(1_000), {
    doc: 'Folder for signed heads of the log, best where the database server cannot write. Absent: DATA_DIR/audit.',
  }),

  databaseUrl: optional('Database, event store, relay', 'DATABASE_URL', postgresUrl, {
    doc: 'PostgreSQL 15 or later. Absent: an embedded one in DATA_DIR.',
    aliases: ['NEON_DATABASE_URL'],
    secret,
  }),
  databasePoolSize: setting('Database, event store, relay', 'DATABASE_POOL_SIZE', integer(2, 200), 20, {
    doc: 'Most connections for requests. Unlocks, projections and the event store have their own.',
  }),
  eventStoreUrl: optional(
    'Database, event store, relay',
    'EVENTSTORE_URL',
    url('esdb://localhost:2113?tls=false', 'esdb', 'esdb+discover', 'kurrentdb', 'kurrentdb+discover'),
    { doc: 'EventStoreDB. Absent: the event store in PostgreSQL.', secret },
  ),
  kafkaBrokers: optional('Database, event store, relay', 'KAFKA_BOOTSTRAP_SERVERS', listOf(hostAndPort, 'host:port'), {
    doc: 'Kafka between API and device bridge. Absent: in this process.',
    aliases: ['KAFKA_BROKERS'],
  }),
  kafkaClientId: setting('Database, event store, relay', 'KAFKA_CLIENT_ID', text(100), 'loqey', { doc: 'Name of this client in Kafka.' }),
  kafkaSessionSeconds: setting('Database, event store, relay', 'KAFKA_SESSION_SECONDS', integer(6, 300, 'seconds'), 10, {
    doc: "A process that Kafka has not heard of for so long is gone: the others take over its share. Within the cluster's limits.",
  }),

  kafkaTls: setting('Database, event store, relay', 'KAFKA_TLS', boolean, false, { doc: 'Encrypted connections to Kafka.' }),
  kafkaSaslMechanism: setting('Database, event store, relay', 'KAFKA_SASL_MECHANISM', oneOf('plain', 'scram-sha-256', 'scram-sha-512'), 'scram-sha-512', {
    doc: 'How to sign in to Kafka, where KAFKA_USERNAME is set.',
  }),
  kafkaUsername: optional('Database, event store, relay', 'KAFKA_USERNAME', text(200), { doc: 'Absent: no sign-in.' }),
  kafkaPassword: optional('Database, event store, relay', 'KAFKA_PASSWORD', text(500), { doc: 'Its password.', secret }),
  kafkaFetchWaitMs: setting('Database, event store, relay', 'KAFKA_FETCH_WAIT_MS', integer(1, 5_000, 'milliseconds'), 500, {
    doc: 'How long a broker may hold a fetch open; a message ends it at once.',
  }),
  kafkaPartitions: setting('Database, event store, relay', 'KAFKA_PARTITIONS', integer(1, 1_000), 12, {
    doc: 'Of topics that are missing and made at the start; boxes are spread over them.',
  }),
  kafkaReplication: setting('Database, event store, relay', 'KAFKA_REPLICATION', integer(1, 10), 1, { doc: 'Copies of each, likewise. 3 in a cluster.' }),

  mqttUrl: optional('Devices over MQTT', 'MQTT_URL', url('mqtts://broker.example:8883', 'mqtt', 'mqtts'), {
    doc: 'MQTT broker. Absent, and no MQTT_BROKER_HOST: the embedded one.',
    secret,
  }),
  mqttBrokerHost: optional('Devices over MQTT', 'MQTT_BROKER_HOST', text(255), { doc: 'Instead of MQTT_URL, with MQTT_BROKER_PORT.' }),
  mqttBrokerPort: setting('Devices over MQTT', 'MQTT_BROKER_PORT', listenPort, 1_883, { doc: 'Port of the broker, embedded or not; 0 = any free one.' }),
  mqttPublicUrl: optional('Devices over MQTT', 'MQTT_PUBLIC_URL', url('mqtts://broker.example:8883', 'mqtt', 'mqtts'), {
    doc: 'What a newly registered device is told to connect to. Absent: where the broker is.',
  }),
  mqttUsername: setting('Devices over MQTT', 'MQTT_USERNAME', text(100), 'loqey_backend', { doc: 'Identity that listens to devices (uplink).' }),
  mqttPassword: optional('Devices over MQTT', 'MQTT_PASSWORD', text(200), { doc: 'Its password.', secret }),
  mqttDownlinkUsername: setting('Devices over MQTT', 'MQTT_DOWNLINK_USERNAME', text(100), 'loqey_downlink', {
    doc: 'Identity that commands devices; it can hear nothing.',
  }),
  mqttDownlinkPassword: optional('Devices over MQTT', 'MQTT_DOWNLINK_PASSWORD', text(200), { doc: 'Its password.', secret }),
  mqttAdminUsername: optional('Devices over MQTT', 'MQTT_ADMIN_USERNAME', text(100), {
    doc: 'Identity that manages device credentials (Mosquitto dynamic security).',
  }),
  mqttAdminPassword: optional('Devices over MQTT', 'MQTT_ADMIN_PASSWORD', text(200), { doc: 'Its password.', secret }),
  mqttClientId: setting('Devices over MQTT', 'MQTT_CLIENT_ID', text(100), 'loqey_backend_001', {
    doc: 'MQTT client id; each bridge process needs its own.',
  }),
  mqttKeepaliveSeconds: setting('Devices over MQTT', 'MQTT_KEEPALIVE', integer(5, 600, 'seconds'), 15, {
    doc: 'Seconds between signs of life to the broker of MQTT_URL; a dead connection is noticed after one and a half times as long.',
  }),
  mqttTimeoutSeconds: setting('Devices over MQTT', 'MQTT_TIMEOUT', integer(1, 60, 'seconds'), 10, { doc: 'Seconds to wait for the broker of MQTT_URL.' }),
  mqttTlsPort: setting('Devices over MQTT', 'MQTT_TLS_PORT', listenPort, 8_883, { doc: 'TLS port of the embedded broker, with the files below; 0 = any free one.' }),
  mqttTlsCertFile: optional('Devices over MQTT', 'MQTT_TLS_CERT_FILE', text(1_000), {
    doc: 'Certificate (PEM) of the embedded broker; with MQTT_URL, the one that this process shows there. Read again when it changes.',
  }),
  mqttTlsKeyFile: optional('Devices over MQTT', 'MQTT_TLS_KEY_FILE', text(1_000), { doc: 'Its private key (PEM).' }),
  mqttTlsCaFile: optional('Devices over MQTT', 'MQTT_TLS_CA_FILE', text(1_000), {
    doc: 'CA (PEM) that signed the broker: checked here, and given to devices.',
  }),
  mqttTlsClientCerts: setting('Devices over MQTT', 'MQTT_TLS_CLIENT_CERTS', oneOf('off', 'optional', 'required'), 'off', {
    doc: 'Whether devices show the embedded broker a certificate, besides their password. Its CN is the device id.',
  }),
  mqttTlsClientCaFile: optional('Devices over MQTT', 'MQTT_TLS_CLIENT_CA_FILE', text(1_000), {
    doc: "CA (PEM) that signed the devices' certificates. Absent: MQTT_TLS_CA_FILE.",
  }),
  mqttPlain: setting('Devices over MQTT', 'MQTT_PLAIN', boolean, ({ tls }) => !tls, {
    doc: 'Listen without TLS as well, on MQTT_BROKER_PORT. For development: passwords can be read on the way.',
    fallbackText: 'true where there is no certificate',
  }),
  allowLevel0Devices: setting('Devices over MQTT', 'ALLOW_LEVEL0_DEVICES', boolean, ({ environment }) => environment === 'development', {
    doc: 'Devices with unsigned messages. In production, true lets owners and admins open them.',
    fallbackText: 'true in development, else false',
  }),

  unlockTtlSeconds: setting('Unlocks, links and devices', 'UNLOCK_TTL_SECONDS', integer(5, 30, 'seconds'), 30, {
    doc: 'An unlock that the device has not begun by then never happens.',
  }),
  unlockWaitSeconds: setting('Unlocks, links and devices', 'UNLOCK_WAIT_SECONDS', integer(0, 30, 'seconds'), 5, {
    doc: 'Longest wait of one request for its turn and its result.',
  }),
  devicePinLength: setting('Unlocks, links and devices', 'DEVICE_PIN_LENGTH', integer(4, 10, 'digits'), 6, { doc: 'Digits of the PIN that claims a box.' }),
  devicePinExpiryHours: setting('Unlocks, links and devices', 'DEVICE_PIN_EXPIRY_HOURS', integer(1, 87_600, 'hours'), 8_760, {
    doc: 'Hours until an unused PIN is void.',
  }),
  accessLinkTokenLength: setting('Unlocks, links and devices', 'ACCESS_LINK_TOKEN_LENGTH', integer(32, 32), 32, {
    doc: 'Characters of a link token; fixed.',
  }),
  defaultLinkExpiryHours: setting('Unlocks, links and devices', 'DEFAULT_LINK_EXPIRY_HOURS', integer(1, 8_760, 'hours'), 24, {
    doc: 'Life of a link that names no end.',
  }),
  maxLinkExpiryHours: setting('Unlocks, links and devices', 'MAX_LINK_EXPIRY_HOURS', integer(1, 8_760, 'hours'), 168, { doc: 'Longest life of a link.' }),

  algorithm: setting('Sign-in', 'ALGORITHM', oneOf('HS256'), 'HS256', { doc: 'Signature of access tokens; fixed.' }),
  accessTokenMinutes: setting('Sign-in', 'ACCESS_TOKEN_EXPIRE_MINUTES', integer(1, 1_440, 'minutes'), 30, { doc: 'Life of an access token.' }),
  refreshTokenDays: setting('Sign-in', 'REFRESH_TOKEN_EXPIRE_DAYS', integer(1, 365, 'days'), 7, { doc: 'Life of a refresh token.' }),
  bcryptRounds: setting('Sign-in', 'BCRYPT_ROUNDS', integer(4, 15), 12, { doc: 'Cost of a password hash; older ones are renewed at login.' }),

  rateLimitEnabled: setting('Rate limits', 'RATE_LIMIT_ENABLED', boolean, true, { doc: 'false is for benchmarks.' }),
  rateLimitAnonymousPerMinute: rate('RATE_LIMIT_ANONYMOUS_PER_MINUTE', 60, 'Requests without a sign-in, per address and minute.'),
  rateLimitAnonymousPerDay: rate('RATE_LIMIT_ANONYMOUS_PER_DAY', 1_000, 'The same per day.'),
  rateLimitAccountPerMinute: rate('RATE_LIMIT_ACCOUNT_PER_MINUTE', 120, 'Requests of one account per minute.'),
  rateLimitAccountPerDay: rate('RATE_LIMIT_ACCOUNT_PER_DAY', 10_000, 'The same per day.'),
  rateLimitLoginPerMinute: rate('RATE_LIMIT_LOGIN_PER_MINUTE', 5, 'Logins per address and minute.'),
  rateLimitRegistrationPerMinute: rate('RATE_LIMIT_REGISTER_PER_MINUTE', 5, 'New accounts per address and minute.'),
  rateLimitRegistrationPerDay: rate('RATE_LIMIT_REGISTER_PER_DAY', 50, 'The same per day.'),
  rateLimitRefreshPerMinute: rate('RATE_LIMIT_REFRESH_PER_MINUTE', 30, 'Exchanges of refresh tokens per address and minute.'),
  rateLimitPinPerMinute: rate('RATE_LIMIT_PIN_PER_MINUTE', 10, 'Tries of a PIN per account and minute.'),
  rateLimitUnlockPerMinute: rate('RATE_LIMIT_UNLOCK_PER_MINUTE', 10, 'Openings asked for with one link per minute.'),
  rateLimitUnknownLinkPerMinute: rate('RATE_LIMIT_BAD_LINK_PER_MINUTE', 10, 'Links that do not exist, per address and minute.'),

  smtpHost: setting('Mail', 'SMTP_HOST', text(255), 'smtp.gmail.com', {
    doc: 'Mail server. Neither this nor SMTP_USER set: mails go to DATA_DIR/mail, in production nowhere.',
  }),
  smtpPort: setting('Mail', 'SMTP_PORT', port, 587, { doc: 'Its port. 465: encrypted from the first byte; others: by STARTTLS.' }),
  smtpTls: setting('Mail', 'SMTP_TLS', boolean, true, { doc: 'Encrypted connection required. false: never encrypted.' }),
  smtpCaFile: optional('Mail', 'SMTP_CA_FILE', text(1_000), { doc: 'CA (PEM) that signed the mail server, where it is none that everyone knows.' }),
  smtpTimeoutSeconds: setting('Mail', 'SMTP_TIMEOUT_SECONDS', integer(1, 300, 'seconds'), 20, { doc: 'Seconds to wait for the mail server at each step.' }),
  smtpUser: optional('Mail', 'SMTP_USER', text(254), { doc: 'Name to sign in with. Absent: no sign-in.', aliases: ['SMTP_USERNAME'] }),
  smtpPassword: optional('Mail', 'SMTP_PASSWORD', text(500), { doc: 'Its password.', secret }),
  emailFrom: setting('Mail', 'EMAIL_FROM', email, 'noreply@loqey.com', { doc: 'Sender.' }),
  emailFromName: setting('Mail', 'EMAIL_FROM_NAME', text(100), 'Loqey System', { doc: 'Name of the sender.' }),
  mailPerHour: setting('Mail', 'MAIL_PER_HOUR', integer(1, 1_000), 6, { doc: 'Mails of one kind to one person in an hour; what is beyond comes in one mail.' }),

  courierDataDays: setting('Privacy', 'COURIER_DATA_DAYS', integer(1, 3_650, 'days'), 180, {
    doc: "A delivery's courier details can be read for so long, then never again.",
  }),
  backupRetentionDays: setting('Privacy', 'BACKUP_RETENTION_DAYS', integer(1, 3_650, 'days'), 30, {
    doc: 'How long your backups of the database are kept. Nothing is removed by it: the receipt of an erasure says until when they hold the data.',
  }),

  logLevel: setting('Logs', 'LOG_LEVEL', oneOf('TRACE', 'DEBUG', 'INFO', 'WARN', 'WARNING', 'ERROR', 'FATAL', 'CRITICAL'), 'INFO', {
    doc: 'What is worth a line.',
  }),
  debug: setting('Logs', 'DEBUG', boolean, false, { doc: 'true = LOG_LEVEL DEBUG.' }),
  enableFileLogging: setting('Logs', 'ENABLE_FILE_LOGGING', boolean, true, { doc: 'Write the log to a file; --verbose shows it as well.' }),
  logFilePath: optional('Logs', 'LOG_FILE_PATH', text(1_000), { doc: 'Absent: DATA_DIR/logs/loqey.log.' }),
  logRotationBytes: setting('Logs', 'LOG_ROTATION_SIZE', size, 10 * 1_024 ** 2, { doc: 'Size at which a new file is begun.' }),
  metricsToken: optional('Logs', 'METRICS_TOKEN', text(500), {
    doc: 'Whoever asks for /metrics must show it as a bearer token. Absent: open, and in production not there.',
    secret,
  }),
  otlpEndpoint: optional('Logs', 'OTEL_EXPORTER_OTLP_ENDPOINT', url('http://localhost:4318', 'http', 'https'), {
    doc: 'Collector of OpenTelemetry traces (OTLP over HTTP). Absent: no traces.',
  }),
  otlpHeaders: optional('Logs', 'OTEL_EXPORTER_OTLP_HEADERS', headerList, { doc: 'Headers for it, such as authorization=Bearer%20….', secret }),
  otelServiceName: setting('Logs', 'OTEL_SERVICE_NAME', text(100), 'loqey', { doc: 'What this program is called in traces.' }),
  traceRatio: setting('Logs', 'OTEL_TRACES_SAMPLER_ARG', fraction, 1, { doc: 'What part of all traces is recorded, 0 to 1; the same in every process.' }),
  logRetentionDays: setting('Logs', 'LOG_RETENTION_DAYS', integer(1, 3_650, 'days'), 30, { doc: 'Days that old files are kept.' }),
};

export type Values = { readonly [K in keyof typeof table]: (typeof table)[K] extends Setting<infer T> ? T : never };

export function fallbackOf<T>(entry: Setting<T>, basis: Basis): T {
  return typeof entry.fallback === 'function' ? (entry.fallback as (basis: Basis) => T)(basis) : entry.fallback;
}

function local(production: string): (basis: Basis) => string {
  return (basis) => (basis.environment === 'development' ? `http://localhost:${basis.port}` : production);
}

function defaultAdmin({ environment }: Basis): string | undefined {
  return environment === 'production' ? undefined : 'admin@example.com';
}

function rate(env: string, fallback: number, doc: string): Setting<number> {
  return setting('Rate limits', env, integer(1, 1_000_000_000), fallback, { doc });
}
