import { dataDType, dtypes, type DType, type HostArray } from './dtypes';
import { isCudaTensor, type CudaTensor } from './cuda/tensor';
import { checkChoice } from './options';
import { expectedRange, expectedType } from './validate';

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
  data: HostArray | CudaTensor;
  /**
   * Same length as `data`, and of its dtype; float32 beside 16-bit data, or 16-bit beside float32 data will do too. Read
   * only. `null`: this tensor is left alone by the step, weight decay included.
   */
  grad?: HostArray | CudaTensor | null | undefined;
  /** Row-major; its product is the length of `data`. @default [data.length] */
  readonly shape?: readonly number[] | undefined;
  /**
   * What a Uint16Array holds, as `data` and as `grad`: 'bfloat16' or 'float16'. Other arrays tell themselves.
   * @default that of the array
   */
  readonly dtype?: DType | undefined;
  /** @default by shape and name */
  readonly role?: Role | undefined;
  /** @default 'out-in' */
  readonly layout?: Layout | undefined;
}

/** Where a parameter is a part of a tensor, the element that it begins with; its shape is that of the whole. */
export const firstElement = Symbol('firstElement');

/** A part of a tensor, as a sharded optimizer's inner one sees it. */
export interface PartOfTensor extends Parameter {
  readonly shape: readonly number[];
  readonly [firstElement]: number;
}

/** A parameter's facts that may not change while an optimizer holds it. */
export interface Identity {
  readonly name: string;
  readonly shape: readonly number[];
  readonly length: number;
  /** Of a part of a tensor: the element it begins with. */
  readonly first: number | undefined;
  /** Of its data. */
  readonly dtype: DType;
  /** What its Uint16Arrays hold, where that was said. */
  readonly bits: DType | undefined;
}

/** A shape as native code sees it: number of axes, the rows and columns of its matrix, whether outputs are columns. */
export type Dims = readonly [ndim: number, rows: number, cols: number, outputsAreColumns: boolean];

export const sizeOf = (axes: readonly number[]): number =>
  axes.reduce((product, length) => product * length, 1);

export function dimsOf({ shape, length, first }: Identity, layout: Layout | undefined): Dims {
  // What is computed of rows is computed of whole tensors.
  if (first !== undefined && sizeOf(shape) !== length) return [shape.length, 1, length, false];
  const columns = layout === 'in-out' && shape.length > 1;
  const cut = columns ? -1 : 1;
  return [shape.length, sizeOf(shape.slice(0, cut)), sizeOf(shape.slice(cut)), columns];
}

const roles: readonly Role[] = ['hidden', 'embedding', 'head', 'vector'];
const layouts: readonly Layout[] = ['out-in', 'in-out'];

function oneOf(value: unknown, known: readonly string[], what: string): void {
  if (value !== undefined) checkChoice(value, known, what);
}

function shapeOf(parameter: Parameter, name: string): readonly number[] {
  const { shape, data } = parameter;
  if (firstElement in parameter) return (parameter as PartOfTensor).shape;
  if (shape === undefined) return isCudaTensor(data) ? data.shape : [data.length];
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
  const own = dataDType(data, dtype, name);
  const first = (given as Partial<PartOfTensor>)[firstElement];
  return { name, shape: shapeOf(given, name), length: data.length, first, dtype: own, bits: dtype };
}
