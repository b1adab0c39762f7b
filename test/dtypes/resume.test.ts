/** State dicts and checkpoints of every format: exact, and going on from them is as if nothing had stopped. */
import path from 'node:path';
import {
  AdamW,
  Lookahead,
  Muon,
  readCheckpointInfo,
  readSafetensors,
  writeSafetensors,
  type Parameter,
  type ParameterState,
  type StateDict,
  type HostArray,
} from 'fused-optim';
import { expectSameBits, expectSameState } from '../helpers/bits';
import { rejection } from '../helpers/files';
import {
  combinations,
  combinationsOf,
  formatOptions,
  saysDtype,
  text,
  type Combination,
} from '../helpers/formats';
import { store, storeOnce } from '../helpers/lowp';
import { values } from '../helpers/random';
import { registered, setOptions, type Trainer } from '../helpers/registry';
import { lrAt } from '../helpers/runs';
import { scratchDirectory } from '../house/scratch';

const file = path.join(scratchDirectory(), 'optimizer.safetensors');

const shapes = [[64, 70], [7], [], [4099], [0]];
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
/** The numbers a tensor starts from, and its gradients. */
const numbers = shapes.map((shape, i) =>
  Array.from({ length: 7 }, (_, step) => values(sizeOf(shape), 100 * i + step)),
);

const tensors = (combination: Combination, order = shapes.map((_, i) => i)): Parameter[] =>
  order.map((i) => ({
    name: `layer.${i}`,
    shape: shapes[i]!,
    data: store(numbers[i]![0]!, combination.dtype),
    grad: null,
    dtype: saysDtype(combination),
  }));

/** Steps with a schedule; the second tensor joins at step 3, the gradients are the same whatever the order. */
function steps(
  optimizer: Trainer,
  params: readonly Parameter[],
  { grad }: Combination,
  from: number,
  to: number,
): void {
  for (let step = from; step <= to; ++step) {
    for (const param of params) {
      const i = Number(param.name!.slice(-1));
      param.grad = i === 1 && step < 3 ? null : storeOnce(numbers[i]![step]!, grad);
    }
    setOptions(optimizer, { lr: lrAt(step) });
    optimizer.step();
  }
}

type Make = (
  params: Parameter[],
  seed: number,
) => Trainer & { save(file: string): Promise<void>; load(file: string): Promise<void> };

type Through = (from: ReturnType<Make>, to: ReturnType<Make>) => Promise<void> | void;

const throughFile: Through = async (from, to) => {
  await from.save(file);
  await to.load(file);
};
const throughDict: Through = (from, to) => to.loadStateDict(structuredClone(from.stateDict()));

/** Two dicts with the same bits; jest's own comparison takes long for large arrays. */
function expectSameDict(received: StateDict, expected: StateDict): void {
  const { state: given, ...rest } = received;
  const { state, ...others } = expected;
  expect(rest).toEqual({ ...others, paramGroups: rest.paramGroups, routing: rest.routing });
  for (const [name, { shape, ...entry }] of Object.entries(state)) {
    const { shape: other, ...own } = given[name]!;
    expect(other).toEqual(shape);
    expectSameState(own as ParameterState, entry as ParameterState, name);
  }
}

async function resumes(make: Make, combination: Combination, stop: number, through: Through): Promise<void> {
  const whole = tensors(combination);
  const straight = make(whole, 5);
  steps(straight, whole, combination, 1, 6);

  const halted = tensors(combination);
  const first = make(halted, 5);
  steps(first, halted, combination, 1, stop);
  // In another order, with another seed and a past: all of that must not matter.
  const resumed = tensors(combination, [3, 1, 4, 0, 2]);
  const second = make(resumed, 99);
  steps(second, resumed, combination, 1, 2);
  for (const param of resumed) {
    const { data } = halted.find(({ name }) => name === param.name)!;
    param.data = (data as HostArray).slice();
  }
  await through(first, second);
  expectSameDict(second.stateDict(), first.stateDict());
  steps(second, resumed, combination, stop + 1, 6);
  for (const param of whole) {
    const other = resumed.find(({ name }) => name === param.name)!;
    expectSameBits(other.data as HostArray, param.data as HostArray, `${param.name}, stopped after ${stop}`);
    expectSameState(second.state(other), straight.state(param), param.name!);
  }
  expect(second.stateBytes()).toBe(straight.stateBytes());
}

describe.each(registered)('$name', (entry) => {
  test('goes on from a checkpoint as if it had never stopped, in every combination', async () => {
    for (const [i, combination] of combinationsOf(entry).entries()) {
      const make: Make = (params, seed) =>
        new entry.Class(params, { ...formatOptions(combination), seed } as object);
      // A file depends on the kinds of states alone, so one optimizer writes them all.
      const through = entry.name === 'Adam' || i % 9 === 0 ? throughFile : throughDict;
      await resumes(make, combination, 1 + (i % 5), through).catch((error: unknown) => {
        if (error instanceof Error) error.message = `${text(combination)}: ${error.message}`;
        throw error;
      });
    }
  }, 60_000);
});

describe('in every combination', () => {
  const policies = ['keep', 'resetMomentum', 'resetAll'] as const;
  test('a Lookahead goes on from a checkpoint', async () => {
    for (const [i, combination] of combinationsOf({ rules: ['momentum'] }).entries()) {
      const { Class } = registered.find(({ name }) => name === 'Momentum')!;
      await resumes(
        (params, seed) =>
          new Lookahead(new Class(params, { ...formatOptions(combination), seed } as object), {
            k: 2,
            innerStateOnSync: policies[i % 3],
          }),
        combination,
        1 + (i % 5),
        i % 9 === 0 ? throughFile : throughDict,
      );
    }
  });

  test('Muon goes on from a checkpoint', async () => {
    const all = combinationsOf({ rules: ['adamw'] }).filter(({ dtype }) => dtype !== 'float64');
    for (const [i, combination] of all.entries())
      await resumes(
        (params, seed) => new Muon(params, { ...formatOptions(combination), seed }),
        combination,
        1 + (i % 5),
        i % 9 === 0 ? throughFile : throughDict,
      );
  });
});

const find = (wanted: Partial<Combination>): Combination =>
  combinations.find((one) =>
    Object.entries(wanted).every(([key, value]) => one[key as keyof Combination] === value),
  )!;

function trained(wanted: Partial<Combination>): { optimizer: AdamW; params: Parameter[] } {
  const combination = find(wanted);
  const params = tensors(combination);
  const optimizer = new AdamW(params, formatOptions(combination));
  steps(optimizer, params, combination, 1, 3);
  return { optimizer, params };
}

describe('a checkpoint', () => {
  test.each<[string, Partial<Combination>, Record<string, [string, readonly number[]]>]>([
    ['float64', { dtype: 'float64' }, { exp_avg: ['F64', [64, 70]], exp_avg_sq: ['F64', [64, 70]] }],
    [
      'bfloat16 with a master',
      { dtype: 'bfloat16', rounding: 'master' },
      { exp_avg: ['F32', [64, 70]], exp_avg_sq: ['F32', [64, 70]], master: ['F32', [64, 70]] },
    ],
    [
      'bfloat16 throughout, after Kahan',
      { dtype: 'bfloat16', rounding: 'kahan', stateDtype: 'bfloat16' },
      { exp_avg: ['BF16', [64, 70]], exp_avg_sq: ['BF16', [64, 70]], compensation: ['BF16', [64, 70]] },
    ],
    [
      'split float32',
      { dtype: 'bfloat16', rounding: 'split', stateDtype: 'bfloat16' },
      { exp_avg: ['BF16', [64, 70]], exp_avg_sq: ['BF16', [64, 70]], remainder: ['U16', [64, 70]] },
    ],
    [
      '8-bit states',
      { dtype: 'float32', stateDtype: '8bit' },
      {
        exp_avg: ['U8', [64, 70]],
        exp_avg_scale: ['F32', [18]],
        exp_avg_sq: ['U8', [64, 70]],
        exp_avg_sq_scale: ['F32', [18]],
      },
    ],
  ])('of %s has its dtypes', async (_, wanted, expected) => {
    const { optimizer } = trained(wanted);
    await optimizer.save(file);
    const { tensors: found } = await readCheckpointInfo(file);
    const own = Object.entries(found)
      .filter(([key]) => key.startsWith('layer.0.'))
      .map(([key, { dtype, shape }]) => [key.slice(8), [dtype, shape]]);
    expect(Object.fromEntries(own)).toEqual(expected);
    // A small tensor has no 8-bit states.
    if (wanted.stateDtype === '8bit') expect(found['layer.1.exp_avg']).toMatchObject({ dtype: 'F32' });
  });

  test('of float32 is what it always was', () => {
    const dict = trained({ dtype: 'float32', grad: 'float32', stateDtype: 'float32' }).optimizer.stateDict();
    expect(dict).not.toHaveProperty('formats');
    expect(dict).not.toHaveProperty('seed');
  });

  test('of another format is refused with all that differs, and changes nothing', () => {
    const formats: Partial<Combination>[] = [
      { dtype: 'float32', stateDtype: 'float32' },
      { dtype: 'float32', stateDtype: 'bfloat16' },
      { dtype: 'float32', stateDtype: '8bit' },
      { dtype: 'float64' },
      { dtype: 'bfloat16', rounding: 'master', stateDtype: 'float32' },
      { dtype: 'bfloat16', rounding: 'kahan', stateDtype: 'float32' },
      { dtype: 'float16', rounding: 'nearest', stateDtype: 'bfloat16' },
    ];
    const words = (format: Partial<Combination>): string => {
      const { dtype, stateDtype, rounding } = find(format);
      const states = dtype === 'float64' ? 'float64' : stateDtype;
      return `${dtype} with ${states} states${rounding ? ` and rounding ${rounding}` : ''}`;
    };
    for (const ours of formats)
      for (const theirs of formats) {
        if (ours === theirs) continue;
        const { optimizer } = trained(ours);
        const before = optimizer.stateDict();
        const dict = trained(theirs).optimizer.stateDict();
        expect(() => optimizer.loadStateDict(dict)).toThrow(RangeError);
        expect(() => optimizer.loadStateDict(dict)).toThrow(
          `Expected a state dict with the tensors of this AdamW but it differs: "layer.0" is ${words(theirs)}, ` +
            `expected ${words(ours)}`,
        );
        expect(optimizer.stateDict()).toEqual(before);
        optimizer.dispose();
      }
  });

  type Loose = { state: Record<string, Record<string, unknown>>; formats: unknown; seed: unknown };
  test.each<[string, (dict: Loose) => void, string]>([
    [
      'no scales',
      (d) => delete d.state['layer.0']!.expAvgScale,
      'Expected expAvgScale of "layer.0" in the state dict but it is missing.',
    ],
    [
      'no codes',
      (d) => delete d.state['layer.0']!.expAvgSq,
      'Expected expAvgSq of "layer.0" in the state dict but it is missing.',
    ],
    [
      'no master',
      (d) => delete d.state['layer.0']!.master,
      'Expected master of "layer.0" in the state dict but it is missing.',
    ],
    [
      'a master of doubles',
      (d) => (d.state['layer.0']!.master = new Float64Array(4480)),
      'Expected master of "layer.0" to be a Float32Array but received a Float64Array.',
    ],
    [
      'codes in floats',
      (d) => (d.state['layer.0']!.expAvg = new Float32Array(4480)),
      'Expected expAvg of "layer.0" to be a Uint8Array but received a Float32Array.',
    ],
    [
      'a scale too few',
      (d) => (d.state['layer.0']!.expAvgScale = new Float32Array(17)),
      'Expected expAvgScale of "layer.0" to have 18 elements but received 17.',
    ],
    [
      'a stranger',
      (d) => (d.state['layer.0']!.compensation = new Uint16Array(4480)),
      'Expected the states expAvg, expAvgScale, expAvgSq, expAvgSqScale, maxExpAvgSq, maxExpAvgSqScale, master for "layer.0" but received "compensation".',
    ],
    [
      'no formats',
      (d) => delete d.formats,
      '"layer.0" is float32 with float32 states, expected bfloat16 with 8bit states and rounding master',
    ],
    [
      'formats that are none',
      (d) => (d.formats = { 'layer.0': 7 }),
      '"layer.0" is 7 of type number, expected bfloat16 with 8bit',
    ],
    [
      'a list of formats',
      (d) => (d.formats = []),
      'Expected formats of the state dict to be an object by name but received [].',
    ],
    [
      'a seed of half',
      (d) => (d.seed = 0.5),
      'Expected seed of the state dict to be an integer in [0, 4294967295] but received 0.5.',
    ],
  ])('with %s is refused', (_, spoil, message) => {
    const { optimizer } = trained({ dtype: 'bfloat16', stateDtype: '8bit', rounding: 'master' });
    const before = optimizer.stateDict();
    const dict = structuredClone(before);
    spoil(dict as unknown as Loose);
    expect(() => optimizer.loadStateDict(dict)).toThrow(message);
    expect(optimizer.stateDict()).toEqual(before);
  });

  test('whose file has other dtypes is refused', async () => {
    const { optimizer } = trained({ dtype: 'bfloat16', rounding: 'split', stateDtype: 'bfloat16' });
    await optimizer.save(file);
    const { tensors: found, metadata } = await readSafetensors(file);
    for (const [key, dtype, expected] of [
      ['layer.0.exp_avg', 'U16', 'BF16'],
      ['layer.0.exp_avg', 'F16', 'BF16'],
      ['layer.0.remainder', 'BF16', 'U16'],
    ] as const) {
      const spoiled = new Map([...found, [key, { ...found.get(key)!, dtype }]]);
      await writeSafetensors(file, spoiled, metadata);
      const message = await rejection(optimizer.load(file));
      expect(message).toContain(`"${key}" has the dtype ${dtype}`);
      if (dtype !== 'F16') expect(message).toContain(`expected ${expected}`);
    }
  });

  test('brings the seed of its rounding', () => {
    const combination = find({ dtype: 'bfloat16', rounding: 'stochastic' });
    const make = (seed: number): AdamW =>
      new AdamW(tensors(combination), { ...formatOptions(combination), seed });
    const dict: StateDict = make(8).stateDict();
    expect(dict.seed).toBe(8);
    const other = make(9);
    other.loadStateDict(dict);
    expect(other.stateDict().seed).toBe(8);
  });
});

test('views are live, and writing a state writes what the next step reads', () => {
  const { optimizer, params } = trained({ dtype: 'bfloat16', rounding: 'master', stateDtype: 'float32' });
  const state = optimizer.state(params[0]!);
  (state.master as Float32Array).fill(3);
  optimizer.paramGroups[0]!.lr = 0;
  optimizer.step();
  expect(new Set(params[0]!.data as Uint16Array)).toEqual(new Set([0x4040]));
  expect(optimizer.state(params[0]!).master).toBe(state.master);
});
