import { bitsOf, difference, expectSameBits, Guarded } from './bits';
import { withIsa } from './isas';
import { values } from './random';
import { setOptions, testLr, type Options, type OptimizerClass } from './registry';
import type { Isa, ParameterState } from 'fused-optim';

/** What all tensors of a run take their first elements from. */
export interface Source {
  readonly data: Float32Array;
  /** One gradient for every step. */
  readonly grads: readonly Float32Array[];
}

export function source(
  length: number,
  steps: number,
  make: (length: number, seed: number, zeros?: number) => Float32Array = values,
): Source {
  return {
    data: make(length, 1),
    grads: Array.from({ length: steps }, (_, step) => make(length, 100 + step, 0.2)),
  };
}

export interface Setup {
  readonly isa: Isa;
  readonly threads: number;
  /** Floats that data and gradients are shifted by. */
  readonly dataOffset: number;
  readonly gradOffset: number;
}

export interface Outcome {
  readonly data: readonly Float32Array[];
  readonly states: readonly ParameterState[];
}

/** The learning rate of a step: warms up, then falls. */
export const lrAt = (step: number): number => testLr * (step === 0 ? 0.5 : 1 / step);

/**
 * Trains tensors of the given sizes, each a prefix of the source, with a schedule. Checks that nothing beside the
 * parameters was written: no gradient, and no memory around either.
 */
export function train(
  Class: OptimizerClass,
  options: Options,
  sizes: readonly number[],
  { data, grads }: Source,
  { isa, threads, dataOffset, gradOffset }: Setup,
): Outcome {
  const guards = sizes.map((size) => ({
    data: new Guarded(data.subarray(0, size), dataOffset),
    grad: new Guarded(grads[0]!.subarray(0, size), gradOffset),
  }));
  const params = guards.map((guard) => ({ data: guard.data.view, grad: guard.grad.view }));
  const optimizer = withIsa(isa, () => new Class(params, { ...options, threads }));
  grads.forEach((grad, step) => {
    params.forEach((param) => param.grad.set(grad.subarray(0, param.grad.length)));
    setOptions(optimizer, { lr: lrAt(step) });
    optimizer.step();
  });
  const last = grads.at(-1)!;
  guards.forEach((guard, i) => {
    const what = `size ${sizes[i]}`;
    if (!bitsOf(guard.grad.view).equals(bitsOf(last.subarray(0, sizes[i])))) {
      expectSameBits(guard.grad.view, last.subarray(0, sizes[i]), `the gradient of ${what}`);
    }
    guard.data.expectIntact(`data of ${what}`);
    guard.grad.expectIntact(`grad of ${what}`);
  });
  const states = params.map((param) => optimizer.state(param));
  return { data: params.map((param) => param.data), states };
}

const arraysOf = (state: ParameterState): [string, Float32Array][] =>
  Object.entries(state).filter((entry): entry is [string, Float32Array] => typeof entry[1] !== 'number');

/** Two runs with the same bits in every parameter and state. */
export function expectSameOutcome(received: Outcome, expected: Outcome, what: string): void {
  expected.data.forEach((data, i) => {
    const size = `size ${data.length}`;
    const where = difference(received.data[i]!, data);
    if (where !== undefined) throw new Error(`data of ${size} differs ${what}: ${where}`);
    for (const [name, array] of arraysOf(expected.states[i]!)) {
      const other = difference(received.states[i]![name] as Float32Array, array);
      if (other !== undefined) throw new Error(`${name} of ${size} differs ${what}: ${other}`);
    }
  });
}

/** Every tensor began with the same numbers, so each must have become a prefix of the longest. */
export function expectPrefixes({ data, states }: Outcome): void {
  const longest = data.reduce((best, array, i) => (array.length > data[best]!.length ? i : best), 0);
  data.forEach((array, i) => {
    const { length } = array;
    expectSameBits(array, data[longest]!.subarray(0, length), `data of size ${length} and of the longest`);
    for (const [name, state] of arraysOf(states[i]!)) {
      const whole = states[longest]![name] as Float32Array;
      expectSameBits(state, whole.subarray(0, length), `${name} of size ${length} and of the longest`);
    }
  });
}
