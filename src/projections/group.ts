import { fullJitter, pause } from '../platform/backoff.ts';
import { component, type Component } from '../platform/lifecycle.ts';
import { PROJECTIONS_CHANNEL } from './checkpoints.ts';
import { announceVersions, canBeFed, otherVersions } from './feeders.ts';
import { createLeadership, groupFigures, LeadershipLost, type Leadership, type LeadershipHealth, type ProjectionGroupOptions, type Told } from './leadership.ts';
import { checkLogIdentity } from './log-identity.ts';
import type { Group } from './projection.ts';
import { openSession, type Session } from './session.ts';

/** `start` resolves once this process leads or stands by; read models that are rebuilt beside the others may take longer. */
export interface ProjectionGroup extends Component {
  health(): GroupHealth;
}

/** Its position is undefined unless this process leads. */
export interface GroupHealth extends LeadershipHealth {
  /** True while this process leads, every projection runs and none lags for long; or another process leads. */
  readonly ok: boolean;
  /** The same, and those that stand before an event or are not built yet are not counted while others run. */
  readonly usable: boolean;
  readonly role: 'leading' | 'standby' | 'stopped';
}

/** The advisory locks of the groups' leaders: any constants. The fence, not they, is what keeps two from writing. */
const LEADER_LOCKS: Readonly<Record<Group, bigint>> = { live: 7_020_126_112_109_400n, background: 7_020_126_112_109_401n };
const STANDBY_POLL_MS = 1_000;
/** So often a process that has another version lets one go first that has the one that is read. */
const STAND_BACK_TRIES = 15;
const LAG_ALLOWED_SECONDS = 15;

/** Runs the projections of one group together: one subscription, one transaction for a batch, one leader among all processes. */
export function createProjectionGroup(options: ProjectionGroupOptions): ProjectionGroup {
  const { db, store, group: groupName, projections, logId, clock, metrics } = options;
  const logger = options.logger.child({ component: 'projections', group: groupName });
  const isLive = groupName === 'live';
  const figures = groupFigures(metrics);

  let stop = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let role: GroupHealth['role'] = 'stopped';
  let settledRole = Promise.withResolvers<void>();
  let leadership: Leadership | undefined;
  let lastPushed: bigint | undefined;
  const told: Told = {
    get last() {
      return lastPushed;
    },
    push(changes, at) {
      if (!isLive) return;
      lastPushed = at;
      options.onCommitted?.(changes, at);
    },
  };
  const look = () => void leadership?.reload();
  options.notifications?.on(PROJECTIONS_CHANNEL, look);
  options.notifications?.onGap(look); // something may have been told meanwhile

  /** Leads, or waits to, until stopped. Whatever breaks, it begins again from the checkpoints. */
  async function supervise(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      role = 'standby';
      const began = clock.monotonic();
      try {
        await lead(signal);
      } catch (error) {
        settledRole.resolve();
        if (signal.aborted) break;
        if (error instanceof LeadershipLost) logger.warn('Another process leads these projections; this one stands by');
        else logger.error({ err: error }, 'The projections broke off and begin again from their checkpoints');
      } finally {
        leadership = undefined;
      }
      if (clock.monotonic() - began > 30_000) attempt = 0;
      await pause(fullJitter(attempt), signal);
    }
    role = 'stopped';
  }

  async function lead(signal: AbortSignal): Promise<void> {
    const over = new AbortController(); // aborted when leading ends, for whatever reason
    const both = AbortSignal.any([signal, over.signal]);
    let lost: Error | undefined;
    const session = await openSession({
      url: db.url,
      name: isLive ? 'loqey-projector' : `loqey-projector-${groupName}`,
      statementTimeoutMs: 10_000,
      onLost: (error) => {
        lost = error;
        over.abort(error);
      },
    });
    let current: Leadership | undefined;
    try {
      if (!(await acquireLeadership(session, both))) {
        if (lost !== undefined) throw lost;
        return;
      }
      current = createLeadership({
        ...options,
        logger,
        session,
        signal: both,
        over,
        figures,
        told,
        onLeading() {
          role = 'leading';
          settledRole.resolve();
        },
      });
      leadership = current;
      await current.run();
      if (lost !== undefined) throw lost;
    } finally {
      over.abort();
      await current?.settled();
      await session.close().catch(() => undefined);
    }
  }

  async function acquireLeadership(session: Session, signal: AbortSignal): Promise<boolean> {
    await announceVersions(session, projections);
    for (let stoodBack = 0; !signal.aborted; ) {
      const [result] = await session.read([{ text: `SELECT pg_try_advisory_lock(${LEADER_LOCKS[groupName]}) AS taken`, values: [] }]);
      if (result?.[0]?.['taken'] === true) {
        if (stoodBack >= STAND_BACK_TRIES || !(await othersFeedBetter())) return true;
        stoodBack++;
        await session.read([{ text: `SELECT pg_advisory_unlock(${LEADER_LOCKS[groupName]})`, values: [] }]);
      }
      settledRole.resolve();
      await pause(STANDBY_POLL_MS, signal);
    }
    return false;
  }

  /** Whether a read model is read in a version that this program does not have and another process does: that one should lead. */
  async function othersFeedBetter(): Promise<boolean> {
    for (const { name, version } of await otherVersions(db, projections)) if (await canBeFed(db, name, version)) return true;
    return false;
  }

  return {
    ...component(
      async () => {
        await checkLogIdentity(db, store, logId);
        stop = new AbortController();
        settledRole = Promise.withResolvers();
        running = supervise(stop.signal);
        await settledRole.promise;
      },
      async () => {
        stop.abort();
        await running;
      },
    ),
    health() {
      const { position, projections: states } = leadership?.health() ?? { position: undefined, projections: [] };
      const ok = role === 'standby' || (role === 'leading' && states.every(({ state, lagSeconds }) => state === 'running' && lagSeconds < LAG_ALLOWED_SECONDS));
      const running = states.filter(({ state }) => state !== 'stopped' && state !== 'rebuilding');
      const usable = role === 'standby' || (role === 'leading' && running.length > 0 && running.every(({ state, lagSeconds }) => state === 'running' && lagSeconds < LAG_ALLOWED_SECONDS));
      return { ok, usable: ok || usable, role, position, projections: states };
    },
  };
}
