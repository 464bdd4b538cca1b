import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { WebSocket } from 'ws';
import { createLockbox } from '../../src/simulator/lockbox.ts';
import { liveConformance } from '../../test/support/live-conformance.ts';
import { claim, newLink, newOwner, registerBox, signInAdmin, tap } from '../../test/support/people.ts';
import { until } from '../../test/support/until.ts';
import { diceOf, type Dice } from '../dice.ts';
import { text } from '../hostile.ts';
import type { Target } from '../target.ts';
import { frameOf, framesReader, nextFrames, type Heard } from './frames.ts';

export interface SocketOptions {
  readonly seed: number;
  /** Connections, each with some frames. */
  readonly requests: number;
  readonly lanes: number;
  readonly onProgress: (done: number, failures: number) => void;
  /** As soon as it is found. */
  readonly onFound?: (what: string) => void;
}

export interface SocketReport {
  readonly sent: number;
  readonly seconds: number;
  readonly failures: readonly string[];
  readonly notes: readonly string[];
}

/** What a close frame of ours may say; 4000 is what the fuzzer itself says, sent back. 1011 would be our own fault. */
const closes: ReadonlySet<number> = new Set([1_000, 1_001, 1_002, 1_003, 1_005, 1_007, 1_008, 1_009, 1_013, 4_000, 4_401, 4_403]);
const ANSWER_MS = 10_000;

interface Case {
  readonly path: string;
  readonly head: string;
  readonly token: string;
}

export async function fuzzSockets(target: Target, { seed, requests, lanes, onProgress, onFound = () => undefined }: SocketOptions): Promise<SocketReport> {
  const { hostname, port } = new URL(target.url);
  const check = liveConformance();
  const admin = await signInAdmin(target.url, target.admin);
  const owner = await newOwner(target.url);
  const stranger = await newOwner(target.url);
  const registered = await registerBox(admin);
  const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: 5 });
  await box.start();
  await box.ready();
  await claim(owner, registered);
  const { token: linkToken } = await newLink(owner, registered.deviceId, 1_000);
  const paths = (JSON.parse(readFileSync(new URL('../../contracts/asyncapi.json', import.meta.url), 'utf8')) as { channels: Record<string, { address: string }> }).channels;
  const fills: Readonly<Record<string, string>> = { device_id: registered.deviceId, link_token: linkToken, token: linkToken };
  const addresses = Object.values(paths).map(({ address }) => address).filter((address) => address.startsWith('/ws/')).map((address) => address.replaceAll(/\{(\w+)\}/g, (_all, name: string) => fills[name] ?? registered.deviceId));

  const failures: string[] = [];
  const found = (what: string): void => {
    failures.push(what);
    onFound(what);
  };
  const outcomes: Record<string, number> = {};
  const began = performance.now();
  let next = 0;
  let done = 0;
  let frames = 0;
  const count = (what: string): void => void (outcomes[what] = (outcomes[what] ?? 0) + 1);

  // Somebody who listens all the time: what happens to others is nothing to them.
  const heard = { opened: 0, failed: '' };
  const listener = new WebSocket(`${target.url.replace('http', 'ws')}/ws/devices/${registered.deviceId}`, { headers: { authorization: `Bearer ${owner.token}` } });
  listener.on('message', (data: Buffer) => {
    const message = JSON.parse(data.toString()) as { type: string; status?: string };
    if (message.type === 'unlock_progress' && message.status === 'opened') heard.opened++;
  });
  listener.on('close', (code) => (heard.failed = `closed with ${code}`));
  listener.on('error', (error) => (heard.failed = error.message));
  await until('the listener to be connected', () => listener.readyState === WebSocket.OPEN);
  let opened = 0;
  let stopping = false;
  const opening = (async () => {
    while (!stopping) {
      const { token } = await newLink(owner, registered.deviceId, 1);
      if ((await tap(target.url, token).catch(() => ({ status: 0 }))).status === 200) opened++;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  })();

  async function one(number: number): Promise<void> {
    const dice = diceOf(seed, 'ws', number);
    const asked = caseOf(dice, addresses, [owner.token, owner.token, admin.token, stranger.token, linkToken, 'garbage']);
    const sent: Buffer[] = [];
    const fail = (what: string): void =>
      found(`✖ ${what}\n  case ${number} of seed ${seed}\n${asked.head.replaceAll('\r\n', '\n').replaceAll(/^/gm, '  ')}\n  frames: ${sent.map((bytes) => bytes.subarray(0, 200).toString('hex')).join(' ')}`);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    let closed = false;
    let status: number | undefined;
    let head = Buffer.alloc(0);
    let code: number | undefined;
    let pongs = 0;
    let wake: () => void = () => undefined;
    const read = framesReader((what: Heard) => {
      if (what.kind === 'close') code = what.code;
      if (what.kind === 'pong') pongs++;
      if (what.kind === 'text') {
        const problems = check(asked.path.replace(/^\/api(?:\/v1)?/, ''), JSON.parse(what.text));
        if (problems.length > 0) fail(`a message that is not as described: ${problems.join('; ')}: ${what.text.slice(0, 300)}`);
      }
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        if (status === 101) read(chunk);
        else {
          head = Buffer.concat([head, chunk]);
          const end = head.indexOf('\r\n\r\n');
          if (end >= 0) {
            status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head.toString('latin1'))?.[1]);
            if (status === 101) read(head.subarray(end + 4));
          }
        }
      } catch (error) {
        fail(`unreadable: ${(error as Error).message}`);
      }
      wake();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      closed = true;
      wake();
    });
    const wait = (until: () => boolean, ms: number): Promise<boolean> =>
      new Promise((resolve) => {
        const end = (): void => {
          wake = () => undefined;
          clearTimeout(timer);
          resolve(until());
        };
        const timer = setTimeout(end, ms);
        wake = () => {
          if (until()) end();
        };
        wake();
      });

    socket.write(Buffer.from(asked.head, 'latin1'));
    if (!(await wait(() => status !== undefined || closed, ANSWER_MS))) fail(`no answer within ${ANSWER_MS} ms`);
    count(`${status ?? 'hung up on'}`);
    if (status !== undefined && status !== 101) {
      await wait(() => closed, 50);
      const body = head.subarray(head.indexOf('\r\n\r\n') + 4).toString();
      if (status >= 500 && status !== 503) fail(`status ${status}: ${body}`);
      if (!/^\{"error":"\w+"/.test(body)) fail(`refused with ${status}, and not in the envelope: ${body.slice(0, 200)}`);
    }
    if (status === 101) {
      for (let left = 1 + dice.int(6); left > 0 && !closed; left--) {
        const bytes = nextFrames(asked.token, dice);
        sent.push(bytes);
        frames++;
        socket.write(bytes);
        if (dice.chance(0.3)) await wait(() => closed, dice.int(10));
      }
      // It was closed, or waits for the rest of what was begun, or it still answers.
      const before = pongs;
      const roll = dice.roll();
      if (roll < 0.3) socket.end();
      else if (roll < 0.9) {
        socket.write(frameOf({ opcode: 9, payload: Buffer.from('there?') }, dice));
        await wait(() => closed || code !== undefined || pongs > before, 300);
      }
      if (code !== undefined) count(`closed with ${code}`);
      if (code !== undefined && !closes.has(code)) fail(`closed with ${code}`);
    }
    socket.destroy();
    done++;
    if (done % 200 !== 0) return;
    for (const error of target.errors()) found(`✖ the server logged an error, near case ${number} of seed ${seed}: ${error.slice(0, 1_500)}`);
    onProgress(done, failures.length);
  }

  await Promise.all(
    Array.from({ length: lanes }, async () => {
      while (next < requests && failures.length < 25) await one(next++);
    }),
  );
  stopping = true;
  await opening;
  await until('the listener to have heard of the last opening', () => heard.opened >= opened || heard.failed !== '', 5_000).catch(() => undefined);
  if (heard.failed !== '') found(`✖ the socket of somebody else ended: ${heard.failed}`);
  else if (opened === 0 || heard.opened < opened) found(`✖ the socket of somebody else heard of ${heard.opened} of ${opened} openings`);
  const left = async (): Promise<number> => {
    const metrics = await (await fetch(`${target.url}/metrics`)).text();
    return [...metrics.matchAll(/^loqey_ws_open\{[^}]*\} (\d+)/gm)].reduce((sum, [, value]) => sum + Number(value), 0);
  };
  // Those that were left in the middle are found by the next ping.
  const leak = await until('the sockets to be gone', async () => (await left()) <= 1, 75_000).then(() => undefined, async () => `✖ ${(await left()) - 1} sockets are left that nobody holds`);
  if (leak !== undefined) found(leak);
  listener.terminate();
  await box.stop();
  return {
    sent: done,
    seconds: (performance.now() - began) / 1_000,
    failures,
    notes: [
      `${frames.toLocaleString('en')} frames or bursts of them; ${Object.entries(outcomes).map(([what, times]) => `${what} × ${times.toLocaleString('en')}`).join(', ')}`,
      `a socket beside it heard of ${heard.opened} of ${opened} openings`,
    ],
  };
}

function caseOf(dice: Dice, addresses: readonly string[], tokens: readonly string[]): Case {
  const path = dice.pick(['', '', '/api', '/api/v1']) + dice.pick(addresses);
  const token = dice.pick(tokens);
  const odd = (): string => text(dice).replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '?').slice(0, 500);
  const lines: [string, string][] = [['Host', 'localhost'], ['Connection', 'Upgrade'], ['Upgrade', 'websocket'], ['Sec-WebSocket-Version', '13'], ['Sec-WebSocket-Key', dice.bytes(16).toString('base64')]];
  const by = dice.int(4);
  if (by === 0) lines.push(['Authorization', `Bearer ${token}`]);
  if (by === 1) lines.push(['Sec-WebSocket-Protocol', dice.pick([`loqey, bearer.${token}`, `bearer.${token}`, 'loqey', `bearer.${token}, bearer.${token}`])]);
  let asked = path;
  if (dice.chance(0.1)) asked += dice.pick([`?after=${encodeURIComponent(text(dice).toWellFormed())}`, '?after=', '?after=1&after=2', `?${'a'.repeat(3_000)}`, '?%ff', '#x']);
  let method = 'GET';
  if (dice.chance(0.15)) {
    const at = dice.int(lines.length);
    switch (dice.int(7)) {
      case 0:
        lines.splice(at, 1);
        break;
      case 1:
        lines[at] = [lines[at]![0], odd()];
        break;
      case 2:
        lines.push(lines[at]!);
        break;
      case 3:
        method = dice.pick(['POST', 'PUT', 'HEAD', 'OPTIONS', 'DELETE']);
        break;
      case 4:
        lines.push(['Sec-WebSocket-Extensions', dice.pick(['permessage-deflate', 'permessage-deflate; server_max_window_bits=0', 'x; y=', odd()])]);
        break;
      case 5:
        lines.push(['Origin', dice.pick(['https://evil.example', 'null', odd()])]);
        break;
      default:
        asked = dice.pick(['/ws', '/ws/', '/ws/devices/', `/ws/devices/${dice.uuid()}`, '/ws/delivery/', `/ws/delivery/${'x'.repeat(300)}`, '/ws/delivery/%ff', '/ws/admin/system/x', '//ws/admin/system', '/api/v1/devices', 'http://localhost/ws/admin/system', '*']);
    }
  }
  return { path, token, head: `${method} ${asked} HTTP/1.1\r\n${lines.map(([name, line]) => `${name}: ${line}\r\n`).join('')}\r\n` };
}
