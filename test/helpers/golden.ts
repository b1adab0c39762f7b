import fs from 'node:fs';
import path from 'node:path';
import { cuda, type Parameter } from 'fused-optim';
import { describeCuda, hostOf } from './cuda';
import { describeIsas, withIsa } from './isas';
import { setOptions, type Options, type OptimizerClass, type Trainer } from './registry';

const directory = path.join(__dirname, '..', 'golden');

export function readJson(file: string): unknown {
  return JSON.parse(fs.readFileSync(path.join(directory, file), 'utf8'));
}

/** Numbers of a .bin file; views share one copy, whose start is aligned. */
export class Binary {
  readonly #buffer: ArrayBuffer;
  constructor(file: string) {
    this.#buffer = new Uint8Array(fs.readFileSync(path.join(directory, file))).buffer;
  }
  f32(offset: number, length: number): Float32Array {
    return new Float32Array(this.#buffer, offset, length);
  }
  f64(offset: number, length: number): Float64Array {
    return new Float64Array(this.#buffer, offset, length);
  }
}

export const sizeOf = (shape: readonly number[]): number =>
  shape.reduce((product, size) => product * size, 1);

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly initOffset: number;
  readonly gradsOffset: number;
}

type ByTensor<T> = Readonly<Record<string, T>>;

interface Case {
  readonly id: string;
  readonly problem: string;
  readonly steps: number;
  readonly hyperparameters: Options;
  readonly lrSchedule?: readonly number[];
  readonly f64: {
    readonly params: Readonly<Record<string, ByTensor<number>>>;
    readonly states: ByTensor<ByTensor<number>>;
  };
  readonly tolerance: {
    readonly rtol: number;
    readonly params: Readonly<Record<string, ByTensor<number>>>;
    readonly statesRtol: number;
    readonly states: ByTensor<ByTensor<number>>;
  };
}

interface CaseFile {
  readonly checkpoints: readonly number[];
  readonly cases: readonly Case[];
}

interface Problems {
  readonly problems: Readonly<
    Record<string, { readonly steps: number; readonly tensors: readonly Tensor[] }>
  >;
}

const { problems } = readJson('traj/problems.json') as Problems;
const problemNumbers = new Binary('traj/problems.bin');

/** The golden problems as parameters, and gradients by step. */
export const goldenProblems: readonly {
  readonly name: string;
  readonly make: () => { readonly params: readonly Parameter[]; give(step: number): void };
}[] = Object.entries(problems).map(([name, { tensors }]) => ({
  name,
  make: () => {
    const numbers = (offset: number, shape: readonly number[]): Float32Array =>
      problemNumbers.f32(offset, sizeOf(shape)).slice();
    const params = tensors.map(({ name, shape, initOffset }): Parameter => {
      return { name, shape, data: numbers(initOffset, shape), grad: null };
    });
    const give = (step: number): void => {
      tensors.forEach(({ shape, gradsOffset }, i) => {
        params[i]!.grad = numbers(gradsOffset + step * sizeOf(shape) * 4, shape);
      });
    };
    return { params, give };
  },
}));

/** Throws for the first number outside its tolerance; `!(… <= …)` so that NaN is outside too. */
function expectClose(
  received: ArrayLike<number>,
  reference: Float64Array,
  atol: number,
  rtol: number,
  what: string,
): void {
  expect(received).toHaveLength(reference.length);
  reference.forEach((expected, i) => {
    const error = Math.abs(received[i]! - expected);
    const limit = atol + rtol * Math.abs(expected);
    if (!(error <= limit)) {
      throw new Error(
        `${what}[${i}] is ${received[i]}, expected ${expected}: off by ${error}, allowed ${limit}`,
      );
    }
  });
}

/** What parameters and gradients are kept and computed in. */
type Precision = 'float32' | 'float64';

/** How far float64 may be from other people's float64, for its own magnitude and for the largest of its tensor. */
const closeInDouble = 1e-12;
const exceptions: Readonly<Record<string, number>> = {
  // Its first adaptive step: ρ ≈ 5 is the difference of two numbers near 2000, and one of them has 1 − β₂⁶ ≈ 0.006 below
  // the line, so half an ulp of β₂⁶ becomes 2e-11 of the step.
  'radam/no-degenerate': 2e-11,
  // The reference divides by the norm, we by the norm plus 1e-6, as torch's clip_grad_norm_ does; the least is
  // 2.13, so a gradient is off by 4.7e-7 of itself at most.
  'lamb/global-norm-clip': 4.7e-7,
};

/** Runs one case to its end, comparing at every checkpoint. Returns how many numbers were compared. */
function runCase(
  make: (params: Parameter[]) => Trainer,
  golden: Case,
  file: CaseFile,
  numbers: Binary,
  precision: Precision,
  onGpu: boolean,
): number {
  const { tensors } = problems[golden.problem]!;
  const close = exceptions[golden.id] ?? closeInDouble;
  const arrayOf = precision === 'float32' ? Float32Array : Float64Array;
  const placed = (array: Float32Array | Float64Array) => (onGpu ? cuda.from(array as Float32Array) : array);
  const params = tensors.map(({ name, shape, initOffset }): Parameter => {
    return { name, shape, data: placed(arrayOf.from(problemNumbers.f32(initOffset, sizeOf(shape)))) };
  });
  const check = (
    received: ArrayLike<number>,
    reference: Float64Array,
    atol: number,
    rtol: number,
    what: string,
  ): void => {
    const most = reference.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    if (precision === 'float32') expectClose(received, reference, atol, rtol, what);
    else expectClose(received, reference, close * most, close, what);
  };
  const optimizer = make(params);
  let compared = 0;
  for (let step = 1; step <= golden.steps; ++step) {
    tensors.forEach(({ shape, gradsOffset }, i) => {
      const size = sizeOf(shape);
      params[i]!.grad = placed(arrayOf.from(problemNumbers.f32(gradsOffset + (step - 1) * size * 4, size)));
    });
    if (golden.lrSchedule) setOptions(optimizer, { lr: golden.lrSchedule[step - 1] });
    expect(optimizer.step()).toMatchObject({ applied: true, step });
    if (!file.checkpoints.includes(step)) continue;
    tensors.forEach(({ name }, i) => {
      const data = hostOf(params[i]!.data);
      const reference = numbers.f64(golden.f64.params[step]![name]!, data.length);
      const atol = golden.tolerance.params[step]![name]!;
      check(data, reference, atol, golden.tolerance.rtol, `${name} after step ${step}`);
      compared += data.length;
    });
  }
  tensors.forEach(({ name }, i) => {
    const state = optimizer.state(params[i]!);
    // A Lookahead that begins anew with everything has just done so.
    if (golden.hyperparameters.innerStateOnSync !== 'resetAll') expect(state.step).toBe(golden.steps);
    for (const [key, offset] of Object.entries(golden.f64.states[name]!)) {
      const value = state[key];
      if (value === undefined) throw new Error(`state(${name}) has no ${key}`);
      const list = typeof value === 'number' ? [value] : hostOf(value);
      const { states, statesRtol } = golden.tolerance;
      const reference = numbers.f64(offset, list.length);
      check(list, reference, states[name]![key]!, statesRtol, `${key} of ${name}`);
      compared += list.length;
    }
  });
  optimizer.dispose();
  return compared;
}

/**
 * Declares one test for every case of an algorithm, on every instruction set. `options` turns a case's
 * hyper-parameters into the class's options, or into undefined when the case is not for this class.
 */
export function goldenTests(
  Class: OptimizerClass,
  algorithm: string,
  expectedCases: number,
  options: (hyperparameters: Options) => Options | undefined = (hyperparameters) => hyperparameters,
): void {
  goldenCases(Class.name, algorithm, expectedCases, options, (params, given) => new Class(params, given));
}

/** The same for optimizers that are not made from parameters and options alone. */
export function goldenCases(
  name: string,
  algorithm: string,
  expectedCases: number,
  options: (hyperparameters: Options) => Options | undefined,
  create: (params: Parameter[], given: Options) => Trainer,
  precisions: readonly Precision[] = ['float32', 'float64'],
): void {
  const file = readJson(`traj/${algorithm}.json`) as CaseFile;
  const numbers = new Binary(`traj/${algorithm}.bin`);
  const cases = file.cases
    .map((golden) => ({ id: golden.id, golden, given: options(golden.hyperparameters) }))
    .filter((entry): entry is typeof entry & { given: Options } => entry.given !== undefined);

  describe(`golden trajectories of ${name}`, () => {
    test('are all there', () => {
      expect(cases).toHaveLength(expectedCases);
    });
    describeIsas((isa) => {
      describe.each(precisions)('in %s', (precision) => {
        test.each(cases)('$id', ({ golden, given }) => {
          const make = (params: Parameter[]) => withIsa(isa, () => create(params, given));
          expect(runCase(make, golden, file, numbers, precision, false)).toBeGreaterThan(1000);
        });
      });
    });
    describeCuda(`${name} in CUDA memory`, () => {
      describe.each(precisions)('in %s', (precision) => {
        test.each(cases)('$id', ({ golden, given }) => {
          const make = (params: Parameter[]) => create(params, given);
          expect(runCase(make, golden, file, numbers, precision, true)).toBeGreaterThan(1000);
        });
      });
    });
  });
}
