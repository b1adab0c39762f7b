/** What is checked of the arrays that ranks exchange, and the host memory that stands for those of a GPU. */
import { factsOf } from '../cuda/dtypes';
import { isCudaTensor, nameOf, type CudaTensor } from '../cuda/tensor';
import { kindOf, type DType, type HostArray } from '../dtypes';
import { describe, expectedRange, expectedType } from '../validate';
import type { CommArray, ReduceOp } from './communicator';
import { memoryOf } from './memory';

/** What elements are to ranks; those of a Uint16Array are bits where nobody says more. */
export type CommDType = DType | 'uint8' | 'uint16';

/** Memory as the engine takes it. */
export type HostBytes = Float32Array | Float64Array | Uint16Array | Uint8Array;

const byKind: Readonly<Record<string, CommDType>> = {
  Float32Array: 'float32',
  Float64Array: 'float64',
  Float16Array: 'float16',
  Uint16Array: 'uint16',
  Uint8Array: 'uint8',
};

const reduceOps: readonly ReduceOp[] = ['sum', 'mean', 'max'];

/** More elements than this do not fit the counts of MPI. */
export const mostElements = 2 ** 31 - 1;

export function checkOp(op: unknown, call: string): ReduceOp {
  if (op === undefined) return 'sum';
  if (reduceOps.includes(op as ReduceOp)) return op as ReduceOp;
  throw expectedType(`op of ${call}`, '"sum", "mean" or "max"', op);
}

export function checkRoot(root: unknown, size: number): number {
  if (typeof root !== 'number') throw expectedType('root of broadcast()', 'a number', root);
  if (Number.isInteger(root) && root >= 0 && root < size) return root;
  throw expectedRange('root of broadcast()', `a rank in [0, ${size})`, root);
}

const isFixed = (buffer: ArrayBufferLike & { resizable?: boolean; growable?: boolean }): boolean =>
  buffer.resizable !== true && buffer.growable !== true;

function isDetached(view: ArrayBufferView): boolean {
  if (view.byteLength > 0) return false;
  try {
    // The one question that every Node answers.
    return new Uint8Array(view.buffer).length < 0;
  } catch {
    return true;
  }
}

/** The dtype of an argument such as `data of allReduce()`. `given` is the option. */
function dtypeOf(array: unknown, given: unknown, what: string): CommDType {
  const kind = kindOf(array);
  const own = isCudaTensor(array)
    ? array.dtype
    : kind !== undefined && Object.hasOwn(byKind, kind)
      ? byKind[kind]
      : undefined;
  if (own === undefined)
    throw expectedType(
      what,
      'a Float32Array, Float64Array, Float16Array, Uint16Array, Uint8Array or CudaTensor',
      array,
    );
  if (own === 'uint16' && (given === 'bfloat16' || given === 'float16')) return given;
  if (given === undefined || given === own) return own;
  const expected = own === 'uint16' ? '"bfloat16" or "float16"' : `"${own}" or left out`;
  throw new TypeError(
    `Expected dtype for ${what}, ${named(array)}, to be ${expected} but received ${describe(given)}.`,
  );
}

const named = (array: unknown): string => (isCudaTensor(array) ? nameOf(array) : describe(array));

/** An array that a call borrows. */
export interface Borrowed {
  readonly array: CommArray;
  readonly dtype: CommDType;
  readonly length: number;
  /** `data of allReduce()` */
  readonly what: string;
}

/** Checks an array by itself. `reduces`: whether its numbers are computed with. */
export function borrow(array: CommArray, dtype: unknown, what: string, reduces: boolean): Borrowed {
  const found = dtypeOf(array, dtype, what);
  if (reduces && found === 'uint16')
    throw new TypeError(
      `Expected dtype for ${what}, a Uint16Array, to be "bfloat16" or "float16" but received ${describe(dtype)}.`,
    );
  if (reduces && found === 'uint8')
    throw new TypeError(
      `Expected ${what} to hold floats, which can be reduced, but received ${named(array)} of bytes.`,
    );
  if (isCudaTensor(array)) {
    if (array.freed) throw new Error(`Expected ${what} to have memory but ${nameOf(array)} was freed.`);
  } else {
    if (!isFixed(array.buffer))
      throw new TypeError(`Expected ${what} to be over a buffer of fixed size but received a resizable one.`);
    if (isDetached(array)) throw new TypeError(`Expected ${what} to have memory but its buffer is detached.`);
  }
  if (array.length > mostElements)
    throw expectedRange(`the length of ${what}`, `at most ${mostElements} elements`, array.length);
  return { array, dtype: found, length: array.length, what };
}

/**
 * Elements of each rank. `whole` holds those of all, `share` this rank's; without counts all have as many.
 */
export function checkCounts(
  counts: unknown,
  whole: Borrowed,
  share: Borrowed,
  { rank, size, call }: { readonly rank: number; readonly size: number; readonly call: string },
): Int32Array {
  if (whole.dtype !== share.dtype)
    throw new TypeError(
      `Expected ${whole.what} and ${share.what} to have one dtype but received ${whole.dtype} and ${share.dtype}.`,
    );
  if (counts === undefined) {
    if (whole.length === size * share.length) return new Int32Array(size).fill(share.length);
    throw new RangeError(
      `Expected ${whole.what} to have ${size * share.length} elements, ${size} times those of ${share.what}, ` +
        `but received ${whole.length}; ranks with different shares name them in the option counts.`,
    );
  }
  if (!Array.isArray(counts)) throw expectedType(`counts of ${call}`, 'an array of numbers', counts);
  if (counts.length !== size)
    throw expectedRange(`counts of ${call}`, `${size} numbers, one for each rank,`, `${counts.length}`);
  for (const [of, count] of counts.entries())
    if (!Number.isInteger(count) || (count as number) < 0)
      throw expectedType(`counts[${of}] of ${call}`, 'a whole number of at least 0', count);
  const total = (counts as number[]).reduce((sum, count) => sum + count, 0);
  if (total !== whole.length)
    throw new RangeError(
      `Expected ${whole.what} to have ${total} elements, the sum of counts, but received ${whole.length}.`,
    );
  if (counts[rank] !== share.length)
    throw new RangeError(
      `Expected ${share.what} to have ${String(counts[rank])} elements, counts[${rank}], but received ${share.length}.`,
    );
  return Int32Array.from(counts as number[]);
}

/** Host memory for a call, and what is to be done with it when the call has ended well. */
export interface Staged {
  readonly host: HostBytes;
  /** Brings results to where they belong. */
  readonly finish: () => void;
}

/** `reads`: whether the call takes numbers from the array. `writes`: whether it gives them to it. */
export function stage({ array, length, what }: Borrowed, reads: boolean, writes: boolean): Staged {
  if (isCudaTensor(array)) return stageCuda(array, reads, writes);
  const finish = (): void => {
    if (array.length === length) return;
    throw new Error(
      `Expected ${what} to stay in place until the promise resolved but its buffer was detached.`,
    );
  };
  // Node-API does not know a Float16Array.
  return { host: memoryOf(array as HostArray) as HostBytes, finish };
}

/** MPI moves host memory. The copy is made here, so that calls keep their order among each other. */
function stageCuda(tensor: CudaTensor, reads: boolean, writes: boolean): Staged {
  const host = factsOf(tensor.dtype).create(tensor.length);
  if (reads) tensor.download(host);
  const finish = (): void => {
    if (writes) tensor.upload(host);
  };
  return { host, finish };
}
