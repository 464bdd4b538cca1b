import { Readable } from 'node:stream';
import { Aedes, type AedesOptions } from 'aedes';

/**
 * aedes reduced to what the embedded broker wants of it: the protocol and the sessions. A device's publication goes to
 * the bridge's handler and to nobody else, and a command goes straight to the session that asked for its topic; so
 * routing, retained messages and stored sessions are switched off here instead of merely being forbidden.
 */
export class SessionMachine extends Aedes {
  constructor(options: AedesOptions) {
    super({ ...options, mq: new NoRouting(), persistence: new NoPersistence() });
  }

  /** Called with what a client published (after authorizePublish and its PUBACK), with wills, and with `$SYS` news. */
  override publish(_packet: unknown, clientOrDone?: unknown, done?: unknown): void {
    const callback = typeof clientOrDone === 'function' ? clientOrDone : done;
    if (typeof callback === 'function') callback(null);
  }
}

type Done = (() => void) | undefined;

class NoRouting {
  on(_topic: string, _deliver: unknown, done: Done): this {
    done?.();
    return this;
  }

  removeListener(_topic: string, _deliver: unknown, done: Done): this {
    done?.();
    return this;
  }

  emit(_packet: unknown, done: Done): this {
    done?.();
    return this;
  }

  close(done: Done): void {
    done?.();
  }
}

/** What aedes asks of a store when every session is a clean one: nothing to keep, nothing to find. */
class NoPersistence {
  async setup(): Promise<void> {}
  async cleanSubscriptions(): Promise<void> {}
  async subscriptionsByClient(): Promise<readonly never[]> {
    return [];
  }
  async addSubscriptions(): Promise<void> {}
  async removeSubscriptions(): Promise<void> {}
  async outgoingClearMessageId(): Promise<undefined> {}
  async outgoingUpdate(): Promise<void> {}
  outgoingStream(): Readable {
    return Readable.from([]);
  }
  createRetainedStreamCombi(): Readable {
    return Readable.from([]);
  }
  /** QoS 2 is at least once here: a repeat is handled again, as one of QoS 1 would be. */
  async incomingGetPacket(): Promise<never> {
    throw new Error('not stored');
  }
  async incomingStorePacket(): Promise<void> {}
  async incomingDelPacket(): Promise<void> {}
  async cleanIncoming(): Promise<void> {}
  async putWill(): Promise<void> {}
  async delWill(): Promise<void> {}
  streamWill(): Readable {
    return Readable.from([]);
  }
}
