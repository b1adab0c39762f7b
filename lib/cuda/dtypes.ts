import type { DType } from '../dtypes';
import { describe, expectedType } from '../validate';

/** What a CUDA tensor's elements are; uint8 is for raw bytes, such as the codes of 8-bit states. */
export type CudaDType = DType | 'uint8';

/** Host memory that goes into a CUDA tensor and comes out of it: 16-bit numbers as their bits. */
export type CudaArray = Float32Array | Float64Array | Uint16Array | Uint8Array;

/** The arrays of each dtype; `download()` makes the first. */
export interface ArrayOf {
  readonly float32: Float32Array;
  readonly float64: Float64Array;
  readonly bfloat16: Uint16Array;
  readonly float16: Uint16Array;
  readonly uint8: Uint8Array;
}

interface Facts {
  /** As native code's DType counts. */
  readonly code: number;
  readonly bytes: number;
  /** What holds it, over memory that is there or new. */
  readonly Kind: {
    new (length: number): CudaArray;
    new (buffer: ArrayBuffer, byteOffset?: number, length?: number): CudaArray;
  };
  /** Kinds of arrays that may hold it. */
  readonly kinds: readonly string[];
}

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  bfloat16: Uint16Array,
  float16: Uint16Array,
  uint8: Uint8Array,
} as const;

const names = Object.keys(arrays) as CudaDType[];
const facts = new Map(
  names.map((name, code): [CudaDType, Facts] => {
    const Kind = arrays[name];
    const kinds = name === 'float16' ? [Kind.name, 'Float16Array'] : [Kind.name];
    return [name, { code, bytes: Kind.BYTES_PER_ELEMENT, Kind, kinds }];
  }),
);

export const factsOf = (dtype: CudaDType): Facts => facts.get(dtype)!;

export function checkDType(value: unknown, what: string): CudaDType {
  if (names.includes(value as CudaDType)) return value as CudaDType;
  throw expectedType(`dtype of ${what}`, `one of ${names.join(', ')}`, value);
}

const kindOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

/** The dtype that an array has or, where it cannot tell, is said to have. */
export function dtypeOf(array: unknown, given: unknown, what: string): CudaDType {
  const kind = ArrayBuffer.isView(array) ? kindOf(array) : '';
  const fitting = names.filter((name) => factsOf(name).kinds.includes(kind));
  if (fitting.length === 0) {
    throw expectedType(
      `the array of ${what}`,
      'a Float32Array, Float64Array, Float16Array, Uint16Array or Uint8Array',
      array,
    );
  }
  if (given === undefined) {
    if (fitting.length === 1) return fitting[0]!;
    throw new TypeError(
      `Expected dtype of ${what} to say what the ${kind} holds, ${fitting.join(' or ')}, but it is missing.`,
    );
  }
  const dtype = checkDType(given, what);
  if (fitting.includes(dtype)) return dtype;
  throw new TypeError(
    `Expected dtype of ${what} to be ${fitting.join(' or ')} for a ${kind} but received "${dtype}".`,
  );
}

/** Checks host memory against what a tensor holds. Returns what native code takes. */
export function checkHost(array: unknown, dtype: CudaDType, length: number, what: string): CudaArray {
  const { kinds } = factsOf(dtype);
  const kind = ArrayBuffer.isView(array) ? kindOf(array) : '';
  if (!kinds.includes(kind)) {
    throw new TypeError(`Expected ${what} to be a ${kinds.join(' or ')} but received ${describe(array)}.`);
  }
  const view = array as CudaArray;
  if (view.length !== length) {
    const detached = view.length === 0 ? ' (was its ArrayBuffer detached or resized?)' : '';
    throw new RangeError(
      `Expected ${what} to have ${length} elements but received ${view.length}${detached}.`,
    );
  }
  if (kind !== 'Float16Array') return view;
  return new Uint16Array(view.buffer, view.byteOffset, view.length); // Node-API does not know the other
}
