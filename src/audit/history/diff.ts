import { isObject, sameValue, type Since } from './fold.ts';
import type { Shown, ShownValue } from './states.ts';

/** One fact that is not what it was. */
export interface Change {
  /** JSON pointer into the shown state. */
  readonly path: string;
  readonly before: ShownValue;
  readonly after: ShownValue;
}

/** What has to be replaced in `from` to make it `to`. Nothing yet is an empty state. */
export function differenceOf(from: Shown | null, to: Shown | null): readonly Change[] {
  return [...changes('', from ?? {}, to ?? {})];
}

function* changes(path: string, from: Shown, to: Shown): Generator<Change> {
  for (const name of new Set([...Object.keys(from), ...Object.keys(to)])) {
    const before = from[name];
    const after = to[name];
    if (isObject(before) && isObject(after)) yield* changes(`${path}/${name}`, before, after);
    else if (!sameValue(before, after)) yield { path: `${path}/${name}`, before: before ?? null, after: after ?? null };
  }
}

/** `from` with the changes carried out. */
export function applyChanges(from: Shown | null, all: readonly Change[]): Shown {
  return all.reduce<Shown>((state, { path, after }) => replaced(state, path.slice(1).split('/'), after), from ?? {});
}

function replaced(state: Shown, [name = '', ...rest]: readonly string[], value: ShownValue): Shown {
  if (rest.length === 0) return { ...state, [name]: value };
  const inner = state[name];
  return { ...state, [name]: replaced(isObject(inner) ? inner : {}, rest, value) };
}

/** The revision of the event that last changed what is at a path, or anything below it. */
export function lastChange(since: Since, path: string): number | undefined {
  const own = since[path];
  if (own !== undefined) return own;
  const below = Object.keys(since).filter((each) => each.startsWith(`${path}/`));
  return below.length === 0 ? undefined : Math.max(...below.map((each) => since[each] as number));
}
