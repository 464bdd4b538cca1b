import { pino, type DestinationStream, type Logger as PinoLogger } from 'pino';

/** Injected everywhere as a child with fixed keys: `{component, stream, eventType, deviceId, correlationId, traceId}`. */
export type Logger = PinoLogger;

/** Members that never reach a log line, whatever object they are in and however deep (docs/coverage.md, X-41). */
const secretMembers =
  'password|passwd|old_password|new_password|password_confirm|new_password_confirm|pin|new_pin|pin_code|secret_pin|otp|code_verifier|' +
  'token|access_token|refresh_token|refresh|link_token|accessToken|refreshToken|linkToken|access_url|device_key|deviceKey|api_key|apiKey|' +
  'secret|secretKey|private_key|privateKey|authorization|proxy-authorization|cookie|set-cookie|x-api-key';

const CENSORED = '[redacted]';

/** Asked of each line first: most have none of it. */
const suspicious = new RegExp(`${secretMembers}|eyJ|bearer|basic |://|/unlock/|/link|/delivery/`, 'i');

const replacements: readonly (readonly [RegExp, string])[] = [
  // A member in JSON: text, number or list.
  [new RegExp(`(?<!\\\\)"(${secretMembers})":(?:"(?:[^"\\\\]|\\\\.)*"|\\[(?:[^\\]"]|"(?:[^"\\\\]|\\\\.)*")*\\]|[^\\s"\\[{,}\\]]+)`, 'gi'), `"$1":"${CENSORED}"`],
  // One in JSON that is text in JSON: with all that follows in that text.
  [new RegExp(`((?<!\\\\)\\\\+"(?:${secretMembers})\\\\+"\\s*:)(?:[^"\\\\]|\\\\.)*`, 'gi'), `$1${CENSORED}`],
  // In a query, a form or an error message: name=value.
  [new RegExp(`\\b(${secretMembers})=[^\\s&"'\\\\,;)\\]}]+`, 'gi'), `$1=${CENSORED}`],
  [/\b(bearer|basic)[ .]+[\w.~+/=-]{8,}/gi, `$1 ${CENSORED}`],
  [/\beyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)?/g, CENSORED],
  // Whoever the address of a server names.
  [/(\b[a-z][\w+.-]{0,20}:\/\/[^\s:/@"\\]*):[^\s@"\\/]+@/gi, `$1:${CENSORED}@`],
  // What a courier opens the box with.
  [/(\/(?:unlock|link|links|delivery)\/)[A-Za-z0-9]{32}(?![A-Za-z0-9-])/g, `$1${CENSORED}`],
];

/** A line of the log without what opens something. Everything is a line in the end: whatever object it came in. */
export function withoutSecrets(line: string): string {
  if (!suspicious.test(line)) return line;
  return replacements.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), line);
}

interface Failure {
  readonly type: string;
  readonly message: string;
  readonly code?: string;
  readonly stack?: string;
  readonly cause?: Failure;
}

/** Errors of libraries carry whole requests and rows with them: only what says what went wrong is kept. */
export function failureOf(error: unknown, depth = 0): Failure {
  if (!(error instanceof Error)) return { type: typeof error, message: String(error) };
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' || typeof code === 'number' ? { code: `${code}` } : {}),
    ...(error.stack === undefined || depth > 0 ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth >= 3 ? {} : { cause: failureOf(error.cause, depth + 1) }),
  };
}

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
    serializers: { err: failureOf },
    hooks: { streamWrite: withoutSecrets },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

export const silentLogger: Logger = pino({ level: 'silent' });
