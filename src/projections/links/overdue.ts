import type { Instant, Uuid } from '../../domain/kernel.ts';
import type { Reader, Schemas } from '../schemas.ts';

export interface OverdueLink {
  readonly linkId: Uuid;
  readonly deviceId: Uuid;
  readonly expiresAt: Instant;
}

export interface OverdueLinks {
  /** Links whose time is over and whose expiry is not recorded, by id; with `after` those behind it. */
  overdue(now: Instant, limit: number, after?: Uuid): Promise<readonly OverdueLink[]>;
}

/** As the box decides it: neither ended by its owner nor void. One that is used up expires as well. */
const overdue = {
  name: 'links.overdue',
  text: (s: Schemas) => `
    SELECT l.link_id AS "linkId", l.device_id AS "deviceId", l.expires_at AS "expiresAt"
      FROM ${s['links']}.links l
      JOIN ${s['links']}.assignments a ON a.assignment_id = l.assignment_id
     WHERE l.expires_at <= $1::timestamptz AND NOT l.expiry_recorded AND l.revoked_at IS NULL
       AND (a.void_position > l.position) IS NOT TRUE AND ($3::uuid IS NULL OR l.link_id > $3)
     ORDER BY l.link_id LIMIT $2`,
};

export function createOverdueLinks(reader: Reader): OverdueLinks {
  return { overdue: (now, limit, after) => reader.all<OverdueLink>(overdue, [now, limit, after ?? null]) };
}
