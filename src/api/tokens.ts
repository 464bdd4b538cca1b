import { createSecretKey, type KeyObject } from 'node:crypto';
import jwt from 'jsonwebtoken';
import type { Uuid } from '../domain/kernel.ts';
import type { SessionScope } from '../domain/user/events.ts';
import { boundedCache } from '../platform/bounded-cache.ts';
import type { Clock } from '../platform/clock.ts';
import { newId } from '../platform/ids.ts';
import type { TokenSettings } from './settings.ts';

/** What an access token says. Nothing personal: it is read by whoever holds it. */
export interface Claims {
  readonly userId: Uuid;
  readonly sessionId: Uuid;
  readonly scope: SessionScope;
  /** `accessVersion` of the user when it was made. */
  readonly version: number;
  /** Seconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export interface AccessTokens {
  sign(session: { userId: Uuid; sessionId: Uuid; scope: SessionScope }, version: number): string;
  /** undefined: not a token of ours, or no longer good. */
  verify(token: string): Claims | undefined;
}

/** HS256 by name, the key object made once: a string secret costs four times as much to verify. */
const ALGORITHM = 'HS256';
const MIN_SECRET_BYTES = 32;
/** Clocks of two servers that sign and verify may differ by so much. */
const TOLERANCE_SECONDS = 5;
const REMEMBERED_TOKENS = 5_000;
const MAX_TOKEN_LENGTH = 2_048;

export function accessTokens(settings: TokenSettings, clock: Clock): AccessTokens {
  const keys = new Map<string, KeyObject>();
  for (const { kid, secret } of settings.keys) {
    if (Buffer.byteLength(secret) < MIN_SECRET_BYTES) throw new Error(`SECRET_KEY must have at least ${MIN_SECRET_BYTES} bytes`);
    keys.set(kid, createSecretKey(Buffer.from(secret)));
  }
  const signing = settings.keys[0];
  if (signing === undefined) throw new Error('SECRET_KEY is missing');
  const signingKey = keys.get(signing.kid) as KeyObject;
  // What was verified once is good until it ends: the signature does not change, sessions are checked elsewhere.
  const verified = boundedCache<string, Claims>({ max: REMEMBERED_TOKENS });

  return {
    sign({ userId, sessionId, scope }, version) {
      const iat = Math.floor(clock.now() / 1_000);
      return jwt.sign(
        {
          sub: userId,
          user_id: userId,
          sid: sessionId,
          scope,
          ver: version,
          typ: 'access',
          jti: newId(),
          iat,
          exp: iat + settings.accessSeconds,
          iss: settings.issuer,
          aud: settings.audiences[scope],
        },
        signingKey,
        { algorithm: ALGORITHM, keyid: signing.kid },
      );
    },

    verify(token) {
      const now = clock.now() / 1_000;
      const known = verified.get(token);
      if (known !== undefined) return known.expiresAt + TOLERANCE_SECONDS > now ? known : undefined;
      if (token.length > MAX_TOKEN_LENGTH) return undefined;
      const claims = claimsOf(verifySignature(token, keys, settings, now), settings);
      if (claims !== undefined) verified.set(token, claims);
      return claims;
    },
  };
}

function verifySignature(token: string, keys: ReadonlyMap<string, KeyObject>, settings: TokenSettings, now: number): unknown {
  const kid = jwt.decode(token, { complete: true })?.header.kid;
  // A kid only chooses among our own keys: it is never a path, an address or a key itself.
  const key = kid === undefined ? undefined : keys.get(kid);
  if (key === undefined) return undefined;
  try {
    return jwt.verify(token, key, {
      algorithms: [ALGORITHM],
      issuer: settings.issuer,
      audience: [settings.audiences.user, settings.audiences.admin],
      maxAge: settings.accessSeconds,
      clockTimestamp: Math.floor(now),
      clockTolerance: TOLERANCE_SECONDS,
    });
  } catch {
    return undefined;
  }
}

/** The library accepts tokens without `exp` and of any kind: what we need is asked for here. */
function claimsOf(payload: unknown, { audiences }: TokenSettings): Claims | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined;
  const { sub, sid, scope, ver, typ, iat, exp, aud } = payload as Record<string, unknown>;
  if (typ !== 'access' || typeof sub !== 'string' || typeof sid !== 'string' || typeof ver !== 'number') return undefined;
  if (typeof iat !== 'number' || typeof exp !== 'number' || (scope !== 'user' && scope !== 'admin')) return undefined;
  // One audience, the one of its scope: a list, or the other one, was not made here.
  if (aud !== audiences[scope]) return undefined;
  return { userId: sub, sessionId: sid, scope, version: ver, issuedAt: iat, expiresAt: exp };
}
