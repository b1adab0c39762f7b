import type { StateDict } from 'fused-optim';
import type { AnyOptimizer } from './registry';

/** A parameter whose arrays a test may replace by anything. */
export interface LooseParameter {
  readonly name?: string;
  data: Float32Array;
  grad?: Float32Array | null | undefined;
  readonly shape?: readonly number[];
}

interface Saved {
  readonly data: Float32Array;
  readonly grad: Float32Array | null | undefined;
}

/** Everything a refused call must not change. */
export interface Snapshot {
  /** The arrays themselves, and copies of what was in them. */
  readonly arrays: readonly Saved[];
  readonly copies: readonly Saved[];
  readonly dict: StateDict;
  readonly groups: number;
  readonly stateBytes: number;
}

const saved = (params: readonly LooseParameter[], of: (array: Float32Array) => Float32Array): Saved[] =>
  params.map(({ data, grad }) => ({ data: of(data), grad: grad && of(grad) }));

export function snapshot(optimizer: AnyOptimizer, params: readonly LooseParameter[]): Snapshot {
  return {
    arrays: saved(params, (array) => array),
    copies: saved(params, (array) => array.slice()),
    dict: optimizer.stateDict(),
    groups: optimizer.paramGroups.length,
    stateBytes: optimizer.stateBytes(),
  };
}

/** Compares with a snapshot, by bits; arrays that were detached in between have nothing to compare. */
export function expectUnchanged(optimizer: AnyOptimizer, before: Snapshot): void {
  before.arrays.forEach(({ data, grad }, i) => {
    if (data.length > 0) expect(data).toEqual(before.copies[i]!.data);
    if (grad && grad.length > 0) expect(grad).toEqual(before.copies[i]!.grad);
  });
  expect(optimizer.stateDict()).toEqual(before.dict);
  expect(optimizer.paramGroups).toHaveLength(before.groups);
  expect(optimizer.stateBytes()).toBe(before.stateBytes);
}

/** Puts the arrays back; one that is gone comes back as a copy. */
export function mend(params: readonly LooseParameter[], { arrays, copies }: Snapshot): void {
  params.forEach((param, i) => {
    const { data, grad } = arrays[i]!;
    Object.defineProperties(param, {
      data: { value: data.length > 0 ? data : copies[i]!.data, writable: true, configurable: true },
      grad: { value: grad && (grad.length > 0 ? grad : copies[i]!.grad), writable: true, configurable: true },
    });
  });
}
