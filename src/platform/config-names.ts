import { table } from './config-table.ts';

/**
 * Names in the environment that are no setting: known from the stack that this program replaces, or misspelt. Nobody believes
 * that something is set which is not.
 */

const celery = 'background work is part of this program: there is no Celery';
const topics = 'the topics of each device profile are fixed (docs/device-protocol.md)';
const scaling = 'one process serves all; run more of them (ROLES) to scale';
/** Accepted, so that an old environment still starts this program. */
export const ignoredNames: Readonly<Record<string, string>> = {
  REDIS_URL: 'nothing here needs Redis',
  CELERY_BROKER_URL: celery,
  CELERY_RESULT_BACKEND: celery,
  CELERY_TASK_SERIALIZER: celery,
  CELERY_RESULT_SERIALIZER: celery,
  CELERY_ACCEPT_CONTENT: celery,
  CELERY_TIMEZONE: celery,
  CELERY_ENABLE_UTC: celery,
  CELERY_LOG_FILE_PATH: celery,
  MQTT_LOG_FILE_PATH: 'all parts write to LOG_FILE_PATH',
  MQTT_TOPIC_PREFIX: topics,
  MQTT_STATUS_TOPIC: topics,
  MQTT_COMMAND_TOPIC: topics,
  MQTT_SUBSCRIBE_TOPIC: topics,
  MQTT_PUBLISH_TOPIC: topics,
  API_V1_STR: 'the API is at /api/v1',
  PROJECT_VERSION: 'the version is the one of the package',
  DATABASE_ECHO: 'statements are not logged: they may hold personal data',
  WORKERS: scaling,
  MAX_CONNECTIONS: scaling,
  SENTRY_DSN: 'errors are in the log with their trace id, and in the traces of OTEL_EXPORTER_OTLP_ENDPOINT, which Sentry takes too',
  RELOAD: 'use node --watch',
  DEV_MODE: 'ENVIRONMENT says it',
  TEST_MODE: 'ENVIRONMENT says it',
};
const laterNames = /^(BILLING|WEBHOOK)_/;

/** Why a name that is set changes nothing here; undefined: it is not one of these. */
export function ignoredBecause(env: string): string | undefined {
  return ignoredNames[env] ?? (laterNames.test(env) ? 'this version has no such module' : undefined);
}

/** Beginnings of names that are ours alone: a name with one of them that we do not know is a mistake. */
const ourPrefixes = /^(RATE_LIMIT|MQTT|UNLOCK|DEVICE_PIN|ACCESS_LINK|ACCESS_TOKEN|REFRESH_TOKEN|EVENTSTORE|KAFKA|ALLOW_LEVEL|COURIER_DATA|MAIL_PER)_?/;
/** What a container platform adds for a service named `mqtt`. */
const fromPlatform = (env: string, value = '') => /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_\w+)$/.test(env) || /^(tcp|udp):\/\//.test(value);

/** One sentence for each. */
export function misspelt(environ: Readonly<Record<string, string | undefined>>): string[] {
  const known = new Set([...Object.values(table).flatMap((entry) => [entry.env, ...entry.aliases]), ...Object.keys(ignoredNames)]);
  return Object.keys(environ)
    .filter((env) => ourPrefixes.test(env) && !known.has(env) && !fromPlatform(env, environ[env]))
    .map((env) => {
      const near = [...known].map((name) => ({ name, distance: distance(env, name) })).sort((a, b) => a.distance - b.distance)[0];
      return `${env} is not a setting.${near !== undefined && near.distance <= 4 ? ` Did you mean ${near.name}?` : ''}`;
    });
}

/** Levenshtein. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

