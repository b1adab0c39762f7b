// For tests that start ranks: whether they can be started here, and how they end.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { mpiCandidates } from '../../lib/distributed/mpi-native';
import { root } from '../house/scratch';

const children = path.join(__dirname, 'children-mpi');
// Root may not start mpirun, and there may be more ranks than cores; both are what tests want.
const environment = {
  ...process.env,
  OMPI_ALLOW_RUN_AS_ROOT: '1',
  OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1',
  NO_COLOR: '1',
};

/** The MPI addon; built where it is absent and there is what that needs. */
function findAddon(): string | undefined {
  const find = (): string | undefined => mpiCandidates(root).find((file) => fs.existsSync(file));
  if (find() === undefined && !process.env.FUSED_OPTIM_MPI_ADDON)
    spawnSync(process.execPath, [path.join(root, 'scripts', 'build-mpi.js')]);
  return find();
}

const hasLauncher = spawnSync('mpirun', ['--version']).status === 0;
const addon = hasLauncher ? findAddon() : undefined;

/** Why no ranks can be started; empty where they can. */
export const noMpi = !hasLauncher
  ? 'there is no mpirun (Debian: openmpi-bin)'
  : addon === undefined
    ? 'there is no MPI addon and no mpicxx to build it with (Debian: libopenmpi-dev)'
    : '';

export function describeMpi(name: string, tests: () => void): void {
  if (!noMpi) return describe(name, tests);
  process.stderr.write(`Not tested: ${name} (${noMpi}).\n`);
  describe.skip(`${name} (skipped: ${noMpi})`, tests);
}

/** Puts the programs of children-mpi into a package tree. */
export function copyChildren(directory: string): void {
  for (const file of fs.readdirSync(children))
    fs.copyFileSync(path.join(children, file), path.join(directory, file));
}

export interface Job {
  readonly status: number | null;
  /** Lines of all ranks that are not mpirun's own, sorted: ranks print as they come. */
  readonly lines: readonly string[];
  readonly output: string;
  readonly seconds: number;
}

/** Runs a program on so many ranks; after `limit` seconds it is killed, and its status is null. */
export function runRanks(
  size: number,
  args: readonly string[],
  cwd: string,
  variables: NodeJS.ProcessEnv = {},
  limit = 60,
): Job {
  const started = Date.now();
  const { status, stdout, stderr } = spawnSync(
    'mpirun',
    ['--oversubscribe', '-n', `${size}`, process.execPath, ...args],
    {
      cwd,
      encoding: 'utf8',
      timeout: limit * 1000,
      killSignal: 'SIGKILL',
      env: { ...environment, FUSED_OPTIM_MPI_ADDON: addon, ...variables },
    },
  );
  const output = stdout + stderr;
  const lines = output.split('\n').filter((line) => /^(?:rank \d|fused-optim: |Error: )/.test(line));
  return { status, lines: lines.sort(), output, seconds: (Date.now() - started) / 1000 };
}
