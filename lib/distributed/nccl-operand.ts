import { usable } from '../cuda/device';
import { dtypeOf, factsOf, type CudaDType } from '../cuda/dtypes';
import type { NativeMemory } from '../cuda/native';
import type { CudaStream } from '../cuda/stream';
import { CudaTensor, isCudaTensor, memoryOf } from '../cuda/tensor';
import { describe, expectedRange, expectedType } from '../validate';
import type { CommArray } from './communicator';

/** An array of a call: where it is on the device, for as long as the call goes on. */
export interface Operand {
  readonly dtype: CudaDType;
  /** False for a Uint16Array whose `dtype` nobody has said. */
  readonly known: boolean;
  readonly length: number;
  /** Of a tensor; undefined of an array of the host. */
  readonly pointer: bigint | undefined;
  readonly memory: NativeMemory;
  /** Brings numbers of the host to the device; its promise is settled when the array has been read. */
  readonly send: (stream: CudaStream) => Promise<void>;
  /** Brings them back. */
  readonly fetch: (stream: CudaStream) => Promise<void>;
  readonly release: () => void;
}

const nothing = (): Promise<void> => Promise.resolve();

interface Checked {
  readonly dtype: CudaDType;
  readonly known: boolean;
  readonly reduces: boolean;
}

/** What a call is given, checked. `reduces`: a dtype must be known that can be computed with. */
export function checkedOperand(
  array: CommArray,
  given: unknown,
  device: number,
  reduces: boolean,
  what: string,
): Checked {
  if (isCudaTensor(array)) {
    memoryOf(array, what);
    if (array.device !== device)
      throw expectedRange(
        what,
        `on device ${device}, as the communicator is,`,
        `one on device ${array.device}`,
      );
    if (given !== undefined && given !== array.dtype)
      throw new TypeError(
        `Expected dtype of ${what} to be ${array.dtype}, as the tensor is, but received ${describe(given)}.`,
      );
  } else if (!ArrayBuffer.isView(array)) {
    throw expectedType(what, 'a CudaTensor or a typed array', array);
  } else if ((array.buffer as ArrayBuffer & { resizable?: boolean }).resizable === true) {
    throw new TypeError(`Expected ${what} to be over a buffer of fixed size but received a resizable one.`);
  }
  const isUnknown = !reduces && given === undefined && array instanceof Uint16Array;
  const dtype = isCudaTensor(array) ? array.dtype : dtypeOf(array, isUnknown ? 'bfloat16' : given, what);
  if (reduces && dtype === 'uint8')
    throw new TypeError(`Expected ${what} to hold numbers that can be reduced but received bytes.`);
  return { dtype, known: !isUnknown, reduces };
}

/** Holds the memory of a tensor, or makes memory for an array of the host. */
export function operandOf(array: CommArray, { dtype, known, reduces }: Checked, device: number): Operand {
  const addon = usable('nccl()');
  const { bytes } = factsOf(dtype);
  // One of the dtypes of 16 bits for all that is only moved: ranks may know them differently.
  const { code } = factsOf(!reduces && bytes === 2 ? 'bfloat16' : dtype);
  const { length } = array;
  if (isCudaTensor(array)) {
    const { pointer } = array;
    const memory = addon.wrap(device, pointer, length * bytes, code, memoryOf(array, 'a collective'));
    return {
      dtype,
      known,
      length,
      pointer,
      memory,
      send: nothing,
      fetch: nothing,
      release: () => memory.free(),
    };
  }
  const memory = addon.allocate(device, length * bytes, code);
  const staging = new CudaTensor(memory, { shape: [length], dtype, device });
  return {
    dtype,
    known,
    length,
    pointer: undefined,
    memory,
    send: (stream) => staging.uploadAsync(array, { stream }),
    fetch: async (stream) => {
      await staging.downloadAsync(array, { stream });
    },
    release: () => staging.free(),
  };
}
