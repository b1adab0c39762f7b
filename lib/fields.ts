import { expectedType, numberWhere, onlyKnown } from './validate';

type Check<T> = (value: unknown, what: string) => T;

/** One entry of an options object: its check, and its default where it has one. */
export interface Field<T> {
  readonly check: Check<T>;
  readonly fallback?: T;
}

export const finite = numberWhere('a finite number', () => true);
export const positive = numberWhere('a finite number > 0', (v) => v > 0);
export const atLeast0 = numberWhere('a finite number >= 0', (v) => v >= 0);
export const integerFrom = (least: number): Check<number> =>
  numberWhere(`an integer >= ${least}`, (v) => Number.isSafeInteger(v) && v >= least);

export const flag: Check<boolean> = (value, what) => {
  if (typeof value !== 'boolean') throw expectedType(what, 'true or false', value);
  return value;
};

/** One of a few words. */
export const oneOf =
  <T extends string>(...words: readonly T[]): Check<T> =>
  (value, what) => {
    const word = words.find((known) => known === value);
    if (word === undefined) throw expectedType(what, words.map((w) => `"${w}"`).join(' or '), value);
    return word;
  };

/** Options with their defaults filled in. */
export type Complete<T> = { [K in keyof T]-?: Exclude<T[K], undefined> };

/** Reads an options object: every option is known, present or defaulted, and in range. */
export function read<T extends object>(
  given: unknown,
  where: string,
  fields: { readonly [K in keyof T]-?: Field<Exclude<T[K], undefined>> },
): Complete<T> {
  if (typeof given !== 'object' || given === null)
    throw expectedType(`options of ${where}`, 'an object', given);
  const names = Object.keys(fields) as (keyof T & string)[];
  onlyKnown(given, names, where);
  const values = names.map((name) => {
    const { check, fallback } = fields[name];
    const value = (given as Partial<T>)[name];
    return [
      name,
      value === undefined && fallback !== undefined ? fallback : check(value, `${name} of ${where}`),
    ];
  });
  return Object.fromEntries(values) as Complete<T>;
}
