import type { Clock } from '../../platform/clock.ts';
import { instant } from '../../platform/clock.ts';
import type { LinkQueries, LinkRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';

/**
 * What a link is by the clock at `now`. Ended by its owner, or used up, before anything else; then whichever came first of
 * its expiry and the end of its assignment. Used up is not for good: a use may come back.
 */
const status = (now: string) => `
  CASE WHEN l.revoked_at IS NOT NULL THEN 'revoked'
       WHEN l.current_uses >= l.max_uses THEN 'used'
       WHEN l.expiry_recorded OR l.expires_at <= least(${now}::timestamptz, CASE WHEN a.void_position > l.position THEN a.void_at END) THEN 'expired'
       WHEN a.void_position > l.position THEN 'revoked'
       ELSE 'active' END`;

const select = (s: Schemas, now: string) => `
  SELECT l.link_id AS "linkId", l.device_id AS "deviceId", l.owner_id AS "ownerId", l.assignment_id AS "assignmentId",
         l.token_hash AS "tokenHash", l.token, p.fields->>'name' AS name, state.status, state.status = 'active' AS "isActive",
         l.created_at AS "createdAt", l.starts_at AS "startsAt", l.expires_at AS "expiresAt",
         l.max_uses AS "maxUses", l.current_uses AS "currentUses", l.used_at AS "usedAt",
         CASE state.status
           WHEN 'active' THEN NULL
           WHEN 'used' THEN l.used_at
           WHEN 'expired' THEN l.expires_at
           ELSE coalesce(l.revoked_at, a.void_at) END AS "endedAt",
         l.deleted, l.require_identity AS "requireIdentity", l.access_window AS "window"
    FROM ${s['links']}.links l
    JOIN ${s['links']}.assignments a ON a.assignment_id = l.assignment_id
    CROSS JOIN LATERAL (SELECT ${status(now)} AS status) state
    LEFT JOIN ${s['people']}.people p ON p.ref = l.link_id`;

const byId = { name: 'links.by_id', text: (s: Schemas) => `${select(s, '$2')} WHERE l.link_id = $1` };
/** Routing only, on the way to an opening: whether it opens is decided by the box's stream. */
const byTokenHash = { name: 'links.by_token_hash', text: (s: Schemas) => `${select(s, '$2')} WHERE l.token_hash = $1` };

const matches = `l.owner_id = $1 AND NOT l.deleted AND ($3::uuid IS NULL OR l.device_id = $3) AND ($4::boolean IS NULL OR (state.status = 'active') = $4)`;
const ofOwner = {
  name: 'links.of_owner',
  text: (s: Schemas) => `${select(s, '$2')} WHERE ${matches} ORDER BY l.created_at DESC, l.link_id LIMIT $5 OFFSET $6`,
};
const ofOwnerTotal = {
  name: 'links.of_owner_total',
  text: (s: Schemas) => `
    SELECT count(*)::integer AS total
      FROM ${s['links']}.links l
      JOIN ${s['links']}.assignments a ON a.assignment_id = l.assignment_id
      CROSS JOIN LATERAL (SELECT ${status('$2')} AS status) state
     WHERE ${matches}`,
};

export function createLinkQueries(reader: Reader, clock: Clock): LinkQueries {
  const now = () => instant(clock.now());
  return {
    byId: (linkId) => reader.first<LinkRow>(byId, [linkId, now()]),
    byTokenHash: (tokenHash) => reader.first<LinkRow>(byTokenHash, [tokenHash, now()]),
    async ofOwner(userId, { deviceId, active }, { limit, offset }) {
      const filter = [userId, now(), deviceId ?? null, active ?? null];
      const [rows, totals] = await Promise.all([
        reader.all<LinkRow>(ofOwner, [...filter, limit, offset]),
        reader.first<{ total: number }>(ofOwnerTotal, filter),
      ]);
      return { rows, total: totals?.total ?? 0 };
    },
  };
}
