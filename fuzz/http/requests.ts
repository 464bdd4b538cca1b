import type { Dice } from '../dice.ts';
import { jsonText, mutated, text, texts, value } from '../hostile.ts';
import { valid, type Schema } from '../schema.ts';
import type { KnownThings } from './known.ts';
import type { Operation } from './operations.ts';
import type { Asker, People } from './people.ts';
import type { RawRequest } from './wire.ts';

export interface Tried {
  readonly operation: Operation;
  readonly asker: Asker;
  readonly request: RawRequest;
  /** How many things about it are not as described. */
  readonly faults: number;
  /** What the body says, where it is as described. */
  readonly said: unknown;
}

/** What takes things away from those who go on: tried with real ids now and then, with others mostly. */
const ruinous: ReadonlySet<string> = new Set(['suspendUser', 'decommission', 'reprovisionDevice', 'revokeAdmin', 'adminUnlink', 'unlinkDevice', 'changePassword', 'logout', 'eraseUser', 'endSession', 'startMaintenance']);
const isRuinous = ({ id }: Operation): boolean => ruinous.has(id.split('_', 1)[0] ?? '') || /eras/i.test(id);

interface Parts {
  method: string;
  path: string;
  query: [name: string, value: string][];
  rawQuery: string | undefined;
  headers: [name: string, value: string][];
  body: Buffer | undefined;
  crooked: boolean;
  withLength: boolean;
}

export function makeRequest(operation: Operation, dice: Dice, people: People, known: KnownThings, schemas: Readonly<Record<string, Schema>>): Tried {
  const asker = people.for(operation, dice);
  const careful = isRuinous(operation) && dice.chance(0.93);
  const thing = (name: string): string | undefined => (careful && name.endsWith('_id') ? dice.uuid() : known.one(name, dice, asker.name));
  const secrets = (name: string): string | undefined =>
    name === 'old_password' || name === 'password' ? (dice.chance(0.5) ? asker.password || undefined : undefined) : name === 'email' && operation.path.includes('login') ? asker.email || undefined : thing(name);
  const bounded = operation.id.startsWith('deviceCommands') ? [['wait', '0'] as [string, string]] : [];

  const boxId = operation.security === 'device' ? dice.pick([...people.boxes.keys()]) : undefined;
  const parameter = (name: string, schema: Schema): string => (name === 'device_id' && boxId !== undefined ? boxId : (thing(name) ?? `${valid(schema, dice, schemas, thing, name) as string}`));
  const said = operation.body === undefined || (!operation.body.required && dice.chance(0.4)) ? undefined : sensible(operation, valid(operation.body.schema, dice, schemas, secrets), asker, dice);
  const bearer = boxId === undefined || dice.chance(0.15) ? asker.bearer : people.boxes.get(boxId);

  const parts: Parts = {
    method: operation.method,
    path: operation.path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => encodeURIComponent(parameter(name, operation.parameters[name] ?? {}))),
    query: [
      ...operation.query
        .filter(({ required, name }) => (required || dice.chance(0.25)) && name !== 'wait')
        .map(({ name, schema }): [string, string] => [name, `${valid(schema, dice, schemas, thing, name) as string}`]),
      ...bounded,
    ],
    rawQuery: undefined,
    headers: [['Host', 'localhost']],
    body: said === undefined ? undefined : operation.body?.type === 'application/json' ? Buffer.from(JSON.stringify(said)) : Buffer.from(table(dice, known)),
    crooked: false,
    withLength: true,
  };
  if (bearer !== undefined) parts.headers.push(['Authorization', `Bearer ${bearer}`]);
  if (parts.body !== undefined) parts.headers.push(['Content-Type', operation.body?.type ?? 'application/json']);
  if (operation.takesKey && dice.chance(0.3)) parts.headers.push(['Idempotency-Key', dice.chance(0.3) ? `again-${dice.int(20)}` : dice.uuid()]);

  const faults = dice.chance(0.3) ? 0 : dice.chance(0.7) ? 1 : 2 + dice.int(2);
  for (let i = 0; i < faults; i++) spoil(parts, operation, said, dice, known);
  if (parts.body !== undefined && parts.withLength) parts.headers.push(['Content-Length', `${parts.body.length}`]);

  const query = parts.rawQuery ?? parts.query.map(([name, each]) => `${encode(name)}=${encode(each)}`).join('&');
  return {
    operation,
    asker,
    faults,
    said,
    request: { method: parts.method, target: `${parts.path}${query === '' ? '' : `?${query}`}`, headers: parts.headers, body: parts.body ?? Buffer.alloc(0), crooked: parts.crooked },
  };
}

/** What no schema says: that two passwords are the same, that half a point is none, that an end lies ahead. */
function sensible({ id }: Operation, said: unknown, asker: Asker, dice: Dice): unknown {
  if (typeof said !== 'object' || said === null || dice.chance(0.3)) return said;
  const name = id.split('_', 1)[0] ?? '';
  const soon = new Date(Date.now() + (1 + dice.int(100)) * 3_600_000).toISOString();
  const { window: _window, starts_at: _start, ...link } = said as Record<string, unknown>;
  const window = { time_zone: 'Europe/Istanbul', days: [1, 2, 3, 4, 5, 6, 7], from: '00:00', to: dice.pick(['23:59', '12:00', '00:01']) };
  switch (name) {
    case 'register':
      return { email: `fuzz.${dice.uuid()}@example.com`, password: 'long enough, is it', full_name: dice.pick(['Ana Silva', 'İ', 'a'.repeat(200), '李 小龙']), state: 'Izmir' };
    case 'login':
    case 'adminLogin':
      return asker.email === '' ? said : { email: asker.email, password: asker.password };
    case 'changePassword':
      return { old_password: asker.password, new_password: `new ${dice.uuid()}` };
    case 'changeDevice':
      return { ...said, location_latitude: 90, location_longitude: -180 };
    case 'createLink':
      return { ...link, expires_at: soon, ...(dice.chance(0.3) ? { window } : {}) };
    case 'updateLink':
      return { ...link, max_uses: 1_000, expires_at: soon, ...(dice.chance(0.3) ? { window: dice.chance(0.5) ? null : window } : {}) };
    case 'registerDevice':
      return { ...said, serial_number: `FZ-${dice.uuid().slice(0, 13)}` };
    default:
      return said;
  }
}

/** Also what is no text: lone surrogates are what `encodeURIComponent` throws on. */
function encode(given: string): string {
  return encodeURIComponent(given.toWellFormed());
}

function spoil(parts: Parts, operation: Operation, said: unknown, dice: Dice, known: KnownThings): void {
  const roll = dice.roll();
  if (operation.body !== undefined && roll < 0.5) spoilBody(parts, operation, said, dice);
  else if (roll < 0.65) spoilPath(parts, dice, known);
  else if (roll < 0.82) spoilQuery(parts, dice);
  else spoilHead(parts, operation, dice);
}

function spoilBody(parts: Parts, operation: Operation, said: unknown, dice: Dice): void {
  if (operation.body?.type !== 'application/json') {
    const rows = parts.body?.toString() ?? 'serial_number\n';
    parts.body = Buffer.concat([Buffer.from(dice.chance(0.5) ? rows + text(dice).toWellFormed() : text(dice).toWellFormed() + rows), dice.chance(0.2) ? dice.bytes(8) : Buffer.alloc(0)]);
  } else {
    let changed: unknown = said ?? {};
    for (let i = 1 + dice.int(2); i > 0; i--) changed = mutated(changed, dice);
    parts.body = jsonText(changed, dice, dice.chance(0.35));
  }
  if (!parts.headers.some(([name]) => name === 'Content-Type')) parts.headers.push(['Content-Type', operation.body?.type ?? 'application/json']);
}

function spoilPath(parts: Parts, dice: Dice, known: KnownThings): void {
  const segments = parts.path.split('/');
  const at = 1 + dice.int(segments.length - 1);
  switch (dice.int(10)) {
    case 0:
      segments[at] = encode(text(dice)) || '%20';
      break;
    case 1:
      segments[at] = dice.pick(['%00', '%2f', '..%2f..', '%2e%2e', '%', '%zz', '%ff', '%c0%af', '%ed%a0%80', '.', '..', ';', '*', '~', "'", '%25', 'a'.repeat(300), '%F0%9F%91%8D', '{device_id}', ':id', '%0d%0aX: 1', '+', ' ']).replace(' ', '%20');
      break;
    case 2:
      parts.path += dice.pick(['/', '//', '/.', '/x', '%2f', ';a=b', '#x', '/%00', '.json']);
      return;
    case 3:
      parts.path = `/${parts.path}`;
      return;
    case 4:
      parts.path = parts.path.toUpperCase();
      return;
    case 5:
      parts.path = parts.path.replace('/api/v1', dice.pick(['/api', '/api/v2', '/API/v1', '/api/v1/api/v1', '']));
      if (!parts.path.startsWith('/')) parts.path = `/${parts.path}`;
      return;
    case 6:
      parts.method = dice.pick(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY']);
      return;
    case 7:
      parts.path = dice.pick(['*', 'http://localhost/health', 'http://evil.example/', '/', '/docs', '/redoc', '/asyncapi', '/openapi.json', '/asyncapi.json', '/unlock/x', '/metrics', '/favicon.ico', '/docs/../x', '/api', '/ws/admin/system']);
      return;
    default:
      segments[at] = encodeURIComponent(known.any(dice) ?? dice.uuid());
  }
  parts.path = segments.join('/');
}

function spoilQuery(parts: Parts, dice: Dice): void {
  const one = parts.query.length === 0 ? undefined : dice.pick(parts.query);
  const name = one?.[0] ?? dice.pick(['limit', 'page', 'search', 'cursor', 'offset', 'page_size', 'date_from', 'status']);
  const raw = encode(name);
  switch (dice.int(9)) {
    case 0:
      parts.query.push([name, one?.[1] ?? '1'], [name, '2']);
      break;
    case 1:
      parts.rawQuery = dice.pick([`${raw}[]=1`, `${raw}[a]=1`, `${raw}`, `${raw}=`, `=${raw}`, '&&&', '%00=%00', '%ff=%ff', '__proto__=1', '__proto__[a]=1', 'constructor=1', `${raw}=%`, `${raw}=%zz`, '?', `${raw}=1;${raw}=2`, `${raw}=1#x`, `a=${'1'.repeat(8_000)}`, `${'a=1&'.repeat(1_500)}b=1`, '%f0%9f=1', `${raw}=+1+`, 'token=x']);
      break;
    case 2:
      parts.query.push([dice.pick(texts.filter((each) => each !== '')).toWellFormed(), '1']);
      break;
    case 3:
      parts.query.push([name, `${dice.pick(['-1', '0', '1.5', '1e3', '0x10', 'NaN', 'Infinity', '99999999999999999999', '٣', ' 1', '1 ', 'true', 'null', '[]', '1,2'])}`]);
      break;
    default:
      if (one === undefined) parts.query.push([name, text(dice)]);
      else one[1] = dice.chance(0.5) ? text(dice) : asText(mutated(one[1], dice));
  }
}

/** Without a prototype, an object has no text of its own. */
function asText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

function spoilHead(parts: Parts, operation: Operation, dice: Dice): void {
  const without = (wanted: string): void => void (parts.headers = parts.headers.filter(([name]) => name !== wanted));
  const odd = (): string => text(dice).replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '?').slice(0, 3_000);
  switch (dice.int(20)) {
    case 0:
      without('Content-Type');
      parts.headers.push(['Content-Type', dice.pick(['text/plain', 'application/xml', 'application/json; charset=utf-16', 'application/json; charset="utf-8"', 'APPLICATION/JSON', 'application/vnd.x+json', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', '', ';', 'application/json;;;', 'text/csv', '*/*', odd()])]);
      break;
    case 1:
      parts.headers.push(['Content-Encoding', dice.pick(['gzip', 'br', 'identity', 'deflate, gzip', 'GZIP', 'x', ''])]);
      break;
    case 2:
      // Less or more than it says, or said twice.
      parts.withLength = false;
      parts.crooked = true;
      parts.headers.push(['Content-Length', dice.pick([`${(parts.body?.length ?? 0) + 10}`, `${Math.max(0, (parts.body?.length ?? 0) - 3)}`, '-1', '1e3', '0x5', '99999999999', ' ', '5, 5', '+5', '2000000'])]);
      if (dice.chance(0.3)) parts.headers.push(['Content-Length', `${dice.int(100)}`]);
      break;
    case 3: {
      parts.withLength = false;
      parts.crooked = true;
      const body = parts.body ?? Buffer.from('{}');
      parts.headers.push(['Transfer-Encoding', dice.pick(['chunked', 'chunked', 'gzip, chunked', 'identity', 'chunked, chunked', 'xchunked'])]);
      const size = dice.pick([body.length.toString(16), `${body.length.toString(16)};x=y`, 'zz', '-1', 'ffffffffffffffff', `0${body.length.toString(16)}`]);
      parts.body = Buffer.concat([Buffer.from(`${size}\r\n`), body, Buffer.from(dice.pick(['\r\n0\r\n\r\n', '\r\n', '\r\n0\r\nX: y\r\n\r\n', '0\r\n\r\n']))]);
      break;
    }
    case 4:
      parts.headers.push(['Idempotency-Key', dice.pick(['', ' ', 'x'.repeat(255), 'x'.repeat(256), 'x'.repeat(5_000), 'ü', '\t', 'a b', '"a"', '__proto__', 'again-1', 'again-1', 'again-2'])]);
      if (dice.chance(0.2)) parts.headers.push(['Idempotency-Key', 'twice']);
      break;
    case 5:
      parts.headers.push([dice.pick(['If-Match', 'If-None-Match', 'If-Modified-Since', 'Range', 'If-Range']), dice.pick(['*', '"x"', 'W/"x"', 'bytes=0-1', 'bytes=-', 'Thu, 01 Jan 1970 00:00:00 GMT', odd()])]);
      break;
    case 6:
      parts.headers.push(['Accept-Language', dice.pick(['tr', 'tr-TR,tr;q=0.9', '*', 'xx-YY', 'en;q=9', ',,,', 'a'.repeat(2_000), odd()])]);
      break;
    case 7:
      parts.headers.push(['Accept', dice.pick(['image/png', 'text/html', '*/*', 'application/json;q=0', ',', 'image/svg+xml;q=x', odd()])]);
      break;
    case 8:
      parts.headers.push([dice.pick(['X-Forwarded-For', 'Forwarded', 'X-Real-IP', 'X-Forwarded-Proto', 'X-Forwarded-Host']), dice.pick(['127.0.0.1', '::1', '10.0.0.1, 10.0.0.2', 'for=1.2.3.4', 'https', 'evil.example', '999.1.1.1', '1.2.3.4\t', odd()])]);
      break;
    case 9:
      without('Host');
      parts.crooked = true;
      for (const host of dice.pick([[], ['evil.example'], ['localhost', 'evil.example'], ['localhost:99999'], ['LOCALHOST'], ['localhost.'], ['[::1]'], [''], ['127.0.0.1'], ['user@localhost'], [odd()]])) parts.headers.push(['Host', host]);
      break;
    case 10:
      parts.headers.push(['Origin', dice.pick(['null', 'https://evil.example', 'http://localhost:3000', 'https://app.loqey.com', '', 'x', 'http://localhost:3000, https://evil.example', odd()])]);
      if (dice.chance(0.3)) {
        parts.method = 'OPTIONS';
        parts.headers.push(['Access-Control-Request-Method', dice.pick(['POST', 'X', ''])], ['Access-Control-Request-Headers', odd()]);
      }
      break;
    case 11:
      parts.crooked = true;
      parts.headers.push(['Expect', dice.pick(['100-continue', '200-ok', 'x', ''])]);
      break;
    case 12:
      parts.crooked = true;
      parts.headers.push(['Connection', dice.pick(['Upgrade, HTTP2-Settings', 'upgrade', 'close', 'keep-alive, x'])], ['Upgrade', dice.pick(['h2c', 'websocket', 'x', 'WebSocket'])]);
      break;
    case 13:
      parts.headers.push(['Cookie', dice.pick(['a=b', '=', ';;;', `a=${'x'.repeat(3_000)}`, '__proto__=1', odd()])]);
      break;
    case 14: {
      const [, bearer = ''] = parts.headers.find(([name]) => name === 'Authorization') ?? [];
      without('Authorization');
      parts.headers.push(['Authorization', dice.pick([bearer.toLowerCase(), `${bearer} `, bearer.replace(' ', '  '), bearer.replace(' ', '\t'), `${bearer}x`, `Basic ${Buffer.from('a:b').toString('base64')}`, 'Bearer', 'Bearer ', 'Bearer null', 'Bearer a.b.c', `Bearer ${'x'.repeat(9_000)}`, `${bearer}, Bearer x`, '', odd()])]);
      if (dice.chance(0.15)) parts.headers.push(['Authorization', bearer]);
      break;
    }
    case 15:
      parts.headers.push(['X-Padding', 'x'.repeat(dice.pick([7_000, 15_500, 17_000, 80_000]))]);
      parts.crooked = true;
      break;
    case 16:
      for (let i = dice.pick([50, 99, 150, 1_500]); i > 0; i--) parts.headers.push([`X-${i}`, '1']);
      parts.crooked = true;
      break;
    case 17:
      parts.headers.push(['traceparent', dice.pick(['00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '00-00000000000000000000000000000000-0000000000000000-00', 'ff-x', '00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01', odd()])]);
      break;
    case 18:
      parts.headers.push(['User-Agent', odd()], ['X-Request-Id', odd()], ['X-HTTP-Method-Override', 'DELETE']);
      break;
    default:
      if (parts.body === undefined && operation.body === undefined) {
        // Where none is expected.
        parts.body = jsonText(value(dice), dice, true);
        if (dice.chance(0.5)) parts.headers.push(['Content-Type', 'application/json']);
      } else {
        parts.headers.push([`X-${dice.int(10)}\u0001`, '1']);
        parts.crooked = true;
      }
  }
}

/** What is imported. */
function table(dice: Dice, known: KnownThings): string {
  const columns = dice.pick(['serial_number', 'serial_number,device_model', 'serial_number;profile', 'serial_number,device_model,profile,hardware_id', '"serial_number"']);
  const row = (): string => columns.split(/[,;]/).map((_column, index) => (index === 0 ? dice.pick([`FZ-${dice.uuid().slice(0, 13)}`, known.one('serial_number', dice) ?? 'x', text(dice)]) : dice.pick(['', 'loqey', 'legacy', text(dice)]))).join(columns.includes(';') ? ';' : ',');
  return `${[columns, ...Array.from({ length: dice.int(4) }, row)].join(dice.pick(['\n', '\r\n', '\r']))}\n`.toWellFormed();
}
