import type pg from 'pg';
import type { Instant, Uuid } from '../../domain/kernel.ts';
import type { Core, LinkPart } from './fold.ts';

/** A fold up to the last event of a block, and the least instant in that block. */
export interface Milestone {
  readonly revision: bigint;
  /** Of the event at `revision`: a log that has another one there is not the one that was folded. */
  readonly eventId: Uuid;
  readonly position: bigint;
  readonly type: string;
  readonly occurredAt: Instant;
  /** Of the events of the block that ends here. */
  readonly earliest: Instant;
  readonly core: Core;
}

export type MilestonePlace = Pick<Milestone, 'revision' | 'eventId' | 'position'>;

/**
 * Folds kept at every so many events of a stream. Only for speed: what is in them follows from the log, and whoever uses one
 * holds it against the log first. `fold` names the version of the fold that made them.
 */
export interface MilestoneStore {
  last(stream: string, fold: string): Promise<MilestonePlace | undefined>;
  load(stream: string, fold: string, revision: bigint): Promise<Milestone | undefined>;
  /** The last block that has an event of this instant or an earlier one, by the revision that it ends with. */
  blockBy(stream: string, fold: string, at: Instant): Promise<bigint | undefined>;
  /** The last milestone that is at this position or before it. */
  upTo(stream: string, fold: string, position: bigint): Promise<bigint | undefined>;
  /** The links as they were at a milestone; those that were not made by then are absent. */
  links(stream: string, fold: string, revision: bigint, linkIds: readonly Uuid[]): Promise<readonly LinkPart[]>;
  keep(stream: string, fold: string, milestones: readonly (Milestone & { readonly links: readonly LinkPart[] })[]): Promise<void>;
  /** All of this stream, of every version. */
  forget(stream: string): Promise<void>;
}

/** In `work.milestones` and `work.milestone_links`. */
export function createMilestoneStore(pool: Pick<pg.Pool, 'query'>): MilestoneStore {
  const query = <Row extends pg.QueryResultRow>(name: string, text: string, values: unknown[]) => pool.query<Row>({ name: `milestones.${name}`, text, values });

  return {
    async last(stream, fold) {
      const { rows } = await query<{ revision: string; event_id: string; position: string }>(
        'last',
        'SELECT revision, event_id, position FROM work.milestones WHERE stream = $1 AND fold = $2 ORDER BY revision DESC LIMIT 1',
        [stream, fold],
      );
      const row = rows[0];
      return row === undefined ? undefined : { revision: BigInt(row.revision), eventId: row.event_id, position: BigInt(row.position) };
    },

    async load(stream, fold, revision) {
      const { rows } = await query<{ event_id: string; position: string; type: string; occurred_at: string; earliest: string; core: Core }>(
        'load',
        'SELECT event_id, position, type, occurred_at, earliest, core FROM work.milestones WHERE stream = $1 AND fold = $2 AND revision = $3',
        [stream, fold, revision.toString()],
      );
      const row = rows[0];
      if (row === undefined) return undefined;
      const { event_id: eventId, position, type, occurred_at: occurredAt, earliest, core } = row;
      return { revision, eventId, position: BigInt(position), type, occurredAt, earliest, core };
    },

    async blockBy(stream, fold, at) {
      const { rows } = await query<{ revision: string }>(
        'block-by',
        'SELECT revision FROM work.milestones WHERE stream = $1 AND fold = $2 AND earliest <= $3 ORDER BY revision DESC LIMIT 1',
        [stream, fold, at],
      );
      return rows[0] === undefined ? undefined : BigInt(rows[0].revision);
    },

    async upTo(stream, fold, position) {
      const { rows } = await query<{ revision: string }>(
        'up-to',
        'SELECT revision FROM work.milestones WHERE stream = $1 AND fold = $2 AND position <= $3 ORDER BY revision DESC LIMIT 1',
        [stream, fold, position.toString()],
      );
      return rows[0] === undefined ? undefined : BigInt(rows[0].revision);
    },

    async links(stream, fold, revision, linkIds) {
      const { rows } = await query<{ body: LinkPart }>(
        'links',
        `SELECT kept.body FROM unnest($4::uuid[]) AS wanted (link_id)
          CROSS JOIN LATERAL (
            SELECT body FROM work.milestone_links k
             WHERE k.stream = $1 AND k.fold = $2 AND k.link_id = wanted.link_id AND k.revision <= $3
             ORDER BY k.revision DESC LIMIT 1) AS kept`,
        [stream, fold, revision.toString(), linkIds],
      );
      return rows.map(({ body }) => body);
    },

    async keep(stream, fold, milestones) {
      const links = milestones.flatMap(({ revision, links: parts }) => parts.map((part) => ({ revision: revision.toString(), link_id: part.linkId, body: part })));
      const rows = milestones.map(({ revision, eventId, position, type, occurredAt, earliest, core }) => ({
        revision: revision.toString(),
        event_id: eventId,
        position: position.toString(),
        type,
        occurred_at: occurredAt,
        earliest,
        core,
      }));
      await query('keep', 'SELECT work.keep_milestones($1, $2, $3, $4)', [stream, fold, JSON.stringify(rows), JSON.stringify(links)]);
    },

    async forget(stream) {
      await query('forget', 'WITH links AS (DELETE FROM work.milestone_links WHERE stream = $1) DELETE FROM work.milestones WHERE stream = $1', [stream]);
    },
  };
}
