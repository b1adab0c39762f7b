import { usable } from '../cuda/device';
import { factsOf, type CudaDType } from '../cuda/dtypes';
import type { NativeMemory } from '../cuda/native';
import type { CudaStream } from '../cuda/stream';
import { CudaTensor, isCudaTensor, memoryOf } from '../cuda/tensor';
import { expectedRange } from '../validate';
import type { Borrowed, CommDType } from './transfers';

/** An array of a call: where it is on the device, for as long as the call goes on. */
export interface Operand {
  readonly length: number;
  readonly memory: NativeMemory;
  /** Brings numbers of the host to the device; its promise is settled when the array has been read. */
  readonly send: (stream: CudaStream) => Promise<void>;
  /** Brings them back. */
  readonly fetch: (stream: CudaStream) => Promise<void>;
  readonly release: () => void;
}

const nothing = (): Promise<void> => Promise.resolve();

/** A dtype of the device: 16 bits of which nobody has said more are moved as one that has so many. */
export const cudaDType = (dtype: CommDType): CudaDType => (dtype === 'uint16' ? 'bfloat16' : dtype);

export function checkDevice({ array, what }: Borrowed, device: number): void {
  if (!isCudaTensor(array) || array.device === device) return;
  throw expectedRange(what, `on device ${device}, as the communicator is,`, `one on device ${array.device}`);
}

/** Holds the memory of a tensor, or makes memory for an array of the host. `moves`: its numbers are not computed with. */
export function operandOf(
  { array, length }: Borrowed,
  as: CommDType,
  moves: boolean,
  device: number,
): Operand {
  const addon = usable('nccl()');
  const dtype = cudaDType(as);
  const { bytes } = factsOf(dtype);
  // One of the dtypes of 16 bits for all that is only moved: ranks may know them differently.
  const { code } = factsOf(moves && bytes === 2 ? 'bfloat16' : dtype);
  if (isCudaTensor(array)) {
    const memory = addon.wrap(device, array.pointer, length * bytes, code, memoryOf(array, 'a collective'));
    return { length, memory, send: nothing, fetch: nothing, release: () => memory.free() };
  }
  const memory = addon.allocate(device, length * bytes, code);
  const staging = new CudaTensor(memory, { shape: [length], dtype, device });
  return {
    length,
    memory,
    send: (stream) => staging.uploadAsync(array, { stream }),
    fetch: async (stream) => {
      await staging.downloadAsync(array, { stream });
    },
    release: () => staging.free(),
  };
}
