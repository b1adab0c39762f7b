// Ranks of NCCL in one process, which only the stand-in for a GPU has: NCCL wants a GPU for each.
import { cuda, nccl, type Communicator, type CudaDType, type NcclOptions } from 'fused-optim';
import { nativeCuda } from '../../lib/native';
import { load, store } from './lowp';

/** Why there is no NCCL to test with; empty where there is. */
export const noNccl = (): string => {
  const { addon, reason } = nativeCuda();
  return addon && !reason ? addon.nccl().reason : reason;
};

/** What a launcher would have set for this rank; without a value: not set. */
export async function withEnvironment<T>(
  variables: Readonly<Record<string, string | undefined>>,
  run: () => Promise<T>,
): Promise<T> {
  const before = Object.fromEntries(Object.keys(variables).map((name) => [name, process.env[name]]));
  const set = (values: typeof variables): void => {
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) Reflect.deleteProperty(process.env, name);
      else process.env[name] = value;
    }
  };
  set(variables);
  try {
    return await run();
  } finally {
    set(before);
  }
}

export const noLauncher: Readonly<Record<string, undefined>> = Object.fromEntries(
  ['RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT', 'NCCL_COMM_ID']
    .concat(['SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_STEP_NUM_TASKS', 'SLURM_LOCALID', 'SLURM_JOB_ID'])
    .concat(['SLURM_STEP_ID', 'SLURM_STEP_NODELIST', 'SLURM_JOB_NODELIST', 'SLURM_LAUNCH_NODE_IPADDR'])
    .concat([
      'OMPI_COMM_WORLD_RANK',
      'OMPI_COMM_WORLD_LOCAL_RANK',
      'PMI_RANK',
      'PMIX_RANK',
      'MPI_LOCALRANKID',
    ])
    .map((name) => [name, undefined]),
);

let meetings = 0;

/** So many ranks that have met, in turns on the devices that there are. */
export function ncclRanks(
  size: number,
  options: (rank: number) => NcclOptions = () => ({}),
): Promise<Communicator[]> {
  const devices = cuda.devices();
  const address = `here:${(meetings += 1)}`;
  return withEnvironment({ ...noLauncher, NCCL_COMM_ID: address }, () =>
    Promise.all(
      Array.from({ length: size }, (_, rank) =>
        nccl({ rank, size, device: devices[rank % devices.length]!.index, ...options(rank) }),
      ),
    ),
  );
}

/** Runs a test with so many ranks, and closes them. */
export async function withRanks(
  size: number,
  test: (comms: readonly Communicator[]) => Promise<void>,
  options?: (rank: number) => NcclOptions,
): Promise<void> {
  const comms = await ncclRanks(size, options);
  try {
    await test(comms);
  } finally {
    await Promise.all(comms.map((comm) => comm.close()));
  }
}

/** The same call on every rank. */
export const everywhere = <T>(
  comms: readonly Communicator[],
  call: (comm: Communicator, rank: number) => Promise<T>,
): Promise<T[]> => Promise.all(comms.map(call));

/** What each rank's call has been rejected with. */
export const messages = (
  comms: readonly Communicator[],
  call: (comm: Communicator, rank: number) => Promise<unknown>,
): Promise<string[]> =>
  Promise.all(
    comms.map(async (comm, rank) => {
      try {
        await call(comm, rank);
        return 'no error';
      } catch (error) {
        return (error as Error).message;
      }
    }),
  );

export type RealDType = Exclude<CudaDType, 'uint8'>;
type Stored = ReturnType<typeof store>;

export const stored = (numbers: readonly number[], dtype: RealDType): Stored =>
  store(dtype === 'float64' ? Float64Array.from(numbers) : Float32Array.from(numbers), dtype);

export const numbersOf = (array: ArrayLike<number>, dtype: CudaDType): number[] =>
  dtype === 'float64' || dtype === 'uint8' ? Array.from(array) : [...load(array, dtype)];
