import { readCapsule, type HasDLPack } from '../dlpack';
import { expectedRange, expectedType, readOptions } from '../validate';
import { deviceIndex, usable } from './device';
import { checkDType, checkHost, dtypeOf, factsOf, type CudaArray, type CudaDType } from './dtypes';
import { checkRange } from './pointer';
import { liveStream, defaultStream, streamFor, type CudaStream } from './stream';
import { checkName, CudaTensor, elementsOf, isCudaTensor, memoryOf } from './tensor';

export interface CudaTensorOptions {
  /** @default 0 */
  readonly device?: number | undefined;
  /** What errors call it. */
  readonly name?: string | undefined;
}

export interface CudaFromOptions<D extends CudaDType> extends CudaTensorOptions {
  /** @default [array.length] */
  readonly shape?: readonly number[] | undefined;
  /** Needed only where the array cannot tell: a Uint16Array holds bfloat16 or float16. */
  readonly dtype?: D | undefined;
  readonly stream?: CudaStream | undefined;
}

export interface CudaPointerOptions<D extends CudaDType> {
  readonly shape: readonly number[];
  /** @default 'float32' */
  readonly dtype?: D | undefined;
  /** @default the one that the pointer is on */
  readonly device?: number | undefined;
  readonly name?: string | undefined;
  /** Whatever must live as long as the memory is used: the tensor refers to it until it is freed. */
  readonly owner?: unknown;
  /** That the memory has, where its allocation is larger than what may be used. At least what the shape needs. */
  readonly bytes?: number | undefined;
}

function checkShape(shape: unknown, what: string): readonly number[] {
  const expected = 'an array of sizes';
  if (!Array.isArray(shape)) throw expectedType(`shape of ${what}`, expected, shape);
  for (const size of shape as readonly unknown[]) {
    if (typeof size !== 'number') throw expectedType(`shape of ${what}`, expected, shape);
    if (!Number.isSafeInteger(size) || size < 0) {
      throw expectedRange(`shape of ${what}`, 'an array of integers >= 0', `[${shape.join(', ')}]`);
    }
  }
  const sizes = shape as readonly number[];
  if (elementsOf(sizes) <= Number.MAX_SAFE_INTEGER / 8) return sizes;
  throw expectedRange(
    `shape of ${what}`,
    'of a number of elements that can be counted',
    `[${shape.join(', ')}]`,
  );
}

/** A new tensor of zeros. */
export function tensor<D extends CudaDType = 'float32'>(
  shape: readonly number[],
  dtype?: D,
  options?: CudaTensorOptions,
): CudaTensor<D> {
  const what = 'cuda.tensor()';
  const sizes = checkShape(shape, what);
  const type = checkDType(dtype ?? 'float32', what);
  const { device, name } = readOptions(options, ['device', 'name'], what);
  const label = checkName(name, what);
  const index = deviceIndex(device, what);
  const { code, bytes } = factsOf(type);
  const memory = usable(what).allocate(index, elementsOf(sizes) * bytes, code);
  const made = new CudaTensor<D>(memory, { shape: sizes, dtype: type, device: index, name: label });
  freeOnError(made, () => memory.clear(liveStream(defaultStream(index), what)));
  return made;
}

/** A new tensor with the numbers of an array. */
export function from(array: Float32Array, options?: CudaFromOptions<'float32'>): CudaTensor<'float32'>;
export function from(array: Float64Array, options?: CudaFromOptions<'float64'>): CudaTensor<'float64'>;
export function from(array: Uint8Array, options?: CudaFromOptions<'uint8'>): CudaTensor<'uint8'>;
export function from<D extends 'bfloat16' | 'float16'>(
  array: Uint16Array,
  options: CudaFromOptions<D> & { readonly dtype: D },
): CudaTensor<D>;
export function from(
  array: CudaArray,
  options: CudaFromOptions<CudaDType> & { readonly dtype: CudaDType },
): CudaTensor;
export function from(array: CudaArray, options?: CudaFromOptions<CudaDType>): CudaTensor {
  const what = 'cuda.from()';
  const { dtype, ...given } = readOptions(options, ['shape', 'dtype', 'device', 'stream', 'name'], what);
  const type = dtypeOf(array, dtype, what);
  const label = checkName(given.name, what);
  const index = deviceIndex(given.device, what);
  const stream = streamFor(given.stream, index, what);
  const shape = given.shape === undefined ? [array.length] : checkShape(given.shape, what);
  const length = elementsOf(shape);
  const host = checkHost(array, type, length, `the array of ${what} with shape [${shape.join(', ')}]`);
  const { code, bytes } = factsOf(type);
  const memory = usable(what).allocate(index, length * bytes, code);
  const made = new CudaTensor(memory, { shape, dtype: type, device: index, name: label });
  freeOnError(made, () => memory.upload(stream, host));
  return made;
}

/** A tensor over memory of someone else, on the device already. The pointer is checked here, and only here. */
export function fromPointer<D extends CudaDType = 'float32'>(
  pointer: bigint,
  options: CudaPointerOptions<D>,
): CudaTensor<D> {
  const what = 'cuda.fromPointer()';
  if (typeof pointer !== 'bigint') throw expectedType(`pointer of ${what}`, 'a bigint', pointer);
  if (BigInt.asUintN(64, pointer) !== pointer) {
    throw expectedRange(`pointer of ${what}`, 'an address', String(pointer));
  }
  const given = readOptions(options, ['shape', 'dtype', 'device', 'name', 'owner', 'bytes'], what);
  const shape = checkShape(given.shape, what);
  const dtype = checkDType(given.dtype ?? 'float32', what);
  const name = checkName(given.name, what);
  const { code, bytes } = factsOf(dtype);
  const needed = elementsOf(shape) * bytes;
  const available: unknown = given.bytes ?? needed;
  if (typeof available !== 'number') throw expectedType(`bytes of ${what}`, 'a number of bytes', available);
  if (!Number.isSafeInteger(available) || available < needed) {
    const expected = `an integer >= ${needed}, which shape [${shape.join(', ')}] of ${dtype} needs,`;
    throw expectedRange(`bytes of ${what}`, expected, available);
  }
  const asked = given.device === undefined ? undefined : deviceIndex(given.device, what);
  usable(what);
  const device = checkRange(pointer, available, dtype, asked, what);
  const { owner } = given;
  // Freeing a tensor that owns the memory does not free what others use.
  const kept = isCudaTensor(owner) ? memoryOf(owner, what) : undefined;
  const memory = usable(what).wrap(device, pointer, needed, code, kept);
  return new CudaTensor<D>(memory, { shape, dtype, device, name, owner });
}

/** A tensor over the memory of a DLPack capsule, which is given back when the tensor is freed. */
export function fromDLPack(
  source: HasDLPack | object,
  options?: Pick<CudaTensorOptions, 'name'>,
): CudaTensor {
  const what = 'cuda.fromDLPack()';
  const { name } = readOptions(options, ['name'], what);
  const label = checkName(name, what);
  const addon = usable(what);
  const { external, shape, dtype, device, pointer } = readCapsule(source, what, () => usable(what), 'CUDA');
  const { code, bytes } = factsOf(dtype);
  const size = elementsOf(shape) * bytes;
  checkRange(pointer, size, dtype, deviceIndex(device, what), what);
  const memory = addon.takeDLPack(external, device, size, code);
  return new CudaTensor(memory, { shape, dtype, device, name: label });
}

function freeOnError(made: CudaTensor, fill: () => void): void {
  try {
    fill();
  } catch (error) {
    made.free();
    throw error;
  }
}
