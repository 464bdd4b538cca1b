import { Type } from 'typebox';
import type { AuditFilter } from '../projections/read-models.ts';
import type { Api } from './api.ts';
import { unavailable } from './errors.ts';
import type { Message } from './live-messages.ts';
import { auditFilter, type AuditQueryValues } from './routes/admin-audit.ts';
import { AuditQuery } from './schemas/admin.ts';
import { textCheck } from './validate.ts';
import { auditView } from './views.ts';

/** How soon a tail shows what the audit log has. */
const LOOK_EVERY_MS = 250;
/** Entries that are looked at in one go. */
const PIECE = 500;
/** Beyond it a client is given time to read: what it has not been sent waits in the database, not here. */
const MAX_UNSENT = 256 * 1_024;
/** A client that reads nothing for so long is cut off; it goes on where it was. */
const STUCK_MS = 10_000;
/** A tail that hears nothing is told how far it was looked for it, so that it need not be looked for again. */
const TELL_PLACE_EVERY_MS = 10_000;
const MAX_TAILS = 100;

/** A socket as a tail sees it. */
export interface TailSocket {
  /** @throws ApiError when it may no longer hear this */
  readonly authorise: () => Promise<void>;
  send(message: Message): void;
  /** Bytes that the client has not taken yet. */
  unsent(): number;
  /** It takes nothing. */
  tooSlow(): void;
  fail(error: unknown): void;
}

export interface AuditTails {
  /** What a path asks for. @throws ApiError 400 */
  filterOf(query: URLSearchParams): AuditFilter;
  /** Sends what comes after a place, from now on where there is none. @throws ApiError 503 @returns what ends it */
  follow(filter: AuditFilter, from: bigint | undefined, socket: TailSocket): Promise<() => void>;
  stop(): void;
}

/** Members that say where in the log: a tail has its own way to say that. */
const { before: _before, after, ...filters } = AuditQuery;
const checkQuery = textCheck(Type.Object({ ...filters, after }, { additionalProperties: false }));

export function createAuditTails(api: Pick<Api, 'deps' | 'positions'>): AuditTails {
  const { audit } = api.deps.reads;
  const { clock } = api.deps;
  const tails = new Set<Tail>();
  let timer: NodeJS.Timeout | undefined;
  let looking = false;

  /** One look for all of them: how far the log is. What of it each is sent, each asks for itself. */
  async function look(): Promise<void> {
    if (looking) return;
    looking = true;
    try {
      const head = await audit.head();
      for (const tail of tails) void tail.goOn(head);
    } catch (error) {
      if (!api.deps.isTransient(error)) for (const tail of tails) tail.socket.fail(error);
    } finally {
      looking = false;
    }
  }

  class Tail {
    readonly socket: TailSocket;
    private readonly filter: AuditFilter;
    private at: bigint;
    private busy = false;
    private waitingSince: number | undefined;
    private toldAt = clock.monotonic();
    private toldPlace: bigint;

    constructor(filter: AuditFilter, at: bigint, socket: TailSocket) {
      this.filter = filter;
      this.at = at;
      this.toldPlace = at;
      this.socket = socket;
    }

    /** In the order of the log and one at a time, so that nothing is sent twice and nothing left out. */
    async goOn(head: bigint): Promise<void> {
      if (this.busy) return;
      this.busy = true;
      try {
        while (tails.has(this) && this.at < head && this.hasRoom()) {
          await this.socket.authorise();
          const { rows, through } = await audit.news(this.filter, this.at, head, PIECE);
          if (!tails.has(this)) return;
          for (const row of rows) {
            if (!this.hasRoom()) return;
            const position = api.positions.encode(row.position);
            this.socket.send({ type: 'audit_entry', entry: auditView(row, position), position, event_id: row.eventId });
            this.at = row.position;
            this.told(row.position);
          }
          this.at = through;
        }
        const now = clock.monotonic();
        if (tails.has(this) && this.at > this.toldPlace && now - this.toldAt >= TELL_PLACE_EVERY_MS) {
          this.socket.send({ type: 'audit_place', position: api.positions.encode(this.at) });
          this.told(this.at);
        }
      } catch (error) {
        this.socket.fail(error);
      } finally {
        this.busy = false;
      }
    }

    private told(place: bigint): void {
      this.toldPlace = place;
      this.toldAt = clock.monotonic();
    }

    private hasRoom(): boolean {
      if (this.socket.unsent() <= MAX_UNSENT) {
        this.waitingSince = undefined;
        return true;
      }
      this.waitingSince ??= clock.monotonic();
      if (clock.monotonic() - this.waitingSince > STUCK_MS) this.socket.tooSlow();
      return false;
    }
  }

  return {
    filterOf(query) {
      const values: Record<string, unknown> = Object.fromEntries(query);
      checkQuery(values);
      const { after: _, ...rest } = values as AuditQueryValues;
      return auditFilter(api, rest);
    },

    async follow(filter, from, socket) {
      if (tails.size >= MAX_TAILS) throw unavailable('Too many follow the audit log', 10);
      // A place beyond the end of the log is one of before a restore: it goes on from where the log is, and says so.
      const lost = from !== undefined && !(await api.deps.live.has(from));
      const at = from === undefined || lost ? await audit.head() : from;
      const tail = new Tail(filter, at, socket);
      tails.add(tail);
      timer ??= setInterval(() => void look(), LOOK_EVERY_MS).unref();
      socket.send({ type: 'subscribed', position: api.positions.encode(at < 0n ? 0n : at) });
      if (lost) socket.send({ type: 'resync' });
      void look();
      return () => {
        tails.delete(tail);
        if (tails.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
    },

    stop() {
      tails.clear();
      clearInterval(timer);
    },
  };
}
