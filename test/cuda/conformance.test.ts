/** Every optimizer and format in CUDA memory: the bits of the CPU where no sums are taken, and close to it elsewhere. */
import { cuda, type Parameter, type StateArray } from 'fused-optim';
import { bitsOf } from '../helpers/bits';
import { describeCuda, hostOf } from '../helpers/cuda';
import { combinationsOf, formatOptions, saysDtype, text, type Combination } from '../helpers/formats';
import { load, store } from '../helpers/lowp';
import { specialValues, values } from '../helpers/random';
import {
  label,
  registered,
  setOptions,
  switches,
  testLr,
  variantsOf,
  wholeTensorRules,
  type Options,
  type Registered,
} from '../helpers/registry';

/** Around the blocks of 256 that have a scale and the chunks of 16,384 that blocks of threads take. */
const sizes = [0, 1, 7, 33, 255, 257, 1000, 4096, 5003, 16_384, 16_385, 40_007];
const some = [0, 1, 7, 33, 257, 5003, 16_385];
const few = [1, 33, 5003];
const steps = 3;

type Numbers = (size: number, step: number) => Float32Array;
const ordinary: Numbers = (size, step) => values(size, size * 31 + step, step > 0 ? 0.2 : 0);
const special: Numbers = (size, step) => specialValues(size, size + step);

interface Outcome {
  readonly data: readonly Float32Array[];
  readonly arrays: readonly (readonly [string, StateArray])[];
}

const float32: Combination = {
  dtype: 'float32',
  grad: 'float32',
  stateDtype: 'float32',
  rounding: undefined,
};

/** Trains the tensors `list` in host or CUDA memory; `shift` elements off alignment. */
function train(
  { Class }: Registered,
  options: Options,
  combination: Combination,
  list: readonly number[],
  numbers: Numbers,
  onGpu: boolean,
  shift = 0,
): Outcome {
  const { dtype, grad } = combination;
  const owners: unknown[] = [];
  const place = (array: ReturnType<typeof store>, type: typeof dtype): Parameter['data'] => {
    if (!onGpu) return array;
    const whole = cuda.tensor([array.length + shift], type);
    owners.push(whole);
    const pointer = whole.pointer + BigInt(shift * array.BYTES_PER_ELEMENT);
    const part = cuda.fromPointer(pointer, { shape: [array.length], dtype: type, owner: whole });
    part.upload(array);
    return part;
  };
  const params = list.map((size, i): Parameter => ({
    name: `${i}`,
    shape: size % 8 === 0 ? [8, size / 8] : [size],
    data: place(store(numbers(size, 0), dtype), dtype),
    ...(!onGpu && { dtype: saysDtype(combination) }),
  }));
  const optimizer = new Class(params, {
    ...options,
    ...formatOptions(combination),
    threads: 1,
    seed: 7,
  } as object);
  for (let step = 1; step <= steps; ++step) {
    params.forEach((param, i) => (param.grad = place(store(numbers(list[i]!, step), grad), grad)));
    setOptions(optimizer, { lr: testLr / step });
    optimizer.step();
  }
  const arrays = params.flatMap((param, i) =>
    Object.entries(optimizer.state(param)).flatMap(([name, value]) =>
      typeof value === 'number' ? [] : [[`${name} of size ${list[i]}`, hostOf(value as StateArray)] as const],
    ),
  );
  const data = params.map((param) => hostOf(param.data as Float32Array));
  optimizer.dispose();
  return {
    data: data.map((array) => load(array, dtype)),
    arrays: [...arrays, ...data.map((array, i) => [`data of size ${list[i]}`, array] as const)],
  };
}

function expectBits(received: Outcome, expected: Outcome): void {
  expected.arrays.forEach(([name, array], i) => {
    const [other, actual] = received.arrays[i]!;
    if (other === name && bitsOf(actual).equals(bitsOf(array))) return;
    // Which of all NaN one is, is left to the processor.
    const at = array.findIndex((value, k) => !Object.is(value, actual[k]));
    if (other === name && at < 0 && actual.length === array.length) return;
    throw new Error(`${name} differs at ${at}: ${actual[at]} and not ${array[at]}`);
  });
}

function expectClose(received: Outcome, expected: Outcome, tolerance: number): void {
  expected.data.forEach((data, i) => {
    const most = data.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    data.forEach((value, k) => {
      const error = Math.abs(received.data[i]![k]! - value);
      if (!(error <= tolerance * Math.max(most, 1e-30)))
        throw new Error(`data of size ${data.length} [${k}] is ${received.data[i]![k]} and not ${value}`);
    });
  });
}

const sums = ({ rules }: Registered, options: Options): boolean =>
  rules.some(
    (rule) =>
      wholeTensorRules.includes(rule) || (rule === 'ranger' && options.gradientCentralization !== 'none'),
  );

/** What rounding of sums to float32, and of a result by it, may make of a number. */
const closeIn = ({ dtype, stateDtype }: Combination): number =>
  stateDtype === '8bit'
    ? 0.05
    : dtype === 'float32' && stateDtype === 'float32'
      ? 2e-6
      : dtype === 'float64'
        ? 1e-7
        : 0.02;

function compare(
  entry: Registered,
  options: Options,
  combination: Combination,
  list: readonly number[],
  numbers: Numbers,
  shift: number,
): void {
  try {
    const expected = train(entry, options, combination, list, numbers, false);
    const received = train(entry, options, combination, list, numbers, true, shift);
    if (sums(entry, options)) expectClose(received, expected, closeIn(combination));
    else expectBits(received, expected);
  } catch (error) {
    if (error instanceof Error)
      error.message = `${label(entry, options)}, ${text(combination)}: ${error.message}`;
    throw error;
  }
}

describeCuda('conformance of', () => {
  describe.each(registered)('$name', (entry) => {
    test('float32, in every variant and alignment', () => {
      variantsOf(entry)
        .filter((options) => switches(entry, options) <= 2)
        .forEach((options, i) => compare(entry, options, float32, i === 0 ? sizes : few, ordinary, i % 5));
    });

    test('NaN, infinity, -0, subnormal and huge numbers', () => {
      if (sums(entry, {})) return; // a sum that overflows is another one in float32
      compare(entry, {}, float32, few, special, 1);
    });

    test.each(combinationsOf(entry).map((combination) => [text(combination), combination] as const))(
      '%s',
      (_, combination) => compare(entry, {}, combination, some, ordinary, combination.grad.length % 3),
    );
  });
});
