import type { Clock } from '../../platform/clock.ts';
import { instant } from '../../platform/clock.ts';
import type { Uuid } from '../../domain/kernel.ts';
import type { LinkFilter, LinkQueries, LinkRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';
import { atOf, idOf, whereOf, type Conditions } from '../where.ts';

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

const byId = { name: 'links.by_id', quick: true, text: (s: Schemas) => `${select(s, '$2')} WHERE l.link_id = $1` };
/** Routing only, on the way to an opening: whether it opens is decided by the box's stream. */
const byTokenHash = { name: 'links.by_token_hash', quick: true, text: (s: Schemas) => `${select(s, '$2')} WHERE l.token_hash = $1` };

const conditions: Conditions<LinkFilter & { readonly ownerId: Uuid }> = {
  ownerId: (p) => `NOT l.deleted AND l.owner_id = ${p}::uuid`,
  deviceId: (p) => `l.device_id = ${p}::uuid`,
  active: (p) => `(state.status = 'active') = ${p}::boolean`,
  status: (p) => `state.status = ${p}`,
  after: (p) => `(l.created_at < ${atOf(p)} OR (l.created_at = ${atOf(p)} AND l.link_id > ${idOf(p)}))`,
  search: (p) => `strpos(lower(p.fields->>'name'), lower(${p})) > 0`,
};

export function createLinkQueries(reader: Reader, clock: Clock): LinkQueries {
  const now = () => instant(clock.now());
  return {
    byId: (linkId) => reader.first<LinkRow>(byId, [linkId, now()]),
    byTokenHash: (tokenHash) => reader.first<LinkRow>(byTokenHash, [tokenHash, now()]),
    async ofOwner(ownerId, filter, { limit, offset }) {
      const { text: where, values, shape } = whereOf(conditions, { ownerId, ...filter }, 2);
      const [rows, totals] = await Promise.all([
        reader.all<LinkRow>(
          {
            name: `links.of_owner.${shape}`,
            text: (s) => `${select(s, '$1')} ${where} ORDER BY l.created_at DESC, l.link_id LIMIT $${values.length + 2} OFFSET $${values.length + 3}`,
          },
          [now(), ...values, limit, offset],
        ),
        reader.first<{ total: number }>(
          { name: `links.of_owner_total.${shape}`, text: (s) => `SELECT count(*)::integer AS total FROM (${select(s, '$1')} ${where}) found` },
          [now(), ...values],
        ),
      ]);
      return { rows, total: totals?.total ?? 0 };
    },
  };
}
