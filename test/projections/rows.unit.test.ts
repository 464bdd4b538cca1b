import { describe, expect, it } from 'vitest';
import { actionOf, outcomeOf } from '../../src/projections/audit/actions.ts';
import { TableRows } from '../../src/projections/rows.ts';

const table = {
  name: 'things',
  key: 'id',
  group: 'owner',
  columns: { id: 'text NOT NULL', owner: 'text', n: 'integer NOT NULL' },
  indexes: [],
} as const;

const rowsOf = (cached = true) => new TableRows('s', { ...table, cached }, 100);

/** What a batch would do to the table: statement names with what they carry. */
const written = (rows: TableRows) =>
  rows.writing().map(({ name, values }) => [name?.split('.').at(-1), typeof values[0] === 'string' ? (JSON.parse(values[0]) as unknown) : values[0]]);

function load(rows: TableRows, ...found: readonly Readonly<Record<string, unknown>>[]) {
  rows.loading();
  rows.loaded(found);
}

describe('the rows of a batch', () => {
  it('many changes of a row are one write of its last state', () => {
    const rows = rowsOf();
    rows.put({ id: 'a', owner: 'x', n: 1 });
    rows.update('a', { n: 2 });
    rows.update('a', { n: 3 });
    expect(written(rows)).toEqual([['insert', [{ id: 'a', owner: 'x', n: 3 }]]]);
  });

  it('asks once for what it does not know, and for what it knows never again', () => {
    const rows = rowsOf();
    rows.want('a');
    rows.want('a');
    rows.want('b');
    expect(rows.loading()?.values).toEqual([['a', 'b']]);
    rows.loaded([{ id: 'a', owner: 'x', n: 1 }]);
    expect(rows.get('b')).toBeUndefined();
    rows.keep();
    rows.want('a');
    rows.want('b');
    expect(rows.loading()).toBeUndefined();
    expect(rows.need('a')).toMatchObject({ n: 1 });
    expect(() => rows.need('b')).toThrow(/an earlier event is missing/);
  });

  it('does not ask for what the batch writes before it reads it', () => {
    const rows = rowsOf();
    rows.writes('a');
    rows.want('a');
    expect(rows.loading()).toBeUndefined();
    rows.put({ id: 'a', owner: 'x', n: 1 });
    expect(rows.update('a', { n: 2 })).toEqual({ id: 'a', owner: 'x', n: 2 });
    rows.delete('a');
    // The table may have one of before.
    expect(written(rows)).toEqual([['remove', ['a']]]);
  });

  it('asks for what was to be read before the batch writes it, and keeps what it knows', () => {
    const rows = rowsOf();
    rows.want('a');
    rows.writes('a');
    expect(rows.loading()?.values).toEqual([['a']]);
    rows.loaded([{ id: 'a', owner: 'x', n: 1 }]);
    rows.writes('a');
    expect(rows.get('a')).toEqual({ id: 'a', owner: 'x', n: 1 });
    rows.keep();
    rows.writes('a');
    expect(rows.get('a')).toEqual({ id: 'a', owner: 'x', n: 1 });
  });

  it('does not take an unknown row for an absent one', () => {
    const rows = rowsOf();
    expect(() => rows.get('a')).toThrow(/load does not name it/);
    rows.absent('a');
    expect(rows.get('a')).toBeUndefined();
    expect(written(rows)).toEqual([]);
  });

  it('a discarded batch leaves what was known before it', () => {
    const rows = rowsOf();
    rows.put({ id: 'a', owner: 'x', n: 1 });
    rows.keep();
    rows.update('a', { n: 2 });
    rows.discard();
    rows.want('a');
    expect(rows.loading()).toBeUndefined();
    expect(rows.need('a')).toMatchObject({ n: 1 });
  });

  it('a deleted group takes the rows of this batch and the known ones; what comes after it stays', () => {
    const rows = rowsOf();
    rows.put({ id: 'old', owner: 'x', n: 1 });
    rows.keep();
    rows.put({ id: 'new', owner: 'x', n: 2 });
    rows.put({ id: 'other', owner: 'y', n: 3 });
    rows.deleteGroup('x');
    rows.put({ id: 'later', owner: 'x', n: 4 });
    expect(written(rows)).toEqual([
      ['remove_groups', ['x']],
      ['insert', [{ id: 'other', owner: 'y', n: 3 }, { id: 'later', owner: 'x', n: 4 }]],
    ]);
    expect([rows.get('old'), rows.get('new')]).toEqual([undefined, undefined]);
    rows.keep();
    rows.want('old');
    expect(rows.loading()).toBeUndefined();
  });

  it('where others may delete, nothing is remembered from batch to batch', () => {
    const rows = rowsOf(false);
    rows.put({ id: 'a', owner: 'x', n: 1 });
    rows.keep();
    rows.want('a');
    expect(rows.loading()?.values).toEqual([['a']]);
    load(rows);
    expect(rows.get('a')).toBeUndefined();
  });

  it('what is only appended is written in its order, and forgotten with the batch', () => {
    const rows = new TableRows('s', { ...table, kind: 'append' }, 100);
    for (const id of ['b', 'a']) rows.put({ id, owner: null, n: 1 });
    expect(written(rows)).toEqual([['insert', [{ id: 'b', owner: null, n: 1 }, { id: 'a', owner: null, n: 1 }]]]);
    expect(() => rows.get('a')).toThrow('load does not name it');
    rows.keep();
    expect(written(rows)).toEqual([]);
    rows.put({ id: 'c', owner: null, n: 1 });
    rows.discard();
    expect(written(rows)).toEqual([]);
  });

  it('long batches go over in pieces', () => {
    const rows = rowsOf();
    for (let n = 0; n < 2_500; n++) rows.put({ id: `${n}`, owner: null, n });
    expect(rows.writing().map(({ values }) => (JSON.parse(String(values[0])) as unknown[]).length)).toEqual([1_000, 1_000, 500]);
  });
});

describe('words of the audit log', () => {
  it.each([
    ['UnlockConfirmed', 'device_unlock', 'accepted'],
    ['LinkRevoked', 'link_revoked', 'accepted'],
    ['DevicePinRefused', 'device_pin_refused', 'refused'],
    ['UnlockFailed', 'unlock_failed', 'failed'],
    ['SomethingOfTomorrow', 'something_of_tomorrow', 'accepted'],
  ])('%s', (type, action, outcome) => {
    expect([actionOf(type), outcomeOf(type)]).toEqual([action, outcome]);
  });
});
