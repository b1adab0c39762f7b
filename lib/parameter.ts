import { checkChoice } from './options';
import { expectedRange, expectedType } from './validate';

/** Memory in this process that a parameter or gradient may live in. This version computes in float32 only. */
export type HostArray = Float32Array | Float64Array | Uint16Array;

export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16';

/** What Muon routes on; every other optimizer ignores it. */
export type Role = 'hidden' | 'embedding' | 'head' | 'vector';

/** Order of a weight's axes: torch's `[out, in, kh, kw]` or tfjs's `[kh, kw, in, out]`. */
export type Layout = 'out-in' | 'in-out';

/**
 * Anything with a name, memory and a gradient. Read anew at every step, so `data` and `grad` may be new views each
 * time, over ArrayBuffer, SharedArrayBuffer or WebAssembly memory; their length may not change.
 */
export interface Parameter {
  /** Unique in an optimizer; the key of its state. @default 'param.<index>' */
  readonly name?: string | undefined;
  /** Updated in place. No two parameters may share memory. */
  data: HostArray;
  /** Same length as `data`; read only. `null`: this tensor is left alone by the step, weight decay included. */
  grad?: HostArray | null | undefined;
  /** Row-major; its product is the length of `data`. @default [data.length] */
  readonly shape?: readonly number[] | undefined;
  /** Needed only where the array cannot tell. @default 'float32' */
  readonly dtype?: DType | undefined;
  /** @default by shape and name */
  readonly role?: Role | undefined;
  /** @default 'out-in' */
  readonly layout?: Layout | undefined;
}

/** A parameter's facts that may not change while an optimizer holds it. */
export interface Identity {
  readonly name: string;
  readonly shape: readonly number[];
  readonly length: number;
}

/** A shape as native code sees it: number of axes, the rows and columns of its matrix, whether outputs are columns. */
export type Dims = readonly [ndim: number, rows: number, cols: number, outputsAreColumns: boolean];

export function dimsOf(shape: readonly number[], layout: Layout | undefined): Dims {
  const size = (axes: readonly number[]): number => axes.reduce((product, length) => product * length, 1);
  const columns = layout === 'in-out' && shape.length > 1;
  const cut = columns ? -1 : 1;
  return [shape.length, size(shape.slice(0, cut)), size(shape.slice(cut)), columns];
}

/** Those with kernels; the others are errors that list these. */
const dtypes: readonly DType[] = ['float32'];
const float32Only = 'a Float32Array (float32 is the only dtype of this version)';
const roles: readonly Role[] = ['hidden', 'embedding', 'head', 'vector'];
const layouts: readonly Layout[] = ['out-in', 'in-out'];

function oneOf(value: unknown, known: readonly string[], what: string): void {
  if (value !== undefined) checkChoice(value, known, what);
}

/** True for a Float32Array of any realm. */
export function isFloat32Array(value: unknown): value is Float32Array {
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === '[object Float32Array]';
}

/** Checks one array of a parameter against the length it must have. `what` is `data of "name"` or `grad of "name"`. */
export function checkArray(value: unknown, length: number, what: string): asserts value is Float32Array {
  if (!isFloat32Array(value)) throw expectedType(what, float32Only, value);
  if (value.length === length) return;
  const detached = value.length === 0 ? ' (was its ArrayBuffer detached or resized?)' : '';
  throw new RangeError(
    `Expected ${what} to have ${length} elements but received ${value.length}${detached}.`,
  );
}

function shapeOf(parameter: Parameter, name: string): readonly number[] {
  const { shape, data } = parameter;
  if (shape === undefined) return [data.length];
  const what = `shape of "${name}"`;
  if (!Array.isArray(shape)) throw expectedType(what, 'an array of sizes', shape);
  for (const size of shape as readonly unknown[]) {
    if (typeof size !== 'number') throw expectedType(what, 'an array of sizes', shape);
    if (!Number.isSafeInteger(size) || size < 0) {
      throw expectedRange(what, 'an array of integers >= 0', `[${shape.join(', ')}]`);
    }
  }
  const sizes = shape as readonly number[];
  const product = sizes.includes(0) ? 0 : sizes.reduce((all, size) => all * size, 1);
  if (product === data.length) return Object.freeze([...(shape as readonly number[])]);
  const detached = data.length === 0 ? ' (was its ArrayBuffer detached?)' : '';
  throw new RangeError(
    `Expected data of "${name}" to have ${product} elements for shape [${shape.join(', ')}] ` +
      `but received ${data.length}${detached}.`,
  );
}

/** Checks a parameter when it joins an optimizer as number `index`. */
export function identify(parameter: unknown, index: number): Identity {
  if (typeof parameter !== 'object' || parameter === null || ArrayBuffer.isView(parameter)) {
    throw expectedType(`parameter ${index}`, 'an object with data and grad', parameter);
  }
  const given = parameter as Parameter;
  const { name = `param.${index}`, data, dtype, role, layout } = given;
  if (typeof name !== 'string' || name === '')
    throw expectedType(`name of parameter ${index}`, 'a string', name);
  oneOf(dtype, dtypes, `dtype of "${name}"`);
  oneOf(role, roles, `role of "${name}"`);
  oneOf(layout, layouts, `layout of "${name}"`);
  if (!isFloat32Array(data)) throw expectedType(`data of "${name}"`, float32Only, data);
  return { name, shape: shapeOf(given, name), length: data.length };
}
