import { describe, expectedType, numberWhere, suggestion } from './validate';

/** One option of an optimizer: its default and what values it takes. */
export interface Option<T = unknown> {
  readonly default: T;
  /** Returns the value, checked. Errors speak of `name` of `where`: `lr of AdamW`. */
  check(value: unknown, name: string, where: string): T;
  /** What native code is given for it, where that is not the number itself. */
  readonly number?: (value: unknown) => number;
  /** The same for an option that is a list of numbers. */
  readonly numbers?: (value: unknown) => readonly number[];
}

/** The options of an optimizer that a parameter group may override. */
export type OptionTable = Readonly<Record<string, Option>>;

const numeric = (fallback: number, check: (value: unknown, what: string) => number): Option<number> => ({
  default: fallback,
  check: (value, name, where) => check(value, `${name} of ${where}`),
});

const atLeast0 = numberWhere('a finite number >= 0', (v) => v >= 0);
const below1 = numberWhere('a number in [0, 1)', (v) => v >= 0 && v < 1);

/** A finite number >= 0. */
export const nonNegative = (fallback: number): Option<number> => numeric(fallback, atLeast0);

/** A finite number > 0. */
export const positive = (fallback: number): Option<number> =>
  numeric(
    fallback,
    numberWhere('a finite number > 0', (v) => v > 0),
  );

/** Any finite number. */
export const finite = (fallback: number): Option<number> =>
  numeric(
    fallback,
    numberWhere('a finite number', () => true),
  );

/** A number in [0, 1). */
export const fraction = (fallback: number): Option<number> => numeric(fallback, below1);

/** A finite number >= `least`. */
export const from = (least: number, fallback: number): Option<number> =>
  numeric(
    fallback,
    numberWhere(`a finite number >= ${least}`, (v) => v >= least),
  );

/** `true` or `false`. */
export const flag = (fallback: boolean): Option<boolean> => ({
  default: fallback,
  check(value, name, where) {
    if (typeof value !== 'boolean') throw expectedType(`${name} of ${where}`, 'true or false', value);
    return value;
  },
});

/** Two decay rates, each in [0, 1). */
export const betas = (fallback: readonly [number, number]): Option<readonly [number, number]> => ({
  default: fallback,
  check(value, name, where) {
    if (!Array.isArray(value) || value.length !== 2) {
      throw expectedType(`${name} of ${where}`, 'two numbers in [0, 1)', value);
    }
    const pair = value as readonly unknown[];
    return [below1(pair[0], `${name}[0] of ${where}`), below1(pair[1], `${name}[1] of ${where}`)];
  },
});

/** A finite number >= 0 that starts as the group's own learning rate when it is not given. */
export const startingLr = (): Option<number | undefined> => ({
  default: undefined,
  check: (value, name, where) => (value === undefined ? value : atLeast0(value, `${name} of ${where}`)),
});

/** A finite number > 0, or null for no limit. */
export const limit = (fallback: number | null): Option<number | null> => ({
  default: fallback,
  check(value, name, where) {
    if (value === null) return null;
    if (typeof value !== 'number') throw expectedType(`${name} of ${where}`, 'a number > 0 or null', value);
    return positive(1).check(value, name, where);
  },
  number: (value) => (value as number | null) ?? 0,
});

/** An integer in [least, most]. */
export const integer = (least: number, most: number, fallback: number): Option<number> =>
  numeric(
    fallback,
    numberWhere(
      most === Infinity ? `an integer >= ${least}` : `an integer in [${least}, ${most}]`,
      (v) => Number.isSafeInteger(v) && v >= least && v <= most,
    ),
  );

/** A number in [0, 1]. */
export const unit = (fallback: number): Option<number> =>
  numeric(
    fallback,
    numberWhere('a number in [0, 1]', (v) => v >= 0 && v <= 1),
  );

/** One of several names; native code is given its index. */
export const choice = <T extends string>(names: readonly [T, ...T[]], fallback: T): Option<T> => ({
  default: fallback,
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
