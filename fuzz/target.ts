/** The server that is tried. */
export interface Target {
  readonly url: string;
  /** `mqtt://…` of its broker. */
  readonly mqtt: string;
  readonly admin: { readonly email: string; readonly password: string };
  /** Texts that nobody may ever be told. */
  readonly secrets: readonly string[];
  /** Resident memory in bytes, where it is a process of its own. */
  readonly memory: () => number | undefined;
  /** What it logged as an error since this was asked last, unless the machine stood still meanwhile. */
  readonly errors: () => readonly string[];
}
