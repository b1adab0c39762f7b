import path from 'node:path';
import { makeCudaError } from './cuda/errors';
import type { NativeCuda, NativeDLPack, NativeMemory } from './cuda/native';
import type { HostArray, Rounding, StoredDType } from './dtypes';
import type { NativeFormat } from './formats';
import type { Dims } from './parameter';
import { platformName } from './platform';

/** A rule as the registry describes it; names are in native code's snake_case. */
export interface NativeRule {
  readonly hyper: readonly string[];
  readonly states: readonly string[];
  readonly scalars: readonly string[];
  /** Whether an element's update depends on norms of its tensor. */
  readonly norms: boolean;
  /** Whether its states may be 8-bit. */
  readonly blocks8: boolean;
}

export interface NativeIsa {
  readonly name: string;
  /** CPU or system features this machine lacks; empty when it can run. */
  readonly missing: readonly string[];
}

/** What two tensors share memory: `[first, second, gradOfFirst]`. */
export type Conflict = readonly [number, number, boolean];

/** An array as native code is given it, and a state's memory as it gives that. */
export type NativeArray = HostArray | NativeMemory;
export type NativeView = ArrayBuffer | NativeMemory;

/** One optimizer's native half. Arguments are checked in TypeScript; tensors are named by the index `add` gave. */
export interface Stepper {
  /** Groups come in the order of their rows; `rule` is an index into the constructor's list. */
  addGroup(rule: number): void;
  /** `key`: what stochastic rounding knows the tensor by, 32 bits; `first`: of its elements, where this is a part. */
  add(length: number, dims: Dims, group: number, format: NativeFormat, key: number, first: number): number;
  /** Four entries a tensor: index, data, grad or null, and the code of the gradient's dtype. */
  bind(changes: readonly (number | NativeArray | null)[]): Conflict | undefined;
  /**
   * Where the next steps write Muon's orthogonalized directions besides, in bfloat16: index and memory of each tensor that
   * has such a place, and no other has one. It is for those who know that bfloat16 holds these numbers.
   */
  keep(places: readonly (number | NativeArray)[]): void;
  /** Numbers in the order of StepSettings and of Outcome in lib/step-settings.ts. */
  step(hyper: Float64Array, settings: Float64Array, outcome: Float64Array): void;
  /**
   * The same in parts, on the CPU only: where `begin` answers that it is applied, `part`s, each of which ends before the
   * tensor of an index, and `end`. Muon's matrices are the last part's work.
   */
  begin(hyper: Float64Array, settings: Float64Array, outcome: Float64Array): void;
  part(end: number, isLast: boolean): void;
  end(outcome: Float64Array): void;
  /**
   * Sums of squares of every block of every gradient, of 4096 elements on the CPU and 16384 on a GPU; empty where memory
   * ran out. `norm` makes of many steppers' what the step of one would; -1 on the CPU, where tensor after tensor is added.
   */
  squares(hyper: Float64Array, settings: Float64Array, outcome: Float64Array): Float64Array;
  norm(squares: Float64Array): number;
  stepAsync(
    hyper: Float64Array,
    settings: Float64Array,
    outcome: Float64Array,
    arrays: readonly unknown[],
  ): Promise<void>;
  /** Of a step that is pending: whether it is done, and what it has come to, which waits for it. */
  done(serial: number): boolean;
  wait(serial: number, outcome: Float64Array): void;
  /** Fills `outcome` after stepAsync() has resolved. */
  settle(outcome: Float64Array): void;
  /** Five numbers a tensor that had a gradient: gradient, update and parameter norm, trust ratio, orthogonality error. */
  reports(): Float64Array;
  /**
   * The memory of a state: those of the rule come first, then the slow weights, then what the rounding keeps. 8-bit
   * states are codes and, from a multiple of 64 bytes on, a float32 scale for every 256 of them. ArrayBuffers
   * are of all of it, whatever part is asked for.
   */
  stateBuffer(index: number, state: number, byteOffset: number, bytes: number): NativeView | undefined;
  /** `[step, bit mask of existing states, ...scalars]` */
  progress(index: number): number[];
  /** Bit mask of the states a tensor has under a row of its group, but for a Lookahead around the optimizer. */
  usedStates(index: number, hyperRow: Float64Array): number;
  /** One bit mask a tensor and one row a group; all states or none. 0, or the bytes that could not be had. */
  createStates(masks: Uint32Array, hyper: Float64Array): number;
  restore(index: number, step: number, mask: number, scalars: readonly number[]): void;
  stateBytes(): number;
  dispose(): void;
}

/** An option of an optimizer as a number, for those who call from C. */
export interface NativeOption {
  readonly name: string;
  readonly expected: string;
  readonly least: number;
  readonly most: number;
  readonly openLeast: boolean;
  readonly openMost: boolean;
  readonly integer: boolean;
  /** Whether the class sets it, and nobody else. */
  readonly fixed: boolean;
  /** Its default; NaN: that of the group's lr. */
  readonly fallback: number;
}

/** What native/c/catalogue.h holds. */
export interface NativeCatalogue {
  readonly optimizers: readonly {
    readonly name: string;
    readonly rule: string;
    readonly options: readonly NativeOption[];
  }[];
  readonly isa: string;
  readonly threads: number;
  readonly rounding: number;
}

/** The addon's exports: the only place that types them. */
export interface NativeAddon {
  readonly rules: Readonly<Record<string, NativeRule>>;
  readonly isas: readonly NativeIsa[];
  readonly dtypes: readonly StoredDType[];
  readonly roundings: readonly Rounding[];
  /** The name of the state that a rounding keeps, for those that do. */
  readonly extraStates: Readonly<Partial<Record<Rounding, string>>>;
  /** All supported `[param, grad, state, rounding]`, as indices; 8-bit states only for rules that have `blocks8`. */
  readonly formats: readonly (readonly [param: number, grad: number, state: number, rounding: number])[];
  readonly pinsBuffers: boolean;
  readonly Stepper: new (rules: readonly string[], isa: string, threads: number) => Stepper;
  /** The sum of squares of every array, in double. */
  sumSquares(isa: string, threads: number, arrays: readonly Float32Array[]): Float64Array;
  /** Elementwise work on arrays, each with its own value; `average` moves them towards `others`. */
  transform(
    helper: 'scale' | 'clamp' | 'average',
    isa: string,
    threads: number,
    arrays: readonly Float32Array[],
    values: Float64Array,
    others?: readonly Float32Array[],
  ): void;
  cores(): { affinity: number; quota: number; usable: number };
  /** A capsule that keeps the memory behind the array. */
  exportDLPack(array: ArrayBufferView, shape: readonly number[], dtype: number): object;
  readDLPack(external: unknown): NativeDLPack | undefined;
  /** A view of a capsule's memory, which is given back when it is collected. */
  takeDLPack(external: unknown, bytes: number): ArrayBuffer;
  /** An External of the table of functions for other addons. */
  nativeApi(catalogue: NativeCatalogue): object;
}

export interface LoadedAddon {
  readonly addon: NativeAddon;
  readonly path: string;
}

/** Where the binary may be, best first: one shipped with the package, then the builds of a checkout. */
export function candidates(root: string): string[] {
  const file = 'fused_optim.node';
  return [
    path.join(root, 'prebuilds', platformName(), file),
    path.join(root, 'build', 'Release', file),
    path.join(root, 'build-cmake', 'Release', file),
  ];
}

/** Where the CUDA addon may be: where the environment says and nowhere else, or a checkout's build, or the package. */
export function cudaCandidates(root: string, requested = process.env.FUSED_OPTIM_CUDA_ADDON): string[] {
  if (requested) return [path.resolve(requested)];
  const file = 'fused_optim_cuda.node';
  return [path.join(root, 'build-cuda', 'Release', file), path.join(root, 'prebuilds', platformName(), file)];
}

/** A file that was tried, and why it does not load. */
export interface FailedLoad {
  readonly path: string;
  readonly reason: string;
}

/** The first that loads, if any, and those before it that do not. */
export function firstOf(paths: readonly string[]): {
  readonly found?: { readonly addon: unknown; readonly path: string };
  readonly failures: readonly FailedLoad[];
} {
  const failures: FailedLoad[] = [];
  for (const file of paths) {
    try {
      return { found: { addon: require(file) as unknown, path: file }, failures };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const reason = code === 'MODULE_NOT_FOUND' ? 'no such file' : message.split('\n')[0]!;
      failures.push({ path: file, reason });
    }
  }
  return { failures };
}

export const inLines = (failures: readonly FailedLoad[]): string =>
  failures.map(({ path: file, reason }) => `  ${file}: ${reason}\n`).join('');

/** Loads the first candidate that loads; otherwise the error says what was tried and why each failed. */
export function load(paths: readonly string[]): LoadedAddon {
  const { found, failures } = firstOf(paths);
  if (found) return found as LoadedAddon;
  throw new Error(
    `fused-optim found no native binary for ${platformName()} that loads. Tried:\n${inLines(failures)}` +
      'Build it with `npm rebuild fused-optim` (in a checkout: `npm run build`); if npm blocked the install script, ' +
      'allow it first with `npm install-scripts approve fused-optim`.',
  );
}

let loaded: LoadedAddon | undefined;

/** The addon, loaded on first use so that importing the package never fails. */
export function native(): LoadedAddon {
  return (loaded ??= load(candidates(path.join(__dirname, '..'))));
}

export interface LoadedCuda {
  /** Undefined where no CUDA addon loads. */
  readonly addon?: NativeCuda;
  readonly path?: string;
  /** Why CUDA cannot be used: no addon, no driver, no device. Empty where it can. */
  readonly reason: string;
}

/** Loads the CUDA addon, where one loads, and asks it for devices. */
export function loadCuda(paths: readonly string[]): LoadedCuda {
  const { found, failures } = firstOf(paths);
  if (!found) {
    return {
      reason:
        `no CUDA addon that loads was found for ${platformName()}. Tried:\n${inLines(failures)}` +
        'Build it with `npm run build:cuda` (it needs the CUDA toolkit, for nvcc, and CMake).',
    };
  }
  const addon = found.addon as NativeCuda;
  addon.setErrors(makeCudaError);
  return { addon, path: found.path, reason: addon.presence().reason };
}

let loadedCuda: LoadedCuda | undefined;

/** The CUDA addon or why it cannot be used; looked for at first use, and only then. */
export function nativeCuda(): LoadedCuda {
  return (loadedCuda ??= loadCuda(cudaCandidates(path.join(__dirname, '..'))));
}
