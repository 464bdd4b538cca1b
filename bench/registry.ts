import { apiOverhead } from './figures/api-overhead.ts';
import { broker } from './figures/broker.ts';
import { couriers } from './figures/couriers.ts';
import { eventStore } from './figures/event-store.ts';
import { growth } from './figures/growth.ts';
import { commands, logins, reads } from './figures/http.ts';
import { rebuild } from './figures/rebuild.ts';
import { fleet, reports } from './figures/reports.ts';
import { start } from './figures/start.ts';
import { tap } from './figures/tap.ts';
import { unlockPath } from './figures/unlock-path.ts';
import type { Figure } from './support/figure.ts';

/** Everything that can be measured, in the order of the report. */
export const figures: readonly Figure[] = [tap, commands, reads, reports, fleet, logins, couriers, unlockPath, broker, eventStore, apiOverhead, rebuild, start, growth];
