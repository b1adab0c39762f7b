import type { CudaDevice } from '../cuda/native';

type Environment = Readonly<Record<string, string | undefined>>;

/** Who this process is among the ranks, and where they meet. */
export interface Launch {
  readonly rank: number;
  readonly size: number;
  /** "host:port", where NCCL's rank 0 listens; empty for one rank. */
  readonly address: string;
}

interface Launcher {
  readonly name: string;
  readonly rank: string;
  readonly size: readonly string[];
}

const launchers: readonly Launcher[] = [
  { name: 'torchrun', rank: 'RANK', size: ['WORLD_SIZE'] },
  { name: 'srun', rank: 'SLURM_PROCID', size: ['SLURM_STEP_NUM_TASKS', 'SLURM_NTASKS'] },
];
const localRanks = ['LOCAL_RANK', 'SLURM_LOCALID', 'OMPI_COMM_WORLD_LOCAL_RANK', 'MPI_LOCALRANKID'];
const mpiRanks = ['OMPI_COMM_WORLD_RANK', 'PMI_RANK', 'PMIX_RANK'];

const howToStart =
  'Start it with torchrun or srun; with mpirun, pass over: await mpi(); for a process of its own, rank: 0 and size: 1.';

/** An integer in [least, most) of a variable; -1 where it is not set. */
function integer(env: Environment, variable: string, least: number, most: number): number {
  const text = env[variable];
  if (text === undefined || text === '') return -1;
  const value = /^\d+$/.test(text) ? Number(text) : NaN;
  if (value >= least && value < most) return value;
  const range = most === Infinity ? `>= ${least}` : `in [${least}, ${most})`;
  throw new RangeError(
    `Expected ${variable} to be an integer ${range} for nccl() but received ${JSON.stringify(text)}.`,
  );
}

function ranksOf(env: Environment): { readonly rank: number; readonly size: number } {
  for (const { name, rank: variable, size: sizes } of launchers) {
    if (!env[variable]) continue;
    const sizeVariable = sizes.find((one) => env[one]);
    if (sizeVariable === undefined)
      throw new Error(
        `Expected ${sizes.join(' or ')} to be set beside ${variable}, as ${name} does, for nccl() but it is missing.`,
      );
    const size = integer(env, sizeVariable, 1, Infinity);
    return { rank: integer(env, variable, 0, size), size };
  }
  const isMpi = mpiRanks.some((variable) => env[variable]);
  const found = isMpi ? 'it was started by mpirun, which names no address' : 'no launcher has started it';
  throw new Error(`Expected nccl() to know its rank but ${found}. ${howToStart}`);
}

const basePort = 15_000;

/** The first host of Slurm's list, such as "node[03-07,11],login", on which task 0 runs. */
const firstHost = (list: string): string => list.replace(/\[(\d+)[^\]]*\]/g, '$1').split(',')[0]!;

function addressOf(env: Environment): string {
  if (env.NCCL_COMM_ID) return env.NCCL_COMM_ID;
  const port = integer(env, 'MASTER_PORT', 1, 65_535);
  const hosts = env.SLURM_STEP_NODELIST ?? env.SLURM_JOB_NODELIST ?? '';
  const host = env.MASTER_ADDR || firstHost(hosts) || env.SLURM_LAUNCH_NODE_IPADDR;
  // The port itself is torchrun's own store; without one, steps of Slurm differ.
  const job = integer(env, 'SLURM_JOB_ID', 0, Infinity);
  const step = Math.max(0, integer(env, 'SLURM_STEP_ID', 0, Infinity));
  const free = port >= 0 ? port + 1 : job >= 0 ? basePort + ((job * 8 + step) % 40_000) : undefined;
  if (host && free !== undefined) return `${host.includes(':') ? `[${host}]` : host}:${free}`;
  const missing = host ? 'MASTER_PORT' : 'MASTER_ADDR';
  throw new Error(
    `Expected ${missing} to be set for nccl(), so that ranks find rank 0, but it is missing. Set MASTER_ADDR to the host of ` +
      'rank 0 and MASTER_PORT to a port before a free one there, as torchrun does, or NCCL_COMM_ID to host:port.',
  );
}

/** The ranks as the launcher says, or as options do. */
export function launchOf(rank: number | undefined, size: number | undefined, env: Environment): Launch {
  const ranks = rank === undefined || size === undefined ? ranksOf(env) : { rank, size };
  return { ...ranks, address: ranks.size === 1 ? '' : addressOf(env) };
}

/** The GPU of this process: one for each rank of a host, where a launcher has not hidden the others. */
export function deviceOf(devices: readonly CudaDevice[], env: Environment): number {
  const variable = localRanks.find((name) => env[name]);
  const local = variable === undefined ? 0 : integer(env, variable, 0, Infinity);
  if (devices.length === 1) return devices[0]!.index;
  if (local < devices.length) return devices[local]!.index;
  throw new RangeError(
    `Expected ${variable} to be less than ${devices.length}, the number of GPUs here, for nccl() but received ${local}: ` +
      'start one process for each GPU.',
  );
}
