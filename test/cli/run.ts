import { spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';

export interface Answer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line of a built package, from a folder that is not its own. */
export function cli(
  directory: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  cwd = os.tmpdir(),
): Answer {
  const { FUSED_OPTIM_ISA: _isa, FUSED_OPTIM_THREADS: _threads, ...rest } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [path.join(directory, 'dist', 'cli', 'main.js'), ...args],
    { cwd, encoding: 'utf8', env: { ...rest, FUSED_OPTIM_CUDA_ADDON: '', ...env } },
  );
  return { status, stdout, stderr };
}
