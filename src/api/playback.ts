import { setTimeout as delay } from 'node:timers/promises';
import { Type } from 'typebox';
import { createPlayer, type Frame, type PlaybackPlace, type PlaybackSource, type PlaybackStatus, type Player } from '../audit/playback/player.ts';
import type { Beside } from '../audit/playback/states.ts';
import type { Uuid } from '../domain/kernel.ts';
import type { AuditFilter, AuditQueries, AuditRow } from '../projections/read-models.ts';
import type { Api } from './api.ts';
import type { TailSocket } from './audit-tail.ts';
import { invalid, tooMany, unavailable, ApiError } from './errors.ts';
import type { Message } from './live-messages.ts';
import { auditFilter, type AuditQueryValues } from './routes/admin-audit.ts';
import { playbackCommands, playbackFilters, PlaybackQuery } from './schemas/playback.ts';
import { instantFrom } from './time.ts';
import { bodyCheck, textCheck, type Check } from './validate.ts';
import { auditView } from './views.ts';

/** Of one administrator, and of this process: each reads the log for as long as it runs. */
const MAX_OF_ONE = 3;
const MAX_PLAYBACKS = 50;
/** Beyond it the next line waits for the client: nothing piles up here. */
const MAX_UNSENT = 256 * 1_024;
const LOOK_AGAIN_MS = 20;
/** A client that takes nothing for so long is cut off. */
const STUCK_MS = 10_000;
const DEFAULT_MAX_WAIT_SECONDS = 2;

/** One that runs. */
export interface Playback {
  /** A command of the client. */
  readonly receive: (text: string) => void;
  readonly stop: () => void;
}

export interface PlaybackRequest {
  readonly filter: AuditFilter;
  readonly from: PlaybackPlace;
  readonly speed: number;
  readonly maxWaitMs: number;
  readonly paused: boolean;
}

export interface Playbacks {
  /** What an address asks for. @throws ApiError 400 */
  requestOf(query: URLSearchParams): PlaybackRequest;
  /** @throws ApiError 429 · 503 */
  open(request: PlaybackRequest, userId: Uuid, socket: TailSocket): Playback;
  stop(): void;
}

const checkQuery = textCheck(Type.Object({ ...playbackFilters, ...PlaybackQuery }, { additionalProperties: false }));
const checks = new Map<Command['type'], Check>(playbackCommands.map((schema) => [schema.properties.type.const, bodyCheck(schema)]));

interface QueryValues {
  readonly from?: string;
  readonly to?: string;
  readonly speed?: string;
  readonly max_wait?: number;
  readonly paused?: boolean;
}

type Command =
  | { readonly type: 'play' }
  | { readonly type: 'pause' }
  | { readonly type: 'speed'; readonly speed: number | 'max' }
  | { readonly type: 'seek'; readonly to: string }
  | { readonly type: 'step'; readonly lines: number };

/** The past again, for whoever may read the audit log. What it is given can only be read: nothing follows from a playback. */
export function createPlaybacks(api: Pick<Api, 'deps' | 'positions'>): Playbacks {
  const { deps, positions } = api;
  const { clock, reads } = deps;
  const running = new Set<{ readonly userId: Uuid; readonly player: Player<AuditRow> }>();

  /** A position is included; an instant is that of the first line. @throws ApiError 400 */
  function placeOf(field: string, text: string): PlaybackPlace {
    const position = positions.decode(text);
    if (position !== undefined) return { kind: 'after', position: position - 1n };
    return { kind: 'since', at: instantIn(field, text) };
  }

  /** Up to a position, that included; or up to an instant, that excluded. */
  function endOf(text: string | undefined): AuditFilter {
    if (text === undefined) return {};
    const position = positions.decode(text);
    return position === undefined ? { to: instantIn('to', text) } : { until: position };
  }

  async function run(player: Player<AuditRow>, socket: TailSocket): Promise<void> {
    const states = deps.statesBeside();
    for await (const frame of player.frames()) {
      const beside = await states.beside(frame.line);
      if (!(await hasRoom(socket))) return;
      await socket.authorise();
      socket.send(frameMessage(frame, beside));
    }
  }

  async function hasRoom(socket: TailSocket): Promise<boolean> {
    const since = clock.monotonic();
    // Others come first, also where the client takes all of it at once.
    await new Promise(setImmediate);
    while (socket.unsent() > MAX_UNSENT) {
      if (clock.monotonic() - since > STUCK_MS) {
        socket.tooSlow();
        return false;
      }
      await delay(LOOK_AGAIN_MS);
    }
    return true;
  }

  function frameMessage({ line, gapMs, skippedMs }: Frame<AuditRow>, beside: readonly Beside[]): Message {
    const position = positions.encode(line.position);
    return { type: 'playback_frame', entry: auditView(line, position), gap_ms: gapMs, skipped_ms: skippedMs, states: beside.map((each) => ({ ...each, changes: [...each.changes] })), position, event_id: line.eventId };
  }

  const statusOf = ({ state, speed, position }: PlaybackStatus) => ({ state, speed: speed === Infinity ? ('max' as const) : speed, position: position === undefined ? null : positions.encode(position) });

  function carryOut(player: Player<AuditRow>, text: string): void {
    const command = commandIn(text);
    switch (command.type) {
      case 'play':
      case 'pause':
        return player[command.type]();
      case 'speed':
        return player.setSpeed(command.speed === 'max' ? Infinity : command.speed);
      case 'seek':
        return player.seek(placeOf('to', command.to));
      case 'step':
        return player.step(command.lines);
    }
  }

  return {
    requestOf(query) {
      const values: Record<string, unknown> = Object.fromEntries(query);
      checkQuery(values);
      const { from, to, speed = '1', max_wait: maxWait = DEFAULT_MAX_WAIT_SECONDS, paused = false, ...rest } = values as AuditQueryValues & QueryValues;
      return {
        filter: { ...auditFilter(api, rest), ...endOf(to) },
        from: from === undefined ? { kind: 'beginning' } : placeOf('from', from),
        speed: speed === 'max' ? Infinity : Number(speed),
        maxWaitMs: maxWait * 1_000,
        paused,
      };
    },

    open({ filter, from, speed, maxWaitMs, paused }, userId, socket) {
      if ([...running].filter((each) => each.userId === userId).length >= MAX_OF_ONE) throw tooMany(`You have ${MAX_OF_ONE} playbacks open: close one`, 1);
      if (running.size >= MAX_PLAYBACKS) throw unavailable('Too many playbacks', 10);
      const player = createPlayer({
        source: sourceOf(reads.audit, filter, from),
        speed,
        paused,
        maxWaitMs,
        clock: { monotonic: () => clock.monotonic(), wait: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined) },
        onStatus: (status) => socket.send({ type: 'playback_state', ...statusOf(status) }),
      });
      const entry = { userId, player };
      running.add(entry);
      socket.send({ type: 'subscribed', ...statusOf(player.status()) });
      void run(player, socket)
        .catch((error: unknown) => socket.fail(error))
        .finally(() => running.delete(entry));
      return {
        receive(text) {
          try {
            carryOut(player, text);
          } catch (error) {
            if (!(error instanceof ApiError)) throw error;
            socket.send({ type: 'playback_refused', message: error.message, details: { ...error.details } });
          }
        },
        stop: () => player.stop(),
      };
    },

    stop() {
      for (const { player } of running) player.stop();
    },
  };
}

/** The lines of the audit log that a filter lets through, from a place on. */
function sourceOf(audit: Pick<AuditQueries, 'list'>, filter: AuditFilter, begin: PlaybackPlace): PlaybackSource<AuditRow> {
  const startOf = (place: PlaybackPlace): AuditFilter => {
    switch (place.kind) {
      case 'beginning':
        return begin.kind === 'beginning' ? { after: -1n } : startOf(begin);
      case 'after':
        return { after: place.position };
      case 'since':
        return { after: -1n, from: place.at };
    }
  };
  const isWithin = (row: AuditRow): boolean => (begin.kind === 'after' ? row.position > begin.position : begin.kind === 'beginning' || row.occurredAt >= begin.at);
  return {
    from: async (place, limit) => (await audit.list({ ...filter, ...startOf(place) }, { limit, offset: 0 })).rows,
    async before(position) {
      const [row] = (await audit.list({ ...filter, before: position }, { limit: 1, offset: 0 })).rows;
      return row !== undefined && isWithin(row) ? row : undefined;
    },
  };
}

function instantIn(field: string, text: string): string {
  if (!/^\d{4}-\d{2}-\d{2}(?:T.*(?:Z|[+-]\d{2}:?\d{2}))?$/i.test(text) || Number.isNaN(Date.parse(text))) {
    throw invalid(field, 'is neither an ISO-8601 time with a time zone, as 2026-11-21T14:02:11Z, nor a position of this log');
  }
  return instantFrom(text);
}

function commandIn(text: string): Command {
  let command: unknown;
  try {
    command = JSON.parse(text);
  } catch {
    throw invalid('command', 'is no JSON');
  }
  const { type } = (command ?? {}) as { readonly type?: unknown };
  const check = checks.get(type as Command['type']);
  if (check === undefined) throw invalid('type', `must be one of: ${[...checks.keys()].join(', ')}`, 'Unknown command');
  check(command);
  return command as Command;
}
