import path from 'node:path';
import { firstOf, inLines } from '../native';
import { platformName } from '../platform';
import type { HostBytes } from './mpi-staging';
import type { CommDType } from './transfers';

/** In the order of native/distributed/agreement.h. */
export const collectives = ['allReduce', 'reduceScatter', 'allGather', 'broadcast', 'barrier'] as const;
export const elements: readonly CommDType[] = [
  'float32',
  'float64',
  'bfloat16',
  'float16',
  'uint8',
  'uint16',
];

/** What the MPI addon exports: the only place that types it. */
export interface NativeMpi {
  /** Name and version of the MPI whose headers it was compiled with. */
  readonly builtWith: string;
  readonly pinsBuffers: boolean;
  /** What the library that is loaded says of itself. */
  libraryVersion(): string;
  /** Waits for the other ranks; a sentence of what went wrong. */
  start(timeout: number): { readonly rank: number; readonly size: number } | string;
  /** `codes`: indices into the lists above, and the root. Resolves with a sentence when it went wrong. */
  call(
    codes: readonly [collective: number, dtype: number, op: number, root: number],
    send: HostBytes | null,
    receive: HostBytes | null,
    counts?: Int32Array,
  ): Promise<string | undefined>;
  close(): Promise<string | undefined>;
  /** What this process will end with; a status other than 0 ends the other ranks too. */
  processEnds(status: number): void;
}

/** Where the MPI addon may be: where the environment says and nowhere else, or a build, or the package. */
export function mpiCandidates(root: string, requested = process.env.FUSED_OPTIM_MPI_ADDON): string[] {
  if (requested) return [path.resolve(requested)];
  const file = 'fused_optim_mpi.node';
  return [path.join(root, 'build-mpi', 'Release', file), path.join(root, 'prebuilds', platformName(), file)];
}

const howToBuild =
  'Build it with `npm run build:mpi` (where fused-optim is a dependency: `npm explore fused-optim -- npm run ' +
  "build:mpi`); it needs an MPI's compiler wrapper (on Debian and Ubuntu: apt-get install libopenmpi-dev openmpi-bin).";

/** Name and major version of an MPI, from either form: `Open MPI 4.1.4`, `Open MPI v4.1.4, package: ...`. */
function seriesOf(version: string): string {
  const [, name, major] = /(Open MPI|MPICH|Intel\S* MPI|MVAPICH)\D*?(\d+)/.exec(version) ?? [];
  return name === undefined ? version.split('\n')[0]! : `${name.replace(/\(R\)/g, '')} ${major!}`;
}

/** Binaries of one series of an MPI run with libraries of that series alone. */
export function versionProblem(builtWith: string, running: string): string | undefined {
  const [expected, received] = [seriesOf(builtWith), seriesOf(running)];
  if (expected === received) return undefined;
  return (
    `Expected the MPI library to be ${expected}, since the MPI addon was built with ${builtWith}, but received ` +
    `${running.split(/[,\n\0]/)[0]!.trim()}: build it again with \`npm run build:mpi\`, or start it with the other MPI's mpirun.`
  );
}

export function loadMpi(paths: readonly string[]): NativeMpi {
  const { found, failures } = firstOf(paths);
  if (!found)
    throw new Error(
      `fused-optim found no MPI addon for ${platformName()} that loads. Tried:\n${inLines(failures)}${howToBuild}`,
    );
  const addon = found.addon as NativeMpi;
  const problem = versionProblem(addon.builtWith, addon.libraryVersion());
  if (problem !== undefined) throw new Error(problem);
  if (addon.pinsBuffers) return addon;
  throw new Error(
    'Expected a Node.js whose buffers can be kept in place for mpi() but this one has no such function.',
  );
}

/** Variables that launchers give to the processes they start: Open MPI, PMIx, MPICH and Slurm, MVAPICH. */
const launcherVariables = [
  'OMPI_COMM_WORLD_SIZE',
  'PMIX_RANK',
  'PMI_RANK',
  'PMI_SIZE',
  'MV2_COMM_WORLD_RANK',
];

export function checkLauncher(environment: NodeJS.ProcessEnv = process.env): void {
  if (launcherVariables.some((name) => environment[name] !== undefined)) return;
  throw new Error(
    'Expected mpi() in a process that an MPI launcher has started but found none of its variables in the environment: ' +
      'start the script with it, such as `mpirun -n 4 node train.js`.',
  );
}
