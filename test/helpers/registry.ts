import * as library from 'fused-optim';
import { native } from '../../lib/native';

/** Options as plain data: tests go through all of them, whatever the class. */
export type Options = Readonly<Record<string, unknown>>;
export type AnyOptimizer = library.Optimizer;
/** An optimizer, or a Lookahead around one. */
export type Trainer = Pick<
  AnyOptimizer,
  'step' | 'stepAsync' | 'state' | 'stateDict' | 'loadStateDict' | 'paramGroups' | 'stateBytes' | 'dispose'
>;
export type OptimizerClass = new (
  params: library.Params<object>,
  options?: object & { threads?: number },
) => AnyOptimizer;

export interface Registered {
  readonly name: string;
  readonly Class: OptimizerClass;
  /** Rows of the native registry it makes steppers of. */
  readonly rules: readonly string[];
  /** Every option of a group with its default. */
  readonly defaults: Options;
}

const tiny = (): library.Parameter[] => [{ data: new Float32Array(1), grad: new Float32Array(1) }];

/** Options of a live group, as they are now. */
export function optionsOf(optimizer: Trainer, group = 0): Record<string, unknown> {
  const { params: _, ...options } = optimizer.paramGroups[group] as unknown as Record<string, unknown>;
  return options;
}

/** Sets options of a live group, as a user's schedule does. */
export function setOptions(optimizer: Trainer, options: Options, group = 0): void {
  Object.assign(optimizer.paramGroups[group]!, options);
}

/** Makes one optimizer and watches which rules its class asks for. */
function register(name: string, Class: OptimizerClass): Registered {
  const addon = native().addon as { Stepper: new (...args: [string[], string, number]) => object };
  const { Stepper } = addon;
  const rules: string[] = [];
  addon.Stepper = new Proxy(Stepper, {
    construct(target, args: [string[], string, number]) {
      rules.push(...args[0]);
      return new target(...args);
    },
  });
  try {
    const optimizer = new Class(tiny());
    const defaults = optionsOf(optimizer);
    optimizer.dispose();
    return { name, Class, rules, defaults };
  } finally {
    addon.Stepper = Stepper;
  }
}

function isOptimizer(value: unknown): value is OptimizerClass {
  return typeof value === 'function' && value.prototype instanceof library.Optimizer;
}

/** Every optimizer the package exports but Muon, which is for matrices and has tests of its own. */
export const registered: readonly Registered[] = Object.entries(
  library as Readonly<Record<string, unknown>>,
).flatMap(([name, value]) => (isOptimizer(value) && name !== 'Muon' ? [register(name, value)] : []));

/** Every row of the native registry but Muon's. */
export const rules: readonly string[] = Object.keys(native().addon.rules).filter((rule) => rule !== 'muon');

/**
 * Rules that compute an element from other elements of its tensor too (norms, matrix products). For all others the
 * tests demand that an element depends on nothing but its own history.
 */
export const wholeTensorRules: readonly string[] = Object.entries(native().addon.rules)
  .filter(([, { norms }]) => norms)
  .map(([name]) => name);

/** Options that are neither numbers nor switches, with another value than their default. */
const others: Options = {
  trustNorm: 'update',
  trustRatioMax: 0.5,
  weightNormMax: 0.5,
  gradientCentralization: 'none',
};

/** What an option is tried with: its default, and the value that switches it. */
function choices(name: string, value: unknown): readonly unknown[] {
  if (typeof value === 'boolean') return [value, !value];
  if (name === 'weightDecay') return [0, 0.1];
  if (name in others) return [value, others[name]];
  return value === 0 ? [0, 0.3] : [value];
}

/** A learning rate that moves every optimizer visibly in a few steps. */
export const testLr = 0.05;

/**
 * Every combination of an optimizer's switches: booleans on and off, weight decay and all else that is 0 by default
 * with and without. Combinations that the class refuses are left out.
 */
export function variantsOf({ Class, defaults }: Registered): readonly Options[] {
  let all: Options[] = [{}];
  for (const [name, value] of Object.entries({ ...defaults, lr: testLr })) {
    if (name === 'maxLr') continue; // starts as lr
    all = all.flatMap((options) => choices(name, value).map((choice) => ({ ...options, [name]: choice })));
  }
  return all.filter((options) => {
    try {
      new Class(tiny(), options).dispose();
      return true;
    } catch (error) {
      if (error instanceof RangeError) return false;
      throw error;
    }
  });
}

/** Options of a variant that differ from the defaults. */
const changed = ({ defaults }: Registered, options: Options): [string, unknown][] =>
  Object.entries(options).filter(
    ([key, value]) => key !== 'lr' && JSON.stringify(value) !== JSON.stringify(defaults[key]),
  );

/** How many switches of a variant are not as by default. */
export const switches = (entry: Registered, options: Options): number => changed(entry, options).length;

/** A variant in a few words, for messages. */
export function label(entry: Registered, options: Options): string {
  const list = changed(entry, options).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return `${entry.name}(${list.join(', ')})`;
}

/** Does something for every variant of an optimizer; errors say which. */
export function forVariants(entry: Registered, action: (options: Options, index: number) => void): void {
  variantsOf(entry).forEach((options, index) => {
    try {
      action(options, index);
    } catch (error) {
      if (error instanceof Error) error.message = `${label(entry, options)}: ${error.message}`;
      throw error;
    }
  });
}
