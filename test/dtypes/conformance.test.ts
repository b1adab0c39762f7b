/** Every combination of dtypes, for every optimizer: the same bits however it is computed, and nothing else written. */
import { Muon, type HostArray, type Parameter, type ParameterState, type StateArray } from 'fused-optim';
import { bitsOf, difference, expectSameBits, Guarded } from '../helpers/bits';
import { combinationsOf, formatOptions, saysDtype, text, type Combination } from '../helpers/formats';
import { runnableIsas, widestIsa, withIsa } from '../helpers/isas';
import { load, storeOnce } from '../helpers/lowp';
import { specialValues, values } from '../helpers/random';
import {
  registered,
  setOptions,
  testLr,
  variantsOf,
  wholeTensorRules,
  type Options,
  type Registered,
  type Trainer,
} from '../helpers/registry';
import type { Setup } from '../helpers/runs';

/** Around vectors, blocks of 256 with a scale, staged blocks of 1024, and 4096, from which states may be 8-bit. */
const sizes = [0, 1, 7, 31, 33, 255, 257, 1023, 1025, 4096, 4097, 9000];
const few = [1, 33, 1025, 4097];
const steps = 3;
type Make = (params: Parameter[], options: Options) => Trainer;

const starts = new Map(sizes.map((size) => [size, values(size, size + 1)]));
const slopes = new Map(
  sizes.map((size) => [
    size,
    Array.from({ length: steps }, (_, step) => values(size, 1000 * step + size, 0.2)),
  ]),
);
const specials = new Map(
  few.map((size) => [size, [specialValues(size, size), specialValues(size, size + 7)]]),
);

interface Outcome {
  readonly data: readonly HostArray[];
  readonly states: readonly ParameterState[];
}

/** Trains tensors whose memory is guarded, with gradients that must not be written. */
function train(
  make: Make,
  combination: Combination,
  setup: Setup,
  list: readonly number[],
  numbers: (size: number, step: number) => Float32Array,
): Outcome {
  const { dtype, grad } = combination;
  const guards = list.map((size) => ({
    data: new Guarded(storeOnce(numbers(size, -1), dtype), setup.dataOffset),
    grad: new Guarded(storeOnce(numbers(size, 0), grad), setup.gradOffset),
  }));
  const params = guards.map(({ data, grad }, i): Parameter => ({
    name: `size ${list[i]}`,
    // A matrix where it can be one, for rules that look at rows.
    shape: list[i]! % 8 === 0 ? [8, list[i]! / 8] : [list[i]!],
    data: data.view,
    grad: grad.view,
    dtype: saysDtype(combination),
  }));
  const { isa, threads } = setup;
  const optimizer = withIsa(isa, () => make(params, { ...formatOptions(combination), threads, seed: 7 }));
  for (let step = 0; step < steps; ++step) {
    const given = list.map((size) => storeOnce(numbers(size, step), grad));
    guards.forEach((guard, i) => guard.grad.view.set(given[i] as never));
    setOptions(optimizer, { lr: testLr / (step + 1) });
    optimizer.step();
    guards.forEach((guard, i) => {
      if (!bitsOf(guard.grad.view).equals(bitsOf(given[i]!)))
        throw new Error(`grad of ${list[i]} was written`);
    });
  }
  guards.forEach((guard, i) => {
    guard.data.expectIntact(`data of size ${list[i]}`);
    guard.grad.expectIntact(`grad of size ${list[i]}`);
  });
  const states = params.map((param) => optimizer.state(param));
  return { data: params.map(({ data }) => data as HostArray), states };
}

const ordinary = (size: number, step: number): Float32Array =>
  step < 0 ? starts.get(size)! : slopes.get(size)![step]!;

/** Whether two arrays are equal where any NaN is any other; those in 16 bits are looked at in float32. */
function differ(
  a: HostArray | StateArray,
  b: HostArray | StateArray,
  dtype: Combination['dtype'],
): string | undefined {
  if (bitsOf(a).equals(bitsOf(b))) return undefined;
  return dtype === 'bfloat16' || dtype === 'float16'
    ? difference(load(a, dtype), load(b, dtype))
    : difference(a, b);
}

function expectSame(received: Outcome, expected: Outcome, { dtype }: Combination, how: string): void {
  expected.data.forEach((data, i) => {
    const where = differ(received.data[i]!, data, dtype);
    if (where !== undefined) throw new Error(`data of size ${data.length} differs ${how}: ${where}`);
    for (const [name, value] of Object.entries(expected.states[i]!)) {
      if (typeof value === 'number') continue;
      const other = received.states[i]![name] as StateArray;
      const isHalf = value instanceof Uint16Array && name !== 'remainder';
      const at = differ(other, value as StateArray, isHalf ? 'bfloat16' : 'float32');
      if (at !== undefined) throw new Error(`${name} of size ${data.length} differs ${how}: ${at}`);
    }
  });
}

const reference: Setup = { isa: 'scalar', threads: 1, dataOffset: 0, gradOffset: 0 };

function conforms(make: Make, combination: Combination, index: number): void {
  const expected = train(make, combination, reference, sizes, ordinary);
  runnableIsas.forEach((isa, i) => {
    const turn = index + i;
    const threads = [1, 2, 3, 5][turn % 4]!;
    const setup: Setup = { isa, threads, dataOffset: turn & 1, gradOffset: (turn >> 1) & 1 };
    const received = train(make, combination, setup, sizes, ordinary);
    expectSame(received, expected, combination, `with ${JSON.stringify(setup)}`);
  });
  const odd = (size: number, step: number): Float32Array =>
    step < 0 ? starts.get(size)! : specials.get(size)![step % 2]!;
  const bad = train(make, combination, reference, few, odd);
  for (const isa of runnableIsas) {
    const received = train(make, combination, { ...reference, isa, dataOffset: 1 }, few, odd);
    expectSame(received, bad, combination, `with special values and ${isa}`);
  }
}

const elementwise = ({ rules }: Registered): boolean =>
  !rules.some((rule) => wholeTensorRules.includes(rule));

/** Elements of one gradient that are bad. */
const bad: ReadonlyMap<number, number> = new Map([
  [5, Infinity],
  [17, NaN],
  [4000, -Infinity],
]);
const poisoned = ordinary(4097, 1).map((value, i) => bad.get(i) ?? value);

/** They must stay where they are. */
function poisons(make: Make, combination: Combination): void {
  const run = (poison: boolean): Outcome =>
    train(make, combination, { ...reference, isa: widestIsa }, [4097, 33], (size, step) =>
      poison && step === 1 && size === 4097 ? poisoned : ordinary(size, step),
    );
  const [dirty, clean] = [run(true), run(false)];
  const numbersOf = (array: HostArray | StateArray): Float32Array =>
    combination.dtype === 'float64'
      ? Float32Array.from(array as Float64Array)
      : load(array, combination.dtype);
  // Eight bits: what is bad leaves its block's scale alone, so the others move by at most what a code can tell.
  const exact = combination.stateDtype !== '8bit';
  const [received, expected] = [numbersOf(dirty.data[0]!), numbersOf(clean.data[0]!)];
  expect(received[17]).toBeNaN();
  for (let i = 0; i < received.length; ++i) {
    if (bad.has(i)) continue;
    const same = exact ? Object.is(received[i], expected[i]) : Number.isFinite(received[i]);
    if (!same) throw new Error(`element ${i} is ${received[i]}, expected ${expected[i]}`);
  }
  expectSameBits(dirty.data[1]!, clean.data[1]!, 'the other tensor');
}

describe.each(registered)('$name', (entry) => {
  const all = combinationsOf(entry);
  const variants = variantsOf(entry);
  test('gives the same bits in every combination, with every instruction set, thread count and offset', () => {
    all.forEach((combination, i) => {
      // Variants take turns: every one of them meets many combinations, and all meet one at least.
      const variant = variants[(7 * i) % variants.length]!;
      named(`${text(combination)}, ${JSON.stringify(variant)}`, () =>
        conforms((params, options) => new entry.Class(params, { ...variant, ...options }), combination, i),
      );
    });
  }, 60_000);

  if (elementwise(entry))
    test('carries NaN and infinity into their own elements, in every combination', () => {
      const waits = entry.name === 'RAdam' ? { degenerateToSgd: true } : {};
      for (const combination of all)
        named(text(combination), () =>
          poisons((params, options) => new entry.Class(params, { ...waits, ...options }), combination),
        );
    }, 60_000);
});

describe('Muon', () => {
  test('gives the same bits in every combination, with every instruction set, thread count and offset', () => {
    const all = combinationsOf({ rules: ['muon', 'adamw'] }).filter(({ dtype }) => dtype !== 'float64');
    all.forEach((combination, i) =>
      named(text(combination), () =>
        conforms(
          (params, options) => {
            // Special values may leave it without a matrix.
            const matrix: Parameter = {
              name: 'matrix',
              data: values(6, 1),
              grad: values(6, 2),
              shape: [2, 3],
            };
            return new Muon([...params, matrix], options);
          },
          combination,
          i,
        ),
      ),
    );
  }, 60_000);
});

/** Errors say of what. */
function named(what: string, action: () => void): void {
  try {
    action();
  } catch (error) {
    if (error instanceof Error) error.message = `${what}: ${error.message}`;
    throw error;
  }
}
