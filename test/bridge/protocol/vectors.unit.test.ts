import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { deriveKeys } from '../../../src/bridge/protocol/keys.ts';
import { configCommand, openSecret, rotateKeyCommand, sealSecret, timeCommand, unlockCommand, type CommandInput } from '../../../src/bridge/protocol/commands.ts';
import { signCommand, signReport, SUFFIX_BYTES, verifyCommand, verifyReport } from '../../../src/bridge/protocol/signature.ts';
import { vectorDeviceId, vectorKeys, vectorPayload, vectors } from './vectors.ts';

const base = (id: string, issuedAt: string, expiresAt: string, nonce: string): CommandInput => ({
  commandId: id,
  deviceId: vectorDeviceId,
  source: 'system',
  issuedAt,
  expiresAt,
  keyVersion: 1,
  nonce,
});

describe('the test vectors of the device protocol', () => {
  it('are what they say of themselves', () => {
    for (const { payload, bytes, sha256 } of Object.values(vectors.vectors)) {
      expect(Buffer.byteLength(payload)).toBe(bytes);
      expect(createHash('sha256').update(payload).digest('hex')).toBe(sha256);
    }
  });

  it('keys come out bit for bit', () => {
    for (const [purpose, hex] of Object.entries(vectors.keys)) {
      const key = vectorKeys[purpose as keyof typeof vectors.keys];
      expect((Buffer.isBuffer(key) ? key : key.export()).toString('hex')).toBe(hex);
    }
  });

  it('V1 unlock comes out bit for bit', () => {
    const body = unlockCommand({
      ...base('0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50', '2026-11-21T10:30:00.000Z', '2026-11-21T10:30:30.000Z', '000102030405060708090a0b0c0d0e0f'),
      source: 'delivery_link',
      linkId: '9d2f7c1a-5b3e-4f60-8a7b-1c2d3e4f5a6b',
      seq: 1_795_257_000_000,
    });
    expect(signCommand(body, vectorKeys.cmd).toString()).toBe(vectors.vectors.V1.payload);
  });

  it('V2 time comes out bit for bit', () => {
    const { nonce: challenge, ...input } = base('0198c1de-7a11-7c3e-8f00-4b1d2e3f4a51', '2026-11-21T10:29:58.250Z', '2026-11-21T10:30:08.250Z', 'f0e1d2c3b4a5968778695a4b3c2d1e0f');
    expect(signCommand(timeCommand({ ...input, challenge }), vectorKeys.cmd).toString()).toBe(vectors.vectors.V2.payload);
  });

  it('V3 response comes out bit for bit', () => {
    const { signature: _, ...body } = JSON.parse(vectors.vectors.V3.payload) as Record<string, unknown>;
    expect(signReport('responses', body, vectorKeys.rpt).toString()).toBe(vectors.vectors.V3.payload);
  });

  it('V4 rotate_key comes out bit for bit, and its secret opens', () => {
    const { iv, plaintext, cmd_of_version_2 } = vectors.rotation;
    const input = base('0198c1de-7a12-7c3e-8f00-4b1d2e3f4a52', '2026-11-21T10:31:00.000Z', '2026-11-21T10:32:00.000Z', '202122232425262728292a2b2c2d2e2f');
    const secret = sealSecret(plaintext, vectorKeys.enc, vectorDeviceId, input.commandId, Buffer.from(iv, 'hex'));
    expect(signCommand(rotateKeyCommand({ ...input, newKeyVersion: 2, secret }), vectorKeys.cmd).toString()).toBe(vectors.vectors.V4.payload);

    expect(openSecret(secret, vectorKeys.enc, vectorDeviceId, input.commandId)).toBe(plaintext);
    const { device_key } = JSON.parse(plaintext) as { device_key: string };
    expect(deriveKeys(Buffer.from(device_key, 'hex'), vectorDeviceId, 2).cmd.export().toString('hex')).toBe(cmd_of_version_2);
  });

  it('V5 config comes out bit for bit', () => {
    const body = configCommand({
      ...base('0198c1de-7a13-7c3e-8f00-4b1d2e3f4a53', '2026-11-21T10:40:00.000Z', '2026-11-21T10:41:00.000Z', '303132333435363738393a3b3c3d3e3f'),
      configVersion: 7,
      desired: { autoLockEnabled: true, autoLockDelay: 30, silentMode: false, ledEnabled: true, heartbeatSeconds: 60 },
    });
    expect(signCommand(body, vectorKeys.cmd).toString()).toBe(vectors.vectors.V5.payload);
  });

  it('verify', () => {
    for (const name of ['V1', 'V2', 'V4', 'V5'] as const) expect(verifyCommand(vectorPayload(name), vectorKeys.cmd)).toBe(true);
    expect(verifyReport(vectorPayload('V3'), vectorKeys.rpt, 'responses')).toBe(true);
  });
});

describe('what must fail', () => {
  const v1 = vectorPayload('V1');

  it('any bit of V1 flipped', () => {
    for (let bit = 0; bit < v1.length * 8; bit++) {
      const changed = Buffer.from(v1);
      changed[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifyCommand(changed, vectorKeys.cmd), `bit ${bit}`).toBe(false);
    }
  });

  it('V3 under another kind', () => {
    for (const kind of ['status', 'heartbeat', 'battery'] as const) expect(verifyReport(vectorPayload('V3'), vectorKeys.rpt, kind)).toBe(false);
  });

  it('V1 under the key rpt, and as a report', () => {
    expect(verifyCommand(v1, vectorKeys.rpt)).toBe(false);
    expect(verifyReport(v1, vectorKeys.cmd, 'responses')).toBe(false);
  });

  it('V1 with upper-case hex', () => {
    const text = v1.toString();
    const at = text.length - 66;
    expect(verifyCommand(Buffer.from(text.slice(0, at) + text.slice(at, -2).toUpperCase() + '"}'), vectorKeys.cmd)).toBe(false);
  });

  it('V1 with one space before the last brace', () => {
    expect(verifyCommand(Buffer.from(`${v1.toString().slice(0, -1)} }`), vectorKeys.cmd)).toBe(false);
  });

  it('V1 without its signature member, cut short, or with anything after it', () => {
    expect(verifyCommand(Buffer.from(`${v1.toString().slice(0, -SUFFIX_BYTES)}}`), vectorKeys.cmd)).toBe(false);
    for (const length of [0, 1, 79, 80, 81, 82, v1.length - 1]) expect(verifyCommand(v1.subarray(0, length), vectorKeys.cmd)).toBe(false);
    expect(verifyCommand(Buffer.concat([v1, Buffer.from('\n')]), vectorKeys.cmd)).toBe(false);
  });

  it('a secret under another key, device or command, or changed', () => {
    const { secret, command_id: id } = JSON.parse(vectors.vectors.V4.payload) as { secret: string; command_id: string };
    expect(openSecret(secret, vectorKeys.mqtt, vectorDeviceId, id)).toBeUndefined();
    expect(openSecret(secret, vectorKeys.enc, vectorDeviceId.replace('6', '7'), id)).toBeUndefined();
    expect(openSecret(secret, vectorKeys.enc, vectorDeviceId, id.replace('0', '1'))).toBeUndefined();
    expect(openSecret(secret.replace('3', '4'), vectorKeys.enc, vectorDeviceId, id)).toBeUndefined();
    for (const broken of ['', 'ab', secret.slice(1), secret.toUpperCase(), `${secret.slice(0, -2)}zz`]) {
      expect(openSecret(broken, vectorKeys.enc, vectorDeviceId, id)).toBeUndefined();
    }
  });
});
