import { log } from './20261121T0900_log.ts';
import { vault } from './20261121T0910_vault.ts';
import { bridge } from './20261121T0920_bridge.ts';
import { commands } from './20261121T0930_commands.ts';
import { snapshots } from './20261121T0935_snapshots.ts';
import { projections } from './20261121T0940_projections.ts';
import { deviceWatch } from './20261122T0910_device_watch.ts';
import { deviceHttp } from './20261122T0920_device_http.ts';
import { rejectedMessages } from './20261122T0921_rejected_messages.ts';
import { jobs } from './20261122T0950_jobs.ts';
import { limits } from './20261122T1000_limits.ts';
import { milestones } from './20261123T0920_milestones.ts';
import { erasures } from './20261123T0940_erasures.ts';
import { projectionRuns } from './20261123T0950_projection_runs.ts';
import { joined } from './20261123T1000_joined.ts';
import { append } from './20261124T0900_append.ts';
import { grams } from './20261124T0930_grams.ts';

/**
 * Forward-only migrations of the schemas `log`, `work` and `vault`, in order. A landed one is never edited.
 * Read models are not here: each projection owns its DDL.
 */
export interface Migration {
  /** `20261121T0900_log`: the time it was written, then what it is about. Never reused. */
  readonly id: string;
  /** Run as one transaction. */
  readonly sql: string;
}

export const migrations: readonly Migration[] = [log, vault, bridge, commands, snapshots, projections, deviceWatch, deviceHttp, rejectedMessages, jobs, limits, milestones, erasures, projectionRuns, joined, append, grams];
