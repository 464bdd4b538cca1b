import { describe, expect, it } from 'vitest';
import { grow, isCovered, leafHash } from '../../src/audit/merkle.ts';
import { instant } from '../../src/platform/clock.ts';
import { decodeBatch, Member, stage } from '../../src/projections/member.ts';
import type { Statement } from '../../src/projections/pipeline.ts';
import { projections } from '../../src/projections/registry.ts';
import type { Session } from '../../src/projections/session.ts';
import { createMemoryStore } from '../support/memory-store.ts';
import { fakeVault, sealed, toAppend } from '../support/read-side.ts';
import { history } from './histories.ts';

const vault = fakeVault();

async function past(seed: number, steps: number) {
  let time = Date.parse('2026-11-21T10:00:00.000Z');
  const store = createMemoryStore(() => time);
  for (const { stream, events } of history(seed, steps)) await store.append(stream, 'any', events.map((event) => toAppend(sealed(vault, event), instant((time += 1_000)))));
  return store.all;
}

/** Says what was asked for, and that there is nothing. */
function emptyDatabase(): { readonly session: Session; readonly asked: readonly Statement[] } {
  const asked: Statement[] = [];
  const session = {
    async read(statements: readonly Statement[]) {
      asked.push(...statements);
      return statements.map(() => []);
    },
  } as unknown as Session;
  return { session, asked };
}

const memberOf = (name: string) => new Member(projections({ sealer: vault }).find((each) => each.name === name)!, 1, -1n, 1_000);

describe('a batch with a whole past in it', () => {
  // Each question waits until the batch before is written: a rebuild would do one after the other.
  it.each(['activity', 'deadlines', 'devices', 'links', 'people', 'users'])('%s asks the database nothing', async (name) => {
    const { session, asked } = emptyDatabase();
    const member = memberOf(name);
    const staged = await stage(session, [member], decodeBatch(await past(7, 300)));
    expect(staged.get(member)?.poison).toBeUndefined();
    expect(asked).toEqual([]);
    expect(member.writing()).not.toEqual([]);
  });

  it('unlocks asks for the figures of its days and hours alone, proof for its tree', async () => {
    for (const [name, table] of [['unlocks', 'slots'], ['proof', 'tree']] as const) {
      const { session, asked } = emptyDatabase();
      const member = memberOf(name);
      const staged = await stage(session, [member], decodeBatch(await past(7, 300)));
      expect(staged.get(member)?.poison).toBeUndefined();
      expect(asked.map((statement) => statement.name)).toEqual([`${member.schema}.${table}.load`]);
    }
  });
});

describe('the tree of the proof', () => {
  it('has after each event the peaks that growing it from its beginning gives', async () => {
    const member = memberOf('proof');
    let peaks: readonly Buffer[] = [];
    let size = 0;
    for (const event of await past(3, 60)) {
      await stage(emptyDatabase().session, [member], decodeBatch([event]));
      if (isCovered(event.stream)) ({ peaks } = grow(size++, peaks, leafHash(event)));
      const written = member.writing().find(({ name }) => name === `${member.schema}.tree.insert`);
      expect(JSON.parse(String(written?.values[0]))).toEqual([expect.objectContaining({ size, peaks: peaks.map((peak) => peak.toString('hex')) })]);
      member.keep();
    }
    expect(size).toBeGreaterThan(64);
  });
});
