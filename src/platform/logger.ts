import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';

/** Injected everywhere as a child with fixed keys: `{component, stream, eventType, deviceId, correlationId}`. */
export type Logger = PinoLogger;

/** Members that never reach a log line, whatever object they are in (requirements X-41). */
const secretMembers = ['password', 'pin', 'otp', 'token', 'access_token', 'refresh_token', 'link_token', 'device_key', 'authorization'];

export interface LoggerOptions {
  readonly level: string;
  readonly destination?: DestinationStream;
}

export function createLogger({ level, destination }: LoggerOptions): Logger {
  const options = {
    level: level.toLowerCase(),
    base: {},
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: {
      paths: secretMembers.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
      censor: '[redacted]',
    },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

export const silentLogger: Logger = pino({ level: 'silent' });
