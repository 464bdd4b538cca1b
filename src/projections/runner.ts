import { component, type Component } from '../platform/lifecycle.ts';
import { createProjectionGroup, type GroupHealth, type ProjectionGroupOptions } from './group.ts';
import { groupOf, type Group } from './projection.ts';

export type ProjectionRunnerOptions = Omit<ProjectionGroupOptions, 'group'>;
export type RunnerHealth = GroupHealth;

/** Runs all projections of a process. */
export interface ProjectionRunner extends Component {
  /** Role and position are those of the live group. */
  health(): RunnerHealth;
}

/**
 * The live group, which requests and sockets wait for, and beside it what nobody waits for: neither slows the other, and
 * a read model with many indexes costs a tap nothing.
 */
export function createProjectionRunner(options: ProjectionRunnerOptions): ProjectionRunner {
  const groupNamed = (group: Group) => {
    const projections = options.projections.filter((projection) => groupOf(projection) === group);
    return projections.length === 0 ? undefined : createProjectionGroup({ ...options, group, projections });
  };
  const groups = (['live', 'background'] as const).flatMap((name) => groupNamed(name) ?? []);
  return {
    ...component(
      async () => {
        for (const group of groups) await group.start();
      },
      async () => {
        await Promise.all(groups.map((group) => group.stop()));
      },
    ),
    health() {
      const states = groups.map((group) => group.health());
      const { role = 'stopped', position } = states[0] ?? {};
      return { ok: states.every(({ ok }) => ok), role, position, projections: states.flatMap(({ projections }) => projections) };
    },
  };
}
