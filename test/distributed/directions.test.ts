/** Muon whose ranks send orthogonalized directions: the bits of one process, and half the bytes. */
import { Lookahead, Muon, type HostArray, type MuonOptions, type Parameter } from 'fused-optim';
import { forecast } from '../../lib/distributed/forecast';
import { toBf16 } from '../helpers/lowp';
import { testLr } from '../helpers/registry';
import {
  alone,
  compare,
  expectSameAsAlone,
  hasGrad,
  modelOf,
  shardedRun,
  sizeOf,
  together,
  type Make,
  type Model,
} from '../helpers/sharded';

/** Matrices of many shapes, one without elements, one that is never given a gradient, and what goes to AdamW. */
const shapes: readonly (readonly number[])[] = [
  ...[[33], [40, 400], [24, 36], [9, 2, 3, 3], [3, 17], [65, 70], [24, 24]],
  ...[[96, 32], [12_289], [5, 3], [0, 8], [7, 11]],
];
const isMatrix = (shape: readonly number[]): boolean => shape.length > 1;

const model = (): Model => {
  const made = modelOf(undefined, undefined, shapes);
  Object.assign(made.params[3]!, { layout: 'in-out' });
  Object.assign(made.params[5]!, { layout: 'in-out' });
  return made;
};

const half: MuonOptions = { lr: testLr, weightDecay: 0.1, nsDtype: 'bfloat16' };
const muon =
  (options: object = {}): Make =>
  (params) =>
    new Muon(params as Parameter[], { ...half, ...options });

/** Groups of other precisions, forms, scales and signs, and a matrix of three. */
const groups: Make = (params) => {
  const { nsDtype, ...options } = half;
  const of = (...indices: number[]): Parameter[] => indices.map((i) => params[i]!);
  return new Muon(
    [
      { params: of(0, 1, 2, 6, 8), nsDtype, adjustLr: 'matchRmsAdamw' },
      { params: of(3, 4), nsDtype: 'float32', lr: testLr / 3 },
      { params: of(7), nsDtype, split: 3, nsForm: 'gram', adjustLr: 'rmsToRms', nsSteps: 3 },
      { params: of(5, 9, 10), nsDtype, maximize: true, nesterov: false, weightDecay: 0 },
      { params: of(11), nsDtype, lr: 0 },
    ],
    options,
  );
};

describe.each([
  ['one group', muon()],
  ['groups', groups],
  ['momentum in bfloat16', muon({ stateDtype: 'bfloat16', nsForm: 'auto' })],
])('%s', (_, make) => {
  test.each([1, 2, 3, 4, 11])('%i ranks have the bits of one process', async (size) => {
    await compare(make, size, {}, model);
    await compare(make, size, { stage: 2, bucketBytes: 5000 }, model);
  });
});

test.each([2, 3])('clipped, skipped and on a schedule on %i ranks', async (size) => {
  const make: Make = (params) =>
    (groups(params) as Muon).schedule({
      lr: (step) => testLr / (1 + step),
      weightDecay: (step) => step / 10,
    });
  const limited: Make = (params) => {
    const made = make(params) as Muon;
    return Object.assign(made, { maxGradNorm: 3 });
  };
  const { results, expected } = await compare(limited, size, { stage: 2 }, model);
  results.forEach((all, step) => {
    expect(expected[step]!.gradNorm).toBeGreaterThan(3);
    for (const { gradNorm } of all) expect(gradNorm).toBe(expected[step]!.gradNorm);
  });
  const skips = await compare(muon({ nonFinite: 'skip' }), size, {}, model, (step, { model: { params } }) => {
    if (step === 1) (params[1]!.grad as Float32Array)[7] = NaN;
  });
  expect(skips.expected.map(({ applied }) => applied)).toEqual([true, false, true, true]);
  for (const [step, all] of skips.results.entries())
    for (const { applied } of all) expect(applied).toBe(skips.expected[step]!.applied);
});

test('what is not finite spreads alike', async () => {
  await compare(muon(), 3, {}, model, (step, { model: { params } }) => {
    if (step === 1) (params[1]!.grad as Float32Array)[7] = -NaN;
    if (step === 2) (params[7]!.grad as Float32Array)[7] = Infinity;
  });
});

test('a step that throws changes nothing, and the next goes on', async () => {
  const make = muon({ nonFinite: 'throw' });
  const run = shardedRun(3, make, { bucketBytes: 50_000 }, model);
  const one = alone(make, model());
  for (let step = 0; step < 3; ++step) {
    const give = (own: Model, ...rank: number[]): void => {
      own.give(step, ...rank);
      if (step === 1) (own.params[1]!.grad as Float32Array)[7] = NaN;
    };
    give(one.model);
    const all = together(run, async ({ model: mine, optimizer }, rank) => {
      give(mine, rank, 3);
      return optimizer.step();
    });
    if (step === 1) {
      expect(() => one.optimizer.step()).toThrow('grad of "h.0.attn.weight"');
      await expect(all).rejects.toThrow('grad of "h.0.attn.weight" to be finite');
    } else {
      one.optimizer.step();
      await all;
    }
    expectSameAsAlone(run, one);
  }
});

test('options that are assigned between steps', async () => {
  await compare(groups, 3, {}, model, (step, { optimizer }) => {
    const live = optimizer.paramGroups as unknown as Record<string, unknown>[];
    if (step === 1) live[0]!.nsDtype = 'float32';
    if (step === 2)
      Object.assign(
        live.find((group) => group.split === 3)!,
        { lr: 0.01, adjustLr: 'none' },
      );
    if (step === 3) Object.assign(live[0]!, { nsDtype: 'bfloat16', nsForm: 'gram', maximize: true });
  });
});

test('gradients of bfloat16 beside float32 parameters', async () => {
  const make = (): Model => {
    const made = model();
    for (const param of made.params) Object.assign(param, { dtype: 'bfloat16' });
    return {
      ...made,
      give(step) {
        made.give(step);
        for (const param of made.params)
          if (param.grad) param.grad = Uint16Array.from(param.grad as Float32Array, toBf16);
      },
    };
  };
  await compare(muon(), 3, { reduce: 'none' }, make);
});

describe('bytes', () => {
  /** Sent by all ranks together, in 4 steps. */
  const gathered = async (make: Make, how: () => Model = model): Promise<number> =>
    (
      await compare(make, 3, { reduce: 'none' }, () => {
        const made = how();
        return { ...made, give: (step) => made.give(step) };
      })
    ).bytes.allGather!;
  const elements = shapes.map((shape, i) => {
    const steps = [0, 1, 2, 3].filter((step) => hasGrad(step, i)).length;
    return isMatrix(shape) ? sizeOf(shape) * steps : 0;
  });
  const sum = (list: readonly number[]): number => list.reduce((all, one) => all + one, 0);

  test('a direction takes half of a float32 parameter', async () => {
    const difference = (await gathered(muon({ nsDtype: 'float32' }))) - (await gathered(muon()));
    expect(difference).toBe(2 * sum(elements));
  });

  test('each group has its own', async () => {
    const difference = (await gathered(muon({ nsDtype: 'float32' }))) - (await gathered(groups));
    expect(difference).toBe(2 * sum(elements.filter((_, i) => i !== 3 && i !== 4)));
  });

  const bf16 = (): Model =>
    modelOf((values: Float32Array): HostArray => Uint16Array.from(values, toBf16), 'bfloat16', shapes);
  test.each<[string, Make, () => Model]>([
    ['a Lookahead', (params) => new Lookahead(new Muon(params as Parameter[], half), { k: 2 }), model],
    ['bfloat16 parameters with masters', muon(), bf16],
    ['bfloat16 parameters without', muon({ rounding: 'stochastic' }), bf16],
  ])('parameters are gathered for %s', async (name, make, how) => {
    const other: Make = (params) => {
      const inner = new Muon(params as Parameter[], { ...half, nsDtype: 'float32' });
      return name === 'a Lookahead' ? new Lookahead(inner, { k: 2 }) : inner;
    };
    expect(await gathered(make, how)).toBe(await gathered(other, how));
  });

  test('what is planned is what is saved', () => {
    const tensors = shapes.map((shape, i) => ({ name: `tensor.${i}`, shape }));
    const planned = (options: MuonOptions, dtype: 'float32' | 'bfloat16' = 'float32') =>
      forecast({ tensors, ranks: 3, stage: 1, dtype, make: (params) => new Muon(params, options) });
    const [float, bfloat] = [planned({}), planned(half)];
    float.ranks.forEach(({ sent, elements: all }, rank) => {
      const other = bfloat.ranks[rank]!;
      expect(sent.parameters).toBe(2 * 4 * all);
      expect(other.elements).toBe(all);
      expect(other.sent.gradients).toBe(sent.gradients);
    });
    const saved = 2 * sum(shapes.filter(isMatrix).map(sizeOf));
    const sentBy = ({ ranks }: typeof float): number => sum(ranks.map(({ sent }) => sent.parameters));
    expect(sentBy(float) - sentBy(bfloat)).toBe(2 * saved);
    expect(float.passing.parameters).toBeGreaterThan(bfloat.passing.parameters);
    expect(planned(half, 'bfloat16').passing).toEqual(planned({}, 'bfloat16').passing);
  });
});
