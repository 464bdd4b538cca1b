import type { Request } from 'express';
import type { CommandContext } from '../commands/port.ts';
import type { Actor, Origin, Source, Uuid } from '../domain/kernel.ts';
import { derivedCommandId, newId } from '../platform/ids.ts';
import { parseTraceparent, type Span } from '../platform/tracing.ts';
import { nobody, type Principal } from './principal.ts';
import type { Route } from './route.ts';

export const MAX_USER_AGENT = 256;

/** One request on its way through: what was asked, by whom, and what the answer must say besides its body. */
export class Call<P = unknown, Q = unknown, B = unknown, Who extends Principal = Principal> {
  readonly req: Request;
  /** The client's address, seen past the proxies that are trusted. */
  readonly ip: string;
  /** Also the correlation id of every event that comes of it. */
  readonly id: Uuid = newId();
  /** The caller's, or the one of this request's own span. */
  traceparent: string | undefined;
  readonly startedAt: number;
  route: Route | undefined;
  params!: P;
  query!: Q;
  body!: B;
  who: Who = nobody as Who;
  /** A repeat with the same Idempotency-Key has the same one. */
  commandId: Uuid;
  /** Its key was taken before: by a first time that is over, or is still under way. */
  seenBefore = false;
  /** Of the last event that this call appended. */
  position: bigint | undefined;
  /** False: the read models had not passed `position` in time. */
  consistent = true;
  /** Where requests are traced. */
  span: Span | undefined;
  /** Its line is in the log: what still happens is nobody's answer any more. */
  ended = false;
  /** Name, value, name, value… */
  readonly headers: string[] = [];

  constructor(req: Request, startedAt: number, ip: string) {
    this.req = req;
    this.ip = ip;
    this.startedAt = startedAt;
    this.commandId = this.id;
    const traceparent = req.headers['traceparent'];
    this.traceparent = typeof traceparent === 'string' && parseTraceparent(traceparent) !== undefined ? traceparent : undefined;
  }

  get traceId(): string {
    return this.traceparent?.slice(3, 35) ?? this.id.replaceAll('-', '');
  }

  get origin(): Origin {
    const { ip } = this;
    const agent = this.req.headers['user-agent']?.slice(0, MAX_USER_AGENT);
    return { ...(ip === '' ? {} : { ip }), ...(agent === undefined ? {} : { userAgent: agent }) };
  }

  /**
   * Context of a command of this call. A call that sends more than one names each further one: a repeat of the call
   * makes the same ids again.
   */
  context(step?: string): CommandContext {
    const { actor, source } = this.onBehalf();
    return this.contextAs(actor, source, step);
  }

  contextAs(actor: Actor, source: Source, step?: string): CommandContext {
    return {
      commandId: step === undefined ? this.commandId : derivedCommandId(this.commandId, step),
      correlationId: this.id,
      ...(step === undefined ? {} : { causationId: this.commandId }),
      seenBefore: this.seenBefore,
      actor,
      source,
      origin: this.origin,
      ...(this.traceparent === undefined ? {} : { traceparent: this.traceparent }),
    };
  }

  private onBehalf(): { readonly actor: Actor; readonly source: Source } {
    const { who } = this;
    switch (who.kind) {
      case 'courier':
        return { actor: { kind: 'courier', id: who.link.linkId }, source: 'delivery_link' };
      case 'account':
        // Whoever is no administrator and knocks here is not recorded as one.
        return this.route?.access.kind === 'admin' && who.role !== null
          ? { actor: { kind: 'admin', id: who.userId }, source: 'web_dashboard' }
          : { actor: { kind: 'user', id: who.userId }, source: 'mobile_app' };
      case 'device':
      case 'none':
        throw new Error('A command needs a person');
    }
  }
}
