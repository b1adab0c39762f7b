import { AdamW, GradScaler, SGD, Sharded, type Parameter } from 'fused-optim';
import { difference } from '../helpers/bits';
import { ranksOf } from '../helpers/ranks';
import {
  alone,
  expectSameAsAlone,
  modelOf,
  shardedRun,
  together,
  type Make,
  type ShardedRun,
} from '../helpers/sharded';

const make: Make = (params) => new AdamW(params, { lr: 0.05 });

type Work = (rank: ShardedRun['ranks'][number], index: number) => unknown;

/** What every rank's step is refused with, after something was done to it; its weights are as they were. */
async function refusals(run: ShardedRun, spoil: Work): Promise<string[]> {
  return together(run, async (rank, i) => {
    rank.model.give(0, i, run.ranks.length);
    spoil(rank, i);
    const before = rank.model.params.map(({ data }) => (data as Float32Array).slice());
    const message = await rank.optimizer.step().then(
      () => 'nothing',
      (error: unknown) => (error as Error).message,
    );
    rank.model.params.forEach(({ data, name }, k) => {
      expect({ name, difference: difference(data as Float32Array, before[k]!) }).toEqual({
        name,
        difference: undefined,
      });
    });
    return message;
  });
}

describe('ranks that differ', () => {
  test.each<[string, Work, RegExp]>([
    [
      'in a gradient that one has not',
      ({ model }, rank) => rank === 1 && (model.params[2]!.grad = null),
      /^Expected all ranks to have the same gradients in a step of Sharded but rank 0 has one of "tensor\.2" and rank 1 has none; nothing was changed\.$/,
    ],
    [
      'in the dtype of a gradient',
      ({ model }, rank) => {
        for (const param of rank === 2 ? model.params : [])
          if (param.grad) Object.assign(param, { grad: new Uint16Array(param.grad.length) });
      },
      /those of "tensor\.0" have other dtypes on rank 0 and rank 2/,
    ],
    [
      'in the norm that gradients are limited to',
      ({ optimizer }, rank) => (optimizer.maxGradNorm = rank + 1),
      /the same maxGradNorm in a step of Sharded but rank 0 has 1 and rank 1 has 2; nothing/,
    ],
    [
      'in an option',
      ({ optimizer }, rank) => Object.assign(optimizer.paramGroups[0]!, { lr: 0.1 * rank }),
      /the same options of groups in a step of Sharded but they differ between rank 0 and another/,
    ],
  ])('%s', async (_, spoil, words) => {
    const run = shardedRun(3, make, {}, () => modelOf((v) => v.slice(), 'bfloat16'));
    const messages = await refusals(run, spoil);
    for (const message of messages) expect(message).toMatch(words);
  });

  test('in their parameters, in stage and in buckets', async () => {
    const spoilt = [
      [(params: readonly Parameter[]) => params.slice(0, 7), {}],
      [(params: readonly Parameter[]) => params, { stage: 2 }],
      [(params: readonly Parameter[]) => params, { bucketBytes: 1 }],
    ] as const;
    for (const [change, options] of spoilt) {
      const { comms } = ranksOf(2);
      const messages = await Promise.all(
        comms.map((comm, rank) => {
          const model = modelOf();
          const params = rank === 1 ? change(model.params) : model.params;
          const optimizer = new Sharded(comm, make as never, { params, ...(rank === 1 && options) });
          return optimizer.step().catch((error: unknown) => (error as Error).message);
        }),
      );
      for (const message of messages)
        expect(message).toMatch(
          /^Expected all ranks to have the same (parameters|stage) in a step of Sharded but/,
        );
    }
  });

  test('in a gradient that is none: who has it says what, the others who', async () => {
    const run = shardedRun(3, make);
    const messages = await refusals(
      run,
      ({ model }, rank) => rank === 1 && (model.params[0]!.grad = new Float32Array(5)),
    );
    const other = 'Expected all ranks to take part in a step of Sharded but rank 1 failed: see its error.';
    expect(messages).toEqual([
      other,
      'Expected grad of "tensor.0" to have 33 elements but received 5.',
      other,
    ]);
    // Nothing is left over: they go on.
    const one = alone(make);
    one.model.give(1);
    one.optimizer.step();
    await together(run, async ({ model, optimizer }, rank) => {
      model.give(1, rank, 3);
      await optimizer.step();
    });
    expectSameAsAlone(run, one);
  });
});

describe('a gradient that is not finite on one rank', () => {
  const poisoned = (run: ShardedRun): Promise<unknown> =>
    together(run, async ({ model }, rank) => {
      model.give(0, rank, run.ranks.length);
      if (rank === 1) (model.params[2]!.grad as Float32Array)[20_000] = Infinity;
      await Promise.resolve();
    });

  test('is skipped on all', async () => {
    const skip: Make = (params) => new AdamW(params, { lr: 0.05, nonFinite: 'skip' });
    const run = shardedRun(3, skip);
    await poisoned(run);
    for (const result of await together(run, ({ optimizer }) => optimizer.step()))
      expect(result).toEqual({ applied: false, step: 0, gradNorm: Infinity, nonFinite: 'tensor.2' });
    for (const { optimizer } of run.ranks) expect(optimizer.skippedSteps).toBe(1);
    expectSameAsAlone(run, alone(skip));
  });

  test('is thrown on all, by name', async () => {
    const run = shardedRun(3, (params) => new SGD(params, { lr: 0.05, nonFinite: 'throw' }));
    await poisoned(run);
    const messages = await together(run, ({ optimizer }) =>
      optimizer.step().catch((error: unknown) => (error as Error).message),
    );
    for (const message of messages)
      expect(message).toMatch(/^Expected grad of "tensor\.2" to be finite but .*; nothing was changed\.$/);
  });

  test('halves the scale of every rank', async () => {
    const scalers = Array.from({ length: 2 }, () => new GradScaler({ initScale: 1024 }));
    let made = 0;
    // Made twice a rank: to see what there is, and of its parts.
    const run = shardedRun(2, (params) => new SGD(params, { lr: 0.05, gradScale: scalers[made++ >> 1]! }));
    await poisoned(run);
    for (const result of await together(run, ({ optimizer }) => optimizer.step()))
      expect(result.applied).toBe(false);
    expect(scalers.map(({ scale }) => scale)).toEqual([512, 512]);
  });
});

test('schedules go the same way on all ranks, and are those of one process', async () => {
  const lr = (step: number): number => 0.1 / (1 + step);
  const run = shardedRun(3, make);
  const one = alone((params) => new AdamW(params, { lr: 0.05 }).schedule({ lr }));
  for (const { optimizer } of run.ranks) optimizer.schedule({ lr });
  for (let step = 0; step < 3; ++step) {
    one.model.give(step);
    one.optimizer.step();
    await together(run, async ({ model, optimizer }, rank) => {
      model.give(step, rank, 3);
      await optimizer.step();
    });
  }
  expectSameAsAlone(run, one);
});

test('every rank keeps its share of the state', async () => {
  const run = shardedRun(4, make);
  const one = alone(make);
  one.model.give(0);
  one.optimizer.step();
  await together(run, async ({ model, optimizer }, rank) => {
    model.give(0, rank, 4);
    await optimizer.step();
  });
  const all = one.optimizer.stateBytes();
  for (const { optimizer } of run.ranks) expect(optimizer.stateBytes() / all).toBeLessThan(0.4);
  expect(run.ranks[0]!.optimizer.plan.ranks.reduce((sum, { elements }) => sum + elements, 0)).toBe(
    one.model.params.reduce((sum, { data }) => sum + data.length, 0),
  );
  expect(String(run.ranks[1]!.optimizer.plan)).toMatch(
    /^rank +elements +tensors +GFLOP\n0 +[\d,]+ +\d+ +0\.0\n1 \(this\)/,
  );
});

describe('what one rank refuses by itself', () => {
  const [comm] = ranksOf(1).comms;
  const { params } = modelOf();
  const sharded = (...args: readonly unknown[]) =>
    new Sharded(...(args as ConstructorParameters<typeof Sharded>));

  test.each<[readonly unknown[], string]>([
    [
      [{}, make, { params }],
      'Expected the first argument of Sharded to be a communicator, as mpi() makes one, but received an object.',
    ],
    [
      [comm, 3, { params }],
      'Expected the second argument of Sharded to be a function that makes an optimizer but received 3 of type number.',
    ],
    [[comm, make], 'Expected options of Sharded to be an object but received undefined.'],
    [[comm, make, {}], 'Expected params of Sharded to be an iterable of parameters but received undefined.'],
    [[comm, make, { params, stage: 3 }], 'Expected stage of Sharded to be 1 or 2 but received 3'],
    [
      [comm, make, { params, reduce: 'max' }],
      'Expected reduce of Sharded to be "mean" or "sum" or "none" but received "max"; did you mean "mean"?',
    ],
    [
      [comm, make, { params, bucketBytes: 0.5 }],
      'Expected bucketBytes of Sharded to be an integer >= 1 but received 0.5.',
    ],
    [[comm, make, { params, stages: 1 }], 'Unknown option "stages" for Sharded: did you mean "stage"?'],
    [
      [comm, () => 5, { params }],
      'Expected what the function of Sharded makes to be an optimizer of this package but received 5 of type number.',
    ],
    [
      [comm, (given: Parameter[]) => make(given.slice(1)), { params }],
      'Expected the function of Sharded to make an optimizer of all of the parameters it is given but number 0 is missing.',
    ],
  ])('%#', (args, words) => {
    expect(() => sharded(...args)).toThrow(words);
  });

  test('diagnostics, a step while one is in flight, and one that is disposed', async () => {
    const model = modelOf();
    const shown = new Sharded(comm!, (all) => new AdamW(all, { diagnostics: true }), {
      params: model.params,
    });
    await expect(shown.step()).rejects.toThrow(
      'Expected diagnostics of an optimizer in Sharded to be false but received true.',
    );
    const optimizer = new Sharded(comm!, (all) => new AdamW(all), { params: modelOf().params });
    const first = optimizer.step();
    await expect(optimizer.step()).rejects.toThrow('step() of Sharded is in flight: await it before step().');
    await first;
    expect(() => optimizer.state(model.params[0]!)).toThrow(
      'Expected a parameter of this Sharded but received another object.',
    );
    optimizer.dispose();
    await expect(optimizer.step()).rejects.toThrow('AdamW was disposed');
  });
});
