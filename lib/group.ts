import type { Algorithm } from './algorithm';
import type { Parameter } from './parameter';
import { commonOptionNames } from './step-settings';
import { expectedType, onlyKnown } from './validate';

/**
 * A live parameter group: its parameters and every per-group option. Assigning an option, as in
 * `optimizer.paramGroups[0].lr = 1e-4`, takes effect at the next step.
 */
export type ParamGroup<O extends object = object> = { readonly params: readonly Parameter[] } & {
  -readonly [K in keyof O]-?: Exclude<O[K], undefined>;
};

/** A group as it is given: parameters, and the options that differ from the optimizer's. */
export type ParamGroupInit<O extends object = object> = { readonly params: Iterable<Parameter> } & Partial<O>;

const ofTheWhole = Object.fromEntries(
  commonOptionNames.map((name) => [name, 'it is an option of the whole optimizer, not of a group.']),
);

/** One group inside an optimizer: the live object users see, and the row of numbers native code reads. */
export class Group {
  readonly live: Record<string, unknown> & { readonly params: readonly Parameter[] };
  /** Values seen at the last step, in the order of the algorithm's options; skips checks while nothing changes. */
  readonly #seen: unknown[] = [];
  readonly #where: string;
  readonly #params: readonly Parameter[];
  #row: Float64Array = new Float64Array(0);

  constructor(
    readonly algorithm: Algorithm,
    index: number,
    params: readonly Parameter[],
    given: Readonly<Record<string, unknown>>,
    defaults: Readonly<Record<string, unknown>>,
  ) {
    this.#where = index === 0 ? algorithm.className : `${algorithm.className}, group ${index}`;
    this.#params = params;
    onlyKnown(given, ['params', ...algorithm.optionNames], this.#where, {
      ...ofTheWhole,
      ...algorithm.hints,
    });
    const values = this.checked((name) =>
      [given[name], defaults[name], algorithm.options[name]!.default].find((value) => value !== undefined),
    );
    const fixed = { params: { value: Object.freeze([...params]), enumerable: true } };
    const tag = algorithm.tag && { algorithm: { value: algorithm.tag, enumerable: true } };
    this.live = Object.preventExtensions(
      Object.defineProperties(values, { ...tag, ...fixed }),
    ) as unknown as Group['live'];
  }

  /** Every option, checked one by one and then together. */
  checked(value: (name: string) => unknown): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const [name, option] of Object.entries(this.algorithm.options)) {
      result[name] = option.check(value(name), name, this.#where);
    }
    if ('maxLr' in result) result.maxLr ??= result.lr;
    this.algorithm.together?.(result, this.#where);
    this.algorithm.suits?.(result, this.#where, this.#params);
    return result;
  }

  /** Replaces all options at once, as a checkpoint does. */
  assign(values: Readonly<Record<string, unknown>>): void {
    Object.assign(this.live, values);
  }

  /** Where this group's numbers begin in the table of all groups. */
  offset = 0;

  /** Writes the current options to a row of native hyper-parameters, checking what changed. */
  write(row: Float64Array): void {
    const { live } = this;
    const { optionNames } = this.algorithm;
    let changed = this.#seen.length === 0;
    for (let i = 0; i < optionNames.length && !changed; ++i) {
      const value = live[optionNames[i]!];
      const seen = this.#seen[i];
      changed = value !== seen && !sameList(value, seen);
    }
    if (!changed) {
      row.set(this.#row);
      return;
    }
    this.#row = this.numbers(this.checked((name) => live[name]));
    optionNames.forEach((name, i) => {
      const value = live[name];
      this.#seen[i] = Array.isArray(value) ? structuredClone(value) : value;
    });
    row.set(this.#row);
  }

  /** Checked options as native hyper-parameters, in native order. */
  numbers(values: Readonly<Record<string, unknown>>): Float64Array {
    return Float64Array.from(this.algorithm.hyper, (read) => read(values));
  }
}

function sameList(a: unknown, b: unknown): boolean {
  if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
  return a.every((value, i) => value === b[i] || sameList(value, b[i]));
}

/** Groups as they are given: parameters are one group, and a list of groups is itself. */
export function groupsOf<O extends object>(params: unknown, className: string): ParamGroupInit<O>[] {
  const list = listOf<unknown>(params, `params of ${className}`);
  const isGroup = (entry: unknown): boolean =>
    typeof entry === 'object' && entry !== null && 'params' in entry && !('data' in entry);
  const groups = list.filter(isGroup).length;
  if (groups === 0) return [{ params: list as Parameter[] } as unknown as ParamGroupInit<O>];
  if (groups === list.length) return list as ParamGroupInit<O>[];
  throw new TypeError(
    `Expected params of ${className} to be all parameters or all groups but received a mixture.`,
  );
}

/** Any iterable of things, as a list with at least one. */
export function listOf<T>(given: unknown, what: string): T[] {
  if (
    typeof given !== 'object' ||
    given === null ||
    !(Symbol.iterator in given) ||
    ArrayBuffer.isView(given)
  ) {
    throw expectedType(what, 'an iterable of parameters', given);
  }
  const list = [...(given as Iterable<T>)];
  if (list.length === 0)
    throw new RangeError(`Expected ${what} to hold at least one parameter but received none.`);
  return list;
}
