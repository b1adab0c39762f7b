/** Sharded over NCCL: ranks of one process on the stand-in for a GPU, beside one optimizer in CUDA memory. */
import {
  AdamW,
  cuda,
  CudaTensor,
  LAMB,
  Lion,
  Muon,
  Sharded,
  SGD,
  type Communicator,
  type MuonOptions,
  type Optimizer,
  type Parameter,
  type StepResult,
} from 'fused-optim';
import { difference } from '../helpers/bits';
import { describeCuda } from '../helpers/cuda';
import { toBf16 } from '../helpers/lowp';
import { ncclRanks, noNccl } from '../helpers/nccl';
import { exact, sizeOf } from '../helpers/sharded';

const shapes = [
  [33],
  [40, 400],
  [100_003],
  [0],
  [24, 24],
  [3, 17],
  [40_000],
  [96, 32],
  [9, 2, 3, 3],
  [65, 70],
];

interface Rank {
  readonly params: readonly Parameter[];
  give(step: number, rank?: number, ranks?: number): void;
}

function rankOn(device: number, dtype: 'float32' | 'bfloat16' = 'float32'): Rank {
  const place = (values: Float32Array): CudaTensor =>
    dtype === 'float32'
      ? cuda.from(values, { device })
      : cuda.from(Uint16Array.from(values, toBf16), { device, dtype });
  const params = shapes.map((shape, i): Parameter => ({
    name: `tensor.${i}`,
    shape,
    data: place(exact(sizeOf(shape), i + 1)),
    grad: null,
  }));
  return {
    params,
    give(step, rank = 0, ranks = 1) {
      const off = (2 * rank - (ranks - 1)) / 256;
      params.forEach((param, i) => {
        const grad = exact(sizeOf(shapes[i]!), 100 + 20 * step + i);
        param.grad = (i + step) % 5 === 4 ? null : place(grad.map((g) => g + off));
      });
    },
  };
}

const hostOf = (tensor: Parameter['data']): Float32Array => (tensor as CudaTensor).download() as Float32Array;

type Make = (params: readonly Parameter[]) => Optimizer;

/** Calls `add` with the bytes of each tensor that a rank gives to be gathered. */
function counting(comm: Communicator, add: (bytes: number) => void): Communicator {
  const gather = comm.allGather.bind(comm);
  return Object.assign(comm, {
    allGather: (...args: Parameters<typeof gather>) => {
      if (args[0] instanceof CudaTensor) add(args[0].bytes);
      return gather(...args);
    },
  });
}

async function compare(
  size: number,
  make: Make,
  options: { readonly stage?: 1 | 2; readonly reduce?: 'mean' | 'none' } = {},
  dtype: 'float32' | 'bfloat16' = 'float32',
  spoil: (step: number, rank: Rank, which: number) => void = () => undefined,
): Promise<{
  readonly results: readonly StepResult[][];
  readonly expected: StepResult[];
  readonly gathered: number;
}> {
  let gathered = 0;
  const comms = (await ncclRanks(size)).map((comm) => counting(comm, (bytes) => (gathered += bytes)));
  const devices = cuda.devices();
  const ranks = comms.map((_, rank) => rankOn(devices[rank % devices.length]!.index, dtype));
  const sharded = comms.map(
    (comm, rank) =>
      new Sharded(comm, make, { params: ranks[rank]!.params, bucketBytes: 100_000, ...options }),
  );
  const one = rankOn(devices[0]!.index, dtype);
  const alone = make(one.params);
  const results: StepResult[][] = [];
  const expected: StepResult[] = [];
  for (let step = 0; step < 4; ++step) {
    one.give(step);
    spoil(step, one, -1);
    const { applied, gradNorm, nonFinite } = alone.step();
    expected.push({ applied, gradNorm, nonFinite } as StepResult);
    results.push(
      await Promise.all(
        sharded.map(async (optimizer, rank) => {
          const mine = ranks[rank]!;
          if (options.reduce === 'none') mine.give(step);
          else mine.give(step, rank, size);
          spoil(step, mine, rank);
          const { applied, gradNorm, nonFinite } = await optimizer.step();
          return { applied, gradNorm, nonFinite } as StepResult;
        }),
      ),
    );
    for (const [rank, { params }] of ranks.entries())
      params.forEach((param, i) => {
        const where = difference(hostOf(param.data), hostOf(one.params[i]!.data));
        expect({ rank, step, name: param.name, where }).toEqual({
          rank,
          step,
          name: param.name,
          where: undefined,
        });
      });
  }
  const bytes = sharded.map((optimizer) => optimizer.stateBytes());
  if (size > 1) expect(Math.max(...bytes)).toBeLessThanOrEqual(alone.stateBytes());
  for (const optimizer of sharded) optimizer.dispose();
  alone.dispose();
  await Promise.all(comms.map((comm) => comm.close()));
  return { results, expected, gathered };
}

const whyNot = noNccl();
if (whyNot) process.stderr.write(`Not tested: Sharded over NCCL (${whyNot}).\n`);

(whyNot ? describe.skip : describe)('Sharded over NCCL', () => {
  describeCuda('in CUDA memory', () => {
    const makes: [string, Make][] = [
      ['AdamW', (params) => new AdamW(params, { lr: 0.05 })],
      ['Lion', (params) => new Lion(params, { lr: 0.05 })],
      ['LAMB', (params) => new LAMB(params, { lr: 0.05 })],
      ['Muon', (params) => new Muon(params, { lr: 0.05, cudaMode: 'tf32' })],
      ['Muon in bfloat16', (params) => new Muon(params, { lr: 0.05, weightDecay: 0.1, nsDtype: 'bfloat16' })],
      [
        'Muon of groups',
        (params) =>
          new Muon(
            [
              { params: params.slice(0, 5), cudaMode: 'standard', adjustLr: 'matchRmsAdamw' },
              { params: params.slice(5, 7), nsForm: 'gram', maximize: true },
              { params: [params[7]!], split: 3, maximize: true, adjustLr: 'rmsToRms' },
              ...params.slice(8).map((param, i) => ({ params: [param], lr: 0.01 * i })),
            ],
            { lr: 0.05, nsDtype: 'bfloat16', stateDtype: 'bfloat16' },
          ),
      ],
      ['AdamW of bfloat16 states', (params) => new AdamW(params, { lr: 0.05, stateDtype: 'bfloat16' })],
    ];

    test.each(makes)(
      '%s on 1, 2 and 3 ranks has the bits of one optimizer',
      async (_, make) => {
        for (const size of [1, 2, 3]) await compare(size, make, { stage: size === 2 ? 1 : 2 });
      },
      60_000,
    );

    test('so it is with stochastic rounding', async () => {
      const make: Make = (params) => new AdamW(params, { lr: 0.05, rounding: 'stochastic', seed: 7 });
      await compare(2, make, { reduce: 'none' }, 'bfloat16');
    }, 60_000);

    test.each(['AdamW', 'LAMB'])(
      '%s is clipped by the norm of all ranks',
      async (name) => {
        const Class = name === 'AdamW' ? AdamW : LAMB;
        const { results, expected } = await compare(
          3,
          (params) => new Class(params, { lr: 0.05, maxGradNorm: 20 }),
        );
        results.forEach((all, step) => {
          expect(expected[step]!.gradNorm).toBeGreaterThan(20);
          for (const result of all) expect(result).toEqual(expected[step]);
        });
      },
      60_000,
    );

    test('a step is skipped on all ranks where a gradient of one is not finite', async () => {
      const schedule = (step: number): number => 0.1 / (1 + step);
      const { results, expected } = await compare(
        2,
        (params) =>
          new SGD(params, { lr: 0.05, nonFinite: 'skip', maxGradNorm: 50 }).schedule({ lr: schedule }),
        { stage: 2 },
        'float32',
        (step, { params }, rank) => {
          if (step !== 1 || rank === 0) return;
          const grad = new Float32Array(100_003);
          grad[70_000] = NaN;
          params[2]!.grad = cuda.from(grad, { device: (params[2]!.data as CudaTensor).device });
        },
      );
      expect(expected.map(({ applied }) => applied)).toEqual([true, false, true, true]);
      results.forEach((all, step) => {
        for (const result of all) expect(result).toEqual(expected[step]);
      });
    }, 60_000);

    test.each<[string, MuonOptions, boolean]>([
      ['bfloat16', { nsDtype: 'bfloat16' }, true],
      ['bfloat16, standard', { nsDtype: 'bfloat16', nsForm: 'gram', cudaMode: 'standard' }, true],
      ['float32, standard', { cudaMode: 'standard' }, true],
      ['bfloat16 in the Gram form', { nsDtype: 'bfloat16', nsForm: 'gram' }, false],
      ['bfloat16, auto', { nsDtype: 'bfloat16', nsForm: 'auto' }, false],
      ['bfloat16, precise', { nsDtype: 'bfloat16', cudaMode: 'precise' }, false],
      ['bfloat16, fast', { nsDtype: 'bfloat16', cudaMode: 'fast' }, false],
      ['bfloat16, tf32', { nsDtype: 'bfloat16', cudaMode: 'tf32' }, false],
    ])('Muon in %s gathers directions where they are bfloat16', async (_, options, isHalf) => {
      const make: Make = (params) => new Muon(params, { lr: 0.05, maxGradNorm: 20, ...options });
      const { gathered } = await compare(2, make, { stage: 2 });
      const has = (i: number, step: number): boolean => (i + step) % 5 !== 4;
      const bytes = shapes.flatMap((shape, i) =>
        [0, 1, 2, 3].map((step) => (has(i, step) ? sizeOf(shape) * (shape.length > 1 && isHalf ? 2 : 4) : 0)),
      );
      expect(gathered).toBe(bytes.reduce((sum, one) => sum + one, 0));
    });

    test("streams of one's own are refused", async () => {
      const stream = cuda.stream();
      const { params } = rankOn(0);
      const [comm] = await ncclRanks(1);
      expect(() => new Sharded(comm!, (all) => new AdamW(all, { stream }), { params })).toThrow(
        'Expected stream of an optimizer in Sharded to be left out but received one.',
      );
      const [other] = await ncclRanks(1, () => ({ stream }));
      expect(() => new Sharded(other!, (all) => new AdamW(all), { params })).toThrow(
        'Expected stream of the communicator in Sharded to be left out but received one.',
      );
      await Promise.all([comm!.close(), other!.close()]);
    });

    test('a CUDA graph is refused', async () => {
      const [comm] = await ncclRanks(1);
      const { params } = rankOn(0);
      expect(() => new Sharded(comm!, (all) => new AdamW(all, { cudaGraph: true }), { params })).toThrow(
        'Expected cudaGraph of an optimizer in Sharded to be false but received true.',
      );
      await comm!.close();
    });
  });
});
