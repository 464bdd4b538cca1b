import { emitKeypressEvents } from 'node:readline';
import type { Terminal } from '../terminal.ts';
import { auditQuery, type AuditOptions } from './audit.ts';
import { RemoteFailure, remoteExit, type RemoteSocket } from './client.ts';
import type { Job } from './command.ts';
import { momentOf } from './history.ts';
import { linesOf, type PlaybackFrame } from './playback-view.ts';
import { moment } from './words.ts';

export interface PlaybackOptions extends Omit<AuditOptions, 'limit'> {
  readonly speed?: string;
  readonly skipIdle?: string;
  readonly step?: true;
}

type Message =
  | ({ readonly type: 'playback_frame'; readonly position: string } & PlaybackFrame)
  | { readonly type: 'subscribed' | 'playback_state'; readonly state: 'playing' | 'paused' | 'ended'; readonly speed: number | 'max' }
  | { readonly type: 'playback_refused'; readonly message: string };

const speeds = [0.1, 0.5, 1, 2, 5, 10, 50, 100, 1_000, 10_000, 'max'] as const;
/** Keys that are held down come faster than the server wants to hear of them. */
const KEYS_MS = 100;

/** The past on a screen, line by line as it came; keys on a terminal, plain lines elsewhere. It shows, and does nothing else. */
export const playback: Job<[words?: readonly string[]], PlaybackOptions> = async ({ terminal, remote }, [words = []], options) => {
  const onScreen = terminal.columns !== undefined && !terminal.json;
  const speed = speedOf(options.speed ?? (onScreen ? '1' : 'max'));
  const idle = Number(options.skipIdle ?? 2);
  if (!(idle >= 0 && idle <= 86_400)) throw new RemoteFailure(remoteExit.usage, '--skip-idle is a number of seconds, from 0 to 86,400.');
  const api = await remote();
  const { from, to, ...filters } = options;
  const query = await auditQuery(api, words, filters);
  const socket = await api.socket('/ws/admin/playback', {
    ...query,
    ...(from === undefined ? {} : { from: momentOf(from) }),
    ...(to === undefined ? {} : { to: momentOf(to) }),
    speed: `${speed}`,
    max_wait: idle,
    ...(options.step === true ? { paused: true } : {}),
  });
  const screen = screenOf(terminal, onScreen, options.step === true);
  const keys = onScreen ? listen(socket, screen) : undefined;
  if (options.step === true && keys === undefined) throw new RemoteFailure(remoteExit.usage, '--step needs a terminal with a keyboard.');
  if (options.step === true) socket.send('{"type":"step","lines":1}');
  try {
    const end = await socket.each((text) => {
      const message = JSON.parse(text) as Message;
      if (message.type === 'playback_frame') screen.show(message);
      else if (message.type === 'playback_refused') throw new RemoteFailure(remoteExit.refused, message.message);
      else screen.stands(message.state, message.speed);
      // Whoever goes step by step may want to go back.
      return !screen.left && !process.stdout.destroyed && !(screen.state === 'ended' && keys?.stepping !== true);
    });
    if (end === 'refused') throw new RemoteFailure(remoteExit.refused, 'The server ended this: the right to read the audit log is gone.');
    if (end === 'closed' && screen.state !== 'ended' && !screen.left && !process.stdout.destroyed) throw new RemoteFailure(remoteExit.unreachable, 'The connection is gone.', screen.hint === undefined ? [] : [`To go on from there: --from ${screen.hint}`]);
  } finally {
    keys?.stop();
    screen.close();
  }
  terminal.say(`${screen.shown.toLocaleString('en')} ${screen.shown === 1 ? 'event' : 'events'}.`);
  return 0;
};

/** `10`, `10x`, `0.5`, `max`. */
export function speedOf(text: string): number | 'max' {
  if (text === 'max') return 'max';
  const speed = Number(text.replace(/x$/i, ''));
  if (speed > 0 && speed < 1_000_000) return speed;
  throw new RemoteFailure(remoteExit.usage, `--speed ${text} is no speed: 1x is as it was, 10x ten times faster, max as fast as can be.`);
}

interface Screen {
  state: 'playing' | 'paused' | 'ended';
  speed: number | 'max';
  shown: number;
  /** Where one may begin again. */
  hint: string | undefined;
  left: boolean;
  show(frame: PlaybackFrame & { readonly position: string }): void;
  stands(state: Screen['state'], speed: number | 'max'): void;
  close(): void;
}

function screenOf(terminal: Terminal, onScreen: boolean, paused: boolean): Screen {
  const { paint } = terminal;
  let at = '';
  const wipe = () => void (onScreen && process.stderr.write('\r\u001b[K'));
  const status = (): void => {
    if (!onScreen) return;
    const sign = { playing: '▶', paused: '⏸', ended: '■' }[screen.state];
    const line = `${sign} ${screen.speed === 'max' ? 'max' : `${screen.speed}x`}${at === '' ? '' : `  ${at} UTC`}   space ${screen.state === 'playing' ? 'pauses' : 'plays'}, ← → steps, + - speed, q leaves`;
    process.stderr.write(paint.inverse(` ${line.slice(0, Math.max(10, (terminal.columns ?? 80) - 3))} `));
  };
  const screen: Screen = {
    state: paused ? 'paused' : 'playing',
    speed: 1,
    shown: 0,
    hint: undefined,
    left: false,
    show(frame) {
      screen.shown++;
      screen.hint = frame.position;
      terminal.event('playback_frame', { ...frame });
      if (terminal.json) return;
      at = moment(frame.entry.timestamp);
      wipe();
      for (const line of linesOf(frame, paint, process.stdout.isTTY ? process.stdout.columns : terminal.columns)) terminal.out(line);
      status();
    },
    stands(state, speed) {
      [screen.state, screen.speed] = [state, speed];
      terminal.event('playback_state', { state, speed });
      wipe();
      status();
    },
    close: wipe,
  };
  return screen;
}

/** Keys, where somebody has a keyboard. Nothing of them is shown. */
function listen(socket: RemoteSocket, screen: Screen): { readonly stepping: boolean; stop(): void } | undefined {
  const { stdin } = process;
  if (!stdin.isTTY) return undefined;
  let stepping = false;
  let steps = 0;
  let speed: Screen['speed'] | undefined;
  let flushing: NodeJS.Timeout | undefined;
  const say = (command: object) => socket.send(JSON.stringify(command));
  const soon = (): void => {
    flushing ??= setTimeout(() => {
      flushing = undefined;
      if (steps !== 0) say({ type: 'step', lines: steps < 0 ? -1 : Math.min(steps, 1_000) });
      if (speed !== undefined) say({ type: 'speed', speed });
      [steps, speed] = [0, undefined];
    }, KEYS_MS);
  };
  const step = (lines: number): void => {
    stepping = true;
    steps += lines;
    soon();
  };
  const faster = (by: 1 | -1): void => {
    const from = speed ?? screen.speed;
    const now = speeds.findIndex((each) => each === 'max' || (from !== 'max' && each >= from));
    speed = speeds[Math.min(speeds.length - 1, Math.max(0, now + by))];
    soon();
  };
  const onKey = (_: string | undefined, key: { readonly name?: string; readonly ctrl?: boolean; readonly sequence?: string }): void => {
    if (key.name === 'q' || (key.ctrl === true && key.name === 'c')) {
      screen.left = true;
      socket.close();
    } else if (key.name === 'space') {
      stepping = false;
      say({ type: screen.state === 'playing' ? 'pause' : 'play' });
    } else if (key.name === 'right' || key.name === 'n') step(1);
    else if (key.name === 'left' || key.name === 'p') step(-1);
    else if (key.sequence === '+' || key.sequence === '=') faster(1);
    else if (key.sequence === '-') faster(-1);
  };
  emitKeypressEvents(stdin);
  stdin.setRawMode(true);
  stdin.resume();
  stdin.on('keypress', onKey);
  return {
    get stepping() {
      return stepping || screen.state === 'paused';
    },
    stop() {
      clearTimeout(flushing);
      stdin.off('keypress', onKey);
      stdin.setRawMode(false);
      stdin.pause();
    },
  };
}
