import util from 'node:util';
import workers from 'node:worker_threads';
import { nativeCuda } from '../native';
import { expectedRange, expectedType, readOptions } from '../validate';
import { exportDLPack, type DLPackOptions } from './dlpack';
import { checkHost, factsOf, type ArrayOf, type CudaArray, type CudaDType } from './dtypes';
import type { NativeMemory } from './native';
import { streamFor, type CudaStream } from './stream';

/** In which stream bytes are copied. */
export interface TransferOptions {
  /** @default the stream that `cuda` uses for this device in this thread */
  readonly stream?: CudaStream | undefined;
}

/** What a tensor is made with. */
interface Init {
  readonly shape: readonly number[];
  readonly dtype: CudaDType;
  readonly device: number;
  readonly name?: string | undefined;
  /** Kept alive as long as the tensor uses its memory. */
  readonly owner?: unknown;
}

let inside: (tensor: CudaTensor) => NativeMemory | undefined;
let isTensor: (value: object) => value is CudaTensor;
let freed = 0;

/** The source of this function is what `structuredClone` and `postMessage` show, in Node versions without better words. */
function stays() {
  /* a CudaTensor stays in its thread: send its pointer, and use cuda.fromPointer() there */
}

// Since Node 22.10.
const markAsUncloneable = (workers as { markAsUncloneable?: (value: object) => void }).markAsUncloneable;

/**
 * Numbers in the memory of a GPU: made with `cuda.tensor()`, `cuda.from()`, `cuda.fromPointer()` or
 * `cuda.fromDLPack()`. Its memory is freed by `free()`, or by the garbage collector, once everything that was queued
 * by then is done.
 */
export class CudaTensor<D extends CudaDType = CudaDType> implements Disposable {
  readonly shape: readonly number[];
  readonly dtype: D;
  readonly device: number;
  readonly name: string | undefined;
  /** Elements. */
  readonly length: number;
  readonly bytes: number;
  #memory: NativeMemory | undefined;
  #owner: unknown;

  /** @internal */
  constructor(memory: NativeMemory, { shape, dtype, device, name, owner }: Init) {
    const { addon } = nativeCuda();
    if (!addon || !(memory instanceof addon.Memory)) {
      throw new TypeError('Expected a CudaTensor to be made by cuda.tensor() or cuda.from(), not by new.');
    }
    this.#memory = memory;
    this.#owner = owner;
    this.shape = Object.freeze([...shape]);
    this.dtype = dtype as D;
    this.device = device;
    this.name = name;
    this.length = elementsOf(shape);
    this.bytes = this.length * factsOf(dtype).bytes;
    Object.defineProperty(this, 'stays', { value: stays, enumerable: true });
    markAsUncloneable?.(this);
  }

  static {
    inside = (tensor) => tensor.#memory;
    isTensor = (value): value is CudaTensor => #memory in value;
  }

  /** Its address on the device. */
  get pointer(): bigint {
    return memoryOf(this, 'pointer').pointer()!;
  }

  /** What `fromPointer()` was asked to keep alive; undefined once freed. */
  get owner(): unknown {
    return this.#owner;
  }

  get freed(): boolean {
    return this.#memory === undefined;
  }

  /** Copies an array of the same length into the tensor, after what is queued; done when it returns. */
  upload(array: CudaArray, options?: TransferOptions): this {
    const [native, stream] = this.#transfer('upload()', options);
    native.upload(stream, checkHost(array, this.dtype, this.length, `the array for ${nameOf(this)}`));
    return this;
  }

  /** Copies the tensor into an array, a new one if none is given, after what is queued; done when it returns. */
  download(into?: undefined, options?: TransferOptions): ArrayOf[D];
  download<T extends CudaArray>(into: T, options?: TransferOptions): T;
  download(into: CudaArray | undefined, options?: TransferOptions): CudaArray {
    const [native, stream] = this.#transfer('download()', options);
    const array = into ?? new (factsOf(this.dtype).Kind)(this.length);
    native.download(stream, checkHost(array, this.dtype, this.length, `the array for ${nameOf(this)}`));
    return array;
  }

  /**
   * Queues the same. The array has been read when this returns, and what is queued on the stream later sees the new
   * numbers; the promise resolves when they are on the device.
   */
  async uploadAsync(array: CudaArray, options?: TransferOptions): Promise<void> {
    const [native, stream] = this.#transfer('uploadAsync()', options);
    const host = checkHost(array, this.dtype, this.length, `the array for ${nameOf(this)}`);
    await native.uploadAsync(stream, host);
  }

  /** Queues the same: the tensor as it is at this place in the stream. The array is borrowed until the promise resolves. */
  downloadAsync(into?: undefined, options?: TransferOptions): Promise<ArrayOf[D]>;
  downloadAsync<T extends CudaArray>(into: T, options?: TransferOptions): Promise<T>;
  async downloadAsync(into: CudaArray | undefined, options?: TransferOptions): Promise<CudaArray> {
    const [native, stream] = this.#transfer('downloadAsync()', options);
    const array = into ?? new (factsOf(this.dtype).Kind)(this.length);
    const what = `the array for ${nameOf(this)}`;
    const host = checkHost(array, this.dtype, this.length, what);
    if ((host.buffer as ArrayBuffer & { resizable?: boolean }).resizable === true) {
      throw new TypeError(
        `Expected ${what} to be over a buffer of fixed size for downloadAsync() but received a resizable one.`,
      );
    }
    if (nativeCuda().addon!.pinsBuffers) await native.downloadAsync(stream, host);
    else native.download(stream, host);
    if (array.length === this.length) return array;
    throw new Error(
      `Expected ${what} to stay in place until downloadAsync() resolved but its buffer was detached.`,
    );
  }

  /**
   * Queues a copy of another tensor of the same dtype, length and device, whatever its shape; waits for nothing. Tensors
   * that share memory must share all of it or none.
   */
  copyFrom(source: CudaTensor<D>, options?: TransferOptions): this {
    const [native, stream] = this.#transfer('copyFrom()', options);
    native.copyFrom(stream, checkSource(this, source));
    return this;
  }

  /**
   * Elements [begin, end) as a tensor of one dimension over the same memory, which lives until both are freed.
   * @param end default `length`
   */
  subarray(begin: number, end: number = this.length): CudaTensor<D> {
    const what = 'subarray()';
    const memory = memoryOf(this, what);
    const { length, dtype, device, name } = this;
    checkIndex(begin, 0, length, `begin of ${what}`);
    checkIndex(end, begin, length, `end of ${what}`);
    const { code, bytes } = factsOf(dtype);
    const [pointer, size] = [memory.pointer()! + BigInt(begin * bytes), (end - begin) * bytes];
    const part = nativeCuda().addon!.wrap(device, pointer, size, code, memory);
    return new CudaTensor<D>(part, { shape: [end - begin], dtype, device, name, owner: this.#owner });
  }

  /** Frees its memory once everything that is queued by now is done; waits for nothing. May be called twice. */
  free(): void {
    if (this.#memory) ++freed;
    this.#memory?.free();
    this.#memory = undefined;
    this.#owner = undefined;
  }

  /** A DLPack capsule that shares this memory and keeps it. By default everything queued is done when it returns. */
  toDLPack(options?: DLPackOptions): object {
    return exportDLPack(memoryOf(this, 'toDLPack()'), this, options);
  }

  [Symbol.dispose](): void {
    this.free();
  }

  [util.inspect.custom](_depth: number, options: util.InspectOptions): string {
    const { shape, dtype, device, name, freed } = this;
    const what = { ...(name !== undefined && { name }), shape, dtype, device, ...(freed && { freed }) };
    return `CudaTensor ${util.inspect(what, options)}`;
  }

  #transfer(what: string, options: TransferOptions | undefined) {
    const { stream } = readOptions(options, ['stream'], what);
    return [memoryOf(this, what), streamFor(stream, this.device, what)] as const;
  }
}

function checkIndex(value: unknown, least: number, most: number, what: string): void {
  const expected = `an integer in [${least}, ${most}]`;
  if (typeof value !== 'number') throw expectedType(what, expected, value);
  if (!Number.isInteger(value) || value < least || value > most) throw expectedRange(what, expected, value);
}

/** The memory of a tensor that can be copied into another. */
function checkSource(to: CudaTensor, source: unknown): NativeMemory {
  const what = `the tensor to copy into ${nameOf(to)}`;
  if (!isCudaTensor(source)) throw expectedType(what, 'a CudaTensor', source);
  const memory = memoryOf(source, 'copyFrom()');
  if (source.device !== to.device)
    throw expectedRange(what, `on device ${to.device}`, `one on device ${source.device}`);
  if (source.dtype !== to.dtype)
    throw new TypeError(`Expected ${what} to be ${to.dtype} but received ${source.dtype}.`);
  if (source.length !== to.length)
    throw new RangeError(`Expected ${what} to have ${to.length} elements but received ${source.length}.`);
  const apart = source.pointer - to.pointer;
  if (apart !== 0n && apart < BigInt(to.bytes) && apart > -BigInt(to.bytes))
    throw new RangeError(`Expected ${what} to share all of its memory or none but they overlap in part.`);
  return memory;
}

/** How many have been freed so far: as long as it stays the same, those that had memory have it. */
export const tensorsFreed = (): number => freed;

/** True for a CUDA tensor of this copy of the package, freed or not. */
export function isCudaTensor(value: unknown): value is CudaTensor {
  return typeof value === 'object' && value !== null && isTensor(value);
}

export function nameOf({ name, shape, dtype }: Pick<CudaTensor, 'name' | 'shape' | 'dtype'>): string {
  return name === undefined ? `the tensor of ${dtype} [${shape.join(', ')}]` : `tensor "${name}"`;
}

/** The memory of a tensor as native code takes it. `what` needs it, such as `step()`. */
export function memoryOf(tensor: CudaTensor, what: string): NativeMemory {
  const native = inside(tensor);
  if (native) return native;
  throw new Error(`Expected ${nameOf(tensor)} to have memory for ${what} but it was freed.`);
}

export const elementsOf = (shape: readonly number[]): number =>
  shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);

export function checkName(name: unknown, what: string): string | undefined {
  if (name === undefined || typeof name === 'string') return name;
  throw expectedType(`name of ${what}`, 'a string', name);
}
