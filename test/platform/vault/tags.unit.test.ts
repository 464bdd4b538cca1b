import { describe, expect, it } from 'vitest';
import { createMasterKey, decrypt, encrypt } from '../../../src/platform/vault/master-key.ts';
import { createTags } from '../../../src/platform/vault/tags.ts';

const master = createMasterKey(Buffer.alloc(32, 7));
const other = createMasterKey(Buffer.alloc(32, 8));

describe('tags', () => {
  const tags = createTags(master);

  it('of a PIN belong to one device and one master key', () => {
    expect(tags.pinTag('d1', '123456')).toBe(tags.pinTag('d1', '123456'));
    expect(tags.pinTag('d1', '123456')).not.toBe(tags.pinTag('d2', '123456'));
    expect(tags.pinTag('d1', '123456')).not.toBe(tags.pinTag('d1', '123457'));
    expect(tags.pinTag('d1', '123456')).not.toBe(createTags(other).pinTag('d1', '123456'));
    expect(tags.pinTag('d1', '123456')).toMatch(/^[0-9a-f]{64}$/);
  });

  it('stay the same for ever: they are in events', () => {
    expect(tags.pinTag('6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10', '123456')).toBe('d5779a755bc640ac96a1817e54d186cb13482c3a4ba414946eedcb3f22337c5e');
    expect(tags.emailTag('ana@example.com')).toBe('3c2cb0f6894856a51e2ef67896b566eaea36b40bc4bdab7391c53316c600679e');
  });

  it('of an address ignore case, space around it and how an accent is composed', () => {
    expect(tags.emailTag(' Ana@Example.COM ')).toBe(tags.emailTag('ana@example.com'));
    expect(tags.emailTag('ren\u00e9@example.com')).toBe(tags.emailTag('rene\u0301@example.com'));
    expect(tags.emailTag('ana@example.com')).not.toBe(tags.emailTag('ana@example.org'));
  });
});

describe('the master key', () => {
  it('wraps for one purpose and one row', () => {
    const key = Buffer.alloc(32, 1);
    const wrapped = master.wrap('data-key', 'row-1', key);
    expect(master.unwrap('data-key', 'row-1', wrapped)).toEqual(key);
    expect(() => master.unwrap('data-key', 'row-2', wrapped)).toThrow();
    expect(() => master.unwrap('device-key', 'row-1', wrapped)).toThrow();
    expect(() => other.unwrap('data-key', 'row-1', wrapped)).toThrow();
    for (let bit = 0; bit < wrapped.length * 8; bit += 7) {
      const flipped = Buffer.from(wrapped);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => master.unwrap('data-key', 'row-1', flipped)).toThrow();
    }
  });

  it('must have 32 bytes', () => {
    expect(() => createMasterKey(Buffer.alloc(16))).toThrow(/DATA_KEY_MASTER/);
  });

  it('encryption refuses what is too short to be one', () => {
    const sealed = encrypt(Buffer.alloc(32), 'c', Buffer.from('x'));
    expect(() => decrypt(Buffer.alloc(32), 'c', sealed.subarray(0, 20))).toThrow();
  });
});
