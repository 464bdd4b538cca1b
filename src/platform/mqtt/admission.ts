import { createHash, timingSafeEqual } from 'node:crypto';
import type { DeviceCredential } from './port.ts';

/** What CONNECT says besides name and password. */
export interface Introduction {
  readonly clientId: string;
  readonly will: object | undefined;
  readonly willTopic: string | undefined;
  readonly willRetain: boolean;
  /** Seconds; 0 = none. */
  readonly keepalive: number;
}

export interface Applicant {
  readonly username: string;
  readonly password: Buffer;
  readonly introduction: Introduction;
  /** The CN of the certificate that it showed, where it showed one. */
  readonly certificateName: string | undefined;
}

export interface Admitted {
  readonly credential: DeviceCredential;
  /** The one of its passwords' that it came with. */
  readonly passwordHash: string;
}

export type ConnectRefusal = 'unknown_user' | 'wrong_password' | 'foreign_client_id' | 'foreign_will' | 'wrong_certificate' | 'long_keepalive' | 'lookup_failed';

/** Reasons that are looked for only once the password was right. */
export const provenBy: ReadonlySet<ConnectRefusal> = new Set(['foreign_client_id', 'wrong_certificate', 'foreign_will', 'long_keepalive']);

const NO_HASH = Buffer.alloc(32);

/**
 * Who may connect to the embedded broker: whoever knows a password of the device, under the device's own client id, with no
 * certificate but its own and no last will that it may not say itself. A name that nobody has takes as long as a wrong password.
 */
export function examine({ username, password, introduction, certificateName }: Applicant, credential: DeviceCredential | undefined): Admitted | ConnectRefusal {
  const given = createHash('sha256').update(password).digest();
  let passwordHash: string | undefined;
  for (const hash of credential?.passwordHashes ?? ['']) {
    const expected = Buffer.from(hash, 'hex');
    const known = expected.length === given.length;
    if (timingSafeEqual(known ? expected : NO_HASH, given) && known) passwordHash = hash;
  }
  if (credential === undefined || credential.username !== username) return 'unknown_user';
  if (passwordHash === undefined) return 'wrong_password';
  if (introduction.clientId !== credential.clientId) return 'foreign_client_id';
  if (certificateName !== undefined && certificateName !== username) return 'wrong_certificate';
  const { willTopic } = introduction;
  if (introduction.willRetain || (willTopic !== undefined && !credential.publishTopics.includes(willTopic))) return 'foreign_will';
  return { credential, passwordHash };
}
