import type { ReportKind } from '../../bridge/protocol/signature.ts';
import type { CoreOptions } from './options.ts';

/** Whether there is power, and a connection to say something on. */
export class Line {
  powered = true;
  online = false;
  readonly #publish: CoreOptions['publish'];

  constructor({ publish }: Pick<CoreOptions, 'publish'>) {
    this.#publish = publish;
  }

  publish(kind: ReportKind, payload: Buffer): void {
    if (this.online) this.#publish(kind, payload);
  }
}
