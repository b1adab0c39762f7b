/**
 * onnxruntime-node, as far as this example uses it. It is installed in ./onnxruntime, a package of its own, and not
 * among the library's dependencies: its install script downloads CUDA libraries. scripts/demo.js installs it with
 * scripts switched off; the CPU provider is in the package itself.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

export interface OrtTensor {
  readonly data: Float32Array | BigInt64Array;
  readonly dims: readonly number[];
}

export interface OrtValueMetadata {
  readonly name: string;
  readonly type: string;
  /** A number, or the name of a dimension that is left open. */
  readonly shape: readonly (number | string)[];
}

export interface OrtSession {
  readonly inputMetadata: readonly OrtValueMetadata[];
  readonly outputMetadata: readonly OrtValueMetadata[];
  /** With `fetches`, the outputs are written into those tensors. */
  run(
    feeds: Record<string, OrtTensor>,
    fetches?: Record<string, OrtTensor>,
  ): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

export interface Ort {
  Tensor: new (
    type: 'float32' | 'int64',
    data: Float32Array | BigInt64Array,
    dims: readonly number[],
  ) => OrtTensor;
  InferenceSession: { create(file: string, options: Record<string, unknown>): Promise<OrtSession> };
}

export const RUNTIME_FOLDER = path.join(__dirname, 'onnxruntime');

/** Whether the version that the lock file names is there, and its installation came to its end. */
export function runtimeInstalled(folder = RUNTIME_FOLDER): boolean {
  const version = (lock: string): string | undefined => {
    const { packages } = JSON.parse(readFileSync(path.join(folder, lock), 'utf8')) as {
      packages: Record<string, { version?: string }>;
    };
    return packages['node_modules/onnxruntime-node']?.version;
  };
  // npm writes this second file last of all.
  const installed = path.join('node_modules', '.package-lock.json');
  return existsSync(path.join(folder, installed)) && version(installed) === version('package-lock.json');
}

export function loadRuntime(): Ort {
  if (!runtimeInstalled()) {
    throw new Error(
      `onnxruntime-node is not installed in ${RUNTIME_FOLDER}; "npm run demo" installs it there.`,
    );
  }
  return createRequire(path.join(RUNTIME_FOLDER, 'package.json'))('onnxruntime-node') as Ort;
}
