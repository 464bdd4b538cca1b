import type { Clock } from '../platform/clock.ts';
import { createActivityQueries } from './activity/queries.ts';
import { createAuditQueries } from './audit/queries.ts';
import { createDeviceQueries } from './devices/queries.ts';
import { createLinkQueries } from './links/queries.ts';
import { createPeopleQueries } from './people/queries.ts';
import type { ReadModels } from './read-models.ts';
import type { Reader } from './schemas.ts';
import { createDeliveryQueries, createUnlockQueries } from './unlocks/queries.ts';
import { createUserQueries } from './users/queries.ts';

/** @param clock what is expired is asked of the clock at each query */
export function createReadModels(reader: Reader, clock: Clock): ReadModels {
  return {
    devices: createDeviceQueries(reader),
    links: createLinkQueries(reader, clock),
    deliveries: createDeliveryQueries(reader),
    unlocks: createUnlockQueries(reader),
    users: createUserQueries(reader),
    people: createPeopleQueries(reader),
    audit: createAuditQueries(reader),
    activity: createActivityQueries(reader),
  };
}
