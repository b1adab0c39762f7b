import type { Bindings } from './bindings';
import { recordOf } from './formats';
import type { Group } from './group';
import type { Ahead } from './lookahead';
import type { Stepper } from './native';
import type { StateView } from './placement';
import type { Slot } from './slot';
import { checkStateDict, type StateDict, type TensorState } from './state-dict';
import type { StepSettings } from './step-settings';
import { onlyKnown } from './validate';

/**
 * A parameter's state: `step`, and live views of its states under torch's names in camelCase. They are Float32Arrays;
 * with float64 parameters Float64Arrays, with `stateDtype: 'bfloat16'` the bits in Uint16Arrays, and with '8bit' the
 * codes of `expAvg` in a Uint8Array and `expAvgScale`, the largest magnitude of each block of 256. 16-bit parameters
 * have `master` (Float32Array), `compensation` (bfloat16 bits) or `remainder` (Uint16Array) beside, by `rounding`. Of
 * parameters in CUDA memory they are CudaTensors over the same numbers.
 */
export interface ParameterState {
  /** Updates this parameter has had. */
  readonly step: number;
  readonly [name: string]: StateView | number;
}

/** What an optimizer's state is made of. */
export interface Parts {
  readonly className: string;
  readonly bindings: Bindings;
  readonly groups: readonly Group[];
  readonly stepper: Stepper;
  readonly ahead: Ahead | undefined;
  readonly settings: StepSettings;
}

export function noMemory(bytes: number, className: string): RangeError {
  return new RangeError(
    `Expected ${bytes} bytes of memory for the state of ${className} but could not allocate them.`,
  );
}

export function readState({ groups, stepper, bindings }: Parts, slot: Slot): ParameterState {
  const { scalars: names } = groups[slot.group]!.algorithm;
  const [step = 0, , ...scalars] = stepper.progress(slot.index);
  const state: Record<string, StateView | number> = { step };
  if (step > 0) names.forEach((name, i) => (state[name] = scalars[i]!));
  slot.fields.forEach(({ name }, k) => {
    const view = bindings.view(slot, k);
    if (view) state[name] = view;
  });
  return state as ParameterState;
}

export function dictOf(parts: Parts, step: number, skipped: number): StateDict {
  const { className: algorithm, bindings, groups, ahead, settings } = parts;
  const { scaler, seed } = settings;
  const { slots } = bindings;
  const formats = slots.flatMap(({ name, format }) => {
    const record = recordOf(format);
    return record ? [[name, record] as const] : [];
  });
  const byChance = slots.some(({ format }) => format.rounding === 'stochastic');
  const state = slots.map((slot): [string, TensorState] => {
    const entries = Object.entries(readState(parts, slot));
    const copies = entries.map(([key, value]) => [
      key,
      typeof value === 'number' ? value : bindings.copy(value),
    ]);
    return [slot.name, { ...Object.fromEntries(copies), shape: [...slot.shape] } as TensorState];
  });
  const paramGroups = groups.map((group, index) => ({
    ...structuredClone(group.checked((name) => group.live[name])),
    ...(group.algorithm.tag !== undefined && { algorithm: group.algorithm.tag }),
    params: slots.filter((slot) => slot.group === index).map(({ name }) => name),
  }));
  return {
    version: 1,
    algorithm,
    step,
    ...(skipped > 0 && { skipped }),
    state: Object.fromEntries(state),
    ...(formats.length > 0 && { formats: Object.fromEntries(formats) }),
    ...(byChance && { seed }),
    paramGroups,
    ...(ahead && { lookahead: ahead.stateDict() }),
    ...(scaler && { gradScaler: scaler.stateDict() }),
  };
}

/** Writes a dict's states, options and counters, or nothing when not all of it fits. */
export function loadDict(
  { className, bindings, groups, stepper, ahead, settings }: Parts,
  dict: StateDict,
): void {
  const { scaler } = settings;
  checkStateDict(dict, className, bindings.slots, groups, ahead);
  const options = dict.paramGroups.map(({ params: _, algorithm: _tag, ...given }, index) => {
    const group = groups[index]!;
    onlyKnown(given, group.algorithm.optionNames, `group ${index} of the state dict`);
    return group.checked((name) => given[name]);
  });
  const rows = options.map((values, index) => groups[index]!.numbers(values));
  const loads = bindings.planLoads(dict.state, groups, rows, ahead !== undefined);
  const masks = Uint32Array.from(loads, ({ mask }) => mask);
  const before = scaler?.stateDict();
  if (scaler && dict.gradScaler) scaler.loadStateDict(dict.gradScaler as never); // throws before it changes
  const missing = stepper.createStates(masks, Float64Array.from(rows.flatMap((row) => [...row])));
  if (missing > 0) {
    scaler?.loadStateDict(before as never);
    throw noMemory(missing, className);
  }
  groups.forEach((group, index) => group.assign(options[index]!));
  for (const load of loads) load.write();
  ahead?.loadStateDict(dict.lookahead);
  if (dict.seed !== undefined) settings.seed = dict.seed;
}
