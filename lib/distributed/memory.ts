import { tensor } from '../cuda/make';
import { factsOf } from '../cuda/dtypes';
import { isCudaTensor, type CudaTensor } from '../cuda/tensor';
import { kindOf, type DType, type HostArray } from '../dtypes';
import type { CommArray, Communicator, TransferOptions } from './communicator';

/** Memory of a parameter or a gradient: on the host, where 16-bit floats are a Uint16Array, or on a GPU. */
export type Memory = Float32Array | Float64Array | Uint16Array | CudaTensor;

/** An array as collectives take it: a Float16Array by its bits. */
export function memoryOf(array: HostArray | CudaTensor): Memory {
  if (kindOf(array) !== 'Float16Array') return array;
  const { buffer, byteOffset, length } = array as Uint16Array;
  return new Uint16Array(buffer, byteOffset, length);
}

/** Elements [begin, end), sharing memory. */
export const sliceOf = (array: Memory, begin: number, end: number): Memory =>
  begin === 0 && end === array.length ? array : array.subarray(begin, end);

/** New memory beside `like`: on the same device, or on the host. */
export function makeLike(like: Memory, dtype: DType, length: number): Memory {
  if (isCudaTensor(like)) return tensor([length], dtype, { device: like.device });
  return new (factsOf(dtype).Kind)(length) as Memory;
}

/** Copies all of `from` into `to` from element `at` on; on a GPU it is queued. */
export function copyInto(to: Memory, at: number, from: Memory): void {
  if (isCudaTensor(to)) to.subarray(at, at + from.length).copyFrom(from as CudaTensor);
  else (to as Float32Array).set(from as Float32Array, at);
}

/** What a collective has to be told of an array's elements. */
export const transferOf = (array: CommArray, dtype: DType): TransferOptions =>
  kindOf(array) === 'Uint16Array' ? { dtype: dtype as 'bfloat16' | 'float16' } : {};

/** Every rank's arrays become those of `root`. */
export async function broadcastAll(
  comm: Communicator,
  arrays: readonly { readonly data: Memory; readonly dtype: DType }[],
  root: number,
): Promise<void> {
  await Promise.all(arrays.map(({ data, dtype }) => comm.broadcast(data, root, transferOf(data, dtype))));
}
