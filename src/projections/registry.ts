import { activityProjection } from './activity/projection.ts';
import { auditProjection } from './audit/projection.ts';
import { deadlinesProjection } from './deadlines/projection.ts';
import { devicesProjection } from './devices/projection.ts';
import { linksProjection } from './links/projection.ts';
import { peopleProjection, type SealOpener } from './people/projection.ts';
import { proofProjection } from './proof/projection.ts';
import type { AnyProjection } from './projection.ts';
import { unlocksProjection } from './unlocks/projection.ts';
import { usersProjection } from './users/projection.ts';

/** Those that no request waits for. */
export const backgroundProjections: readonly string[] = [auditProjection, proofProjection].map(({ name }) => name);

export function versionsOf(all: readonly AnyProjection[]): Readonly<Record<string, number>> {
  return Object.fromEntries(all.map(({ name, version }) => [name, version]));
}

/** All read models. One more is a folder and a line here. */
export function projections({ sealer }: { readonly sealer: SealOpener }): readonly AnyProjection[] {
  return [
    activityProjection,
    auditProjection,
    deadlinesProjection,
    devicesProjection,
    linksProjection,
    peopleProjection(sealer),
    proofProjection,
    unlocksProjection,
    usersProjection,
  ];
}
