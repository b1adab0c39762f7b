import type { DType } from './dtypes';
import { native } from './native';
import { flag, type OptionTable } from './options';
import type { Identity, Parameter } from './parameter';

/** Options of every optimizer that a group may override. */
export interface CommonGroupOptions {
  /** Ascend the objective instead of descending it. @default false */
  maximize?: boolean | undefined;
}

export interface Definition {
  /** The class, for messages. */
  readonly className: string;
  /** What the live group's `algorithm` says, where an optimizer has several. */
  readonly tag?: string;
  /** The row of native/rules/rules.h that computes it. */
  readonly rule: string;
  readonly options: OptionTable;
  /** Whether the rule keeps slow weights of its own, as a Lookahead around an optimizer does. */
  readonly slow?: boolean;
  /** Whether elements of a tensor depend on each other, even where the rule takes no norms of it. */
  readonly whole?: boolean;
  /** Parameters it is for, where not for all. */
  readonly dtypes?: readonly DType[];
  /** Hyper-parameters of the rule that this class sets itself. */
  readonly fixed?: Readonly<Record<string, number>>;
  /** For options users may expect here but find elsewhere: the end of the error sentence. */
  readonly hints?: Readonly<Record<string, string>>;
  /** Checks that concern several options; throws. */
  readonly together?: (values: Readonly<Record<string, unknown>>, where: string) => void;
  /** Checks of options against the parameters of a group; throws. */
  readonly suits?: (
    values: Readonly<Record<string, unknown>>,
    where: string,
    params: readonly Parameter[],
  ) => void;
}

/** An optimizer of several rules: every group that is given becomes a live group for each rule that takes part of it. */
export interface Composite {
  readonly className: string;
  readonly parts: readonly Definition[];
  /** Divides one given group; `defaults` are the optimizer's own options. Throws when it cannot. */
  readonly divide: (
    entries: readonly { readonly parameter: Parameter; readonly identity: Identity }[],
    given: Readonly<Record<string, unknown>>,
    defaults: Readonly<Record<string, unknown>>,
  ) => readonly Piece[];
}

export interface Piece {
  /** Index into the composite's parts. */
  readonly part: number;
  readonly params: readonly Parameter[];
  readonly given: Readonly<Record<string, unknown>>;
  readonly defaults: Readonly<Record<string, unknown>>;
}

/** A definition matched with what native code says of its rule. */
export interface Algorithm extends Definition {
  readonly optionNames: readonly string[];
  /** Each native hyper-parameter in order, read from checked options. */
  readonly hyper: readonly ((values: Readonly<Record<string, unknown>>) => number)[];
  /** The option behind each of them; undefined where the class sets it itself. */
  readonly sources: readonly (string | undefined)[];
  /** State and scalar names in native order, as users see them; the slow weights of Lookahead follow the states. */
  readonly states: readonly string[];
  readonly scalars: readonly string[];
  /** Whether its states may be 8-bit. */
  readonly blocks8: boolean;
  /** Whether every element of a tensor may be updated without the others. */
  readonly splits: boolean;
}

/** The state that Lookahead and Ranger keep after a rule's own. */
export const slowName = 'slow';

export const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

const pairs: Readonly<Record<string, readonly [string, number]>> = {
  beta1: ['betas', 0],
  beta2: ['betas', 1],
};

/** The place of `3.b` in a list of triples. */
const placeOf = ([triple = '', letter = '']: readonly string[]): number =>
  3 * Number(triple) + 'abc'.indexOf(letter);

/** A function of one value that remembers its last result. */
function remembering<T>(compute: (value: unknown) => T): (value: unknown) => T {
  let last: { readonly value: unknown; readonly result: T } | undefined;
  return (value) => {
    if (!last || last.value !== value) last = { value, result: compute(value) };
    return last.result;
  };
}

/** Finds the option behind each hyper-parameter the rule names, so that neither list is kept by hand. */
export function resolve(definition: Definition): Algorithm {
  const rule = native().addon.rules[definition.rule];
  if (!rule) throw new Error(`The native binary has no rule "${definition.rule}": build it again.`);
  const options: OptionTable = { ...definition.options, maximize: flag(false) };
  const { fixed = {} } = definition;
  // Many hyper-parameters may read one list, which is made once for all of them.
  const lists = new Map(
    Object.entries(options).map(([name, { numbers }]) => [name, numbers && remembering(numbers)]),
  );
  const sources: (string | undefined)[] = [];
  const hyper = rule.hyper.map((native) => {
    const [name = '', ...place] = camel(native).split('.');
    const isFixed = name in fixed;
    const [option, index] = pairs[name] ?? [name, place.length > 0 ? placeOf(place) : undefined];
    sources.push(isFixed ? undefined : option);
    if (isFixed) return () => fixed[name]!;
    if (!(option in options))
      throw new Error(`${definition.className} has no option for the hyper-parameter ${name}.`);
    const { number = Number } = options[option]!;
    const numbers = lists.get(option);
    return (values: Readonly<Record<string, unknown>>) => {
      const value = values[option];
      if (index === undefined) return number(value);
      return (numbers ? numbers(value) : (value as readonly number[]))[index]!;
    };
  });
  return {
    ...definition,
    options,
    optionNames: Object.keys(options),
    hyper,
    sources,
    states: rule.states.map(camel),
    scalars: rule.scalars.map(camel),
    blocks8: rule.blocks8,
    splits: !rule.norms && !definition.whole,
  };
}

/** An optimizer of one rule: every given group is one live group. */
export function alone(definition: Definition): Composite {
  return {
    className: definition.className,
    parts: [definition],
    divide: (entries, given, defaults) => [
      { part: 0, params: entries.map(({ parameter }) => parameter), given, defaults },
    ],
  };
}
