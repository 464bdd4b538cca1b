import { FlashFailed, type Flash, type FlashImage, type StoredKey } from '../flash.ts';
import { factoryConfig } from './config.ts';
import { hex } from './units.ts';

/** What the firmware knows and its flash keeps. */
export class Memory {
  readonly #flash: Flash;
  #image: FlashImage;

  constructor(flash: Flash, provisioned: StoredKey) {
    this.#flash = flash;
    this.#image = flash.read() ?? blankImage(provisioned);
  }

  get image(): FlashImage {
    return this.#image;
  }

  /** @throws FlashFailed */
  write(change: Partial<FlashImage>): void {
    const next = { ...this.#image, ...change };
    this.#flash.commit(next);
    this.#image = next;
  }

  /** False: it could not be written, and is not so. */
  commit(change: Partial<FlashImage>): boolean {
    try {
      this.write(change);
      return true;
    } catch (error) {
      if (error instanceof FlashFailed) return false;
      throw error;
    }
  }

  /**
   * For what is true whether or not it could be written: kept in memory, it goes out with the next commit. A loss of
   * power before that makes "interrupted" of a result, or repeats a report: never more than was, never less safe.
   */
  commitOrKeep(change: Partial<FlashImage>): void {
    if (!this.commit(change)) this.#image = { ...this.#image, ...change };
  }
}

function blankImage(provisioned: StoredKey): FlashImage {
  return { bootCount: 0, journal: newJournal(), outbox: [], keys: { current: provisioned }, configVersion: 0, config: factoryConfig };
}

/** A journal that remembers nothing, and says so by its id. */
export function newJournal(): FlashImage['journal'] {
  return { id: hex(8), lastSeq: 0, ring: [] };
}
