import type { ParamGroup, ParamGroupInit } from '../../group';
import type { Params } from '../../optimizer';
import { flag } from '../../options';
import type { Parameter, Role } from '../../parameter';
import type { GroupSchedules } from '../../plan';
import type { ParameterState } from '../../state';
import type { StateDict } from '../../state-dict';
import type { StepResult } from '../../step-result';
import type { CommonOptions } from '../../step-settings';
import { describe, expectedType } from '../../validate';
import type { TfVariable } from './framework';

/** What is used of an optimizer: one of this library's, or a wrapper around one. */
export interface TfInner<O extends object> {
  readonly paramGroups: readonly ParamGroup<O>[];
  addParamGroup(group: ParamGroupInit<O>): void;
  schedule(schedules: GroupSchedules<O>, options?: { readonly group?: number }): unknown;
  step(): StepResult;
  zeroGrad(): void;
  state(parameter: Parameter): ParameterState;
  stateDict(): StateDict;
  loadStateDict(dict: StateDict): void;
  stateBytes(): number;
  dispose(): void;
}

/** A class of optimizers, such as `AdamW`. */
export type TfInnerClass<O extends object, I extends TfInner<O>> = new (
  params: Params<O>,
  options: O & CommonOptions,
) => I;

/** What is known of a variable where its name or role is asked for. */
export type TfVariableInfo = Pick<TfVariable, 'name' | 'shape'>;

/** Options of `tfOptimizer` beside those of the optimizer's class. */
export interface TfOwnOptions<O extends object> {
  /**
   * Divides variables into groups, as `noDecay` or `groupsByName` do. Called with the variables of the first step as
   * parameters, and with those that join later; must return each of them once. @default all in one group
   */
  groups?: ((params: readonly Parameter[]) => Params<O>) | undefined;
  /** What Muon takes a variable for; undefined: what its name and shape say. @default by name and shape */
  role?: ((variable: TfVariableInfo) => Role | undefined) | undefined;
  /**
   * The name under which a variable's state is kept. tfjs appends `_1` to the variables of a model that was built before
   * in the same process; this can take that away again. @default the variable's name
   */
  nameOf?: ((variable: TfVariableInfo) => string) | undefined;
  /** Update variables where they lie, on the backends `cpu` and `wasm`; else by copies, as anywhere. @default true */
  inPlace?: boolean | undefined;
}

/** Options of `tfOptimizer`: those of the optimizer's class, and its own. */
export type TfOptions<O extends object> = O & CommonOptions & TfOwnOptions<O>;

/** Divides the options of `tfOptimizer` into its own, checked, and those of the class. */
export function divideOptions<O extends object>(
  given: TfOptions<O>,
  className: string,
): { own: TfOwnOptions<O> & { inPlace: boolean }; options: O & CommonOptions } {
  if (typeof given !== 'object' || given === null)
    throw expectedType(`options of ${className}`, 'an object', given);
  const { groups, role, nameOf, inPlace, ...options } = given as TfOwnOptions<O>;
  for (const [name, value] of Object.entries({ groups, role, nameOf })) {
    if (value !== undefined && typeof value !== 'function')
      throw expectedType(`${name} of ${className} for tfjs`, 'a function', value);
  }
  return {
    own: {
      groups,
      role,
      nameOf,
      inPlace: flag(true).check(inPlace ?? true, 'inPlace', `${className} for tfjs`),
    },
    options: options as O & CommonOptions,
  };
}

/** Makes an optimizer of the class and throws it away, so that options that cannot be are found now, not at a step. */
export function checkOptions<O extends object, I extends TfInner<O>>(
  Class: TfInnerClass<O, I>,
  options: O & CommonOptions,
): void {
  if (typeof Class !== 'function')
    throw expectedType('the second argument of tfOptimizer', 'a class of optimizers, such as AdamW', Class);
  const matrix: Parameter = { data: new Float32Array(4), shape: [2, 2], role: 'hidden' };
  // Whether the outputs of a matrix can be split is up to the matrix.
  new Class([matrix], { ...options, ...('split' in options && { split: undefined }) }).dispose();
}

/** Options as plain data, for a file. Throws for those that are code. */
export function plainOptions(given: object, className: string): Record<string, unknown> {
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    const isPlain =
      typeof value !== 'object' || value === null || /^(?:Object|Array)$/.test(value.constructor.name);
    if (isPlain && typeof value !== 'function') continue;
    throw new TypeError(
      `Expected options of ${className} to be plain data for saving with the model but ${name} is ${describe(value)}: ` +
        'save the model without its optimizer, and the optimizer by its save().',
    );
  }
  // Not structuredClone(), whose arrays are not tfjs's `Array` in a test of jest.
  return JSON.parse(JSON.stringify(given)) as Record<string, unknown>;
}
