/** What tensors are stored in, which dtypes go together, and what an array holds. */
import { isCudaTensor } from './cuda/tensor';
import { native } from './native';
import { describe } from './validate';

export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16';

/** What an optimizer keeps its states in; see {@link CommonOptions.stateDtype}. */
export type StateDType = 'float32' | 'bfloat16' | '8bit';

/** How 16-bit parameters keep what rounding would lose; see {@link CommonOptions.rounding}. */
export type Rounding = 'master' | 'stochastic' | 'kahan' | 'split' | 'nearest';

/** A Float16Array where the compiler's library has one. */
export type HalfArray = typeof globalThis extends { Float16Array: { prototype: infer T } } ? T : never;

/** Memory in this process that a parameter or gradient may live in; a Uint16Array holds the bits of 16-bit floats. */
// eslint-disable-next-line @typescript-eslint/no-redundant-type-constituents -- `never` here, and not for everyone
export type HostArray = Float32Array | Float64Array | Uint16Array | HalfArray;

/** Memory of a state: floats, the bits of bfloat16 or the lower half of a float32 (Uint16Array), or 8-bit codes. */
export type StateArray = Float32Array | Float64Array | Uint16Array | Uint8Array;

export const dtypes: readonly DType[] = ['float32', 'float64', 'bfloat16', 'float16'];
export const stateDTypes: readonly StateDType[] = ['float32', 'bfloat16', '8bit'];
export const roundings: readonly Rounding[] = ['master', 'stochastic', 'kahan', 'split', 'nearest'];

/** What a tensor or state may be stored in. */
export type StoredDType = DType | '8bit';

/** What may go with parameters of one dtype. */
interface Support {
  readonly grads: readonly DType[];
  readonly states: readonly StoredDType[];
  /** None: nothing is lost that could be kept. */
  readonly roundings: readonly Rounding[];
}

const found = new Map<DType, Support>();

/** Everything that native code has kernels for, by the parameter's dtype; its own kind comes first. */
export function supportOf(dtype: DType): Support {
  const known = found.get(dtype);
  if (known) return known;
  const { dtypes: names, roundings: words, formats } = native().addon;
  const rows = formats.filter(([param]) => names[param] === dtype);
  const grads = new Set([dtype, ...rows.map(([, grad]) => names[grad] as DType)]);
  const states = new Set(rows.map(([, , state]) => names[state]!));
  const kept = new Set(rows.map(([, , , rounding]) => words[rounding]!));
  const support = {
    grads: [...grads],
    states: [...states],
    roundings: kept.size > 1 ? roundings.filter((rounding) => kept.has(rounding)) : [],
  };
  found.set(dtype, support);
  return support;
}

/** `a, b or c` */
export const either = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;

/** The reason of a refusal: all that goes with parameters of a dtype. */
function supportText(dtype: DType): string {
  const { grads, states, roundings: kept } = supportOf(dtype);
  const list = `${dtype} parameters take ${either(grads)} gradients`;
  if (kept.length === 0) return `${list} and ${either(states)} states`;
  return `${list}, ${either(states)} states and the rounding ${either(kept)}`;
}

/** A combination there are no kernels for. `what` names option or array, and the tensor. */
export function unsupported(what: string, expected: string, received: string, dtype: DType): TypeError {
  return new TypeError(
    `Expected ${what} to be ${expected} (${supportText(dtype)}) but received ${received}.`,
  );
}

/** What arrays hold that tell themselves. */
export const byKind: Readonly<Record<string, DType>> = {
  Float32Array: 'float32',
  Float64Array: 'float64',
  Float16Array: 'float16',
};

/** `Float32Array` for one of any realm; undefined for what is no view of memory. */
export const kindOf = (value: unknown): string | undefined =>
  ArrayBuffer.isView(value) ? Object.prototype.toString.call(value).slice(8, -1) : undefined;

export const isFloat32Array = (value: unknown): value is Float32Array => kindOf(value) === 'Float32Array';

export const isHostArray = (value: unknown): value is HostArray => {
  const kind = kindOf(value);
  return kind !== undefined && (kind === 'Uint16Array' || Object.hasOwn(byKind, kind));
};

/** What an array holds, where a Uint16Array holds `bits`; undefined where that is not told, or for another kind. */
function dtypeOf(value: unknown, bits: DType | undefined): DType | undefined {
  const kind = kindOf(value);
  if (kind === 'Uint16Array') return bits === 'bfloat16' || bits === 'float16' ? bits : undefined;
  return kind !== undefined && Object.hasOwn(byKind, kind) ? byKind[kind] : undefined;
}

const arrayOf: Readonly<Record<DType, string>> = {
  float32: 'a Float32Array',
  float64: 'a Float64Array',
  bfloat16: 'a Uint16Array',
  float16: 'a Uint16Array or Float16Array',
};

const gradText = (dtype: DType): string =>
  dtype.endsWith('16') ? `${arrayOf[dtype]} of ${dtype}` : arrayOf[dtype];

/** A Uint16Array of which nobody said what it holds. */
function untold(name: string, which: string, dtype: DType | undefined): TypeError {
  return new TypeError(
    `Expected dtype of "${name}" to be "bfloat16" or "float16" for the Uint16Array that is its ${which} ` +
      `but received ${describe(dtype)}.`,
  );
}

/** The dtype of a parameter that joins an optimizer. `dtype` is what it says of itself, one of the known ones. */
export function dataDType(data: unknown, dtype: DType | undefined, name: string): DType {
  if (isCudaTensor(data)) {
    const known = dtypes.find((one) => one === data.dtype && (dtype === undefined || dtype === one));
    if (known) return known;
    throw new TypeError(
      `Expected data of "${name}" to be ${dtype ?? either(dtypes)} but received a CudaTensor of ${data.dtype}.`,
    );
  }
  const found = dtypeOf(data, dtype);
  if (found === undefined) {
    if (kindOf(data) === 'Uint16Array') throw untold(name, 'data', dtype);
    throw new TypeError(
      `Expected data of "${name}" to be a Float32Array, a Float64Array, or a Uint16Array with dtype "bfloat16" or ` +
        `"float16" but received ${describe(data)}.`,
    );
  }
  // A 16-bit dtype beside a Float32Array speaks of the gradients.
  const fits = dtype === undefined || dtype === found || (found === 'float32' && dtype !== 'float64');
  if (fits) return found;
  throw new TypeError(
    `Expected data of "${name}" to be ${arrayOf[dtype]} for its dtype "${dtype}" but received ${describe(data)}.`,
  );
}

/** Checks that data are still of the dtype they had when the parameter joined. */
export function checkData(data: unknown, dtype: DType, length: number, name: string): void {
  const what = `data of "${name}"`;
  if (dtypeOf(data, dtype) !== dtype)
    throw new TypeError(
      `Expected ${what} to be ${arrayOf[dtype]} (its dtype is ${dtype}) but received ${describe(data)}.`,
    );
  checkLength(data as HostArray, length, what);
}

/** The dtype of a gradient of a parameter of `dtype`, whose Uint16Arrays hold `bits`. */
export function gradDType(
  grad: unknown,
  dtype: DType,
  bits: DType | undefined,
  length: number,
  name: string,
): DType {
  const what = `grad of "${name}"`;
  const found = dtypeOf(grad, bits);
  const { grads } = supportOf(dtype);
  if (found === undefined && kindOf(grad) === 'Uint16Array' && grads.includes('bfloat16'))
    throw untold(name, 'grad', bits);
  if (found === undefined || !grads.includes(found)) {
    const of = kindOf(grad) === 'Uint16Array' && found !== undefined ? ` of ${found}` : '';
    throw unsupported(what, either(grads.map(gradText)), `${describe(grad)}${of}`, dtype);
  }
  checkLength(grad as HostArray, length, what);
  return found;
}

/** Checks one array of those who work on float32 alone; `only` says who. */
export function checkFloat32(
  value: unknown,
  length: number,
  what: string,
  only: string,
): asserts value is Float32Array {
  if (!isFloat32Array(value))
    throw new TypeError(
      `Expected ${what} to be a Float32Array, the only kind that ${only}, but received ${describe(value)}.`,
    );
  checkLength(value, length, what);
}

function checkLength(array: HostArray, length: number, what: string): void {
  if (array.length === length) return;
  const detached = array.length === 0 ? ' (was its ArrayBuffer detached or resized?)' : '';
  throw new RangeError(
    `Expected ${what} to have ${length} elements but received ${array.length}${detached}.`,
  );
}

/** The first element that is NaN or infinite, in words: `NaN at element 3`. */
export function firstNotFinite(array: HostArray, dtype: DType): string | undefined {
  const isBits = kindOf(array) === 'Uint16Array';
  const [exponent, fraction] = dtype === 'bfloat16' ? [0x7f80, 0x7f] : [0x7c00, 0x3ff];
  for (let i = 0; i < array.length; ++i) {
    let value: number = array[i]!;
    if (isBits) {
      if ((value & exponent) !== exponent) continue;
      value = value & fraction ? NaN : value & 0x8000 ? -Infinity : Infinity;
    }
    if (!Number.isFinite(value)) return `${value} at element ${i}`;
  }
  return undefined;
}
