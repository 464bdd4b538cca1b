import type { Actor, Sealed, Source, Uuid } from '../../domain/kernel.ts';
import { instant, type Clock } from '../clock.ts';
import { eventIdOf, newId } from '../ids.ts';
import type { EventStore, JsonObject } from './port.ts';

/** Who asks something of the program itself, and why. */
export interface ActionContext {
  readonly actor: Actor;
  readonly source?: Source;
  readonly commandId?: Uuid;
  readonly correlationId?: Uuid;
  readonly causationId?: Uuid;
  readonly traceparent?: string;
  /** Sealed where the actor is an administrator with an account; else it is left out. */
  readonly origin?: object;
}

export interface ActionDeps {
  readonly store: Pick<EventStore, 'append'>;
  /** For the account of an administrator. Absent: no origin is kept. */
  readonly sealFor?: ((userId: Uuid, type: string, path: string, value: JsonObject) => Sealed | Promise<Sealed>) | undefined;
  readonly clock: Clock;
}

/** Writes down what was asked for where no aggregate decides on it; a repeat of the command is the same event. Answers the command's id. */
export async function appendAction({ store, sealFor, clock }: ActionDeps, stream: string, type: string, data: JsonObject, context: ActionContext): Promise<Uuid> {
  const { actor, source = 'system', commandId = newId(), correlationId = commandId, causationId = commandId, traceparent, origin } = context;
  const sealed = origin === undefined || actor.kind !== 'admin' ? undefined : await sealFor?.(actor.id, type, 'metadata.origin', origin as JsonObject);
  const metadata = {
    schemaVersion: 1,
    commandId,
    correlationId,
    causationId,
    actor,
    source,
    occurredAt: instant(clock.now()),
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(sealed === undefined ? {} : { origin: sealed }),
  };
  await store.append(stream, 'any', [{ eventId: eventIdOf(commandId, 0), type, data, metadata }]);
  return commandId;
}
