import { expectSameBits, expectSameState } from './bits';
import { withIsa } from './isas';
import { values } from './random';
import { testLr, type AnyOptimizer, type Options, type Registered } from './registry';
import type { HostArray, Isa, Parameter, ParameterState, StateDict } from 'fused-optim';

/** Unscaling and clipping as torch does them before a step, in arrays of its own. */
export function unscaledAndClipped(
  grads: readonly (Float32Array | null)[],
  { scale = 1, maxNorm = Infinity }: { readonly scale?: number; readonly maxNorm?: number },
): { readonly grads: readonly (Float32Array | null)[]; readonly norm: number } {
  const inverse = Math.fround(1 / scale);
  const unscaled = grads.map((grad) => grad && grad.map((g) => inverse * g));
  const squares = unscaled.map((grad) => grad?.reduce((sum, g) => sum + g * g, 0) ?? 0);
  const norm = Math.sqrt(squares.reduce((sum, one) => sum + one, 0));
  const factor = Math.fround(Math.min(1, maxNorm / (norm + 1e-6)));
  if (maxNorm === Infinity) return { grads: unscaled, norm };
  return { grads: unscaled.map((grad) => grad && grad.map((g) => factor * g)), norm };
}

/** Odd sizes, matrices, an empty tensor, and one that several threads share. */
const shapes = [[33], [3, 17], [1], [100_003], [0], [5, 2, 3, 3], [7]];

const lengthOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
const data = shapes.map((shape, i) => values(lengthOf(shape), i + 1));
const gradients = Array.from({ length: 5 }, (_, step) =>
  shapes.map((shape, i) => values(lengthOf(shape), 100 * step + i + 50, 0.1)),
);

/** The gradients of a step, always the same; every tensor is without one now and then, but never the large one. */
export const gradsOf = (step: number): readonly (Float32Array | null)[] =>
  gradients[step]!.map((grad, i) => (i !== 3 && (i + step) % 4 === 3 ? null : grad));

export interface Run {
  readonly optimizer: AnyOptimizer;
  readonly params: readonly Parameter[];
  /** Gives every tensor its gradient. */
  give(grads: readonly (Float32Array | null)[]): void;
}

/** An optimizer of two groups that differ, over tensors that are the same every time. */
export function runOf(
  { Class, defaults }: Registered,
  options: Options = {},
  isa?: Isa,
  moreForGroup: Options = {},
): Run {
  const params: Parameter[] = shapes.map((shape, i) => ({
    name: `tensor.${i}`,
    shape,
    data: data[i]!.slice(),
    grad: null,
  }));
  const groups = [
    { params: params.slice(0, 3) },
    {
      params: params.slice(3),
      lr: testLr / 3,
      maximize: true,
      ...('weightDecay' in defaults && { weightDecay: 0.1 }),
      ...moreForGroup,
    },
  ];
  const all: Options = { lr: testLr, ...options };
  const make = (): AnyOptimizer => new Class(groups, all);
  return {
    optimizer: isa ? withIsa(isa, make) : make(),
    params,
    give: (grads) => params.forEach((param, i) => (param.grad = grads[i]!)),
  };
}

/** Two runs with the same bits in every parameter and state. */
export function expectSameRun(received: Run, expected: Run): void {
  received.params.forEach((param, i) => {
    const other = expected.params[i]!;
    expectSameBits(param.data as HostArray, other.data as HostArray, param.name!);
    expectSameState(received.optimizer.state(param), expected.optimizer.state(other), param.name!);
  });
}

/** All that a step which does not happen must leave as it is. */
export interface Moment {
  readonly data: readonly Float32Array[];
  readonly grads: readonly (Float32Array | null)[];
  readonly dict: StateDict;
  readonly stateBytes: number;
}

export const momentOf = ({ optimizer, params }: Run): Moment => ({
  data: params.map(({ data }) => (data as HostArray).slice() as Float32Array),
  grads: params.map(
    ({ grad }) => ((grad as HostArray | null | undefined)?.slice() ?? null) as Float32Array | null,
  ),
  dict: optimizer.stateDict(),
  stateBytes: optimizer.stateBytes(),
});

/** Compares by bits; jest's own comparison takes seconds for a large array. */
export function expectUntouched(run: Run, before: Moment): void {
  const { state, skipped: _, ...rest } = run.optimizer.stateDict();
  const { state: stateBefore, skipped: _before, ...restBefore } = before.dict;
  expect(rest).toEqual(restBefore);
  expect(run.optimizer.stateBytes()).toBe(before.stateBytes);
  run.params.forEach(({ name, data, grad }, i) => {
    expectSameBits(data as HostArray, before.data[i]!, `data of ${name!}`);
    if (grad) expectSameBits(grad as HostArray, before.grads[i]!, `grad of ${name!}`);
    const { shape: _shape, ...now } = state[name!]!;
    const { shape: _shapeBefore, ...then } = stateBefore[name!]!;
    expectSameState(now as ParameterState, then as ParameterState, name!);
  });
}
