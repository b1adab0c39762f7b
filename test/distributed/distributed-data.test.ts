import { DistributedData, SGD, type Parameter } from 'fused-optim';
import { ranksOf } from '../helpers/ranks';
import { toBf16 } from '../helpers/lowp';

const paramsOf = (rank: number): Parameter[] => [
  { name: 'a', data: Float32Array.of(1 + rank, 2), grad: Float32Array.of(rank, 4 * rank) },
  { name: 'b', data: Float32Array.of(7), grad: null },
  { name: 'c', data: new Float64Array(3), grad: Float64Array.of(rank, 2, 1) },
  {
    name: 'd',
    dtype: 'bfloat16',
    data: new Uint16Array(2),
    grad: Uint16Array.of(toBf16(rank), toBf16(3 * rank)),
  },
  { name: 'e', data: new Float32Array(3), grad: new Float32Array(3).fill(rank) },
];

const all = <T>(
  size: number,
  work: (data: DistributedData, params: Parameter[], rank: number) => Promise<T>,
  bucketBytes?: number,
) =>
  Promise.all(
    ranksOf(size).comms.map((comm, rank) => {
      const params = paramsOf(rank);
      return work(
        new DistributedData(comm, params, bucketBytes === undefined ? {} : { bucketBytes }),
        params,
        rank,
      );
    }),
  );

test.each([1, 8, 1 << 20])(
  'gradients become the mean, in place (buckets of %i bytes)',
  async (bucketBytes) => {
    await all(
      3,
      async (data, params) => {
        const before = params.map(({ grad }) => grad);
        await data.average();
        expect(params.map(({ grad }) => grad)).toEqual([
          Float32Array.of(1, 4),
          null,
          Float64Array.of(1, 2, 1),
          Uint16Array.of(toBf16(1), toBf16(3)),
          Float32Array.of(1, 1, 1),
        ]);
        params.forEach(({ grad }, i) => expect(grad).toBe(before[i]));
      },
      bucketBytes,
    );
  },
);

test('an array that two parameters share is averaged once', async () => {
  const grads = await Promise.all(
    ranksOf(2).comms.map(async (comm, rank) => {
      const grad = Float32Array.of(rank);
      const params = [0, 1].map((i) => ({ name: `${i}`, data: new Float32Array(1), grad }));
      await new DistributedData(comm, params).average();
      return grad[0];
    }),
  );
  expect(grads).toEqual([0.5, 0.5]);
});

test('parameters become those of a rank; training then goes the same way on all', async () => {
  const weights = await all(2, async (data, params) => {
    await data.broadcast(1);
    const optimizer = new SGD(params, { lr: 1 });
    await data.average();
    optimizer.step();
    return params.map(({ data: array }) => Array.from(array as Float32Array));
  });
  expect(weights[0]).toEqual(weights[1]);
  expect(weights[0]![0]).toEqual([2 - 0.5, 2 - 2]);
});

describe('refusals', () => {
  const messages = (size: number, spoil: (params: Parameter[], rank: number) => void): Promise<string[]> =>
    all(size, async (data, params, rank) => {
      spoil(params, rank);
      return data.average().then(
        () => 'nothing',
        (error: unknown) => (error as Error).message,
      );
    });

  test('a gradient that one rank has not', async () => {
    const got = await messages(3, (params, rank) => rank === 2 && (params[0]!.grad = null));
    for (const message of got)
      expect(message).toMatch(
        /^Expected all ranks to have the same gradients in average\(\) of DistributedData but/,
      );
  });

  test('a gradient that is none, on one rank', async () => {
    const got = await messages(2, (params, rank) => rank === 1 && (params[0]!.grad = new Float32Array(3)));
    expect(got[1]).toBe('Expected grad of "a" to have 2 elements but received 3.');
    expect(got[0]).toBe(
      'Expected all ranks to take part in average() of DistributedData but rank 1 failed: see its error.',
    );
  });

  test('what is no communicator, options that are not known', () => {
    expect(() => new DistributedData({} as never, paramsOf(0))).toThrow(
      'Expected the first argument of DistributedData to be a communicator, as mpi() makes one, but received an object.',
    );
    const [comm] = ranksOf(1).comms;
    expect(() => new DistributedData(comm!, paramsOf(0), { bucketBytes: 0 })).toThrow(
      'Expected bucketBytes of DistributedData to be an integer >= 1 but received 0.',
    );
    expect(() => new DistributedData(comm!, paramsOf(0), { buckets: 1 } as never)).toThrow(
      'Unknown option "buckets" for DistributedData',
    );
  });
});
