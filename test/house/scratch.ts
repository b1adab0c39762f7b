import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export const root = path.join(__dirname, '..', '..');

/** A temporary directory, removed when the calling test file ends. */
export function scratchDirectory(): string {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fused-optim-'));
  afterAll(() => {
    fs.rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

/** Writes text files, given by path, under a directory. */
export function writeFiles(directory: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(directory, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, text);
  }
}

/** Copies files and directories of the repository to the same place under a directory. */
export function copyFromRoot(directory: string, names: readonly string[]): void {
  for (const name of names) fs.cpSync(path.join(root, name), path.join(directory, name), { recursive: true });
}

/** Makes a directory of the repository visible under another one. */
export function linkFromRoot(directory: string, name: string): void {
  fs.symlinkSync(path.join(root, name), path.join(directory, name), 'dir');
}

export interface Outcome {
  readonly status: number | null;
  readonly output: string;
}

/** Runs a program to its end; its output is stdout and then stderr. */
export function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): Outcome {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { status, output: error ? error.message : stdout + stderr };
}

export function runNode(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = {}): Outcome {
  return run(process.execPath, args, cwd, env);
}
