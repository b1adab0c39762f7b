/** The C interface as tests call it: test/native/api_driver.cpp, compiled as another addon would be. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { include, nativeApi } from 'fused-optim';

type Memory = ArrayBufferView | bigint | null;

export interface TensorInit {
  readonly group?: number;
  readonly name?: string;
  readonly shape?: readonly number[];
  readonly dtype?: number;
  readonly stateDtype?: number;
  readonly rounding?: number;
  readonly layout?: number;
  readonly size?: number;
}

export interface StepInit {
  readonly nonFinite?: number;
  readonly gradScale?: number;
  readonly maxGradNorm?: number;
  readonly seed?: number;
  readonly cudaGraph?: number;
}

export interface NativeResult {
  readonly applied: boolean;
  readonly step: number;
  readonly gradNorm: number;
  readonly badTensor: number;
  readonly pending: boolean;
}

export interface NativeState {
  readonly dtype: number;
  readonly bytes: number;
  readonly pointer: bigint;
  readonly copy?: ArrayBuffer;
}

type Api = object;

interface Driver {
  facts(api: Api): {
    version: number;
    size: number;
    sizeHere: number;
    backend: string;
    hasRestore: boolean;
  };
  create(api: Api, config?: object, stream?: bigint): bigint;
  destroy(api: Api, optimizer: bigint): void;
  addGroup(
    api: Api,
    optimizer: bigint,
    name: string,
    options?: readonly (readonly [string, number])[],
  ): number;
  setOption(api: Api, optimizer: bigint, group: number, name: string, value: number): void;
  getOption(api: Api, optimizer: bigint, group: number, name: string): number;
  addTensor(api: Api, optimizer: bigint, tensor: TensorInit): number;
  bind(api: Api, optimizer: bigint, index: number, data: Memory, grad: Memory, gradDtype?: number): void;
  step(api: Api, optimizer: bigint, settings?: StepInit, onThread?: boolean): NativeResult;
  wait(api: Api, optimizer: bigint): NativeResult;
  state(api: Api, optimizer: bigint, index: number, name: string): NativeState;
  write(pointer: bigint, array: ArrayBufferView): void;
  stateBytes(api: Api, optimizer: bigint): number;
  progress(api: Api, optimizer: bigint, index: number, count?: number): number[];
  restore(api: Api, optimizer: bigint, index: number, step: number, scalars?: readonly number[]): void;
  optimizers(
    api: Api,
  ): Record<
    string,
    { options: Record<string, { value: number; expected: string; whole: boolean }>; states: string[] }
  >;
  nulls(api: Api, optimizer: bigint): number[];
}

/** As in fused_optim.h. */
export const Status = { invalid: 1, outOfMemory: 2, notFinite: 3, busy: 4, device: 5 } as const;
export const Code = { float32: 1, float64: 2, bfloat16: 3, float16: 4, '8bit': 5 } as const;
export const RoundingCode = { nearest: 1, master: 2, stochastic: 3, kahan: 4, split: 5 } as const;

const load = createRequire(__filename);
const root = path.join(__dirname, '..', '..');
const compiler = process.env.CXX ?? 'c++';

/** Why the driver cannot be built here; empty where it can. */
export const noCompiler =
  process.platform === 'win32'
    ? 'this is Windows'
    : !fs.existsSync(path.join(root, 'test', 'native', 'api_driver.cpp'))
      ? 'its source is not here' // as in a pack for machines with a GPU
      : spawnSync(compiler, ['--version']).status === 0
        ? ''
        : `there is no C++ compiler "${compiler}"`;

/** Declares tests that need the driver. */
export function describeNativeApi(name: string, tests: () => void): void {
  if (!noCompiler) return describe(name, tests);
  process.stderr.write(`Not tested: ${name} (${noCompiler}).\n`);
  describe.skip(`${name} (skipped: ${noCompiler})`, tests);
}

/** Compiles and loads an addon of tests. What is loaded cannot be replaced, so every process has a file of its own. */
export function loadAddon(source: string): unknown {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'fused-optim-addon-'));
  const file = path.join(directory, 'addon.node');
  const folders = [
    include,
    (load('node-api-headers') as { include_dir: string }).include_dir,
    path.resolve(root, (load('node-addon-api') as { include_dir: string }).include_dir),
  ];
  const defines = ['NAPI_VERSION=8', 'NAPI_DISABLE_CPP_EXCEPTIONS', 'NODE_GYP_MODULE_NAME=addon'];
  const shared =
    process.platform === 'darwin' ? ['-bundle', '-undefined', 'dynamic_lookup'] : ['-shared', '-pthread'];
  const { status, stderr } = spawnSync(
    compiler,
    [
      ...['-std=c++17', '-O1', '-fPIC', '-Wall', '-Wextra', '-Werror', ...shared],
      ...folders.slice(0, 1).map((folder) => `-I${folder}`),
      ...folders.slice(1).flatMap((folder) => ['-isystem', folder]),
      ...defines.map((define) => `-D${define}`),
      ...[path.join(root, 'test', 'native', source), '-o', file],
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`${source} does not compile:\n${stderr}`);
  // The file may go once it is loaded.
  try {
    return load(file) as unknown;
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

let driver: Driver | undefined;

export const loadDriver = (): Driver => (driver ??= loadAddon('api_driver.cpp') as Driver);

/** What a call throws: its sentence and its status. */
export function refusal(act: () => unknown): { readonly message: string; readonly code: number } {
  try {
    act();
  } catch (error) {
    const { message, code } = error as { message: string; code: number };
    return { message, code };
  }
  return { message: 'nothing was thrown', code: 0 };
}

/** An optimizer by its handle, with the table it belongs to. */
export class NativeOptimizer {
  readonly driver = loadDriver();
  readonly api: object;
  readonly handle: bigint;

  constructor(backend: 'cpu' | 'cuda' = 'cpu', config: object = {}, stream?: bigint) {
    this.api = nativeApi(backend);
    this.handle = this.driver.create(this.api, config, stream);
  }
  addGroup(name: string, options: Readonly<Record<string, number>> = {}): number {
    return this.driver.addGroup(this.api, this.handle, name, Object.entries(options));
  }
  setOption(group: number, name: string, value: number): void {
    this.driver.setOption(this.api, this.handle, group, name, value);
  }
  getOption(group: number, name: string): number {
    return this.driver.getOption(this.api, this.handle, group, name);
  }
  addTensor(tensor: TensorInit): number {
    return this.driver.addTensor(this.api, this.handle, tensor);
  }
  bind(index: number, data: Memory, grad: Memory, gradDtype?: number): void {
    this.driver.bind(this.api, this.handle, index, data, grad, gradDtype);
  }
  step(settings: StepInit = {}, onThread = false): NativeResult {
    return this.driver.step(this.api, this.handle, settings, onThread);
  }
  wait(): NativeResult {
    return this.driver.wait(this.api, this.handle);
  }
  state(index: number, name: string): NativeState {
    return this.driver.state(this.api, this.handle, index, name);
  }
  stateBytes(): number {
    return this.driver.stateBytes(this.api, this.handle);
  }
  progress(index: number, count?: number): number[] {
    return this.driver.progress(this.api, this.handle, index, count);
  }
  restore(index: number, step: number, scalars?: readonly number[]): void {
    this.driver.restore(this.api, this.handle, index, step, scalars);
  }
  destroy(): void {
    this.driver.destroy(this.api, this.handle);
  }
}
