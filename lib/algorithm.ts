import { native } from './native';
import { flag, type OptionTable } from './options';

/** Options of every optimizer that a group may override. */
export interface CommonGroupOptions {
  /** Ascend the objective instead of descending it. @default false */
  maximize?: boolean | undefined;
}

/** Options of every optimizer as a whole. */
export interface CommonOptions {
  /**
   * Threads a step may use, the calling one included; an integer in [1, 1024].
   * @default FUSED_OPTIM_THREADS, else the cores this process may use
   */
  threads?: number | undefined;
}

export interface Definition {
  /** The class, for messages. */
  readonly className: string;
  /** The row of native/rules/rules.h that computes it. */
  readonly rule: string;
  readonly options: OptionTable;
  /** Hyper-parameters of the rule that this class sets itself. */
  readonly fixed?: Readonly<Record<string, number>>;
  /** For options users may expect here but find elsewhere: the end of the error sentence. */
  readonly hints?: Readonly<Record<string, string>>;
  /** Checks that concern several options; throws. */
  readonly together?: (values: Readonly<Record<string, unknown>>, where: string) => void;
}

/** A definition matched with what native code says of its rule. */
export interface Algorithm extends Definition {
  readonly optionNames: readonly string[];
  /** Each native hyper-parameter in order, read from checked options. */
  readonly hyper: readonly ((values: Readonly<Record<string, unknown>>) => number)[];
  /** State and scalar names in native order, as users see them. */
  readonly states: readonly string[];
  readonly scalars: readonly string[];
}

export const camel = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

const pairs: Readonly<Record<string, readonly [string, number]>> = {
  beta1: ['betas', 0],
  beta2: ['betas', 1],
};

/** Finds the option behind each hyper-parameter the rule names, so that neither list is kept by hand. */
export function resolve(definition: Definition): Algorithm {
  const rule = native().addon.rules[definition.rule];
  if (!rule) throw new Error(`The native binary has no rule "${definition.rule}": build it again.`);
  const options: OptionTable = { ...definition.options, maximize: flag(false) };
  const { fixed = {} } = definition;
  const hyper = rule.hyper.map((native) => {
    const name = camel(native);
    if (name in fixed) return () => fixed[name]!;
    const [option, index] = pairs[name] ?? [name, undefined];
    if (!(option in options))
      throw new Error(`${definition.className} has no option for the hyper-parameter ${name}.`);
    if (index === undefined) return (values: Readonly<Record<string, unknown>>) => Number(values[option]);
    return (values: Readonly<Record<string, unknown>>) => (values[option] as readonly number[])[index]!;
  });
  return {
    ...definition,
    options,
    optionNames: Object.keys(options),
    hyper,
    states: rule.states.map(camel),
    scalars: rule.scalars.map(camel),
  };
}
