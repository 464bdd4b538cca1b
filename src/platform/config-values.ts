import { isIP } from 'node:net';

/** How the text of a setting becomes its value. `allowed` completes the sentence "PORT must be …". */
export interface Value<T> {
  readonly allowed: string;
  /** undefined: not allowed. */
  parse(text: string): T | undefined;
  /** As it stands in .env.example and the help. */
  format(value: T): string;
}

function value<T>(allowed: string, parse: (text: string) => T | undefined, format: (value: T) => string = String): Value<T> {
  return { allowed, parse, format };
}

export const text = (maxLength = 500): Value<string> =>
  value(`text of at most ${maxLength} characters`, (raw) => (raw.length <= maxLength ? raw : undefined));

export const integer = (min: number, max: number, unit = ''): Value<number> =>
  value(`a whole number from ${min} to ${max}${unit && ` ${unit}`}`, (raw) => {
    if (!/^-?\d{1,15}$/.test(raw)) return undefined;
    const number = Number(raw);
    return number >= min && number <= max ? number : undefined;
  });

export const port: Value<number> = integer(1, 65_535);
/** To listen on. 0 = any free one, said when it is known. */
export const listenPort: Value<number> = integer(0, 65_535);

const truths: Readonly<Record<string, boolean>> = { true: true, '1': true, yes: true, on: true, false: false, '0': false, no: false, off: false };
export const boolean: Value<boolean> = value('true or false', (raw) => truths[raw.toLowerCase()]);

export const oneOf = <const T extends string>(...choices: readonly T[]): Value<T> =>
  value(
    choices.length === 1 ? `${choices[0]}, nothing else` : `one of ${choices.join(', ')}`,
    (raw) => choices.find((choice) => choice.toLowerCase() === raw.toLowerCase()),
  );

/** `a, b` or `["a", "b"]`. */
function items(raw: string): string[] | undefined {
  if (!raw.startsWith('[')) return raw.split(',').map((item) => item.trim()).filter((item) => item !== '');
  try {
    const parsed: unknown = JSON.parse(raw);
    return Array.isArray(parsed) && parsed.every((item): item is string => typeof item === 'string') ? parsed : undefined;
  } catch {
    return undefined;
  }
}

export const listOf = <T>(item: Value<T>, what: string): Value<readonly T[]> =>
  value(
    `${what}, separated by commas`,
    (raw) => {
      const parsed = items(raw)?.map((each) => item.parse(each));
      return parsed !== undefined && parsed.length > 0 && parsed.every((each) => each !== undefined) ? (parsed as T[]) : undefined;
    },
    (list) => list.map((each) => item.format(each)).join(','),
  );

/** The text itself, which may hold commas, or a JSON array of such texts. */
export const oneOrMore = <T>(item: Value<T>): Value<readonly T[]> =>
  value(
    `${item.allowed}, or a JSON array of such`,
    (raw) => {
      const parsed = (raw.startsWith('[') ? (items(raw) ?? [raw]) : [raw]).map((each) => item.parse(each));
      return parsed.length > 0 && parsed.every((each) => each !== undefined) ? (parsed as T[]) : undefined;
    },
    (list) => JSON.stringify(list.map((each) => item.format(each))),
  );

export const fraction: Value<number> = value('a number from 0 to 1', (raw) => (/^(?:0(?:\.\d{1,6})?|1(?:\.0+)?)$/.test(raw) ? Number(raw) : undefined));

/** `name=value, name=value`, as OpenTelemetry writes headers: values may be percent-encoded. */
export const headerList: Value<Readonly<Record<string, string>>> = value(
  'name=value pairs, separated by commas',
  (raw) => {
    const pairs = raw.split(',').map((pair) => /^\s*([\w-]+)\s*=\s*([\x20-\x7e]*?)\s*$/.exec(pair));
    if (pairs.some((pair) => pair === null)) return undefined;
    try {
      return Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? '', decodeURIComponent(pair?.[2] ?? '')]));
    } catch {
      return undefined;
    }
  },
  (headers) => Object.entries(headers).map(([name, each]) => `${name}=${encodeURIComponent(each)}`).join(','),
);

/** Of one of these schemes; without a slash at the end, so that paths can be put behind it. */
export const url = (example: string, ...schemes: readonly string[]): Value<string> =>
  value(`a URL such as ${example}`, (raw) => {
    if (!URL.canParse(raw) || !schemes.some((scheme) => raw.toLowerCase().startsWith(`${scheme}://`))) return undefined;
    return raw.replace(/\/+$/, '');
  });

/** As browsers send it: scheme, host and port in lower case, nothing behind. `*` = any. */
export const origin: Value<string> = value('an origin such as https://app.example.com', (raw) => {
  if (raw === '*') return raw;
  const plain = raw.replace(/\/$/, '');
  if (!/^https?:\/\//i.test(plain) || !URL.canParse(plain)) return undefined;
  const parsed = new URL(plain);
  return parsed.pathname === '/' && parsed.search === '' && parsed.username === '' ? parsed.origin : undefined;
});

const proxyNames = ['loopback', 'linklocal', 'uniquelocal'];
const isNetwork = (text: string): boolean => {
  const [address = '', bits, ...more] = text.split('/');
  const family = isIP(address);
  if (proxyNames.includes(text)) return true;
  return family !== 0 && more.length === 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128)));
};

/** How many stand in front, or where they are. */
export const proxies: Value<number | readonly string[]> = value(
  `a number from 0 to 10, or addresses and networks (${proxyNames.join(', ')}, 10.0.0.0/8), separated by commas`,
  (raw) => {
    if (/^\d{1,2}$/.test(raw)) return Number(raw) <= 10 ? Number(raw) : undefined;
    const networks = items(raw);
    return networks !== undefined && networks.length > 0 && networks.every(isNetwork) ? networks : undefined;
  },
  (trusted) => (typeof trusted === 'number' ? `${trusted}` : trusted.join(',')),
);

/** SQLAlchemy's `postgresql+psycopg2://` is the same address. */
export const postgresUrl: Value<string> = value('a URL such as postgres://user:password@host:5432/loqey', (raw) => {
  const plain = raw.replace(/^(postgres(?:ql)?)\+\w+:/, '$1:');
  return /^postgres(ql)?:\/\//.test(plain) && URL.canParse(plain) ? plain : undefined;
});

export const hostAndPort: Value<string> = value('host:port', (raw) => (/^[\w.-]+:\d{1,5}$/.test(raw) ? raw : undefined));

export const email: Value<string> = value('an e-mail address', (raw) =>
  raw.length <= 254 && /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(raw) ? raw : undefined,
);

/** At most 72 bytes: bcrypt ignores what is beyond. */
export const password: Value<string> = value('8 to 72 bytes long', (raw) => {
  const bytes = Buffer.byteLength(raw);
  return bytes >= 8 && bytes <= 72 ? raw : undefined;
});

export const longSecret: Value<string> = value('at least 32 characters long', (raw) => (Buffer.byteLength(raw) >= 32 ? raw : undefined));

export const key32: Value<Buffer> = value(
  '32 bytes as 64 hex digits or as base64',
  (raw) => {
    if (/^[0-9a-f]{64}$/i.test(raw)) return Buffer.from(raw, 'hex');
    if (!/^[\w+/-]{43}=?$/.test(raw)) return undefined;
    const bytes = Buffer.from(raw, 'base64');
    return bytes.length === 32 ? bytes : undefined;
  },
  (bytes) => bytes.toString('base64url'),
);

const MB = 1_024 ** 2;
const units: Readonly<Record<string, number>> = { KB: 1_024, MB, GB: 1_024 * MB };
/** In bytes. */
export const size: Value<number> = value(
  'a size such as 10MB',
  (raw) => {
    const [, number, unit = ''] = /^(\d{1,6})\s*(KB|MB|GB)$/i.exec(raw) ?? [];
    return number === undefined ? undefined : Number(number) * (units[unit.toUpperCase()] ?? 1);
  },
  (bytes) => (bytes % MB === 0 ? `${bytes / MB}MB` : `${Math.ceil(bytes / 1_024)}KB`),
);

export const timeZone: Value<string> = value('a time zone such as UTC or Europe/Istanbul', (raw) => {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: raw }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
});
