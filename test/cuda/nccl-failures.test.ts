import { cuda, nccl, type Communicator, type NcclOptions } from 'fused-optim';
import { describeStandIn, standIn } from '../helpers/cuda';
import { resizable } from '../helpers/memory';
import { everywhere, messages, ncclRanks, noLauncher, withEnvironment, withRanks } from '../helpers/nccl';
import { ranksOf } from '../helpers/ranks';

const messageOf = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
    return 'no error';
  } catch (error) {
    return (error as Error).message;
  }
};
const floats = (length: number): Float32Array => new Float32Array(length);

describeStandIn('calls of NCCL that do not fit each other', () => {
  const wrong: [string, (comm: Communicator, rank: number) => Promise<void>, string][] = [
    ['kinds', (comm, rank) => (rank === 1 ? comm.broadcast(floats(3)) : comm.allReduce(floats(3))), 'Expected the call to be the same on all ranks but it is allReduce() on rank 0 and broadcast() on rank 1.'],
    ['lengths', (comm, rank) => comm.allReduce(floats(rank === 2 ? 4 : 3)), 'Expected the number of elements of allReduce() to be the same on all ranks but it is 3 on rank 0 and 4 on rank 2.'],
    ['dtypes', (comm, rank) => comm.allReduce(rank === 1 ? new Float64Array(3) : floats(3)), 'Expected dtype of allReduce() to be the same on all ranks but it is float32 on rank 0 and float64 on rank 1.'],
    ['dtypes of 16 bits', (comm, rank) => comm.allReduce(new Uint16Array(3), { dtype: rank === 1 ? 'float16' : 'bfloat16' }), 'but it is bfloat16 on rank 0 and float16 on rank 1.'],
    ['operations', (comm, rank) => comm.allReduce(floats(3), { op: rank === 1 ? 'max' : 'mean' }), 'Expected op of allReduce() to be the same on all ranks but it is mean on rank 0 and max on rank 1.'],
    ['roots', (comm, rank) => comm.broadcast(floats(3), rank), 'Expected root of broadcast() to be the same on all ranks but it is 0 on rank 0 and 1 on rank 1.'],
    ['counts', (comm, rank) => comm.allGather(floats(1), floats(3), { counts: rank === 0 ? undefined : [1, 1, 1] }), 'Expected counts of allGather() to be the same on all ranks but it differs between rank 0 and rank 1.'],
    ['shares', (comm, rank) => comm.reduceScatter(floats(3 * (rank + 1)), floats(rank + 1)), 'Expected the number of elements of reduceScatter() to be the same on all ranks but it is 3 on rank 0 and 6 on rank 1.'],
    ['a barrier', (comm, rank) => (rank === 2 ? comm.barrier() : comm.broadcast(Uint8Array.of(1))), 'but it is broadcast() on rank 0 and barrier() on rank 2.'],
  ]; // prettier-ignore

  test.each(wrong)('are rejected on all ranks: %s', async (_, call, message) => {
    await withRanks(3, async (comms) => {
      for (const received of await messages(comms, call)) expect(received).toContain(message);
      // Nothing else is the matter.
      const data = comms.map(() => Float32Array.of(1));
      await everywhere(comms, (comm, rank) => comm.allReduce(data[rank]!));
      expect(data.map(([x]) => x)).toEqual([3, 3, 3]);
    });
  });

  test('are rejected over another communicator too, and nothing is written', async () => {
    const { comms: over, bytes } = ranksOf(2);
    await withRanks(
      2,
      async (comms) => {
        bytes.allGather = 0;
        const data = [Float32Array.of(1), Float32Array.of(2, 3)];
        const received = await messages(comms, (comm, rank) => comm.allReduce(data[rank]!));
        for (const message of received) expect(message).toContain('it is 1 on rank 0 and 2 on rank 1');
        expect(data).toEqual([Float32Array.of(1), Float32Array.of(2, 3)]);
        expect(bytes.allGather).toBe(2 * 48);
      },
      (rank) => ({ over: over[rank]!, rank: undefined, size: undefined }),
    );
  });

  test('may be 16 bits that one rank knows better than another', async () => {
    await withRanks(2, async (comms) => {
      const data = [Uint16Array.of(7), Uint16Array.of(0)];
      await everywhere(comms, (comm, rank) =>
        comm.broadcast(data[rank]!, 0, rank === 0 ? { dtype: 'float16' } : {}),
      );
      expect(data[1]).toEqual(Uint16Array.of(7));
    });
  });
});

describeStandIn('arguments of a collective', () => {
  const far = (): unknown => cuda.tensor([4], 'float32', { device: 1 });
  const overlapping = (comm: Communicator): unknown => {
    const all = cuda.tensor([4]);
    return comm.allGather(all.subarray(1, 3), all.subarray(0, 2));
  };
  const freed = cuda.isAvailable() ? cuda.tensor([2], 'float32', { name: 'w' }) : undefined;
  freed?.free();
  const detached = floats(2);
  structuredClone(detached.buffer, { transfer: [detached.buffer as ArrayBuffer] });
  const wrong: [string, (comm: Communicator) => unknown, string][] = [
    ['no array', (comm) => comm.allReduce([1] as never), 'Expected data of allReduce() to be a Float32Array, Float64Array, Float16Array, Uint16Array, Uint8Array or CudaTensor but received [1].'],
    ['another array', (comm) => comm.allReduce(new Int32Array(2) as never), 'Expected data of allReduce() to be a Float32Array'],
    ['bytes to add', (comm) => comm.allReduce(new Uint8Array(2)), 'Expected data of allReduce() to hold floats, which can be reduced, but received a Uint8Array of bytes.'],
    ['16 bits of an unknown kind', (comm) => comm.allReduce(new Uint16Array(2)), 'Expected dtype for data of allReduce(), a Uint16Array, to be "bfloat16" or "float16" but received undefined.'],
    ['a wrong dtype', (comm) => comm.allReduce(floats(2), { dtype: 'float16' }), 'Expected dtype for data of allReduce(), a Float32Array, to be "float32" or left out but received "float16".'],
    ['a dtype that a tensor has not', (comm) => comm.broadcast(cuda.tensor([2]), 0, { dtype: 'float16' }), 'to be "float32" or left out but received "float16".'],
    ['another operation', (comm) => comm.allReduce(floats(2), { op: 'min' as never }), 'Expected op of allReduce() to be "sum", "mean" or "max" but received "min"'],
    ['an unknown option', (comm) => comm.allReduce(floats(2), { dtpe: 'float16' } as never), 'Unknown option "dtpe" for allReduce(): did you mean "dtype"?'],
    ['a tensor elsewhere', (comm) => comm.allReduce(far() as never), 'Expected data of allReduce() to be on device 0, as the communicator is, but received one on device 1.'],
    ['a tensor that was freed', (comm) => comm.allReduce(freed!), 'Expected data of allReduce() to have memory but tensor "w" was freed.'],
    ['a root that there is not', (comm) => comm.broadcast(floats(2), 1), 'Expected root of broadcast() to be a rank in [0, 1) but received 1.'],
    ['a root in words', (comm) => comm.broadcast(floats(2), '0' as never), 'Expected root of broadcast() to be a number but received "0".'],
    ['too short a share', (comm) => comm.allGather(floats(2), floats(3)), 'Expected receive of allGather() to have 2 elements, 1 times those of send of allGather(), but received 3; ranks with'],
    ['a share unlike its count', (comm) => comm.reduceScatter(floats(2), floats(3), { counts: [2] }), 'Expected receive of reduceScatter() to have 2 elements, counts[0], but received 3.'],
    ['counts of other ranks', (comm) => comm.allGather(floats(2), floats(4), { counts: [2, 2] }), 'Expected counts of allGather() to be 1 numbers, one for each rank, but received 2.'],
    ['half a count', (comm) => comm.allGather(floats(2), floats(2), { counts: [1.5] }), 'Expected counts[0] of allGather() to be a whole number of at least 0 but received 1.5'],
    ['counts in words', (comm) => comm.allGather(floats(2), floats(2), { counts: '2' as never }), 'Expected counts of allGather() to be an array of numbers but received "2".'],
    ['two dtypes', (comm) => comm.allGather(floats(2), new Float64Array(2)), 'Expected receive of allGather() and send of allGather() to have one dtype but received float64 and float32.'],
    ['memory that overlaps', overlapping, 'Expected send of allGather() to be this rank\'s place in receive, or apart from it, but they overlap.'],
    ['memory that has gone', (comm) => comm.allReduce(detached), 'Expected data of allReduce() to have memory but its buffer is detached.'],
    ['a buffer that may shrink', (comm) => comm.allReduce(new Float32Array(resizable(8, 16))), 'Expected data of allReduce() to be over a buffer of fixed size but received a resizable one.'],
  ]; // prettier-ignore

  let comm: Communicator;
  beforeAll(async () => (comm = await nccl({ rank: 0, size: 1, device: 0 })));
  afterAll(() => comm.close());
  test.each(wrong)('are refused: %s', (_, call, message) => {
    expect(() => call(comm)).toThrow(message);
  });
});

describeStandIn('a failure of NCCL', () => {
  afterEach(() => standIn.fail(''));
  const data = (): Float32Array => Float32Array.of(1);

  test('ends all ranks, and every later call for the same reason', async () => {
    const comms = await ncclRanks(3, () => ({ checks: false }));
    standIn.fail('ncclAllReduce:2');
    const received = await messages(comms, (comm) => comm.allReduce(data()));
    expect(received.filter((message) => message.includes('a test has planned it'))).toHaveLength(1);
    for (const message of received)
      expect(message).toMatch(
        /^Expected all 3 ranks to take part in allReduce\(\) but ncclAllReduce failed with nccl(System|Remote)Error/,
      );
    for (const [rank, comm] of comms.entries()) {
      expect(await messageOf(comm.barrier())).toBe(received[rank]);
      expect(await messageOf(comm.broadcast(data()))).toBe(received[rank]);
    }
    await everywhere(comms, (comm) => comm.close());
    expect(await messageOf(comms[0]!.barrier())).toBe(
      'Expected the communicator to be open for barrier() but it was closed.',
    );
  });

  // Freed memory of earlier tests may take the ninth record, so those behind it fail too.
  test.each(['ncclCommGetAsyncError:1', 'ncclGroupEnd:1', 'cudaEventRecord:9+', 'sticky:1'])(
    'such as %s ends in bounded time, with calls in flight',
    async (plan) => {
      const comms = await ncclRanks(2, () => ({ timeout: 0.5 }));
      standIn.fail(plan);
      const received = await messages(comms, (comm, rank) =>
        Promise.all([
          comm.allReduce(data(), { op: 'mean' }),
          comm.allGather(floats(rank), floats(1), { counts: [0, 1] }),
          comm.allGather(floats(2 * rank + 1), floats(4), { counts: [1, 3] }),
        ]),
      );
      expect(received.some((message) => message.startsWith('Expected all 2 ranks to take part in'))).toBe(
        true,
      );
      standIn.fail('');
      if (plan.startsWith('sticky')) standIn.revive();
      await everywhere(comms, (comm) => comm.close());
    },
  );

  test('is a rank that has gone: the others give up after the timeout', async () => {
    const comms = await ncclRanks(2, () => ({ timeout: 0.2 }));
    const started = Date.now();
    expect(await messageOf(comms[0]!.allReduce(data()))).toBe(
      'Expected all 2 ranks to take part in allReduce() but nothing has happened for 0.2 s on rank 0. The launcher, or an ' +
        'option over, may say which has gone.',
    );
    expect(Date.now() - started).toBeLessThan(5000);
    // What it has left behind ends the other at once.
    expect(await messageOf(comms[1]!.allReduce(data()))).toContain('ncclRemoteError');
    await everywhere(comms, (comm) => comm.close());
  });

  test('is work that the device never does', async () => {
    const comms = await ncclRanks(1, () => ({ timeout: 0.2 }));
    standIn.fail('notready:100000000');
    expect(await messageOf(comms[0]!.allReduce(data()))).toContain('nothing has happened for 0.2 s');
    standIn.fail('');
    await comms[0]!.close();
  });

  test('is named by another communicator', async () => {
    const { comms: over } = ranksOf(2);
    const gone = new Error('Expected rank 1 to take part in allGather() but it has gone.');
    let dead = false;
    const mortal = (comm: Communicator): Communicator =>
      new Proxy(comm, {
        get: (target, name) =>
          dead && (name === 'allGather' || name === 'barrier')
            ? () => Promise.reject(gone)
            : ((target[name as 'size'] as unknown as () => unknown).bind?.(target) ?? target[name as 'size']),
      });
    const comms = await ncclRanks(2, (rank) => ({
      over: mortal(over[rank]!),
      rank: undefined,
      size: undefined,
    }));
    dead = true;
    expect(await messageOf(comms[0]!.allReduce(data()))).toBe(gone.message);
    expect(await messageOf(comms[0]!.barrier())).toBe(gone.message);
    await everywhere(comms, (comm) => comm.close());
    dead = false;
    const others = await ncclRanks(2, (rank) => ({
      over: mortal(over[rank]!),
      rank: undefined,
      size: undefined,
      checks: false,
      timeout: 0.2,
    }));
    dead = true;
    expect(await messageOf(others[0]!.allReduce(data()))).toBe(
      'Expected all 2 ranks to take part in allReduce() but Expected rank 1 to take part in allGather() but it has gone ' +
        '(rank 0: nothing has happened for 0.2 s on rank 0).',
    );
    await everywhere(others, (comm) => comm.close());
  });

  test('that is not told ends with the process', async () => {
    // Never closed: the collector, or the end of the environment, takes it.
    const [comm] = await ncclRanks(1);
    await comm!.barrier();
  });
});

describeStandIn('nccl()', () => {
  afterEach(() => standIn.fail(''));
  const alone = (options: NcclOptions, env: NodeJS.ProcessEnv = {}): Promise<string> =>
    withEnvironment({ ...noLauncher, ...env }, () => messageOf(nccl(options)));

  const wrong: [string, NcclOptions, string][] = [
    ['an unknown option', { timout: 1 } as never, 'Unknown option "timout" for nccl(): did you mean "timeout"?'],
    ['no options', 3 as never, 'Expected options of nccl() to be an object but received 3'],
    ['no time', { timeout: 0 }, 'Expected timeout of nccl() to be a number > 0 of seconds but received 0.'],
    ['time in words', { timeout: '1' as never }, 'Expected timeout of nccl() to be a number > 0 of seconds but received "1".'],
    ['checks in words', { checks: 'no' as never }, 'Expected checks of nccl() to be true or false but received "no".'],
    ['a rank without a size', { rank: 0 }, 'Expected size of nccl() to be an integer >= 1, beside rank, but received undefined.'],
    ['a size without a rank', { size: 2 }, 'Expected rank of nccl() to be an integer in [0, 2), beside size, but received undefined.'],
    ['a rank past the size', { rank: 2, size: 2 }, 'Expected rank of nccl() to be an integer in [0, 2) but received 2.'],
    ['half a rank', { rank: 0.5, size: 2 }, 'but received 0.5.'],
    ['no ranks', { rank: 0, size: 0 }, 'Expected size of nccl() to be an integer >= 1 but received 0.'],
    ['a device that is not there', { rank: 0, size: 1, device: 7 }, 'Expected device of nccl() to be one of 0, 1 but received 7.'],
    ['a stream elsewhere', { rank: 0, size: 1, device: 0, get stream() { return cuda.stream({ device: 1 }); } }, 'Expected the stream of nccl() to be on device 0 but it is on device 1.'],
    ['something else to go over', { over: {} as never }, 'Expected over of nccl() to be a communicator, such as await mpi(), but received an object.'],
    ['two ranks', { over: ranksOf(1).comms[0]!, rank: 0 }, 'Expected rank and size of nccl() to be those of over but they are options too.'],
  ]; // prettier-ignore
  test.each(wrong)('refuses %s', async (_, options, message) => {
    expect(await alone(options)).toContain(message);
  });

  const environments: [string, NodeJS.ProcessEnv, string][] = [
    ['no launcher', {}, 'Expected nccl() to know its rank but no launcher has started it. Start it with torchrun or srun; with mpirun, pass over: await mpi(); for a process of its own, rank: 0 and size: 1.'],
    ['mpirun', { OMPI_COMM_WORLD_RANK: '0' }, 'Expected nccl() to know its rank but it was started by mpirun, which names no address.'],
    ['a rank in words', { RANK: 'first', WORLD_SIZE: '2' }, 'Expected RANK to be an integer in [0, 2) for nccl() but received "first".'],
    ['a rank past the size', { RANK: '2', WORLD_SIZE: '2' }, 'Expected RANK to be an integer in [0, 2) for nccl() but received "2".'],
    ['no size', { RANK: '0' }, 'Expected WORLD_SIZE to be set beside RANK, as torchrun does, for nccl() but it is missing.'],
    ['no address', { RANK: '0', WORLD_SIZE: '2' }, 'Expected MASTER_ADDR to be set for nccl(), so that ranks find rank 0, but it is missing.'],
    ['no port', { RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: 'a' }, 'Expected MASTER_PORT to be set for nccl()'],
    ['a port past the last', { RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: 'a', MASTER_PORT: '65535' }, 'Expected MASTER_PORT to be an integer in [1, 65535) for nccl() but received "65535".'],
    ['too few GPUs', { RANK: '0', WORLD_SIZE: '1', LOCAL_RANK: '5' }, 'Expected LOCAL_RANK to be less than 2, the number of GPUs here, for nccl() but received 5'],
    ['an address that NCCL cannot read', { RANK: '0', WORLD_SIZE: '2', NCCL_COMM_ID: 'nowhere' }, 'Expected 2 ranks to meet at nowhere within 300 s for nccl() but, on rank 0, ncclGetUniqueId failed with ncclInvalidArgument (4)'],
  ]; // prettier-ignore
  test.each(environments)('says what is missing: %s', async (_, env, message) => {
    expect(await alone({}, env)).toContain(message);
  });

  /** Both ranks of a job of two, as their launcher tells them; their processes are this one in turn. */
  const pair = async (env: (rank: string) => NodeJS.ProcessEnv): Promise<Communicator[]> =>
    Promise.all(['0', '1'].map((rank) => withEnvironment({ ...noLauncher, ...env(rank) }, () => nccl())));
  const inTurn: [string, (rank: string) => NodeJS.ProcessEnv][] = [
    ['torchrun', (rank) => ({ RANK: rank, WORLD_SIZE: '2', LOCAL_RANK: rank, MASTER_ADDR: 'host', MASTER_PORT: '29500' })],
    ['srun', (rank) => ({ SLURM_PROCID: rank, SLURM_NTASKS: '2', SLURM_LOCALID: rank, SLURM_JOB_ID: '77', SLURM_STEP_NODELIST: 'node[03-07,11],login' })],
    ['srun with an address', (rank) => ({ SLURM_PROCID: rank, SLURM_STEP_NUM_TASKS: '2', SLURM_NTASKS: '5', SLURM_LOCALID: rank, MASTER_ADDR: '::1', MASTER_PORT: '7' })],
  ]; // prettier-ignore
  test.each(inTurn)('is started by %s', async (_, env) => {
    const comms = await pair(env);
    expect(comms.map(({ rank, size }) => [rank, size])).toEqual([[0, 2], [1, 2]]); // prettier-ignore
    const tensors = [0, 1].map((device) => cuda.from(Float32Array.of(device + 1), { device }));
    await everywhere(comms, (comm, rank) => comm.allReduce(tensors[rank]!));
    for (const tensor of tensors) expect([...tensor.download()]).toEqual([3]);
    await everywhere(comms, (comm) => comm.close());
  });

  test('exchanges the id over another communicator', async () => {
    for (let round = 0; round < 2; ++round) {
      const { comms: over } = ranksOf(3);
      const comms = await everywhere(over, (one, rank) => nccl({ over: one, device: rank % 2 }));
      const data = comms.map((_, rank) => Float32Array.of(rank));
      await everywhere(comms, (comm, rank) => comm.allReduce(data[rank]!));
      expect(data.map(([x]) => x)).toEqual([3, 3, 3]);
      await everywhere(comms, (comm) => comm.close());
    }
  });

  test('tells all ranks over it what keeps one from beginning', async () => {
    const { comms: over } = ranksOf(2);
    const received = await messages(over, (one, rank) => nccl({ over: one, device: rank === 1 ? 9 : 0 }));
    const why = 'Expected device of nccl() to be one of 0, 1 but received 9.';
    expect(received).toEqual([`Expected all ranks to begin nccl() but rank 1 cannot: ${why}`, why]);
  });

  test('has ranks agree on checks', async () => {
    const received = await messages([0, 1] as never, (_, rank) =>
      withEnvironment({ ...noLauncher, NCCL_COMM_ID: 'checks:1' }, () =>
        nccl({ rank, size: 2, device: 0, checks: rank === 0 }),
      ),
    );
    for (const message of received)
      expect(message).toBe(
        'Expected checks of nccl() to be the same on all ranks but it is true on rank 0 and false on rank 1.',
      );
  });

  test('gives up when not all come, or one comes twice, or has another size', async () => {
    const meet = (address: string, options: NcclOptions): Promise<string> =>
      alone({ device: 0, timeout: 0.2, ...options }, { NCCL_COMM_ID: address });
    expect(await meet('late:1', { rank: 0, size: 2 })).toContain(
      'Expected 2 ranks to meet at late:1 within 0.2 s for nccl() but, on rank 0, ncclCommInitRankConfig failed with ncclTimeout',
    );
    const twice = await Promise.all([
      meet('twice:1', { rank: 0, size: 2 }),
      meet('twice:1', { rank: 0, size: 2 }),
    ]);
    expect(twice.join()).toContain('rank 0 of 2 ranks has already checked in');
    const sizes = await Promise.all([
      meet('sizes:1', { rank: 0, size: 2 }),
      meet('sizes:1', { rank: 1, size: 3 }),
    ]);
    expect(sizes.join()).toContain('mismatch in rank count from procs');
  });

  test.each(['ncclGetUniqueId:1', 'ncclCommInitRankConfig:1'])('says so when %s fails', async (plan) => {
    standIn.fail(plan);
    expect(await alone({ rank: 0, size: 1, device: 0 })).toContain('a test has planned it');
  });
});
