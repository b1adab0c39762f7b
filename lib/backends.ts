import type { CudaDevice } from './cuda/native';
import { native, nativeCuda, type NativeIsa } from './native';
import { expectedRange, expectedType } from './validate';

export type Isa = 'scalar' | 'avx2' | 'avx512';

/** What this machine offers, as data. */
export interface Backends {
  readonly cpu: {
    /** The kernel set optimizers made now will use; `null` when there is none, and `reason` says why. */
    readonly isa: Isa | null;
    readonly reason: string;
    /** Every kernel set in the binary, with the CPU or system features this machine lacks for it. */
    readonly isas: readonly { readonly name: Isa; readonly missing: readonly string[] }[];
    /** Threads a step uses at most, and where that number comes from. */
    readonly threads: number;
    readonly threadsReason: string;
    /** The binary that was loaded; `null` when none could be. */
    readonly binary: string | null;
  };
  readonly cuda: {
    readonly available: boolean;
    /** What was found or, where CUDA cannot be used, what was tried. */
    readonly reason: string;
    readonly devices: readonly CudaDevice[];
    /** The driver's CUDA version, as in "13.0". */
    readonly driver: string | null;
    /** cuBLAS, which only Muon needs: its version and path. */
    readonly cublas: string | null;
    /** Where it was looked for, when there is none. */
    readonly cublasReason: string;
    /** NCCL, which only `nccl()` needs, likewise. */
    readonly nccl: string | null;
    readonly ncclReason: string;
    /** The CUDA addon that was loaded; `null` when none could be. */
    readonly binary: string | null;
  };
}

interface Choice<T> {
  readonly value: T;
  readonly reason: string;
}

const maxThreads = 1024;

/** The kernel set for a new optimizer: FUSED_OPTIM_ISA, else the widest this machine runs. */
export function chooseIsa(isas: readonly NativeIsa[], requested = process.env.FUSED_OPTIM_ISA): Choice<Isa> {
  const usable = isas.filter((isa) => isa.missing.length === 0);
  if (requested) {
    const isa = isas.find(({ name }) => name === requested);
    if (isa?.missing.length === 0) return { value: isa.name as Isa, reason: `FUSED_OPTIM_ISA=${requested}` };
    const why = isa ? `this machine lacks ${isa.missing.join(', ')}` : 'this build has no such kernel set';
    throw new RangeError(
      `Expected FUSED_OPTIM_ISA to be one of ${usable.map(({ name }) => name).join(', ')} ` +
        `but received ${JSON.stringify(requested)}: ${why}.`,
    );
  }
  const best = usable[usable.length - 1]!;
  const wider = isas.filter((isa) => isa.missing.length > 0);
  const lacking = wider.map(({ name, missing }) => `${name} needs ${missing.join(', ')}`).join('; ');
  return {
    value: best.name as Isa,
    reason: `the widest this machine runs${lacking && ` (${lacking})`}`,
  };
}

/** Threads for a new optimizer: its option, else FUSED_OPTIM_THREADS, else the cores this process may use. */
export function chooseThreads(option: unknown, requested = process.env.FUSED_OPTIM_THREADS): Choice<number> {
  const expected = `an integer in [1, ${maxThreads}]`;
  const check = (value: number, what: string, shown: string): number => {
    if (Number.isInteger(value) && value >= 1 && value <= maxThreads) return value;
    throw expectedRange(what, expected, shown);
  };
  if (option !== undefined) {
    if (typeof option !== 'number') throw expectedType('threads', expected, option);
    return { value: check(option, 'threads', String(option)), reason: 'the threads option' };
  }
  if (requested) {
    const value = check(
      /^\d+$/.test(requested) ? Number(requested) : NaN,
      'FUSED_OPTIM_THREADS',
      JSON.stringify(requested),
    );
    return { value, reason: `FUSED_OPTIM_THREADS=${requested}` };
  }
  const { affinity, quota, usable } = native().addon.cores();
  const limit = quota > 0 ? `, limited to ${Number(quota.toFixed(2))} by its cgroup` : '';
  return { value: usable, reason: `${affinity} core${affinity === 1 ? '' : 's'} for this process${limit}` };
}

/** What this machine offers: the CPU kernels chosen and why, threads, CUDA, or the reason each is missing. */
export function backends(): Backends {
  return { cpu: cpu(), cuda: cudaBackend() };
}

/** 22703 in words: 2.27.3. */
export const ncclVersion = (code: number): string =>
  [Math.floor(code / 10000), Math.floor(code / 100) % 100, code % 100].join('.');

function cudaBackend(): Backends['cuda'] {
  const { addon, path, reason } = nativeCuda();
  const missing = {
    available: false,
    reason,
    devices: [],
    driver: null,
    cublas: null,
    cublasReason: 'not looked for, since CUDA cannot be used',
    nccl: null,
    ncclReason: 'not looked for, since CUDA cannot be used',
    binary: path ?? null,
  };
  if (!addon) return missing;
  const { driver, runtime, devices } = addon.presence();
  if (reason) return { ...missing, driver: driver || null };
  const [cublas, nccl] = [addon.cublas(), addon.nccl()];
  const count = `${devices.length} device${devices.length === 1 ? '' : 's'}`;
  return {
    available: true,
    reason: `${count}, driver ${driver}, runtime ${runtime}`,
    devices,
    driver,
    cublas: cublas.available ? `${cublas.version} (${cublas.path})` : null,
    cublasReason: cublas.available ? '' : cublas.reason,
    nccl: nccl.available ? `${ncclVersion(nccl.version)} (${nccl.path})` : null,
    ncclReason: nccl.available ? '' : nccl.reason,
    binary: path!,
  };
}

function cpu(): Backends['cpu'] {
  const nothing = { isas: [], threads: 0, threadsReason: 'no kernels', binary: null };
  let loaded;
  try {
    loaded = native();
  } catch (error) {
    return { isa: null, reason: (error as Error).message, ...nothing };
  }
  const isas = loaded.addon.isas as Backends['cpu']['isas'];
  const found = { ...nothing, isas, binary: loaded.path };
  try {
    const isa = chooseIsa(isas);
    const threads = chooseThreads(undefined);
    return {
      ...found,
      isa: isa.value,
      reason: isa.reason,
      threads: threads.value,
      threadsReason: threads.reason,
    };
  } catch (error) {
    return { ...found, isa: null, reason: (error as Error).message };
  }
}
