import { AdamW, Lookahead, Momentum, Muon, Sharded, type DType, type Parameter } from 'fused-optim';
import { optimizers } from '../../lib/cli/optimizers';
import { forecast, type Forecast, type ForecastRequest } from '../../lib/distributed/forecast';
import { sizeOf } from '../../lib/parameter';
import { ranksOf } from '../helpers/ranks';
import { workloads } from '../helpers/workloads';

const tensors = [
  { name: 'wte', shape: [300, 64] },
  { name: 'h.0.attn.weight', shape: [130, 64] },
  { name: 'h.0.attn.bias', shape: [200] },
  { name: 'h.0.mlp.weight', shape: [64, 192] },
  { name: 'h.1.mlp.weight', shape: [5000, 3] },
  { name: 'empty', shape: [0] },
];
const elements = tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);

const planned = (more: Partial<ForecastRequest> = {}): Forecast =>
  forecast({
    ...{ tensors, ranks: 4, stage: 1, dtype: 'float32', make: (params) => new AdamW(params) },
    ...more,
  });

function realTensors(dtype: DType): Parameter[] {
  const array = (length: number) =>
    dtype === 'float32'
      ? new Float32Array(length)
      : dtype === 'float64'
        ? new Float64Array(length)
        : new Uint16Array(length);
  return tensors.map(({ name, shape }) => {
    const length = sizeOf(shape);
    const bits = dtype.endsWith('16') ? dtype : undefined;
    return { name, shape, dtype: bits, data: array(length), grad: array(length) };
  });
}

const formats: readonly (readonly [DType, object])[] = [
  ['float32', {}],
  ['float32', { stateDtype: 'bfloat16' }],
  ['float32', { stateDtype: '8bit' }],
  ['float64', {}],
  ['float16', {}],
  ['bfloat16', {}],
  ['bfloat16', { rounding: 'kahan', stateDtype: 'bfloat16' }],
  ['bfloat16', { rounding: 'split', stateDtype: '8bit' }],
  ['bfloat16', { rounding: 'stochastic' }],
];

describe.each([...optimizers])('%s', (name, make) => {
  test.each(formats)('%s, %j: the bytes that the optimizer itself counts', (dtype, options) => {
    const list = realTensors(dtype);
    let real: { step(): unknown; stateBytes(): number; dispose(): void };
    try {
      real = make(list, options);
    } catch (error) {
      // What it refuses, it refuses here too, in the same words.
      const again = (): unknown => planned({ dtype, make: (params) => make(params, options) });
      expect(again).toThrow((error as Error).message);
      return;
    }
    real.step();
    const bytes = real.stateBytes();
    real.dispose();
    for (const ranks of [1, 3, 8]) {
      const { ranks: loads, replicated } = planned({
        ...{ dtype, ranks },
        make: (params) => make(params, options),
      });
      expect(replicated.stateBytes + replicated.masterBytes).toBe(bytes);
      expect(sum(loads.map((load) => load.stateBytes + load.masterBytes))).toBe(bytes);
      expect(sum(loads.map((load) => load.elements))).toBe(elements);
    }
    const { replicated } = planned({ dtype, make: (params) => make(params, options) });
    const { rounding = 'master' } = options as { rounding?: string };
    const kept = { master: 4, kahan: 2, split: 2 }[rounding] ?? 0;
    expect(replicated.masterBytes).toBe(dtype.endsWith('16') ? kept * elements : 0);
  });

  test('who has whole tensors has them alone', () => {
    const { balance } = planned({ make: (params) => make(params, {}) });
    const kinds = balance.map(({ kind }) => kind);
    const whole = ['LAMB', 'LARS', 'StableAdamW', 'Ranger'].includes(name);
    expect(kinds).toEqual(name === 'Muon' ? ['matrix', 'split'] : [whole ? 'whole' : 'split']);
  });
});

test('options decide which states there are', () => {
  const bytes = (options: object): number =>
    planned({ make: (params) => new AdamW(params, options) }).replicated.stateBytes;
  expect(bytes({})).toBe(8 * elements);
  expect(bytes({ amsgrad: true })).toBe(12 * elements);
  const momentum = (value: number): number =>
    planned({ make: (params) => new Momentum(params, { momentum: value }) }).replicated.stateBytes;
  expect(momentum(0.9)).toBe(4 * elements);
  expect(momentum(0)).toBeLessThanOrEqual(4 * elements);
  const ahead = planned({ make: (params) => new Lookahead(new AdamW(params)) });
  expect(ahead.replicated.stateBytes).toBe(12 * elements);
});

describe('bytes that are sent', () => {
  const own = ({ ranks }: Forecast): number[] => ranks.map((load) => load.elements);

  test('stage 1: a ring of gradients, and each share to the others', () => {
    const plan = planned({ dtype: 'bfloat16', gradDtype: 'float32' });
    expect(plan.gradientBytes).toBe(4 * elements);
    expect(plan.parameterBytes).toBe(2 * elements);
    plan.ranks.forEach(({ sent }, rank) => {
      expect(sent.gradients).toBe((2 * 3 * 4 * elements) / 4);
      expect(sent.parameters).toBe(3 * 2 * own(plan)[rank]!);
      expect(sent.check % (3 * 8)).toBe(0);
    });
    // Each sum of a block goes to three others; a block is of one tensor.
    const blocks = sum(tensors.map(({ shape }) => Math.ceil(sizeOf(shape) / 4096)));
    expect(sum(plan.ranks.map(({ sent }) => sent.check))).toBe(3 * 8 * blocks);
    expect(plan.replicated.sent).toEqual({
      gradients: plan.ranks[0]!.sent.gradients,
      parameters: 0,
      check: 0,
    });
    expect(plan.passing.parameters).toBe(2 * (elements - Math.min(...own(plan))));
  });

  test('stage 2: all but the own share of gradients', () => {
    const plan = planned({ stage: 2 });
    plan.ranks.forEach(({ sent }, rank) => expect(sent.gradients).toBe(4 * (elements - own(plan)[rank]!)));
    expect(sum(plan.ranks.map(({ sent }) => sent.gradients))).toBe(3 * 4 * elements);
    expect(plan.passing.gradients).toBe(4 * (elements - Math.min(...own(plan))));
  });

  test('one rank sends nothing', () => {
    for (const stage of [1, 2] as const) {
      const { ranks, passing, balance } = planned({ ranks: 1, stage });
      expect(ranks[0]!.sent).toEqual({ gradients: 0, parameters: 0, check: 0 });
      expect(passing).toEqual({ gradients: 0, parameters: 0, check: 0 });
      expect(balance).toEqual([{ kind: 'split', ratio: 1, least: 1 }]);
    }
  });
});

describe('Muon', () => {
  const matrices = [
    { name: 'h.0.qkv.weight', shape: [24, 8] },
    { name: 'h.0.out.weight', shape: [12, 6] },
    { name: 'bias', shape: [100] },
  ];
  const flops = (options: object): number =>
    planned({ tensors: matrices, make: (params) => new Muon(params, options) }).replicated.flops;

  test('operations are those of its options', () => {
    const one = (rows: number, cols: number): number => 4 * cols * cols * rows + 2 * cols ** 3;
    expect(flops({})).toBe(5 * (one(24, 8) + one(12, 6)));
    expect(flops({ nsSteps: 2 })).toBe(2 * (one(24, 8) + one(12, 6)));
    expect(flops({ split: 3 })).toBe(5 * 3 * (one(8, 8) + one(6, 4)));
  });

  test('what it refuses of the whole tensors is refused', () => {
    expect(() => flops({ split: 5 })).toThrow('to divide the 24 outputs of "h.0.qkv.weight"');
    expect(() => planned({ tensors: [matrices[2]!], make: (params) => new Muon(params) })).toThrow(
      'all 1 parameters go to AdamW: "bias" (it has 1 axis)',
    );
    expect(() => planned({ dtype: 'bfloat16', gradDtype: 'float64' })).toThrow(/grad of "wte"/);
  });

  test('even over GPT-2 on 16 ranks; where that cannot be, the plan says why', () => {
    const muon = (list: string, ranks: number): Forecast =>
      planned({ tensors: workloads.get(list)!, ranks, make: (params) => new Muon(params) });
    for (const ranks of [2, 4, 8, 16]) {
      for (const { ratio, because } of muon('gpt2_124m', ranks).balance) {
        expect(ratio).toBeLessThan(1.05);
        expect(because).toBeUndefined();
      }
    }
    const [pairs] = muon('muon_gpt2_hidden', 16).balance;
    expect(pairs!.because).toBe('these stay whole, and no division of them is under 1.067');
    const [single] = muon('gpt2_124m', 64).balance;
    expect(single!.because).toMatch(
      /^"h\.\d+\.mlp\.c_\w+\.weight" stays whole and alone is 1\.71 times the mean$/,
    );
    const small = planned({ tensors: workloads.get('mlp_small')!, ranks: 64 }).balance[0]!;
    expect(small.because).toBe('the mean is 3674 elements, and cuts lie at multiples of 4096');
  });
});

test('no tensors of a kind, and tensors without elements, are even', () => {
  const plan = planned({ tensors: [{ name: 'none', shape: [0] }] });
  expect(plan.balance).toEqual([{ kind: 'split', ratio: 1, least: 1 }]);
  expect(plan.elements).toBe(0);
});

test.each(['AdamW', 'LAMB', 'Muon'] as const)(
  '%s: each rank of a Sharded keeps what was planned',
  async (name) => {
    const make = (params: readonly Parameter[]) => optimizers.get(name)!([...params], { threads: 1 });
    for (const [dtype, size] of [
      ['float32', 3],
      ['bfloat16', 4],
    ] as const) {
      const sharded = ranksOf(size).comms.map(
        (comm) => new Sharded(comm, make, { params: realTensors(dtype), stage: 2 }),
      );
      await Promise.all(sharded.map((one) => one.step()));
      const { ranks } = planned({ dtype, ranks: size, stage: 2, make });
      expect(ranks.map((load) => load.stateBytes + load.masterBytes)).toEqual(
        sharded.map((one) => one.stateBytes()),
      );
      expect(ranks.map((load) => load.flops)).toEqual(sharded[0]!.plan.ranks.map(({ flops }) => flops));
    }
  },
);
