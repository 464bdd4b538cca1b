import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/audit/canonical.ts';
import { consistencyPath, emptyRoot, grow, hashOf, inclusionPath, isCovered, leafHash, rootOf, type NodeId } from '../../src/audit/merkle.ts';

const sha = (...parts: readonly (Buffer | string)[]) => parts.reduce((h, part) => h.update(part), createHash('sha256')).digest();

/** The definition of RFC 6962 §2.1, word for word and slow. */
function mth(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return sha('');
  if (leaves.length === 1) return leaves[0]!;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return sha(Buffer.from([1]), mth(leaves.slice(0, k)), mth(leaves.slice(k)));
}

const leavesOf = (size: number) => Array.from({ length: size }, (_, i) => sha(Buffer.from([0]), `event ${i}`));

function grown(leaves: readonly Buffer[]) {
  let peaks: readonly Buffer[] = [];
  const nodes = new Map<string, Buffer>();
  leaves.forEach((leaf, size) => {
    const next = grow(size, peaks, leaf);
    peaks = next.peaks;
    for (const { id, hash } of next.finished) nodes.set(`${id.level}:${id.index}`, hash);
  });
  return { peaks, known: ({ level, index }: NodeId) => nodes.get(`${level}:${index}`) ?? expect.fail(`node ${level}:${index} is asked for`) };
}

/** RFC 9162 §2.1.3.2. */
function includes(index: number, size: number, leaf: Buffer, path: readonly Buffer[], root: Buffer): boolean {
  let [fn, sn, r] = [index, size - 1, leaf];
  for (const p of path) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      r = sha(Buffer.from([1]), p, r);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn >> 1, sn >> 1];
    } else r = sha(Buffer.from([1]), r, p);
    [fn, sn] = [fn >> 1, sn >> 1];
  }
  return sn === 0 && r.equals(root);
}

/** RFC 9162 §2.1.4.2. */
function extendsTo(first: number, second: number, firstRoot: Buffer, secondRoot: Buffer, given: readonly Buffer[]): boolean {
  if (first === second) return given.length === 0 && firstRoot.equals(secondRoot);
  if (first === 0) return given.length === 0;
  const path = Number.isInteger(Math.log2(first)) ? [firstRoot, ...given] : [...given];
  let [fn, sn] = [first - 1, second - 1];
  while (fn % 2 === 1) [fn, sn] = [fn >> 1, sn >> 1];
  const start = path.shift();
  if (start === undefined) return false;
  let [fr, sr] = [start, start];
  for (const c of path) {
    if (sn === 0) return false;
    if (fn % 2 === 1 || fn === sn) {
      fr = sha(Buffer.from([1]), c, fr);
      sr = sha(Buffer.from([1]), c, sr);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn >> 1, sn >> 1];
    } else sr = sha(Buffer.from([1]), sr, c);
    [fn, sn] = [fn >> 1, sn >> 1];
  }
  return fr.equals(firstRoot) && sr.equals(secondRoot) && sn === 0;
}

describe('the tree', () => {
  it('has the root that RFC 6962 defines, at every size', () => {
    expect(emptyRoot).toEqual(mth([]));
    for (let size = 0; size <= 70; size++) {
      const leaves = leavesOf(size);
      const { peaks, known } = grown(leaves);
      expect(rootOf(peaks)).toEqual(mth(leaves));
      expect(hashOf({ start: 0, end: size }, known)).toEqual(mth(leaves));
    }
  });

  it('has the hashes of the test vectors of Certificate Transparency', () => {
    // From the reference implementation's tests: eight inputs, leaf = SHA-256(0x00 ‖ input).
    const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
    const roots = [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
      'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
      '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
      'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
      '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
    ];
    const leaves = inputs.map((input) => sha(Buffer.from([0]), Buffer.from(input, 'hex')));
    expect(roots.map((_, i) => rootOf(grown(leaves.slice(0, i + 1)).peaks).toString('hex'))).toEqual(roots);
  });

  it('proves each leaf, and no other one, at every size', () => {
    for (let size = 1; size <= 40; size++) {
      const leaves = leavesOf(size);
      const { peaks, known } = grown(leaves);
      for (let index = 0; index < size; index++) {
        const path = inclusionPath(index, size).map((range) => hashOf(range, known));
        expect(includes(index, size, leaves[index]!, path, rootOf(peaks))).toBe(true);
        expect(includes(index, size, sha('another'), path, rootOf(peaks))).toBe(false);
        if (size > 1) expect(includes((index + 1) % size, size, leaves[index]!, path, rootOf(peaks))).toBe(false);
      }
    }
  });

  it('proves that a later tree begins with an earlier one, and not with another', () => {
    for (let size = 1; size <= 40; size++) {
      const leaves = leavesOf(size);
      const { peaks, known } = grown(leaves);
      for (let earlier = 0; earlier <= size; earlier++) {
        const before = mth(leaves.slice(0, earlier));
        const path = consistencyPath(earlier, size).map((range) => hashOf(range, known));
        expect(extendsTo(earlier, size, before, rootOf(peaks), path)).toBe(true);
        if (earlier > 0) expect(extendsTo(earlier, size, mth([...leaves.slice(0, earlier - 1), sha('changed')]), rootOf(peaks), path)).toBe(false);
      }
    }
  });

  it('refuses a proof of what is not in it', () => {
    expect(() => inclusionPath(3, 3)).toThrow(RangeError);
    expect(() => consistencyPath(4, 3)).toThrow(RangeError);
  });
});

describe('a leaf', () => {
  const event = { stream: 'device-1', revision: 7n, eventId: 'e', type: 'LinkCreated', data: { b: 1, a: [null, 'x'] }, metadata: { z: true } };

  it('is made of the six members, whatever order they were stored in', () => {
    const text = '{"data":{"a":[null,"x"],"b":1},"eventId":"e","metadata":{"z":true},"revision":"7","stream":"device-1","type":"LinkCreated"}';
    expect(leafHash(event)).toEqual(sha(Buffer.from([0]), text));
    expect(leafHash({ ...event, data: { a: [null, 'x'], b: 1 } })).toEqual(leafHash(event));
  });

  it('is another one for any change', () => {
    for (const change of [{ stream: 'device-2' }, { revision: 8n }, { eventId: 'f' }, { type: 'LinkDeleted' }, { data: {} }, { metadata: {} }]) {
      expect(leafHash({ ...event, ...change })).not.toEqual(leafHash(event));
    }
  });

  it('is there for every stream but those about the log itself', () => {
    expect(['device-1', 'user-1', 'refusal-20261121-3'].every(isCovered)).toBe(true);
    expect(['system-log', 'audit-head', '$$device-1', '$ce-device'].some(isCovered)).toBe(false);
  });
});

describe('canonical JSON', () => {
  it('is that of RFC 8785', () => {
    const value = JSON.parse(
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    ) as unknown;
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
    expect(canonicalJson(JSON.parse('{"\\u20ac":"Euro","\\r":"CR","\\ufb33":"Dalet","1":"One","\\ud83d\\ude00":"Smiley","\\u0080":"C","\\u00f6":"o"}'))).toBe(
      '{"\\r":"CR","1":"One","\u0080":"C","ö":"o","€":"Euro","😀":"Smiley","\ufb33":"Dalet"}',
    );
  });

  it('is the same text whatever the order of members, and says the same', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = canonicalJson(JSON.parse(JSON.stringify(value)));
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(JSON.parse(text))).toBe(text);
      }),
    );
  });
});
