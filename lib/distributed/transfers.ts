/** What is checked of the arrays that ranks exchange, whatever the engine. */
import { factsOf } from '../cuda/dtypes';
import { isCudaTensor, nameOf } from '../cuda/tensor';
import { byKind, kindOf, type DType } from '../dtypes';
import { describe, expectedRange, expectedType, readOptions } from '../validate';
import { sum } from './owners';
import type { CommArray, Counts, ReduceOp, ReduceOptions } from './communicator';

/** What elements are to ranks; those of a Uint16Array are bits where nobody says more. */
export type CommDType = DType | 'uint8' | 'uint16';

const kinds: Readonly<Record<string, CommDType>> = { ...byKind, Uint16Array: 'uint16', Uint8Array: 'uint8' };

export const reduceOps: readonly ReduceOp[] = ['sum', 'mean', 'max'];

function checkOp(op: unknown, call: string): ReduceOp {
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
    : kind !== undefined && Object.hasOwn(kinds, kind)
      ? kinds[kind]
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
function borrow(array: CommArray, dtype: unknown, what: string, reduces: boolean): Borrowed {
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
  return { array, dtype: found, length: array.length, what };
}

const bytesOf = ({ dtype }: Borrowed): number => (dtype === 'uint16' ? 2 : factsOf(dtype).bytes);

/** The dtype that two arrays have: of 16 bits that are only moved one may be known better than the other. */
function sharedDType(whole: Borrowed, share: Borrowed): CommDType {
  const dtypes = [whole.dtype, share.dtype];
  if (whole.dtype === share.dtype || (dtypes.includes('uint16') && bytesOf(whole) === bytesOf(share)))
    return dtypes.find((dtype) => dtype !== 'uint16') ?? 'uint16';
  throw new TypeError(
    `Expected ${whole.what} and ${share.what} to have one dtype but received ${whole.dtype} and ${share.dtype}.`,
  );
}

/** Who makes a call. */
export interface Place {
  readonly rank: number;
  readonly size: number;
}

/**
 * Elements of each rank. `whole` holds those of all, `share` this rank's; without counts all have as many.
 */
function checkCounts(
  counts: unknown,
  whole: Borrowed,
  share: Borrowed,
  { rank, size }: Place,
  call: string,
): readonly number[] {
  if (counts === undefined) {
    if (whole.length === size * share.length) return new Array<number>(size).fill(share.length);
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
  const total = sum(counts as number[]);
  if (total !== whole.length)
    throw new RangeError(
      `Expected ${whole.what} to have ${total} elements, the sum of counts, but received ${whole.length}.`,
    );
  if (counts[rank] !== share.length)
    throw new RangeError(
      `Expected ${share.what} to have ${String(counts[rank])} elements, counts[${rank}], but received ${share.length}.`,
    );
  return counts as number[];
}

/** A call of one array, checked. */
export interface One {
  readonly call: string;
  readonly data: Borrowed;
  readonly op: ReduceOp;
}

export function checkOne(
  kind: 'allReduce' | 'broadcast',
  data: CommArray,
  options: ReduceOptions | undefined,
): One {
  const call = `${kind}()`;
  const reduces = kind === 'allReduce';
  const { op, dtype } = readOptions(options, reduces ? ['dtype', 'op'] : ['dtype'], call);
  return { call, data: borrow(data, dtype, `data of ${call}`, reduces), op: checkOp(op, call) };
}

/** A call of all ranks' shares and one of them, checked. */
export interface Pair {
  readonly call: string;
  readonly dtype: CommDType;
  readonly send: Borrowed;
  readonly receive: Borrowed;
  readonly op: ReduceOp;
  /** Elements of each rank, and whether the caller has named them. */
  readonly counts: readonly number[];
  readonly given: readonly number[] | undefined;
}

export function checkPair(
  kind: 'reduceScatter' | 'allGather',
  send: CommArray,
  receive: CommArray,
  options: (ReduceOptions & Counts) | undefined,
  place: Place,
): Pair {
  const call = `${kind}()`;
  const reduces = kind === 'reduceScatter';
  const known = ['dtype', 'counts'] as const;
  const { op, dtype, counts: given } = readOptions(options, reduces ? ['op', ...known] : known, call);
  const from = borrow(send, dtype, `send of ${call}`, reduces);
  const to = borrow(receive, dtype, `receive of ${call}`, reduces);
  const [whole, share] = reduces ? [from, to] : [to, from];
  const common = sharedDType(whole, share);
  const counts = checkCounts(given, whole, share, place, call);
  return { call, dtype: common, send: from, receive: to, op: checkOp(op, call), counts, given };
}
