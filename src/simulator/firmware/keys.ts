import { deriveKeys, type DeviceKeys } from '../../bridge/protocol/keys.ts';
import { verifyCommand } from '../../bridge/protocol/signature.ts';
import type { StoredKey, StoredKeys } from '../flash.ts';
import type { Memory } from './memory.ts';
import type { CoreOptions } from './options.ts';

type Pending = NonNullable<StoredKeys['pending']>;

/** The key that the box has, and during a rotation the one that it was given: both good until the broker took the new one. */
export class BoxKeys {
  readonly #o: Pick<CoreOptions, 'deviceId' | 'step' | 'emit'>;
  readonly #memory: Memory;
  #current: DeviceKeys;
  #pending: DeviceKeys | undefined;
  /** The version of the key whose password was given to the broker. */
  #passwordOf = 0;
  #tryOldKey = false;

  constructor(options: Pick<CoreOptions, 'deviceId' | 'step' | 'emit'>, memory: Memory) {
    this.#o = options;
    this.#memory = memory;
    const { current, pending } = memory.image.keys;
    this.#current = this.#derive(current);
    this.#pending = pending === undefined ? undefined : this.#derive(pending);
  }

  get current(): DeviceKeys {
    return this.#current;
  }

  get pending(): DeviceKeys | undefined {
    return this.#pending;
  }

  /** The new key from `applied` on: the old one may be erased at the server at any moment after. */
  get signing(): DeviceKeys {
    return this.#pending !== undefined && this.hasAnswered ? this.#pending : this.#current;
  }

  /** `applied` was said for the pending one. */
  get hasAnswered(): boolean {
    return this.#memory.image.keys.pending?.answered === true;
  }

  /** The keys under which this payload is the server's. */
  verify(payload: Buffer): DeviceKeys | undefined {
    return [this.#current, this.#pending].find((candidate) => candidate !== undefined && verifyCommand(payload, candidate.cmd));
  }

  /** Those whose password the broker is about to be given. */
  forConnection(): DeviceKeys {
    const useNew = this.#pending !== undefined && this.hasAnswered && !this.#tryOldKey;
    const keys = useNew ? this.#pending! : this.#current;
    this.#passwordOf = keys.version;
    return keys;
  }

  /** The broker took the password: with the new one the old key is over. */
  connected(): void {
    const stored = this.#memory.image.keys.pending;
    if (this.#pending !== undefined && stored !== undefined && this.#passwordOf === this.#pending.version) {
      this.#o.step('rotation_connected');
      if (this.#memory.commit({ keys: { current: { version: stored.version, master: stored.master } } })) {
        this.#current = this.#pending;
        this.#pending = undefined;
        this.#o.step('rotation_finished');
        this.#o.emit({ type: 'key', version: this.#current.version });
      }
    }
    this.#tryOldKey = false;
  }

  /** "Not authorised": during a rotation the other key may be the one that the broker knows. */
  refused(): void {
    if (this.hasAnswered) this.#tryOldKey = !this.#tryOldKey;
  }

  /** False: it could not be stored. */
  store(pending: Pending): boolean {
    const { current } = this.#memory.image.keys;
    if (!this.#memory.commit({ keys: { current, pending } })) return false;
    this.#pending = this.#derive(pending);
    return true;
  }

  #derive(key: StoredKey): DeviceKeys {
    return deriveKeys(Buffer.from(key.master, 'hex'), this.#o.deviceId, key.version);
  }
}
