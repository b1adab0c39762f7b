import util from 'node:util';
import type { NativeDLPack } from './cuda/native';
import { checkHost, dtypeOf, factsOf, type CudaArray, type CudaDType } from './cuda/dtypes';
import { native } from './native';
import { describe, expectedRange, expectedType, onlyKnown } from './validate';

/** Whatever brings its memory as DLPack. */
export interface HasDLPack {
  toDLPack(): object;
}

export interface ToDLPackOptions {
  /** Row-major; its product is the length of the array. @default [array.length] */
  readonly shape?: readonly number[] | undefined;
  /** Needed only where the array cannot tell: a Uint16Array holds bfloat16 or float16. */
  readonly dtype?: CudaDType | undefined;
}

/** A typed array over someone else's memory, with what its capsule said. */
export type DLPackArray = CudaArray & {
  readonly shape: readonly number[];
  readonly dtype: CudaDType;
};

const deviceTypes: Readonly<Record<number, string>> = { 1: 'CPU', 2: 'CUDA', 3: 'CUDA-pinned', 13: 'CUDA' };

function typeOf({ code, bits, lanes }: NativeDLPack): CudaDType | undefined {
  if (lanes !== 1) return undefined;
  if (code === 2) return ({ 16: 'float16', 32: 'float32', 64: 'float64' } as const)[bits];
  if (code === 4 && bits === 16) return 'bfloat16';
  return code === 1 && bits === 8 ? 'uint8' : undefined;
}

/** A capsule that was read and can be taken. */
export interface Capsule extends Pick<NativeDLPack, 'shape' | 'device' | 'pointer'> {
  readonly external: unknown;
  readonly dtype: CudaDType;
}

/** Reads a capsule, or that of an object that makes one, and refuses what no tensor or array can be. */
export function readCapsule(
  value: unknown,
  what: string,
  addon: () => { readDLPack(external: unknown): NativeDLPack | undefined },
  memory: 'CUDA' | 'host',
): Capsule {
  const expected = 'a DLPack capsule (an External of a DLManagedTensor) or an object with toDLPack()';
  let external = value;
  if (typeof value === 'object' && value !== null && !util.types.isExternal(value)) {
    const { toDLPack } = value as Partial<HasDLPack>;
    if (typeof toDLPack !== 'function') throw expectedType(`the argument of ${what}`, expected, value);
    external = toDLPack.call(value);
  }
  const read = util.types.isExternal(external) ? addon().readDLPack(external) : undefined;
  if (!read) throw expectedType(`the argument of ${what}`, expected, external);
  if (read.taken) {
    throw new TypeError(
      `Expected the capsule of ${what} to hold memory but it has been taken: a capsule can be used once.`,
    );
  }
  const type = deviceTypes[read.deviceType];
  // Pinned memory is the host's too.
  const fits = memory === 'CUDA' ? type === 'CUDA' : type === 'CPU' || type === 'CUDA-pinned';
  if (!fits) {
    throw new TypeError(
      `Expected the capsule of ${what} to be of ${memory} memory but it is of ${type ?? `DLPack device type ${read.deviceType}`}.`,
    );
  }
  const dtype = typeOf(read);
  if (!dtype) {
    const { code, bits, lanes } = read;
    throw new TypeError(
      `Expected the capsule of ${what} to be float32, float64, bfloat16, float16 or uint8 ` +
        `but its DLPack type has code ${code}, ${bits} bits and ${lanes} lane${lanes === 1 ? '' : 's'}.`,
    );
  }
  if (read.readOnly)
    throw new TypeError(`Expected the capsule of ${what} to be writable but it is read-only.`);
  if (!read.compact || read.shape.some((size) => !Number.isSafeInteger(size) || size < 0)) {
    throw new TypeError(
      `Expected the capsule of ${what} to be compact and row-major but its strides are not (shape ${describe(read.shape)}).`,
    );
  }
  return { external, dtype, shape: read.shape, device: read.device, pointer: read.pointer };
}

const product = (shape: readonly number[]): number =>
  shape.includes(0) ? 0 : shape.reduce((all, size) => all * size, 1);

/**
 * A typed array over the host memory of a DLPack capsule, or of an object with `toDLPack()`: nothing is copied, and
 * the memory goes back to its library when the array's buffer is garbage collected. 16-bit floats come as the bits in a
 * Uint16Array. `shape` and `dtype` of the array are the capsule's, so that `{ data, shape: data.shape, dtype: … }` is a
 * parameter.
 *
 * @throws TypeError or RangeError in one sentence when it is no capsule, was taken, or is of other memory, read-only, not
 *   compact and row-major, or not aligned; the capsule is then as it was
 */
export function fromDLPack(source: HasDLPack | object): DLPackArray {
  const what = 'fromDLPack()';
  const { addon } = native();
  const { external, dtype, shape, pointer } = readCapsule(source, what, () => addon, 'host');
  const { bytes, Kind } = factsOf(dtype);
  const length = product(shape);
  if (!Number.isSafeInteger(length * bytes))
    throw expectedRange(
      `shape of ${what}`,
      'of a number of elements that can be counted',
      `[${shape.join(', ')}]`,
    );
  if (length > 0 && pointer % BigInt(bytes) !== 0n)
    throw expectedRange(
      `pointer of ${what}`,
      `a multiple of ${bytes} for ${dtype}`,
      `0x${pointer.toString(16)}`,
    );
  const buffer = addon.takeDLPack(external, length * bytes);
  return Object.defineProperties(new Kind(buffer), {
    shape: { value: Object.freeze([...shape]) },
    dtype: { value: dtype },
  }) as DLPackArray;
}

/**
 * A DLPack capsule over the memory of a typed array, which it keeps: a Node-API External of a `DLManagedTensor *`. Who
 * takes it sets its `deleter` to null, and calls what was there once, on any thread, when done.
 *
 * @param options shape and dtype, or the shape alone
 * @throws TypeError or RangeError in one sentence when the array or an option is not as it should be; Error where the
 *   runtime has no way to keep an ArrayBuffer's memory
 */
export function toDLPack(array: CudaArray, options: ToDLPackOptions | readonly number[] = {}): object {
  const what = 'toDLPack()';
  if (typeof options !== 'object' || (options as unknown) === null)
    throw expectedType(`options of ${what}`, 'an object', options);
  const given: ToDLPackOptions = Array.isArray(options)
    ? { shape: options as number[] }
    : (options as ToDLPackOptions);
  onlyKnown(given, ['shape', 'dtype'], what);
  const dtype = dtypeOf(array, given.dtype, what);
  const shape: unknown = given.shape ?? [array.length];
  if (!Array.isArray(shape) || shape.some((size) => !Number.isSafeInteger(size) || (size as number) < 0))
    throw expectedType(`shape of ${what}`, 'an array of integers >= 0', shape);
  const sizes = shape as readonly number[];
  const host = checkHost(
    array,
    dtype,
    product(sizes),
    `the array of ${what} with shape [${sizes.join(', ')}]`,
  );
  if ((host.buffer as ArrayBuffer & { resizable?: boolean }).resizable === true)
    throw new TypeError(
      `Expected the array of ${what} to be over a buffer of fixed size but received a resizable one.`,
    );
  const { addon } = native();
  if (!addon.pinsBuffers)
    throw new Error(`Expected a runtime that can keep the memory of an array for ${what}.`);
  return addon.exportDLPack(host, sizes, factsOf(dtype).code);
}
