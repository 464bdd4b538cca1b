/** How each member of a filter is asked for, given the place of its value: `$3`. */
export type Conditions<Filter> = { readonly [K in keyof Required<Filter>]: (place: string) => string };

export interface Where {
  /** Empty where nothing is asked for, else it begins with WHERE. */
  readonly text: string;
  readonly values: readonly unknown[];
  /** Names the set of members that are asked for: each set is a statement of its own, so that each gets its own plan. */
  readonly shape: string;
}

/** Of a place in time that is a parameter. */
export const atOf = (place: string): string => `(${place}::json->>'at')::timestamptz`;
export const idOf = (place: string): string => `(${place}::json->>'id')::uuid`;

/** @param first the number of the first parameter */
export function whereOf<Filter extends object>(conditions: Conditions<Filter>, filter: Filter, first = 1): Where {
  const names = Object.keys(conditions) as (keyof Filter & string)[];
  const given = names.filter((name) => filter[name] !== undefined);
  const texts = given.map((name, i) => conditions[name](`$${first + i}`));
  return {
    text: texts.length === 0 ? '' : `WHERE ${texts.join(' AND ')}`,
    values: given.map((name) => {
      const value: unknown = filter[name];
      if (typeof value === 'bigint') return String(value);
      return typeof value === 'object' && !Array.isArray(value) ? JSON.stringify(value) : value;
    }),
    shape: given.map((name) => names.indexOf(name).toString(36)).join(''),
  };
}
