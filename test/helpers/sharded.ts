// A sharded run beside one of a single process, on gradients whose sums over ranks are exact.
import {
  Sharded,
  type HostArray,
  type Parameter,
  type ParameterState,
  type ShardedOptions,
  type StepResult,
} from 'fused-optim';
import { expectSameBits } from './bits';
import { random } from './random';
import { ranksOf } from './ranks';
import type { Trainer } from './registry';

export type Make = (params: readonly Parameter[]) => Trainer;

/** Odd sizes, a tensor that many ranks share, an empty one, matrices. */
export const shapes: readonly (readonly number[])[] = [
  [33],
  [40, 400],
  [30_011],
  [0],
  [3, 17],
  [9, 1, 3, 3],
  [24, 24],
  [12_289],
];

export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, 1);

/** Multiples of 1/256, so that sums of a few of them are exact. */
export function exact(length: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length }, () => Math.round((next() - 0.5) * 512) / 256);
}

const known = new Map<string, Float32Array>();
function exactOnce(length: number, seed: number): Float32Array {
  const key = `${length} ${seed}`;
  let values = known.get(key);
  if (!values) known.set(key, (values = exact(length, seed)));
  return values;
}

/** Every tensor is without a gradient now and then, and the last but one always. */
export const hasGrad = (step: number, tensor: number): boolean =>
  tensor !== 6 && (tensor === 2 || (tensor + step) % 4 !== 3);

export interface Model {
  readonly params: readonly Parameter[];
  give(step: number, rank?: number, ranks?: number): void;
}

/** Parameters, and the gradients of a rank, whose mean over ranks is that of a single process. */
export function modelOf(
  convert: (values: Float32Array) => HostArray = (v) => v.slice(),
  dtype?: Parameter['dtype'],
  list: readonly (readonly number[])[] = shapes,
): Model {
  const params = list.map((shape, i): Parameter => ({
    name: i === 1 ? 'h.0.attn.weight' : `tensor.${i}`,
    shape,
    dtype,
    data: convert(exactOnce(sizeOf(shape), i + 1)),
    grad: null,
  }));
  return {
    params,
    give(step, rank = 0, ranks = 1) {
      const off = (2 * rank - (ranks - 1)) / 256;
      params.forEach((param, i) => {
        const grad = (): Float32Array => exactOnce(sizeOf(list[i]!), 1000 + 50 * step + i);
        param.grad = hasGrad(step, i) ? convert(grad().map((g) => g + off)) : null;
      });
    },
  };
}

export interface ShardedRun {
  readonly ranks: readonly { readonly optimizer: Sharded; readonly model: Model }[];
  readonly bytes: Readonly<Record<string, number>>;
}

export function shardedRun(
  size: number,
  make: Make,
  options: Omit<ShardedOptions, 'params'> = {},
  model: () => Model = modelOf,
): ShardedRun {
  const { comms, bytes } = ranksOf(size);
  const ranks = comms.map((comm) => {
    const mine = model();
    return { model: mine, optimizer: new Sharded(comm, make as never, { params: mine.params, ...options }) };
  });
  return { ranks, bytes };
}

/** Every rank does the same at the same time. */
export const together = <T>(
  { ranks }: ShardedRun,
  work: (rank: ShardedRun['ranks'][number], index: number) => Promise<T>,
): Promise<T[]> => Promise.all(ranks.map(work));

/** One process over the same gradients. */
export function alone(
  make: Make,
  model: Model = modelOf(),
): { readonly optimizer: Trainer; readonly model: Model } {
  return { model, optimizer: make(model.params) };
}

/** All ranks have the weights of one process, and together its state, each element once. */
export function expectSameAsAlone(
  { ranks }: ShardedRun,
  { optimizer, model }: ReturnType<typeof alone>,
): void {
  model.params.forEach((param, i) => {
    for (const [rank, { model: mine }] of ranks.entries())
      expectSameBits(
        mine.params[i]!.data as HostArray,
        param.data as HostArray,
        `${param.name!} on rank ${rank}`,
      );
    const whole = optimizer.state(param);
    const parts = ranks.map((one) => one.optimizer.state(one.model.params[i]!));
    for (const [field, value] of Object.entries(whole)) {
      const mine = parts.filter((part) => part.step === whole.step);
      if (typeof value === 'number') {
        expect({ field, values: mine.map((part) => part[field]) }).toEqual({
          field,
          values: mine.map(() => value),
        });
        continue;
      }
      const arrays = parts.map((part: ParameterState) => part[field] as HostArray | undefined);
      const joined = (value as Float32Array).slice();
      let at = 0;
      for (const array of arrays) {
        if (!array) continue;
        joined.set(array, at);
        at += array.length;
      }
      expect({ name: param.name, field, elements: at }).toEqual({
        name: param.name,
        field,
        elements: value.length,
      });
      expectSameBits(joined, value as HostArray, `${field} of ${param.name!}`);
    }
  });
}

export interface Compared {
  readonly results: readonly StepResult[][];
  readonly expected: readonly StepResult[];
  readonly bytes: ShardedRun['bytes'];
}

/** Steps of so many ranks beside those of one process. `before`: what is done to each optimizer and model before a step. */
export async function compare(
  make: Make,
  size: number,
  options: Parameters<typeof shardedRun>[2] = {},
  model: () => Model = modelOf,
  before: (
    step: number,
    one: { readonly optimizer: Trainer | Sharded; readonly model: Model },
  ) => void = () => undefined,
): Promise<Compared> {
  const run = shardedRun(size, make, { bucketBytes: 50_000, ...options }, model);
  const one = alone(make, model());
  const results: StepResult[][] = [];
  const expected: StepResult[] = [];
  for (let step = 0; step < 4; ++step) {
    one.model.give(step);
    before(step, one);
    expected.push(one.optimizer.step());
    results.push(
      await together(run, async (mine, rank) => {
        mine.model.give(step, rank, size);
        before(step, mine);
        return mine.optimizer.step();
      }),
    );
    expectSameAsAlone(run, one);
  }
  for (const { optimizer } of run.ranks) optimizer.dispose();
  one.optimizer.dispose();
  return { results, expected, bytes: run.bytes };
}
