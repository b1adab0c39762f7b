import { slowName } from './algorithm';
import type { Group } from './group';
import type { Ahead } from './lookahead';
import type { Route } from './muon/routing';
import { isFloat32Array } from './parameter';
import { describe, expectedType } from './validate';

/** One tensor's part of a state dict: `shape`, `step`, and the states and scalars under their names. */
export interface TensorState {
  readonly shape: readonly number[];
  /** Updates this tensor has had. */
  readonly step: number;
  readonly [state: string]: Float32Array | number | readonly number[];
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
  const differences = compare(dict.state, tensors);
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

function compare(state: Readonly<Record<string, unknown>>, tensors: readonly Expected[]): string[] {
  const names = new Set(tensors.map(({ name }) => name));
  const missing = tensors.filter(({ name }) => !Object.hasOwn(state, name)).map(({ name }) => name);
  const extra = Object.keys(state).filter((name) => !names.has(name));
  const differences: string[] = [];
  if (missing.length > 0) differences.push(`missing ${quoted(missing)}`);
  if (extra.length > 0) differences.push(`extra ${quoted(extra)}`);
  for (const { name, shape } of tensors) {
    if (!Object.hasOwn(state, name)) continue;
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
  const { name, length } = tensor;
  const given = entry as Readonly<Record<string, unknown>>;
  const slow = lookahead || algorithm.slow ? [slowName] : [];
  const states = [...algorithm.states, ...slow];
  if (!isCount(given.step)) throw expectedType(`step of "${name}"`, 'an integer >= 0', given.step);
  for (const [key, value] of Object.entries(given)) {
    const what = `${key} of "${name}"`;
    if (key === 'shape' || key === 'step') continue;
    if (algorithm.scalars.includes(key)) {
      if (typeof value !== 'number') throw expectedType(what, 'a number', value);
    } else if (!states.includes(key)) {
      throw new TypeError(
        `Expected the states ${states.join(', ') || '(none)'} for "${name}" but received "${key}".`,
      );
    } else if (!isFloat32Array(value)) {
      throw expectedType(what, 'a Float32Array', value);
    } else if (value.length !== length) {
      throw new RangeError(`Expected ${what} to have ${length} elements but received ${value.length}.`);
    }
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
