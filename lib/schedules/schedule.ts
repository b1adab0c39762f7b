import { expectedType, numberWhere, onlyKnown } from '../validate';

/**
 * The value of a hyper-parameter at a step. Step 0 is the optimizer's first; a schedule is a pure function of the step,
 * defined and finite for every integer >= 0.
 */
export type Schedule = (step: number) => number;

type Check<T> = (value: unknown, what: string) => T;

/** One option of a schedule: its check, and its default where it has one. */
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

const checkStep = integerFrom(0);

/** Makes a schedule of a formula that may take its step for granted. */
export function schedule(value: (step: number) => number): Schedule {
  return (step) => value(checkStep(step, 'step of a schedule'));
}

export function checkSchedule(value: unknown, what: string): Schedule {
  if (typeof value !== 'function') throw expectedType(what, 'a function of the step', value);
  return value as Schedule;
}

/** From `start` to `end` as `part` goes from 0 to 1: exact at both ends, between them elsewhere. */
export function blend(start: number, end: number, part: number): number {
  return start === end ? start : (1 - part) * start + part * end;
}

/** Falls from 1 to 0 along half a cosine as `part` goes from 0 to 1. */
export const halfCosine = (part: number): number => (1 + Math.cos(Math.PI * part)) / 2;
