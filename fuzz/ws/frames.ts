import type { Dice } from '../dice.ts';
import { text, value } from '../hostile.ts';

interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
  readonly fin?: boolean;
  readonly rsv?: number;
  readonly masked?: boolean;
  /** What it says its length is. */
  readonly says?: bigint;
  /** More bytes for the length than it needs. */
  readonly wide?: 2 | 8;
}

export function frameOf({ opcode, payload, fin = true, rsv = 0, masked = true, says = BigInt(payload.length), wide }: Frame, dice: Dice): Buffer {
  const first = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  const mask = masked ? 0x80 : 0;
  let length: Buffer;
  if (wide === 8 || says > 0xffffn) {
    length = Buffer.alloc(9);
    length[0] = mask | 127;
    length.writeBigUInt64BE(BigInt.asUintN(64, says), 1);
  } else if (wide === 2 || says > 125n) {
    length = Buffer.alloc(3);
    length[0] = mask | 126;
    length.writeUInt16BE(Number(says), 1);
  } else length = Buffer.from([mask | Number(says)]);
  if (!masked) return Buffer.concat([Buffer.from([first]), length, payload]);
  const key = dice.bytes(4);
  return Buffer.concat([Buffer.from([first]), length, key, payload.map((byte, index) => byte ^ key[index % 4]!)]);
}

/** What a socket is sent next; `token`: of whoever it says it is. */
export function nextFrames(token: string, dice: Dice): Buffer {
  const words = (): Buffer => Buffer.from(dice.pick([() => JSON.stringify({ type: 'auth', token }), () => JSON.stringify(value(dice)), () => text(dice), () => '{"type":"auth"}', () => `{"type":"auth","token":${JSON.stringify(value(dice))}}`, () => '[[[[', () => '{"__proto__":{"type":"auth"}}'])() ?? 'null');
  const one = (over: Partial<Frame>): Buffer => frameOf({ opcode: 1, payload: words(), ...over }, dice);
  switch (dice.int(22)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return one({});
    case 4:
      return one({ masked: false });
    case 5:
      return one({ rsv: 1 + dice.int(7) });
    case 6:
      return one({ opcode: dice.pick([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) });
    case 7:
      return one({ payload: Buffer.concat([words(), Buffer.from([0xff, 0xc0, 0x80])]) });
    case 8:
      return one({ opcode: 2, payload: dice.bytes(dice.int(300)) });
    case 9: {
      const whole = words();
      const cut = dice.int(whole.length + 1);
      return Buffer.concat([one({ payload: whole.subarray(0, cut), fin: false }), ...(dice.chance(0.5) ? [one({ opcode: 9, payload: Buffer.from('x') })] : []), one({ opcode: 0, payload: whole.subarray(cut) })]);
    }
    case 10:
      return one({ opcode: 0 });
    case 11:
      return Buffer.concat([one({ fin: false }), one({})]);
    case 12:
      return Buffer.concat(Array.from({ length: dice.pick([10, 300]) }, () => one({ opcode: 9, payload: dice.bytes(dice.pick([0, 125])) })));
    case 13:
      return one({ opcode: dice.pick([8, 9, 10]), payload: dice.bytes(dice.pick([126, 1_000])) });
    case 14:
      return one({ opcode: dice.pick([8, 9]), fin: false });
    case 15:
      return one({ opcode: 8, payload: dice.pick([Buffer.alloc(0), Buffer.from([3]), Buffer.from([3, 0xe8]), Buffer.from([0, 0]), Buffer.from([3, 0xed]), Buffer.from([0x0f, 0xa0]), Buffer.from([3, 0xe8, 0xff, 0xff]), Buffer.from([0xff, 0xff, 0x61])]) });
    case 16:
      return one({ says: dice.pick([0n, 65_537n, 2n ** 31n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) });
    case 17:
      return one({ wide: dice.chance(0.5) ? 2 : 8 });
    case 18:
      return one({ payload: Buffer.alloc(dice.pick([65_535, 65_536, 65_537, 200_000]), 'a') });
    case 19:
      return Buffer.concat(Array.from({ length: dice.pick([5, 21, 200]) }, () => one({})));
    case 20:
      return Buffer.concat(Array.from({ length: 2_000 }, () => one({ fin: false, opcode: 0, payload: Buffer.alloc(0) })));
    default:
      return dice.bytes(1 + dice.int(80));
  }
}

export type Heard = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'close'; readonly code: number } | { readonly kind: 'pong' } | { readonly kind: 'ping' };

/** Reads what a server sends. @throws Error when no server may send it */
export function framesReader(heard: (what: Heard) => void): (chunk: Buffer) => void {
  let buffer: Buffer = Buffer.alloc(0);
  return (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      if (buffer.length < 2) return;
      const [first = 0, second = 0] = buffer;
      if ((first & 0x70) !== 0) throw new Error('reserved bits are set');
      if ((second & 0x80) !== 0) throw new Error('a masked frame');
      if ((first & 0x80) === 0) throw new Error('a fragment');
      const short = second & 0x7f;
      const at = short === 126 ? 4 : short === 127 ? 10 : 2;
      if (buffer.length < at) return;
      const length = short === 126 ? buffer.readUInt16BE(2) : short === 127 ? Number(buffer.readBigUInt64BE(2)) : short;
      if (buffer.length < at + length) return;
      const payload = buffer.subarray(at, at + length);
      buffer = buffer.subarray(at + length);
      const opcode = first & 0x0f;
      if (opcode === 1) heard({ kind: 'text', text: new TextDecoder('utf-8', { fatal: true }).decode(payload) });
      else if (opcode === 8) heard({ kind: 'close', code: payload.length >= 2 ? payload.readUInt16BE(0) : 1_005 });
      else if (opcode === 9) heard({ kind: 'ping' });
      else if (opcode === 10) heard({ kind: 'pong' });
      else throw new Error(`opcode ${opcode}`);
    }
  };
}
