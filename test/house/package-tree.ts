import fs from 'node:fs';
import path from 'node:path';
import { copyFromRoot, linkFromRoot, root, runNode, scratchDirectory, type Outcome } from './scratch';

/**
 * A copy of the package as users get it, its TypeScript freshly built, so that a test of the package never sees a
 * stale dist/. Programs inside it import it by its own name.
 */
export function packageTree(): string {
  const directory = scratchDirectory();
  copyFromRoot(directory, ['package.json', 'tsconfig.json', 'lib', 'scripts']);
  for (const name of ['node_modules', 'build', 'build-cmake', 'prebuilds']) {
    if (fs.existsSync(path.join(root, name))) linkFromRoot(directory, name);
  }
  beforeAll(() => {
    expect(runNode(['scripts/build-ts.js'], directory)).toEqual({ status: 0, output: '' });
  }, 60_000);
  return directory;
}

/** Runs the TypeScript compiler on files of a package tree, with the settings of a user who has none of ours. */
export function typeCheck(directory: string, args: readonly string[]): Outcome {
  const tsc = require.resolve('typescript/bin/tsc');
  const options = [
    '--ignoreConfig',
    '--strict',
    '--skipLibCheck',
    '--module',
    'node16',
    '--target',
    'es2022',
  ];
  return runNode([tsc, ...options, '--types', 'node', ...args], directory);
}
