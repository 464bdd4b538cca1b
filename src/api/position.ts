import type { Uuid } from '../domain/kernel.ts';

/**
 * The opaque token of a place in this log: 16 bytes of the log's id, 8 of the position, base64url. A token of another log
 * (a restored or copied one) is recognised and not believed.
 */
export interface PositionTokens {
  encode(position: bigint): string;
  /** undefined: not a token of this log. */
  decode(token: string): bigint | undefined;
}

export function positionTokens(logId: Uuid): PositionTokens {
  const log = Buffer.from(logId.replaceAll('-', ''), 'hex');
  return {
    encode(position) {
      const bytes = Buffer.allocUnsafe(24);
      log.copy(bytes);
      bytes.writeBigUInt64BE(position, 16);
      return bytes.toString('base64url');
    },
    decode(token) {
      if (token.length !== 32) return undefined;
      const bytes = Buffer.from(token, 'base64url');
      return bytes.length === 24 && bytes.subarray(0, 16).equals(log) ? bytes.readBigUInt64BE(16) : undefined;
    },
  };
}
