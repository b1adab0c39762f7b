/** What one element of a tensor is in a safetensors file, and the array that holds such elements in memory. */

const arrays = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
  U16: Uint16Array,
  I16: Int16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  U32: Uint32Array,
  I32: Int32Array,
  F32: Float32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
} as const;

/** Names of element types as the file has them. Types of less than a byte are not supported. */
export type SafetensorsDType = keyof typeof arrays;

/** Elements of a tensor; those without an array type of their own (F16, BF16, F8) come as their bits. */
export type TensorArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Float64Array;

export const dtypeNames = Object.keys(arrays).join(', ');

export const isDType = (name: unknown): name is SafetensorsDType =>
  typeof name === 'string' && Object.hasOwn(arrays, name);

export const elementBytes = (dtype: SafetensorsDType): number => arrays[dtype].BYTES_PER_ELEMENT;

export const allocate = (dtype: SafetensorsDType, length: number): TensorArray => new arrays[dtype](length);

/** The name of an array's type, of any realm: `Float32Array`. */
const kindOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

export const holds = (dtype: SafetensorsDType, value: unknown): value is TensorArray =>
  ArrayBuffer.isView(value) && kindOf(value) === arrays[dtype].name;

/** The dtype whose elements an array has when nothing else is said; undefined when it is none. */
export function dtypeOf(value: unknown): SafetensorsDType | undefined {
  if (!ArrayBuffer.isView(value)) return undefined;
  const kind = kindOf(value);
  const plain = ['F32', 'F64', 'U8', 'I8', 'U16', 'I16', 'U32', 'I32', 'U64', 'I64'] as const;
  return plain.find((dtype) => arrays[dtype].name === kind);
}

/** The dtype of a state: a Uint16Array holds bfloat16, but for the remainder of a split float32. */
export function stateDtypeOf(name: string, value: unknown): SafetensorsDType | undefined {
  const plain = dtypeOf(value);
  return plain === 'U16' && name !== 'remainder' ? 'BF16' : plain;
}

/** Product of the sizes; not a safe integer when it is too large. */
export const elementsOf = (shape: readonly number[]): number =>
  shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);
