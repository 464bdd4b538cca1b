import { setImmediate as nextTurn } from 'node:timers/promises';
import { START, type AllStreamSubscription, type EventStoreDBClient, type ResolvedEvent } from '@eventstore/db-client';
import { settled } from './eventstoredb-client.ts';
import { positionOf } from './eventstoredb-wire.ts';

/** Events buffered between the connection and the consumer of a read or a subscription, twice. */
export const AHEAD = 128;

/** A subscription that is pulled: what is there at once, then a wait for more. Nothing is pulled between two takes. */
export interface Source {
  /**
   * What is there and what comes within a turn of the event loop: the events of one append arrive in messages of their own.
   * `greedy`: goes on while more arrives with each turn. @throws when it was dropped and is empty
   */
  take(limit: number, greedy: boolean): Promise<ResolvedEvent[]>;
  isEmpty(): boolean;
  /** Until there is an event, `ms` have passed or the signal aborted. @throws when the subscription was dropped */
  more(ms: number): Promise<void>;
  close(): Promise<void>;
}

export function openSource(client: EventStoreDBClient, after: bigint | undefined, signal: AbortSignal): Source {
  const subscription: AllStreamSubscription = client.subscribeToAll({ fromPosition: positionOf(after, START) }, { highWaterMark: AHEAD });
  let dropped: Error | undefined;
  let wake = () => {};
  const drop = (error: Error) => {
    dropped ??= error;
    wake();
  };
  subscription.on('readable', () => wake());
  subscription.on('error', drop);
  // A server that closes the stream ends it like a finished read: to a subscription that is a drop.
  subscription.on('end', () => drop(new Error('The server ended the subscription')));
  subscription.on('close', () => drop(new Error('The subscription was closed')));

  return {
    async take(limit, greedy) {
      const events: ResolvedEvent[] = [];
      for (let turn = 0; ; turn++) {
        const before = events.length;
        for (let next: unknown; events.length < limit && (next = subscription.read()) !== null; ) events.push(next as ResolvedEvent);
        if (events.length === before || events.length === limit || (turn > 0 && !greedy)) break;
        await nextTurn();
      }
      if (events.length === 0 && dropped !== undefined) throw dropped;
      return events;
    },
    isEmpty: () => subscription.readableLength === 0,
    async more(ms) {
      if (subscription.readableLength > 0 || dropped !== undefined || signal.aborted) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => wake(), ms);
        wake = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', wake);
          wake = () => {};
          resolve();
        };
        signal.addEventListener('abort', wake);
      });
    },
    async close() {
      wake();
      await settled(subscription.unsubscribe());
      subscription.destroy();
    },
  };
}
