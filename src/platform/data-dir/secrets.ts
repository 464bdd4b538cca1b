import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SecretName } from '../config.ts';
import { key32, longSecret, type Value } from '../config-values.ts';

/** Undefined: not needed here, so not looked for. */
export interface Secrets {
  /** Signs access tokens. */
  readonly secretKey: string | undefined;
  /** Wraps data keys and device keys, and keys the tags: 32 bytes. */
  readonly dataKeyMaster: Buffer | undefined;
  /** Ed25519 seed: 32 bytes. */
  readonly auditSigningKey: Buffer | undefined;
  /** Names of those that were made by this call: the person is told to back them up. */
  readonly made: readonly string[];
  readonly folder: string;
}

export interface SecretsOptions {
  readonly dataDir: string;
  /** Given ones win over the files. */
  readonly given: {
    readonly secretKey: string | undefined;
    readonly dataKeyMaster: Buffer | undefined;
    readonly auditSigningKey: Buffer | undefined;
  };
  readonly needed: readonly SecretName[];
  /** False in production. */
  readonly mayMake: boolean;
}

export class SecretMissing extends Error {
  override readonly name = 'SecretMissing';
}

/** Given by setting, else kept in DATA_DIR/secrets (0600), else made there once. */
export async function loadSecrets({ dataDir, given, needed, mayMake }: SecretsOptions): Promise<Secrets> {
  const folder = join(dataDir, 'secrets');
  const made: string[] = [];

  async function kept<T>(env: string, schema: Value<T>): Promise<T> {
    const path = join(folder, env.toLowerCase().replaceAll('_', '-'));
    const stored = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (stored !== undefined) {
      const value = schema.parse(stored.trim());
      if (value === undefined) throw new SecretMissing(`The file ${path} does not hold a ${env}: it must be ${schema.allowed}. Put its backup there.`);
      if (((await stat(path)).mode & 0o077) !== 0 && process.platform !== 'win32') await chmod(path, 0o600);
      return value;
    }
    if (!mayMake) throw new SecretMissing(`${env} must be set: with ENVIRONMENT=production no secret is made.`);
    const fresh = randomBytes(32).toString('base64url');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // `wx`: never over a key that another start has just made and perhaps used.
    await writeFile(path, `${fresh}\n`, { mode: 0o600, flag: 'wx', flush: true });
    made.push(env);
    return schema.parse(fresh) as T;
  }

  const of = async <T>(name: SecretName, value: T | undefined, env: string, schema: Value<T>): Promise<T | undefined> =>
    needed.includes(name) ? (value ?? (await kept(env, schema))) : undefined;
  return {
    secretKey: await of('secretKey', given.secretKey, 'SECRET_KEY', longSecret),
    dataKeyMaster: await of('dataKeyMaster', given.dataKeyMaster, 'DATA_KEY_MASTER', key32),
    auditSigningKey: await of('auditSigningKey', given.auditSigningKey, 'AUDIT_SIGNING_KEY', key32),
    made,
    folder,
  };
}
