import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { envExample, helpText, printConfig } from '../../../src/platform/config-text.ts';
import { ignoredNames } from '../../../src/platform/config-names.ts';
import { table } from '../../../src/platform/config-table.ts';
import { ConfigError, loadConfig } from '../../../src/platform/config.ts';

const secrets = { SECRET_KEY: 's'.repeat(32), DATA_KEY_MASTER: 'ab'.repeat(32), AUDIT_SIGNING_KEY: Buffer.alloc(32, 1).toString('base64') };

function problems(environ: Record<string, string>): readonly string[] {
  try {
    loadConfig(environ);
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).problems;
  }
}

describe('defaults', () => {
  it('are those of one machine: everything embedded, reachable from this machine only', () => {
    const config = loadConfig({});
    expect(config).toMatchObject({
      environment: 'development',
      host: '127.0.0.1',
      port: 8_000,
      mqttBrokerPort: 1_883,
      dataDir: './data',
      roles: ['api', 'projector', 'worker', 'bridge'],
      databaseUrl: undefined,
      eventStoreUrl: undefined,
      kafkaBrokers: undefined,
      mqttUrl: undefined,
      unlockTtlSeconds: 30,
      unlockWaitSeconds: 5,
      allowLevel0Devices: true,
      courierDataDays: 180,
      accessTokenMinutes: 30,
      bcryptRounds: 12,
      adminEmail: 'admin@example.com',
      deliveryBaseUrl: 'http://localhost:8000',
      given: [],
      ignored: [],
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('follow PORT and ENVIRONMENT', () => {
    expect(loadConfig({ PORT: '8010' }).deliveryBaseUrl).toBe('http://localhost:8010');
    const staging = loadConfig({ ENVIRONMENT: 'staging' });
    expect(staging.allowLevel0Devices).toBe(false);
    expect(staging.deliveryBaseUrl).toBe('https://delivery.loqey.com');
    const production = loadConfig({ ENVIRONMENT: 'production', ...secrets });
    expect(production.adminEmail).toBeUndefined();
    expect(production.dataKeyMaster).toEqual(Buffer.from('ab'.repeat(32), 'hex'));
  });

  it('stand for an empty variable too', () => {
    expect(loadConfig({ PORT: '', DATABASE_URL: ' ' })).toMatchObject({ port: 8_000, databaseUrl: undefined });
  });
});

describe('values', () => {
  it('are read in the forms that people write them', () => {
    const config = loadConfig({
      BACKEND_CORS_ORIGINS: '["https://a.example", "https://b.example"]',
      ALLOWED_HOSTS: 'a.example, b.example',
      ROLES: 'API, bridge',
      DATABASE_URL: 'postgresql+psycopg2://u:p@db:5432/loqey',
      DELIVERY_BASE_URL: 'https://go.example/',
      ALLOW_LEVEL0_DEVICES: 'No',
      LOG_LEVEL: 'warning',
      LOG_ROTATION_SIZE: '2 mb',
      KAFKA_BROKERS: 'k1:9092,k2:9092',
    });
    expect(config).toMatchObject({
      corsOrigins: ['https://a.example', 'https://b.example'],
      allowedHosts: ['a.example', 'b.example'],
      roles: ['api', 'bridge'],
      databaseUrl: 'postgresql://u:p@db:5432/loqey',
      deliveryBaseUrl: 'https://go.example',
      allowLevel0Devices: false,
      logLevel: 'WARN',
      logRotationBytes: 2 * 1_024 ** 2,
      kafkaBrokers: ['k1:9092', 'k2:9092'],
    });
  });

  it('of parts of the whole must say where the parts meet', () => {
    const wrong = (environ: Record<string, string>) => {
      try {
        loadConfig(environ);
        return [];
      } catch (error) {
        return (error as ConfigError).problems.map((problem) => problem.split(' ')[0]);
      }
    };
    expect(wrong({ ROLES: 'worker,bridge,projector' })).toEqual(['DATABASE_URL']);
    expect(wrong({ ROLES: 'bridge', DATABASE_URL: 'postgres://u:p@db:5432/loqey' })).toEqual(['KAFKA_BOOTSTRAP_SERVERS']);
    expect(wrong({ ROLES: 'worker', DATABASE_URL: 'postgres://u:p@db:5432/loqey', KAFKA_BOOTSTRAP_SERVERS: 'k:9092' })).toEqual([]);
    expect(wrong({ ROLES: 'api,projector', DATABASE_URL: 'postgres://u:p@db:5432/loqey' })).toEqual([]);
  });

  it('of MQTT_BROKER_HOST and its port make the URL; alone the port is the embedded one', () => {
    expect(loadConfig({ MQTT_BROKER_HOST: 'broker' }).mqttUrl).toBe('mqtt://broker:1883');
    expect(loadConfig({ MQTT_BROKER_HOST: 'broker', MQTT_BROKER_PORT: '8883' }).mqttUrl).toBe('mqtts://broker:8883');
    expect(loadConfig({ MQTT_BROKER_PORT: '1900' }).mqttUrl).toBeUndefined();
  });

  it('take NEON_DATABASE_URL for DATABASE_URL, and refuse two that differ', () => {
    expect(loadConfig({ NEON_DATABASE_URL: 'postgres://neon/db' }).databaseUrl).toBe('postgres://neon/db');
    expect(problems({ NEON_DATABASE_URL: 'postgres://neon/db', DATABASE_URL: 'postgres://other/db' })).toEqual([
      'DATABASE_URL and NEON_DATABASE_URL mean the same and differ: set one of them.',
    ]);
  });

  it('that are wrong are all named, with what is allowed', () => {
    expect(
      problems({ PORT: 'abc', UNLOCK_TTL_SECONDS: '60', ROLES: 'api,cook', DATABASE_URL: 'mysql://x', ENVIRONMENT: 'prod', BCRYPT_ROUNDS: '12.5' }),
    ).toEqual([
      'ENVIRONMENT must be one of development, staging, production; it is "prod".',
      'PORT must be a whole number from 0 to 65535; it is "abc".',
      'ROLES must be any of api, projector, worker, bridge, separated by commas; it is "api,cook".',
      'DATABASE_URL must be a URL such as postgres://user:password@host:5432/loqey.',
      'UNLOCK_TTL_SECONDS must be a whole number from 5 to 30 seconds; it is "60".',
      'BCRYPT_ROUNDS must be a whole number from 4 to 15; it is "12.5".',
    ]);
  });

  it('of secrets are never repeated in an error', () => {
    for (const [name, entry] of Object.entries(table)) {
      if (!entry.secret) continue;
      const canary = `canary${'\n'.repeat(2)}${'x'.repeat(600)}`;
      expect(problems({ [entry.env]: canary }).join(), name).not.toContain('canary');
    }
  });

  it('never make loadConfig throw anything but a ConfigError', () => {
    const names = Object.values(table).map((entry) => entry.env);
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...names), fc.oneof(fc.string(), fc.webUrl(), fc.integer().map(String), fc.json())), (environ) => {
        problems(environ);
      }),
    );
  }, 30_000);
});

describe('what guards the door', () => {
  it('proxies are a number or networks, under either name', () => {
    const proxies = (text: string) => loadConfig({ TRUST_PROXY: text }).trustProxy;
    expect([loadConfig({}).trustProxy, proxies('0'), proxies('2'), loadConfig({ TRUST_PROXY_HOPS: '1' }).trustProxy]).toEqual([0, 0, 2, 1]);
    expect(proxies('loopback, 10.0.0.0/8,2001:db8::/32,192.0.2.1')).toEqual(['loopback', '10.0.0.0/8', '2001:db8::/32', '192.0.2.1']);
    for (const bad of ['11', '-1', 'true', '10.0.0.0/33', '::/129', '10.0.0.0/8/8', 'proxy.example', '1.2.3']) expect(problems({ TRUST_PROXY: bad }), bad).toHaveLength(1);
    expect(problems({ TRUST_PROXY: '1', TRUST_PROXY_HOPS: '2' })).toHaveLength(1);
  });

  it('origins are what browsers send, and any of them only outside production', () => {
    expect(loadConfig({ BACKEND_CORS_ORIGINS: 'https://App.Example/, http://localhost:3000, https://a.example:443' }).corsOrigins).toEqual(['https://app.example', 'http://localhost:3000', 'https://a.example']);
    for (const bad of ['https://a.example/path', 'a.example', 'null', 'https://u@a.example', 'https://*.example/?x']) expect(problems({ BACKEND_CORS_ORIGINS: bad }), bad).toHaveLength(1);
    expect(loadConfig({ BACKEND_CORS_ORIGINS: '*' }).corsOrigins).toEqual(['*']);
    expect(problems({ ENVIRONMENT: 'production', ...secrets, BACKEND_CORS_ORIGINS: '*' })).toEqual(['BACKEND_CORS_ORIGINS must name origins: with ENVIRONMENT=production * is not possible.']);
  });

  it('earlier keys are one or several', () => {
    const [one, two] = ['a secret, with a comma, of 32 bytes.', 'another of at least thirty-two bytes'];
    expect(loadConfig({ SECRET_KEY_PREVIOUS: one }).secretKeyPrevious).toEqual([one]);
    expect(loadConfig({ SECRET_KEY_PREVIOUS: JSON.stringify([one, two]) }).secretKeyPrevious).toEqual([one, two]);
    expect(problems({ SECRET_KEY_PREVIOUS: JSON.stringify([one, 'short']) })).toHaveLength(1);
    expect(loadConfig({}).secretKeyPrevious).toBeUndefined();
  });

  it('a collector is named as OpenTelemetry names it; Sentry is told to be without effect', () => {
    const config = loadConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://otlp.example/', OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20a%2Cb, x-team = boxes', OTEL_TRACES_SAMPLER_ARG: '0.25' });
    expect(config).toMatchObject({ otlpEndpoint: 'https://otlp.example', otlpHeaders: { authorization: 'Bearer a,b', 'x-team': 'boxes' }, traceRatio: 0.25 });
    for (const bad of ['2', '-0.1', 'half', '.5']) expect(problems({ OTEL_TRACES_SAMPLER_ARG: bad }), bad).toHaveLength(1);
    for (const bad of ['nothing', 'a=%zz', '=x']) expect(problems({ OTEL_EXPORTER_OTLP_HEADERS: bad }), bad).toHaveLength(1);
    expect(loadConfig({ SENTRY_DSN: 'https://x@sentry.example/1' }).ignored).toMatchObject([{ env: 'SENTRY_DSN' }]);
  });
});

describe('contradictions', () => {
  it('production makes no secrets', () => {
    expect(problems({ ENVIRONMENT: 'production', SECRET_KEY: secrets.SECRET_KEY, ADMIN_EMAIL: 'a@b.example' })).toEqual([
      'DATA_KEY_MASTER must be set: with ENVIRONMENT=production no secret is made.',
      'AUDIT_SIGNING_KEY must be set: with ENVIRONMENT=production no secret is made.',
      'ADMIN_PASSWORD must be set with ADMIN_EMAIL: with ENVIRONMENT=production no password is made.',
    ]);
  });

  it('each role needs its own secrets, a bridge none', () => {
    const engines = { ENVIRONMENT: 'production', DATABASE_URL: 'postgres://a/b', KAFKA_BOOTSTRAP_SERVERS: 'kafka:9092', MQTT_URL: 'mqtts://broker' };
    const asked = (role: string) => problems({ ...engines, ROLES: role }).flatMap((problem) => /^(\w+) must be set: with ENVIRONMENT=production no secret/.exec(problem)?.[1] ?? []);
    expect(asked('bridge')).toEqual([]);
    expect(asked('projector')).toEqual(['DATA_KEY_MASTER']);
    expect(asked('worker')).toEqual(['DATA_KEY_MASTER', 'AUDIT_SIGNING_KEY']);
    expect(asked('api')).toEqual(['SECRET_KEY', 'DATA_KEY_MASTER']);
  });

  it('of the embedded broker: where it listens, and what a box must show', () => {
    const certificate = { MQTT_TLS_CERT_FILE: 'a.crt', MQTT_TLS_KEY_FILE: 'a.key' };
    const production = { ENVIRONMENT: 'production', ...secrets };
    expect([loadConfig({}).mqttPlain, loadConfig(certificate).mqttPlain, loadConfig({ ...certificate, MQTT_PLAIN: 'true' }).mqttPlain]).toEqual([true, false, true]);
    expect(problems({ MQTT_PLAIN: 'false' })[0]).toMatch(/^MQTT_PLAIN must be true/);
    expect(problems({ MQTT_TLS_CLIENT_CERTS: 'required' })[0]).toMatch(/^MQTT_TLS_CERT_FILE must be set/);
    expect(problems({ ...certificate, MQTT_TLS_CLIENT_CERTS: 'optional' })[0]).toMatch(/^MQTT_TLS_CLIENT_CA_FILE must be set/);
    expect(problems({ ...certificate, MQTT_TLS_CLIENT_CERTS: 'optional', MQTT_TLS_CA_FILE: 'ca.crt' })).toEqual([]);
    // 1883 is for development.
    expect(problems({ ...production, HOST: '0.0.0.0' })[0]).toMatch(/^MQTT_TLS_CERT_FILE must be set with/);
    expect(problems({ ...production, ...certificate, HOST: '0.0.0.0', MQTT_PLAIN: 'true' })[0]).toMatch(/MQTT_PLAIN be false/);
    expect(problems({ ...production, ...certificate, HOST: '0.0.0.0' })).toEqual([]);
    expect(problems(production)).toEqual([]);
    expect(problems({ ...production, HOST: '0.0.0.0', MQTT_URL: 'mqtts://broker' })).toEqual([]);
  });

  it('between settings are named', () => {
    expect(problems({ DEFAULT_LINK_EXPIRY_HOURS: '200' })[0]).toMatch(/^DEFAULT_LINK_EXPIRY_HOURS \(200\) must not exceed MAX_LINK_EXPIRY_HOURS/);
    expect(problems({ MQTT_URL: 'mqtt://a', MQTT_BROKER_HOST: 'b' })[0]).toMatch(/^MQTT_URL and MQTT_BROKER_HOST/);
    expect(problems({ MQTT_BROKER_HOST: 'b', MQTT_BROKER_PORT: '0' })[0]).toMatch(/^MQTT_BROKER_PORT/);
    expect(problems({ MQTT_TLS_CERT_FILE: 'a.pem' })[0]).toMatch(/^MQTT_TLS_CERT_FILE and MQTT_TLS_KEY_FILE/);
    expect(problems({ MQTT_DOWNLINK_USERNAME: 'loqey_backend' })[0]).toMatch(/must differ/);
    expect(problems({ SMTP_PASSWORD: 'x' })[0]).toMatch(/^SMTP_USER must be set/);
    expect(problems({ SMTP_HOST: 'mail.example.com', SMTP_USER: 'a', SMTP_TLS: 'false' })[0]).toMatch(/^SMTP_TLS must be true/);
    expect(problems({ SMTP_HOST: 'localhost', SMTP_USER: 'a', SMTP_TLS: 'false' })).toEqual([]);
  });
});

describe('names', () => {
  it('that are misspelt are named with the nearest one', () => {
    expect(problems({ MQTT_BROKR_PORT: '1883' })).toEqual(['MQTT_BROKR_PORT is not a setting. Did you mean MQTT_BROKER_PORT?']);
  });

  it('of other programs and of a container platform do no harm', () => {
    expect(problems({ HOME: '/root', PGHOST: 'x', MQTT_SERVICE_HOST: '10.0.0.1', MQTT_PORT: 'tcp://10.0.0.1:1883', MQTT_PORT_1883_TCP_ADDR: '10.0.0.1' })).toEqual([]);
  });

  it('from the former stack are accepted, with the reason why they do nothing', () => {
    const environ = Object.fromEntries(Object.keys(ignoredNames).map((env) => [env, 'x']));
    const { ignored } = loadConfig({ ...environ, WEBHOOK_TIMEOUT: '1', BILLING_CURRENCY: 'INR' });
    expect(ignored.map((each) => each.env).sort()).toEqual([...Object.keys(ignoredNames), 'WEBHOOK_TIMEOUT', 'BILLING_CURRENCY'].sort());
  });

  it('that are known outside are all known here', () => {
    const required =
      'DATABASE_URL NEON_DATABASE_URL DATABASE_ECHO SECRET_KEY ALGORITHM ACCESS_TOKEN_EXPIRE_MINUTES REFRESH_TOKEN_EXPIRE_DAYS BCRYPT_ROUNDS MQTT_BROKER_HOST MQTT_BROKER_PORT MQTT_USERNAME MQTT_PASSWORD MQTT_CLIENT_ID MQTT_KEEPALIVE MQTT_TIMEOUT MQTT_TOPIC_PREFIX MQTT_STATUS_TOPIC MQTT_COMMAND_TOPIC MQTT_SUBSCRIBE_TOPIC MQTT_PUBLISH_TOPIC REDIS_URL CELERY_BROKER_URL CELERY_RESULT_BACKEND CELERY_TASK_SERIALIZER CELERY_RESULT_SERIALIZER CELERY_ACCEPT_CONTENT CELERY_TIMEZONE CELERY_ENABLE_UTC API_V1_STR PROJECT_NAME PROJECT_VERSION DEBUG LOG_LEVEL ENVIRONMENT BACKEND_CORS_ORIGINS ALLOWED_HOSTS DEVICE_PIN_LENGTH DEVICE_PIN_EXPIRY_HOURS ACCESS_LINK_TOKEN_LENGTH DEFAULT_LINK_EXPIRY_HOURS MAX_LINK_EXPIRY_HOURS SMTP_HOST SMTP_PORT SMTP_TLS SMTP_USER SMTP_PASSWORD EMAIL_FROM EMAIL_FROM_NAME FRONTEND_URL ADMIN_DASHBOARD_URL DELIVERY_BASE_URL LOG_FILE_PATH CELERY_LOG_FILE_PATH MQTT_LOG_FILE_PATH ENABLE_FILE_LOGGING LOG_ROTATION_SIZE LOG_RETENTION_DAYS WORKERS MAX_CONNECTIONS KEEP_ALIVE TIMEOUT_KEEP_ALIVE RELOAD DEV_MODE TEST_MODE ' +
      'EVENTSTORE_URL KAFKA_BOOTSTRAP_SERVERS KAFKA_BROKERS MQTT_DOWNLINK_USERNAME MQTT_DOWNLINK_PASSWORD MQTT_ADMIN_USERNAME MQTT_ADMIN_PASSWORD MQTT_URL HOST PORT DATA_DIR ROLES ADMIN_EMAIL ADMIN_PASSWORD UNLOCK_TTL_SECONDS UNLOCK_WAIT_SECONDS ALLOW_LEVEL0_DEVICES COURIER_DATA_DAYS DATA_KEY_MASTER AUDIT_SIGNING_KEY';
    const known = new Set([...Object.values(table).flatMap((entry) => [entry.env, ...entry.aliases]), ...Object.keys(ignoredNames)]);
    expect(required.split(' ').filter((env) => !known.has(env))).toEqual([]);
  });

  it('are each used once', () => {
    const names = [...Object.values(table).flatMap((entry) => [entry.env, ...entry.aliases]), ...Object.keys(ignoredNames)];
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('what is printed', () => {
  it('.env.example is the one of this table (npm run config:print > .env.example)', () => {
    expect(readFileSync(join(import.meta.dirname, '../../../.env.example'), 'utf8')).toBe(envExample());
  });

  it('.env.example, uncommented, gives the defaults', () => {
    const pairs = [...envExample().matchAll(/^#([A-Z0-9_]+)=(.*)$/gm)].map(([, env = '', value = '']) => [env, value] as const);
    expect(pairs).toHaveLength(Object.keys(table).length);
    const { given: _given, ...read } = loadConfig(Object.fromEntries(pairs));
    const { given: _none, ...defaults } = loadConfig({});
    expect(read).toEqual(defaults);
  });

  it('the help has every name and fits 100 columns', () => {
    const help = helpText();
    for (const entry of Object.values(table)) expect(help).toContain(entry.env);
    expect(help.split('\n').filter((line) => line.length > 100)).toEqual([]);
  });

  it('the configuration shows no secret', () => {
    const printed = printConfig(loadConfig({ ...secrets, ADMIN_PASSWORD: 'canary-password', DATABASE_URL: 'postgres://u:canary@h/d', PORT: '8010' }));
    expect(printed).not.toMatch(/canary|ssss|abab/);
    expect(printed).toContain('SECRET_KEY=(set)');
    expect(printed).toContain('PORT=8010\n');
    expect(printed).toContain('HOST=127.0.0.1   # default');
  });
});
