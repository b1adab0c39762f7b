import { cuda, CudaTensor, type CudaArray } from 'fused-optim';
import { nativeCuda } from '../../lib/native';

interface Counters {
  readonly allocations: number;
  readonly frees: number;
  readonly pinnedAllocations: number;
  readonly copies: number;
  readonly copiedBytes: number;
  readonly synchronizations: number;
  readonly bytesInUse: number;
  readonly pinnedBytesInUse: number;
  readonly streams: number;
  readonly events: number;
  readonly graphs: number;
  readonly launches: Readonly<Record<string, number>>;
  readonly runs: Readonly<Record<string, number>>;
  readonly communicators: number;
  /** Operations of NCCL that were asked for. */
  readonly nccl: Readonly<Record<string, number>>;
}

/** What the addon that is built over a stand-in for a GPU lets tests ask of it: native/cuda/stand_in/stand_in.h. */
export interface StandIn {
  counters(): Counters;
  resetCounters(): void;
  /** Calls that are to fail, such as "cudaMalloc:2". */
  fail(plan: string): void;
  seed(seed: number): void;
  /** Whether queued work runs only when somebody waits for it. */
  hold(on: boolean): void;
  setMemory(device: number, bytes: number): void;
  revive(): void;
  /** Whether misuse is kept in a list instead of ending the process. */
  keepComplaints(on: boolean): void;
  takeComplaints(): string[];
  allocateManaged(device: number, bytes: number): bigint;
  allocatePinned(bytes: number): bigint;
  createStream(device: number): bigint;
  destroyStream(device: number, handle: bigint): void;
  /** Queues a kernel that does nothing; fail('sticky:1') makes it fault. */
  launch(stream: bigint): void;
  /** A DLPack capsule of another library. */
  capsule(facts: Readonly<Record<string, unknown>>): object;
  /** How many of those were given back. */
  givenBack(): number;
  /** An External that is no capsule. */
  external(): object;
}

const found = (nativeCuda().addon as { standIn?: StandIn } | undefined)?.standIn;

/** For tests inside describeStandIn(). */
export const standIn = found!;

/** Why there is nothing to run the tests of CUDA on; empty where there is. */
export const noCuda: string = cuda.isAvailable() ? '' : cuda.reason.split(/\n */).slice(0, 2).join(' ');

function declare(name: string, reason: string, tests: () => void): void {
  if (!reason) return describe(name, tests);
  process.stderr.write(`Not tested: ${name} on CUDA (${reason}).\n`);
  describe.skip(`${name} (skipped: ${reason})`, tests);
}

/** Declares tests that run where CUDA can be used: on a GPU, or on its stand-in (`npm run test:cuda-host`). */
export const describeCuda = (name: string, tests: () => void): void => declare(name, noCuda, tests);

/** Declares tests that plan failures or look behind the scenes, which only the stand-in allows. */
export const describeStandIn = (name: string, tests: () => void): void =>
  declare(name, noCuda || (found ? '' : 'this is no stand-in for a GPU'), tests);

/** Expects the same bits; `toEqual` takes seconds for a million numbers. */
export function expectSameBits(actual: CudaArray, expected: CudaArray): void {
  expect(actual.constructor).toBe(expected.constructor);
  expect(bytesOf(actual).equals(bytesOf(expected))).toBe(true);
}

const bytesOf = ({ buffer, byteOffset, byteLength }: CudaArray): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);

/** Numbers as an array in host memory, wherever they are. */
export function hostOf<T extends ArrayBufferView>(memory: T | CudaTensor): T {
  return memory instanceof CudaTensor ? (memory.download() as ArrayBufferView as T) : memory;
}
