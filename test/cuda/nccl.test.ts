import { cuda, nccl, type Communicator, type CommArray } from 'fused-optim';
import { describeCuda, describeStandIn, standIn } from '../helpers/cuda';
import { toBf16, toF16 } from '../helpers/lowp';
import { everywhere, noNccl, numbersOf, stored, withRanks, type RealDType } from '../helpers/nccl';

const dtypes = ['float32', 'float64', 'bfloat16', 'float16'] as const;
const ops = ['sum', 'mean', 'max'] as const;
const sizes = [1, 2, 3, 4];

/** Small integers, so that sums are exact in every dtype. */
const numberOf = (rank: number, i: number): number => (rank + 1) * ((i % 7) - 3) + (i % 3);
const numbers = (rank: number, length: number, first = 0): number[] =>
  Array.from({ length }, (_, i) => numberOf(rank, first + i));

/** A true quotient, rounded once. */
function rounded(value: number, dtype: RealDType): number {
  if (dtype === 'float64') return value;
  if (dtype === 'float32') return Math.fround(value);
  const half = dtype === 'bfloat16' ? toBf16(Math.fround(value)) : toF16(Math.fround(value));
  return numbersOf(Uint16Array.of(half), dtype)[0]!;
}

function reduced(op: (typeof ops)[number], size: number, i: number, dtype: RealDType): number {
  const all = Array.from({ length: size }, (_, rank) => numberOf(rank, i));
  if (op === 'max') return Math.max(...all);
  const sum = all.reduce((a, b) => a + b);
  return op === 'sum' ? sum : rounded(sum / size, dtype) + 0;
}

/** As an array of the host or, where `where` says so, as a tensor on the rank's device. */
function make(
  where: 'host' | 'device',
  values: readonly number[],
  dtype: RealDType,
  device: number,
): CommArray {
  const array = stored(values, dtype);
  return where === 'host' ? array : cuda.from(array as never, { dtype, device });
}
const read = (array: CommArray, dtype: RealDType): number[] =>
  numbersOf('download' in array ? array.download() : array, dtype);

const deviceOf = (rank: number): number => {
  const devices = cuda.devices();
  return devices[rank % devices.length]!.index;
};

/** What is freed is given back at the next look, and what that has kept at the one after. */
function synchronize(): void {
  for (let i = 0; i < 2; ++i) for (const { index } of cuda.devices()) cuda.synchronize(index);
}

describeStandIn('NCCL', () => {
  afterEach(() => standIn.fail(''));

  describe.each(sizes)('of %i ranks', (size) => {
    const cases = dtypes.flatMap((dtype) => ops.map((op) => [dtype, op] as const));

    test.each(cases)('reduces %s by %s', async (dtype, op) => {
      await withRanks(size, async (comms) => {
        for (const where of ['host', 'device'] as const)
          for (const length of [1, 1000]) {
            const data = comms.map((_, rank) => make(where, numbers(rank, length), dtype, deviceOf(rank)));
            await everywhere(comms, (comm, rank) => comm.allReduce(data[rank]!, { op, dtype: half(dtype) }));
            const expected = Array.from({ length }, (_, i) => reduced(op, size, i, dtype));
            for (const array of data) expect(read(array, dtype).map((x) => x + 0)).toEqual(expected);
          }
      });
    });

    test.each(cases)('reduces and scatters %s by %s, in equal shares and others', async (dtype, op) => {
      await withRanks(size, async (comms) => {
        const uneven = comms.map((_, rank) => [5, 0, 11, 2][rank]!);
        for (const where of ['host', 'device'] as const)
          for (const counts of [undefined, comms.map(() => 6), uneven]) {
            const shares = counts ?? comms.map(() => 4);
            const total = shares.reduce((a, b) => a + b, 0);
            const send = comms.map((_, rank) => make(where, numbers(rank, total), dtype, deviceOf(rank)));
            const receive = comms.map((_, rank) =>
              make(where, new Array<number>(shares[rank]!).fill(9), dtype, deviceOf(rank)),
            );
            await everywhere(comms, (comm, rank) =>
              comm.reduceScatter(send[rank]!, receive[rank]!, { op, counts, dtype: half(dtype) }),
            );
            let first = 0;
            receive.forEach((array, rank) => {
              const begin = first;
              const expected = Array.from({ length: shares[rank]! }, (_, i) =>
                reduced(op, size, begin + i, dtype),
              );
              expect(read(array, dtype).map((x) => x + 0)).toEqual(expected);
              first += shares[rank]!;
            });
            send.forEach((array, rank) => expect(read(array, dtype)).toEqual(numbers(rank, total)));
          }
      });
    });

    test.each(dtypes)('gathers %s, in equal shares and others, and in place', async (dtype) => {
      await withRanks(size, async (comms) => {
        const uneven = comms.map((_, rank) => [3, 0, 8, 1][rank]!);
        for (const counts of [undefined, uneven]) {
          const shares = counts ?? comms.map(() => 5);
          const starts = shares.map((_, rank) => shares.slice(0, rank).reduce((a, b) => a + b, 0));
          const total = shares.reduce((a, b) => a + b, 0);
          const expected = shares.flatMap((count, rank) => numbers(rank, count));
          for (const where of ['host', 'device'] as const) {
            const send = comms.map((_, rank) =>
              make(where, numbers(rank, shares[rank]!), dtype, deviceOf(rank)),
            );
            const receive = comms.map((_, rank) =>
              make(where, new Array<number>(total).fill(9), dtype, deviceOf(rank)),
            );
            await everywhere(comms, (comm, rank) => comm.allGather(send[rank]!, receive[rank]!, { counts }));
            for (const array of receive) expect(read(array, dtype)).toEqual(expected);
          }
          const whole = comms.map((_, rank) => {
            const values = new Array<number>(total).fill(9);
            values.splice(starts[rank]!, shares[rank]!, ...numbers(rank, shares[rank]!));
            return cuda.from(stored(values, dtype) as never, { dtype, device: deviceOf(rank) });
          });
          await everywhere(comms, (comm, rank) => {
            const all = whole[rank]!;
            const own = all.subarray(starts[rank]!, starts[rank]! + shares[rank]!);
            return comm.allGather(own, all, { counts });
          });
          for (const array of whole) expect(read(array, dtype)).toEqual(expected);
        }
      });
    });

    test('broadcasts every dtype from every root, and bytes', async () => {
      await withRanks(size, async (comms) => {
        for (let root = 0; root < size; ++root) {
          for (const dtype of dtypes)
            for (const where of ['host', 'device'] as const) {
              const data = comms.map((_, rank) => make(where, numbers(rank, 9), dtype, deviceOf(rank)));
              await everywhere(comms, (comm, rank) => comm.broadcast(data[rank]!, root));
              for (const array of data) expect(read(array, dtype)).toEqual(numbers(root, 9));
            }
          const bytes = comms.map((_, rank) => Uint8Array.of(rank, 200 + rank, 3));
          await everywhere(comms, (comm, rank) => comm.broadcast(bytes[rank]!, root));
          for (const array of bytes) expect([...array]).toEqual([root, 200 + root, 3]);
        }
        const defaulted = comms.map((_, rank) => Uint8Array.of(rank));
        await everywhere(comms, (comm, rank) => comm.broadcast(defaulted[rank]!));
        for (const array of defaulted) expect([...array]).toEqual([0]);
      });
    });

    test('gathers bytes', async () => {
      await withRanks(size, async (comms) => {
        const counts = comms.map((_, rank) => rank);
        const all = comms.map(() => new Uint8Array(counts.reduce((a, b) => a + b, 0)));
        await everywhere(comms, (comm, rank) =>
          comm.allGather(new Uint8Array(rank).fill(10 + rank), all[rank]!, { counts }),
        );
        const expected = counts.flatMap((count, rank) => new Array<number>(count).fill(10 + rank));
        for (const array of all) expect([...array]).toEqual(expected);
      });
    });

    test('moves nothing', async () => {
      await withRanks(size, async (comms) => {
        await everywhere(comms, (comm) => comm.allReduce(new Float32Array(0)));
        await everywhere(comms, (comm) => comm.broadcast(new Uint8Array(0)));
        await everywhere(comms, (comm) => comm.allGather(new Float32Array(0), new Float32Array(0)));
        await everywhere(comms, (comm) => comm.reduceScatter(new Float32Array(0), new Float32Array(0)));
      });
    });

    test('has several calls in flight, without checks too', async () => {
      for (const checks of [true, false])
        await withRanks(
          size,
          async (comms) => {
            const data = comms.map((_, rank) =>
              Array.from({ length: 6 }, (_, k) =>
                make('device', numbers(rank, 50, k), 'float32', deviceOf(rank)),
              ),
            );
            const pending = comms.flatMap((comm, rank) => [
              ...data[rank]!.slice(0, 3).map((array) => comm.allReduce(array)),
              comm.barrier(),
              ...data[rank]!.slice(3).map((array) => comm.allReduce(array, { op: 'max' })),
            ]);
            await Promise.all(pending);
            data.forEach((arrays) =>
              arrays.forEach((array, k) => {
                const expected = Array.from({ length: 50 }, (_, i) =>
                  reduced(k < 3 ? 'sum' : 'max', size, k + i, 'float32'),
                );
                expect(read(array, 'float32').map((x) => x + 0)).toEqual(expected);
              }),
            );
          },
          () => ({ checks }),
        );
    });

    test('has barriers that nobody leaves before all have come', async () => {
      await withRanks(size, async (comms) => {
        const left: number[] = [];
        const waiting = comms.slice(1).map((comm, i) => comm.barrier().then(() => left.push(i + 1)));
        await new Promise((resolve) => setTimeout(resolve, 20));
        expect(left).toEqual([]);
        await comms[0]!.barrier();
        await Promise.all(waiting);
      });
    });
  });

  test('comes after what was queued in its stream, and leaves arrays alone until then', async () => {
    using stream = cuda.stream();
    await withRanks(
      1,
      async ([comm]) => {
        using tensor = cuda.tensor([4]);
        using other = cuda.from(new Float32Array([1, 2, 3, 4]));
        tensor.copyFrom(other, { stream });
        await comm!.allReduce(tensor);
        tensor.copyFrom(tensor, { stream });
        expect([...tensor.download()]).toEqual([1, 2, 3, 4]);
      },
      () => ({ stream }),
    );
  });

  test('keeps the memory of tensors that are freed meanwhile, and lets go of it', async () => {
    await withRanks(2, async (comms) => {
      const before = standIn.counters().bytesInUse;
      await everywhere(comms, (comm, rank) => {
        const tensor = cuda.from(new Float32Array(1000), { device: deviceOf(rank) });
        const done = comm.allReduce(tensor);
        tensor.free();
        return done;
      });
      synchronize();
      expect(standIn.counters().bytesInUse).toBeLessThanOrEqual(before);
    });
  });

  test('makes one operation of equal shares, and one for each share of others', async () => {
    await withRanks(
      3,
      async (comms) => {
        const count = async (counts: number[]): Promise<Record<string, number>> => {
          standIn.resetCounters();
          const total = counts.reduce((a, b) => a + b);
          await everywhere(comms, (comm, rank) =>
            comm.allGather(new Float32Array(counts[rank]!), new Float32Array(total), { counts }),
          );
          return standIn.counters().nccl;
        };
        expect(await count([2, 2, 2])).toEqual({ ncclAllGather: 6 }); // with that of the headers
        expect(await count([2, 0, 1])).toEqual({ ncclAllGather: 3, ncclBroadcast: 6 });
      },
      undefined,
    );
  });

  test('leaves nothing behind', async () => {
    const before = standIn.counters();
    await withRanks(2, (comms) =>
      everywhere(comms, (comm) => comm.allReduce(new Float32Array(3))).then(() => undefined),
    );
    synchronize();
    const after = standIn.counters();
    expect(after.communicators).toBe(before.communicators);
    expect(after.bytesInUse).toBeLessThanOrEqual(before.bytesInUse);
  });

  test('gives the same sum whatever the order of work', async () => {
    const results = new Set<string>();
    for (const seed of [1, 2, 3, 4, 5]) {
      standIn.seed(seed);
      await withRanks(3, async (comms) => {
        const data = comms.map((_, rank) => Float32Array.from({ length: 100 }, (_, i) => Math.sin(rank + i)));
        await everywhere(comms, (comm, rank) => comm.allReduce(data[rank]!, { op: 'mean' }));
        for (const array of data) results.add(Buffer.from(array.buffer).toString('hex'));
      });
    }
    expect(results.size).toBe(1);
  });
});

const half = (dtype: RealDType) => (dtype === 'bfloat16' || dtype === 'float16' ? dtype : undefined);

// On a GPU too: one rank, which needs no launcher.
describeCuda('NCCL with one rank', () => {
  let comm: Communicator | undefined;
  const here = async (): Promise<Communicator | undefined> => {
    const reason = noNccl();
    if (reason) process.stderr.write(`Not tested: NCCL with one rank (${reason}).\n`);
    else comm ??= await nccl({ rank: 0, size: 1 });
    return comm;
  };
  afterAll(() => comm?.close());

  test.each(dtypes)('does every collective of %s', async (dtype) => {
    const one = await here();
    if (!one) return;
    expect(one).toMatchObject({ engine: 'nccl', rank: 0, size: 1 });
    const values = numbers(2, 5000);
    const tensor = cuda.from(stored(values, dtype) as never, { dtype });
    for (const op of ops) {
      await one.allReduce(tensor, { op });
      expect(read(tensor, dtype)).toEqual(values);
      const receive = cuda.tensor([5000], dtype);
      await one.reduceScatter(tensor, receive, { op });
      expect(read(receive, dtype)).toEqual(values);
    }
    const gathered = cuda.tensor([5000], dtype);
    await one.allGather(tensor, gathered);
    expect(read(gathered, dtype)).toEqual(values);
    await one.allGather(tensor, tensor);
    await one.broadcast(tensor);
    expect(read(tensor, dtype)).toEqual(values);
    const host = stored(values, dtype);
    await one.allReduce(host, { dtype: half(dtype) });
    expect(numbersOf(host, dtype)).toEqual(values);
    await one.barrier();
  });
});
