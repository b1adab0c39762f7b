import { Lookahead, Muon, type HostArray, type Parameter, type Params } from 'fused-optim';
import { registered, testLr, variantsOf } from '../helpers/registry';
import { toBf16 } from '../helpers/lowp';
import { compare, modelOf, type Make, type Model } from '../helpers/sharded';

const makes: [string, Make][] = [
  ...registered.map(({ name, Class, defaults }): [string, Make] => [
    name,
    (params) =>
      new Class(
        // Groups' options are each optimizer's own.
        [
          { params: params.slice(0, 3), lr: testLr },
          { params: params.slice(3), lr: testLr / 3, ...('weightDecay' in defaults && { weightDecay: 0.1 }) },
        ] as Params<object>,
        { lr: testLr } as object,
      ),
  ]),
  ['Muon', (params) => new Muon(params as Parameter[], { lr: testLr, weightDecay: 0.1 })],
  [
    'Lookahead',
    (params) =>
      new Lookahead(new (registered.find(({ name }) => name === 'AdamW')!.Class)(params), {
        k: 2,
      }),
  ],
];

describe.each(makes)('%s', (name, make) => {
  // More ranks than tensors take longest, and are the same for all that split alike.
  const most = ['AdamW', 'LAMB', 'Muon', 'Lookahead'].includes(name) ? [11] : [];
  test.each([1, 2, 3, 4, ...most])(
    '%i ranks have the bits of one process',
    async (size) => {
      await compare(make, size);
    },
    30_000,
  );

  test('in stage 2, clipped and with other buckets', async () => {
    const clipped: Make = (params) => Object.assign(make(params), { maxGradNorm: 3 });
    if (make(modelOf().params) instanceof Lookahead) {
      await compare(make, 2, { stage: 2 });
      return;
    }
    const { results, expected } = await compare(clipped, 3, { stage: 2, bucketBytes: 1 << 20 });
    results.forEach((all, step) => {
      for (const { gradNorm } of all) expect(gradNorm).toBe(expected[step]!.gradNorm);
    });
  });
});

test.each(registered.map(({ name }) => name))('every variant of %s', async (name) => {
  const entry = registered.find((one) => one.name === name)!;
  const variants = variantsOf(entry);
  // A few of many, not always the same combinations of neighbours.
  for (let i = 0; i < variants.length; i += Math.max(1, Math.floor(variants.length / 5)))
    await compare((params) => new entry.Class(params, variants[i]), 2, { stage: 2 });
});

const bf16 = (values: Float32Array): HostArray => Uint16Array.from(values, toBf16);

test.each(['master', 'stochastic', 'kahan', 'split', 'nearest'])(
  'bfloat16 with rounding %s',
  async (rounding) => {
    const { Class } = registered.find(({ name }) => name === 'AdamW')!;
    const model = (): Model => modelOf(bf16, 'bfloat16');
    // The mean of gradients that were rounded to bfloat16 is not that of others: all ranks are given the same.
    await compare(
      (params) => new Class(params, { lr: testLr, rounding, seed: 5 } as object),
      3,
      { reduce: 'none' },
      () => {
        const made = model();
        return { params: made.params, give: (step) => made.give(step) };
      },
    );
  },
);

test('8-bit states', async () => {
  const { Class } = registered.find(({ name }) => name === 'Adam')!;
  await compare((params) => new Class(params, { lr: testLr, stateDtype: '8bit' } as object), 3, { stage: 2 });
});
