import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { Database } from '../postgres/db.ts';

export interface SecretToCheck {
  /** The setting's name, for the message. */
  readonly env: string;
  readonly secret: string | Uint8Array;
  /** What it may have been before: then the check value moves on to the new one. */
  readonly previous?: readonly (string | Uint8Array)[] | undefined;
}

/** A secret is not the one that this database was written with. */
export class WrongSecret extends Error {
  override readonly name = 'WrongSecret';
  readonly env: string;

  constructor(env: string) {
    super(
      `${env} is not the one that this database was written with, so nothing was started.\n` +
        `Set the right ${env}, or put its backup into DATA_DIR/secrets. With another one, what it protects cannot be read.`,
    );
    this.env = env;
  }
}

/** Tells equal secrets from different ones and nothing about them. */
function checkValue({ env }: SecretToCheck, secret: string | Uint8Array): Buffer {
  const key = Buffer.from(hkdfSync('sha256', secret, '', `loqey/check/v1/${env}`, 32));
  return createHmac('sha256', key).update('check').digest();
}

/** @throws WrongSecret for the first that differs from the first start's. */
export async function checkSecrets(db: Database, secrets: readonly SecretToCheck[]): Promise<void> {
  for (const each of secrets) {
    const now = checkValue(each, each.secret);
    const stored = await firstValue(db, each.env, now);
    if (timingSafeEqual(stored, now)) continue;
    if (each.previous?.some((previous) => timingSafeEqual(stored, checkValue(each, previous))) !== true) throw new WrongSecret(each.env);
    await db.pool.query('UPDATE vault.check_values SET value = $2 WHERE name = $1 AND value = $3', [each.env, now.toString('hex'), stored.toString('hex')]);
  }
}

/** What the first start left; this call's own value if there was none. */
async function firstValue(db: Database, name: string, value: Buffer): Promise<Buffer> {
  await db.pool.query('INSERT INTO vault.check_values (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING', [name, value.toString('hex')]);
  const { rows } = await db.pool.query<{ value: string }>('SELECT value FROM vault.check_values WHERE name = $1', [name]);
  const stored = Buffer.from(rows[0]?.value ?? '', 'hex');
  return stored.length === value.length ? stored : Buffer.alloc(value.length);
}
