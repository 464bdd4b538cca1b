import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createHeadSigner, isSignedBy, statementOf } from '../../src/audit/heads.ts';

const logId = '01939b6e-7c00-7000-8000-000000000001';
const head = { size: 3, root: 'ab'.repeat(32), time: '2026-11-21T10:00:00.000Z' };

describe('a signed head', () => {
  it('is the key pair of RFC 8032, test 1, for its seed', () => {
    const { publicKey } = createHeadSigner(Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex'));
    const { x = '' } = publicKey.export({ format: 'jwk' });
    expect(Buffer.from(x, 'base64url').toString('hex')).toBe('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  });

  it('holds as it is, and not with anything changed', () => {
    const signer = createHeadSigner(randomBytes(32));
    const signed = signer.sign(logId, head);
    expect(isSignedBy(signer.publicKey, logId, signed)).toBe(true);
    for (const change of [{ size: 4 }, { root: 'ac'.repeat(32) }, { time: '2026-11-21T10:00:00.001Z' }, { kid: 'other' }, { signature: 'AAAA' }]) {
      expect(isSignedBy(signer.publicKey, logId, { ...signed, ...change })).toBe(false);
    }
    expect(isSignedBy(signer.publicKey, '01939b6e-7c00-7000-8000-000000000002', signed)).toBe(false);
    expect(isSignedBy(createHeadSigner(randomBytes(32)).publicKey, logId, signed)).toBe(false);
  });

  it('signs these bytes, for ever', () => {
    expect(statementOf(logId, head).toString()).toBe(`loqey-audit-head-1\n${logId}\n3\n${'ab'.repeat(32)}\n2026-11-21T10:00:00.000Z\n`);
  });
});
