import { describe, expectedType, numberWhere, suggestion } from './validate';

/** What numbers an option takes, as data: for the checks here and for those who call from C. */
export interface Range {
  /** In words. */
  readonly expected: string;
  readonly least?: number;
  readonly most?: number;
  /** Whether the ends are out of it. */
  readonly openLeast?: boolean;
  readonly openMost?: boolean;
  readonly integer?: boolean;
}

/** One option of an optimizer: its default and what values it takes. */
export interface Option<T = unknown> {
  readonly default: T;
  /** Returns the value, checked. Errors speak of `name` of `where`: `lr of AdamW`. */
  check(value: unknown, name: string, where: string): T;
  /** Of the number, or of each of the numbers, that native code is given for it. */
  readonly range: Range;
  /** What native code is given for it, where that is not the number itself. */
  readonly number?: (value: unknown) => number;
  /** The same for an option that is a list of numbers. */
  readonly numbers?: (value: unknown) => readonly number[];
}

/** The options of an optimizer that a parameter group may override. */
export type OptionTable = Readonly<Record<string, Option>>;

const inRange = ({ expected, least = -Infinity, most = Infinity, openLeast, openMost, integer }: Range) =>
  numberWhere(
    expected,
    (v) =>
      (openLeast ? v > least : v >= least) &&
      (openMost ? v < most : v <= most) &&
      (!integer || Number.isSafeInteger(v)),
  );

function numeric(fallback: number, range: Range): Option<number> {
  const check = inRange(range);
  return { default: fallback, range, check: (value, name, where) => check(value, `${name} of ${where}`) };
}

const atLeast0: Range = { expected: 'a finite number >= 0', least: 0 };
const below1: Range = { expected: 'a number in [0, 1)', least: 0, most: 1, openMost: true };
const anyFinite: Range = { expected: 'a finite number' };

/** A finite number >= 0. */
export const nonNegative = (fallback: number): Option<number> => numeric(fallback, atLeast0);

/** A finite number > 0. */
export const positive = (fallback: number): Option<number> =>
  numeric(fallback, { expected: 'a finite number > 0', least: 0, openLeast: true });

/** Any finite number. */
export const finite = (fallback: number): Option<number> => numeric(fallback, anyFinite);

/** A number in [0, 1). */
export const fraction = (fallback: number): Option<number> => numeric(fallback, below1);

/** A finite number >= `least`. */
export const from = (least: number, fallback: number): Option<number> =>
  numeric(fallback, { expected: `a finite number >= ${least}`, least });

/** `true` or `false`. */
export const flag = (fallback: boolean): Option<boolean> => ({
  default: fallback,
  range: { expected: '0 or 1', least: 0, most: 1, integer: true },
  check(value, name, where) {
    if (typeof value !== 'boolean') throw expectedType(`${name} of ${where}`, 'true or false', value);
    return value;
  },
});

/** Two decay rates, each in [0, 1). */
export const betas = (fallback: readonly [number, number]): Option<readonly [number, number]> => ({
  default: fallback,
  range: below1,
  check(value, name, where) {
    if (!Array.isArray(value) || value.length !== 2) {
      throw expectedType(`${name} of ${where}`, 'two numbers in [0, 1)', value);
    }
    const pair = value as readonly unknown[];
    const check = inRange(below1);
    return [check(pair[0], `${name}[0] of ${where}`), check(pair[1], `${name}[1] of ${where}`)];
  },
});

/** A finite number >= 0 that starts as the group's own learning rate when it is not given. */
export const startingLr = (): Option<number | undefined> => ({
  default: undefined,
  range: atLeast0,
  check: (value, name, where) =>
    value === undefined ? value : inRange(atLeast0)(value, `${name} of ${where}`),
});

/** A finite number > 0, or null for no limit. */
export const limit = (fallback: number | null): Option<number | null> => ({
  default: fallback,
  range: { expected: 'a finite number > 0, or 0 for no limit', least: 0 },
  check(value, name, where) {
    if (value === null) return null;
    if (typeof value !== 'number') throw expectedType(`${name} of ${where}`, 'a number > 0 or null', value);
    return positive(1).check(value, name, where);
  },
  number: (value) => (value as number | null) ?? 0,
});

/** An integer in [least, most]. */
export const integer = (least: number, most: number, fallback: number): Option<number> =>
  numeric(fallback, {
    expected: most === Infinity ? `an integer >= ${least}` : `an integer in [${least}, ${most}]`,
    least,
    most,
    integer: true,
  });

/** A number in [0, 1]. */
export const unit = (fallback: number): Option<number> =>
  numeric(fallback, { expected: 'a number in [0, 1]', least: 0, most: 1 });

/** One of several names; native code is given its index. */
export const choice = <T extends string>(names: readonly [T, ...T[]], fallback: T): Option<T> => ({
  default: fallback,
  range: {
    expected: names.map((name, i) => `${i} ("${name}")`).join(' or '),
    least: 0,
    most: names.length - 1,
    integer: true,
  },
  check: (value, name, where) => checkChoice(value, names, `${name} of ${where}`),
  number: (value) => names.indexOf(value as T),
});

export function checkChoice<T extends string>(value: unknown, names: readonly T[], what: string): T {
  if (typeof value === 'string' && (names as readonly string[]).includes(value)) return value as T;
  const meant = typeof value === 'string' ? suggestion(value, names) : undefined;
  const list = names.map((name) => `"${name}"`).join(' or ');
  throw new TypeError(
    `Expected ${what} to be ${list} but received ${describe(value)}${meant ? `; did you mean "${meant}"?` : '.'}`,
  );
}
