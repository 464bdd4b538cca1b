/** Exit codes of a start that did not happen. 0: there was nothing to do. */
export const exitCodes = { alreadyRunning: 0, portTaken: 10, folderLocked: 11, newerData: 12, disk: 13 } as const;

/** Why the program did not start, in the words for the person who started it. Nothing was changed. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
  readonly exitCode: number;
  /** What happened, then what to do; printed as they are. */
  readonly lines: readonly string[];

  constructor(exitCode: number, lines: readonly string[]) {
    super(lines.join('\n'));
    this.exitCode = exitCode;
    this.lines = lines;
  }
}
