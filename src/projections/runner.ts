import { component, type Component } from '../platform/lifecycle.ts';
import { createBuilder } from './builder.ts';
import type { ProjectionError } from './checkpoints.ts';
import { createProjectionGroup, type GroupHealth } from './group.ts';
import type { ProjectionGroupOptions } from './leadership.ts';
import { groupOf, type Group } from './projection.ts';

export interface ProjectionRunnerOptions extends Omit<ProjectionGroupOptions, 'group' | 'failures'> {
  /** Milliseconds between two looks for what is to be built. Default 1,000. */
  readonly lookMs?: number;
}
export type RunnerHealth = GroupHealth;

/** Runs all projections of a process. */
export interface ProjectionRunner extends Component {
  /** Role and position are those of the live group. */
  health(): RunnerHealth;
}

/**
 * The live group, which requests and sockets wait for, and beside it what nobody waits for: neither slows the other, and
 * a read model with many indexes costs a tap nothing. Beside both, what builds read models over all past data.
 */
export function createProjectionRunner(options: ProjectionRunnerOptions): ProjectionRunner {
  const failures = new Map<string, ProjectionError>();
  const builder = createBuilder({ ...options, failures });
  const groupNamed = (group: Group) => {
    const projections = options.projections.filter((projection) => groupOf(projection) === group);
    return projections.length === 0 ? undefined : createProjectionGroup({ ...options, failures, group, projections });
  };
  const groups = (['live', 'background'] as const).flatMap((name) => groupNamed(name) ?? []);
  return {
    ...component(
      async () => {
        for (const group of groups) await group.start();
        await builder.start();
      },
      async () => {
        await Promise.all([builder.stop(), ...groups.map((group) => group.stop())]);
      },
    ),
    health() {
      const states = groups.map((group) => group.health());
      const { role = 'stopped', position } = states[0] ?? {};
      return { ok: states.every(({ ok }) => ok), usable: states.every(({ usable }) => usable), role, position, projections: states.flatMap(({ projections }) => projections) };
    },
  };
}
