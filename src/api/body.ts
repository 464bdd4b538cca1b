import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { ApiError, invalid } from './errors.ts';

/** What no route needs more of, unless it says so. */
const MAX_BODY_BYTES = 32 * 1_024;
/**
 * What is too large is read to its end and thrown away: a connection that is closed while somebody still sends over it takes
 * the answer away from them (RFC 9112, 9.6). Beyond this, or the time that a request has, it is closed all the same.
 */
const CUT_OFF_BYTES = 64 * 1_024 * 1_024;
const MAX_DEPTH = 32;

/**
 * The body as the bytes that it is, at most `most` of them.
 *
 * @throws ApiError 413 beyond `most`, with the words `otherwise` · 415 when it is compressed · 400 when it ends before its announced length
 */
export function readBytes(req: IncomingMessage, most = MAX_BODY_BYTES, otherwise = 'The request body is too large'): Promise<Buffer> {
  const tooLarge = (headers: Readonly<Record<string, string>> = {}) => new ApiError('payload_too_large', otherwise, undefined, headers);
  const { 'content-encoding': encoding = 'identity', 'content-length': announced = '0' } = req.headers;
  // A few bytes can unfold to gigabytes.
  if (encoding.toLowerCase() !== 'identity') throw new ApiError('unsupported_media_type', 'The body must not be compressed');
  if (Number(announced) > CUT_OFF_BYTES) throw tooLarge({ Connection: 'close' });
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    req.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= most) chunks.push(chunk);
      else chunks.length = 0;
      if (size > CUT_OFF_BYTES) {
        req.pause();
        reject(tooLarge({ Connection: 'close' }));
      }
    });
    req.on('end', () => (size > most ? reject(tooLarge()) : resolve(Buffer.concat(chunks, size))));
    const broken = (): void => reject(invalid('body', 'ended before its announced length', 'Invalid body'));
    req.on('aborted', broken);
    req.on('error', broken);
  });
}

/**
 * The body as JSON; none is an empty object.
 *
 * @throws ApiError 400, 413, 415
 */
export async function readJson(req: IncomingMessage): Promise<unknown> {
  if (!isAnnounced(req)) return {};
  requireType(req, /^application\/(?:json|[\w.-]+\+json)$/i, 'The body must be JSON: Content-Type: application/json');
  const bytes = await readBytes(req);
  // Bytes that are not UTF-8 would become other names in silence.
  if (!isUtf8(bytes)) throw invalid('body', 'must be UTF-8', 'Invalid JSON');
  if (isDeeperThan(MAX_DEPTH, bytes)) throw invalid('body', `must not be nested deeper than ${MAX_DEPTH}`, 'Invalid JSON');
  if (bytes.length === 0) return {};
  try {
    return JSON.parse(bytes.toString('utf8').replace(/^\uFEFF/, ''));
  } catch {
    throw invalid('body', 'must be valid JSON', 'Invalid JSON');
  }
}

/** @throws ApiError 400, 413, 415 */
export async function readForm(req: IncomingMessage): Promise<URLSearchParams> {
  if (!isAnnounced(req)) return new URLSearchParams();
  requireType(req, /^application\/x-www-form-urlencoded$/i, 'The body must be a form: Content-Type: application/x-www-form-urlencoded');
  return new URLSearchParams((await readBytes(req)).toString('utf8'));
}

function isAnnounced({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

function requireType({ headers }: IncomingMessage, allowed: RegExp, message: string): void {
  const [type = '', ...parameters] = (headers['content-type'] ?? '').split(';').map((part) => part.trim());
  const charset = parameters.find((parameter) => /^charset=/i.test(parameter))?.slice('charset='.length).replaceAll('"', '');
  if (!allowed.test(type) || (charset !== undefined && !/^utf-?8$/i.test(charset))) throw new ApiError('unsupported_media_type', message);
}

/** Counts brackets outside of strings: what recurses over a body, ours or anybody's, is never given a thousand of them. */
function isDeeperThan(most: number, json: Uint8Array): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const byte = json[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > most) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return false;
}
