import { ignoredBecause, misspelt } from './config-names.ts';
import { fallbackOf, table, type Basis, type Environment, type Role, type Setting, type Values } from './config-table.ts';

export interface Config extends Values {
  /** Names that are set and change nothing here, with the reason: worth one line in the log. */
  readonly ignored: readonly { readonly env: string; readonly reason: string }[];
  /** Names of the settings that the environment gave. */
  readonly given: readonly string[];
}

export type SecretName = 'secretKey' | 'dataKeyMaster' | 'auditSigningKey';

/** Who needs which secret. A bridge carries bytes that others sign and read: it holds none. */
const secretsByRole: Readonly<Record<Role, readonly SecretName[]>> = {
  api: ['secretKey', 'dataKeyMaster'],
  projector: ['dataKeyMaster'],
  worker: ['dataKeyMaster', 'auditSigningKey'],
  bridge: [],
};

export function secretsOf(roles: readonly Role[]): readonly SecretName[] {
  return [...new Set(roles.flatMap((role) => secretsByRole[role]))];
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** One sentence each, the variable first. No secret value is in them. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

type Environ = Readonly<Record<string, string | undefined>>;

/**
 * What this process runs with: the environment, read by the table of settings (`config-table.ts`) and held against itself.
 * @throws ConfigError with everything that is wrong, not only the first
 */
export function loadConfig(environ: Environ): Config {
  const problems: string[] = [];
  const given: string[] = [];
  const values: Record<string, unknown> = {};

  const read = (name: string, entry: Setting<unknown>): unknown => {
    const set = [entry.env, ...entry.aliases].filter((env) => (environ[env] ?? '').trim() !== '');
    const [env, other] = set;
    if (env === undefined) return undefined;
    const raw = environ[env]?.trim() ?? '';
    if (other !== undefined && environ[other]?.trim() !== raw) problems.push(`${env} and ${other} mean the same and differ: set one of them.`);
    const parsed = entry.schema.parse(raw);
    if (parsed === undefined) {
      problems.push(`${env} must be ${entry.schema.allowed}${entry.secret ? '.' : `; it is "${raw.slice(0, 60)}".`}`);
      return undefined;
    }
    given.push(name);
    return parsed;
  };

  for (const [name, entry] of Object.entries(table)) values[name] = read(name, entry as Setting<unknown>);
  const basis: Basis = {
    environment: (values['environment'] as Environment | undefined) ?? (table.environment.fallback as Environment),
    port: (values['port'] as number | undefined) ?? (table.port.fallback as number),
    tls: values['mqttTlsCertFile'] !== undefined,
  };
  for (const [name, entry] of Object.entries(table)) values[name] ??= fallbackOf(entry as Setting<unknown>, basis);
  const config = {
    ...(values as unknown as Values),
    given,
    ignored: Object.entries(environ).flatMap(([env, value]) => {
      const reason = ignoredBecause(env);
      return reason === undefined || value === undefined || value === '' ? [] : [{ env, reason }];
    }),
  };
  problems.push(...contradictions(config), ...misspelt(environ));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(derived(config));
}

function contradictions(config: Config): string[] {
  const problems: string[] = [];
  const isSet = (name: keyof Values) => config.given.includes(name);
  if (config.defaultLinkExpiryHours > config.maxLinkExpiryHours) {
    problems.push(`DEFAULT_LINK_EXPIRY_HOURS (${config.defaultLinkExpiryHours}) must not exceed MAX_LINK_EXPIRY_HOURS (${config.maxLinkExpiryHours}).`);
  }
  if (isSet('mqttUrl') && isSet('mqttBrokerHost')) problems.push('MQTT_URL and MQTT_BROKER_HOST mean the same: set one of them.');
  if (isSet('mqttBrokerHost') && config.mqttBrokerPort === 0) problems.push('MQTT_BROKER_PORT must be a port of MQTT_BROKER_HOST; 0 is for the embedded broker.');
  if (new Set(config.roles).size < 4 && config.databaseUrl === undefined) {
    problems.push('DATABASE_URL must be set where ROLES leaves some to another process: they share one database.');
  }
  if (config.roles.includes('worker') !== config.roles.includes('bridge') && config.kafkaBrokers === undefined) {
    problems.push('KAFKA_BOOTSTRAP_SERVERS must be set where ROLES has only one of worker and bridge: they meet there.');
  }
  if (isSet('mqttTlsCertFile') !== isSet('mqttTlsKeyFile')) problems.push('MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE must be set together.');
  if (config.mqttTlsClientCerts !== 'off') {
    if (!isSet('mqttTlsCertFile')) problems.push('MQTT_TLS_CERT_FILE must be set where MQTT_TLS_CLIENT_CERTS asks devices for theirs.');
    else if (!isSet('mqttTlsClientCaFile') && !isSet('mqttTlsCaFile')) problems.push('MQTT_TLS_CLIENT_CA_FILE must be set where MQTT_TLS_CLIENT_CERTS asks devices for certificates.');
  }
  if (config.roles.includes('bridge') && config.mqttUrl === undefined && !isSet('mqttBrokerHost')) {
    if (!config.mqttPlain && !isSet('mqttTlsCertFile')) problems.push('MQTT_PLAIN must be true where MQTT_TLS_CERT_FILE is not set: the broker would listen nowhere.');
    if (config.mqttPlain && config.environment === 'production' && !isLoopback(config.host)) {
      problems.push(`MQTT_TLS_CERT_FILE must be set${isSet('mqttTlsCertFile') ? ' and MQTT_PLAIN be false' : ''} with ENVIRONMENT=production and HOST=${config.host}: boxes would send their passwords for everyone on the way to read.`);
    }
  }
  if (config.mqttUsername === config.mqttDownlinkUsername) {
    problems.push('MQTT_USERNAME and MQTT_DOWNLINK_USERNAME must differ: one hears devices, the other commands them.');
  }
  if (config.smtpUser === undefined && config.smtpPassword !== undefined) problems.push('SMTP_USER must be set with SMTP_PASSWORD.');
  if (!config.smtpTls && config.smtpUser !== undefined && !isLoopback(config.smtpHost)) {
    problems.push(`SMTP_TLS must be true with SMTP_USER: the password would go to ${config.smtpHost} for everyone on the way to read.`);
  }
  if (config.environment === 'production') {
    for (const name of secretsOf(config.roles)) {
      if (config[name] === undefined) problems.push(`${table[name].env} must be set: with ENVIRONMENT=production no secret is made.`);
    }
    if (config.corsOrigins.includes('*')) problems.push('BACKEND_CORS_ORIGINS must name origins: with ENVIRONMENT=production * is not possible.');
    if (config.adminEmail !== undefined && config.adminPassword === undefined) {
      problems.push('ADMIN_PASSWORD must be set with ADMIN_EMAIL: with ENVIRONMENT=production no password is made.');
    }
  }
  return problems;
}

/** What follows from several settings, so that nobody else has to know how. */
function derived(config: Config): Config {
  const { mqttBrokerHost, mqttBrokerPort } = config;
  const scheme = mqttBrokerPort === 8_883 ? 'mqtts' : 'mqtt';
  return {
    ...config,
    mqttUrl: config.mqttUrl ?? (mqttBrokerHost === undefined ? undefined : `${scheme}://${mqttBrokerHost}:${mqttBrokerPort}`),
    logLevel: config.debug ? 'DEBUG' : ({ WARNING: 'WARN', CRITICAL: 'FATAL' } as const)[config.logLevel as 'WARNING' | 'CRITICAL'] ?? config.logLevel,
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
