import { slowName } from './algorithm';
import { kindOf, type StateArray } from './dtypes';
import { arrayName, formatText, type Format, type StateField } from './formats';
import type { Group } from './group';
import type { Ahead } from './lookahead';
import type { Route } from './muon/routing';
import { seedOption } from './step-settings';
import { describe, expectedType } from './validate';

/** One tensor's part of a state dict: `shape`, `step`, and the states and scalars under their names. */
export interface TensorState {
  readonly shape: readonly number[];
  /** Updates this tensor has had. */
  readonly step: number;
  readonly [state: string]: StateArray | number | readonly number[];
}

/** A copy of everything an optimizer knows; plain data that survives `structuredClone` and `v8.serialize`. */
export interface StateDict {
  readonly version: 1;
  /** The class that wrote it. */
  readonly algorithm: string;
  /** Steps the optimizer has taken. */
  readonly step: number;
  /** Steps that were skipped, where there were any. */
  readonly skipped?: number;
  /** By parameter name. */
  readonly state: Readonly<Record<string, TensorState>>;
  /** How tensors are stored, by name, where it is not float32 throughout. */
  readonly formats?: Readonly<Record<string, Format>>;
  /** Of stochastic rounding, where there is any. */
  readonly seed?: number;
  /** Every group's options, and its parameters by name. */
  readonly paramGroups: readonly (Readonly<Record<string, unknown>> & {
    readonly params: readonly string[];
  })[];
  /** Of a Lookahead around the optimizer; `step` counts its steps. */
  readonly lookahead?: {
    readonly k: number;
    readonly alpha: number;
    readonly innerStateOnSync: string;
    readonly step: number;
  };
  /** Of Muon: where each parameter went and why; `algorithm` of the groups is what counts. */
  readonly routing?: readonly Route[];
  /** The dynamic loss scale. */
  readonly gradScaler?: object;
}

/** What the dict is matched with: the optimizer's own tensors. */
export interface Expected {
  readonly name: string;
  readonly shape: readonly number[];
  readonly length: number;
  readonly group: number;
  readonly format: Format;
  readonly fields: readonly StateField[];
}

const quoted = (names: readonly string[]): string =>
  names
    .slice(0, 8)
    .map((n) => `"${n}"`)
    .join(', ') + (names.length > 8 ? ` and ${names.length - 8} more` : '');

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Checks a dict against an optimizer; throws one sentence that says how they differ. Nothing is written. */
export function checkStateDict(
  dict: unknown,
  className: string,
  tensors: readonly Expected[],
  groups: readonly Group[],
  ahead: Ahead | undefined,
): asserts dict is StateDict {
  if (!isRecord(dict)) throw expectedType('the state dict', 'an object made by stateDict()', dict);
  if (dict.version !== 1) {
    throw new RangeError(`Expected a state dict of version 1 but received ${describe(dict.version)}.`);
  }
  if (dict.algorithm !== className) {
    throw new TypeError(
      `Expected a state dict of ${className} but received one of ${describe(dict.algorithm)}.`,
    );
  }
  checkLookahead(dict.lookahead, className, ahead);
  if (!isCount(dict.skipped ?? 0))
    throw expectedType('skipped of the state dict', 'an integer >= 0', dict.skipped);
  if (!isCount(dict.step)) throw expectedType('step of the state dict', 'an integer >= 0', dict.step);
  if (!isRecord(dict.state)) throw expectedType('state of the state dict', 'an object by name', dict.state);
  if (!isRecord(dict.formats ?? {}))
    throw expectedType('formats of the state dict', 'an object by name', dict.formats);
  if (dict.seed !== undefined) seedOption.check(dict.seed, 'seed', 'the state dict');
  const formats = (dict.formats ?? {}) as Readonly<Record<string, unknown>>;
  const differences = compare(dict.state, formats, tensors);
  if (differences.length > 0) {
    throw new RangeError(
      `Expected a state dict with the tensors of this ${className} but it differs: ${differences.join('; ')}.`,
    );
  }
  for (const tensor of tensors) {
    checkTensor(dict.state[tensor.name], tensor, groups[tensor.group]!, ahead !== undefined);
  }
  checkGroups(dict.paramGroups, tensors, groups);
}

function compare(
  state: Readonly<Record<string, unknown>>,
  formats: Readonly<Record<string, unknown>>,
  tensors: readonly Expected[],
): string[] {
  const names = new Set(tensors.map(({ name }) => name));
  const missing = tensors.filter(({ name }) => !Object.hasOwn(state, name)).map(({ name }) => name);
  const extra = Object.keys(state).filter((name) => !names.has(name));
  const differences: string[] = [];
  if (missing.length > 0) differences.push(`missing ${quoted(missing)}`);
  if (extra.length > 0) differences.push(`extra ${quoted(extra)}`);
  for (const { name, shape, format } of tensors) {
    if (!Object.hasOwn(state, name)) continue;
    const record = Object.hasOwn(formats, name) ? formats[name] : undefined;
    const [received, expected] = [formatText(record) ?? describe(record), formatText(format)];
    if (received !== expected) differences.push(`"${name}" is ${received}, expected ${expected}`);
    const entry = state[name];
    const given = isRecord(entry) ? entry.shape : undefined;
    const same =
      Array.isArray(given) && given.length === shape.length && shape.every((size, i) => given[i] === size);
    if (same) continue;
    differences.push(
      `"${name}" has shape ${Array.isArray(given) ? `[${given.join(', ')}]` : describe(given)}, expected [${shape.join(', ')}]`,
    );
  }
  return differences;
}

function checkLookahead(given: unknown, className: string, ahead: Ahead | undefined): void {
  if ((given === undefined) !== (ahead === undefined)) {
    const [expected, received] = ahead ? ['a Lookahead', 'none'] : ['no Lookahead', 'one'];
    throw new TypeError(
      `Expected a state dict of ${className} with ${expected} around it but received ${received}.`,
    );
  }
  if (!ahead) return;
  const step = isRecord(given) ? given.step : given;
  if (!isCount(step)) throw expectedType('lookahead.step of the state dict', 'an integer >= 0', step);
}

function checkTensor(entry: unknown, tensor: Expected, { algorithm }: Group, lookahead: boolean): void {
  const { name } = tensor;
  const given = entry as Readonly<Record<string, unknown>>;
  const withSlow = lookahead || algorithm.slow;
  const fields = tensor.fields.filter((field) => field.name !== slowName || withSlow);
  if (!isCount(given.step)) throw expectedType(`step of "${name}"`, 'an integer >= 0', given.step);
  for (const [key, value] of Object.entries(given)) {
    const what = `${key} of "${name}"`;
    if (key === 'shape' || key === 'step') continue;
    if (algorithm.scalars.includes(key)) {
      if (typeof value !== 'number') throw expectedType(what, 'a number', value);
      continue;
    }
    const field = fields.find((known) => known.name === key);
    if (!field) {
      const known = fields.map((f) => f.name).join(', ') || '(none)';
      throw new TypeError(`Expected the states ${known} for "${name}" but received "${key}".`);
    }
    if (kindOf(value) !== arrayName(field)) throw expectedType(what, `a ${arrayName(field)}`, value);
    const { length } = value as StateArray;
    if (length !== field.length)
      throw new RangeError(`Expected ${what} to have ${field.length} elements but received ${length}.`);
  }
  if (given.step === 0) return;
  const absent = algorithm.scalars.filter((scalar) => !(scalar in given));
  if (absent.length > 0)
    throw new TypeError(`Expected ${absent.join(', ')} of "${name}" in the state dict but it is missing.`);
}

function checkGroups(given: unknown, tensors: readonly Expected[], groups: readonly Group[]): void {
  if (!Array.isArray(given)) throw expectedType('paramGroups of the state dict', 'an array', given);
  if (given.length !== groups.length) {
    throw new RangeError(
      `Expected ${groups.length} parameter groups in the state dict but received ${given.length}.`,
    );
  }
  (given as readonly unknown[]).forEach((group, index) => {
    const names = tensors.filter((t) => t.group === index).map(({ name }) => name);
    const params = isRecord(group) ? group.params : undefined;
    const tag = isRecord(group) ? group.algorithm : undefined;
    const expected = groups[index]!.algorithm.tag;
    if (tag !== expected)
      throw expectedType(`algorithm of group ${index} of the state dict`, describe(expected), tag);
    if (!Array.isArray(params))
      throw expectedType(`params of group ${index} of the state dict`, 'an array of names', params);
    const received = new Set(params as readonly unknown[]);
    if (received.size === names.length && names.every((name) => received.has(name))) return;
    throw new RangeError(
      `Expected group ${index} of the state dict to hold ${quoted(names)} but received ${quoted(params.map(String))}.`,
    );
  });
}
