import type { Component } from '../lifecycle.ts';

/** Runs that are kept in the database until they are done, over crashes and several processes. */
export interface JobQueue extends Component {
  /**
   * Puts one run into a queue. False: there is one with that id already, or, in an `exclusive` queue, one that waits or runs.
   * @param after seconds until it may begin
   */
  send(queue: string, options?: { readonly id?: string; readonly data?: JobData; readonly after?: number }): Promise<boolean>;
  /** Hands runs of a queue to `handler`, one call each. Before `start`. */
  work(queue: string, handler: JobHandler): void;
  /** The next time after `from` that a schedule names. */
  next(cron: string, from: Date): Date;
  counts(): Promise<ReadonlyMap<string, QueueCounts>>;
  /** Runs the upkeep now: what a dead process left behind is given to others. */
  supervise(): Promise<void>;
}

export type JobData = Readonly<Record<string, string | number | boolean>>;

/** Throws: it is tried again, as its queue says, and after the last try it stays as failed for the queue's retention. */
export type JobHandler = (job: TakenJob) => Promise<void>;

export interface TakenJob {
  readonly id: string;
  readonly data: JobData;
  /** 0 the first time. */
  readonly attempt: number;
  readonly isLast: boolean;
  /** Aborts at the run's time limit, and when the process stops and cannot wait longer. */
  readonly signal: AbortSignal;
}

export interface QueueSpec {
  readonly name: string;
  /** Five fields, in UTC. Absent: runs are sent. */
  readonly cron?: string;
  /** At most one run waits or is under way, in all processes together. */
  readonly exclusive: boolean;
  /** Tries after the first, each about `retrySeconds` · 2^n seconds after the one before. */
  readonly retries: number;
  readonly retrySeconds: number;
  /** A run that takes longer has failed. */
  readonly limitSeconds: number;
  /** Runs at a time in this process, where it is not exclusive. At least, and by default, two. */
  readonly sideBySide?: number;
}

export interface QueueCounts {
  /** Not yet due, due, and waiting for another try. */
  readonly waiting: number;
  readonly active: number;
  readonly failed: number;
}
