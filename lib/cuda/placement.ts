import type { BoundArrays } from '../bound-arrays';
import { supportOf, unsupported, either, type DType, type StateArray } from '../dtypes';
import type { FieldKind, StateField } from '../formats';
import { nativeCuda, type NativeView, type Stepper } from '../native';
import type { Identity } from '../parameter';
import type { Placement } from '../placement';
import { describe, expectedType } from '../validate';
import { usable } from './device';
import type { CudaArray, CudaDType } from './dtypes';
import type { NativeMemory } from './native';
import { CudaStream, defaultStream, liveStream, makeStream } from './stream';
import { CudaTensor, isCudaTensor, memoryOf, tensorsFreed } from './tensor';

/** What the arrays of states hold, as tensors do: a remainder is 16 bits like bfloat16. */
const dtypes: Readonly<Record<FieldKind, CudaDType>> = {
  float32: 'float32',
  float64: 'float64',
  bfloat16: 'bfloat16',
  bits: 'bfloat16',
  codes: 'uint8',
};

/** Tensors in the memory of one GPU, and the stream their optimizer works in. */
export class CudaPlacement implements Placement {
  readonly stream: CudaStream;
  /** Tensors that had been freed when the bound ones were last looked at. */
  #freed = 0;

  constructor(
    readonly device: number,
    stream: unknown,
    private readonly className: string,
  ) {
    this.stream = streamOf(stream, device, className);
  }

  stepper(rules: readonly string[]): Stepper {
    const { Stepper } = usable(this.className);
    return new Stepper(rules, liveStream(this.stream, this.className));
  }

  accept(data: unknown, name: string, first: string): void {
    if (!isCudaTensor(data))
      throw expectedType(`data of "${name}"`, `a CudaTensor, as that of "${first}" is,`, data);
    if (data.device !== this.device)
      throw new RangeError(
        `Expected data of "${name}" to be on device ${this.device}, as that of "${first}" is, but it is on device ` +
          `${data.device}.`,
      );
  }

  intact(tensor: CudaTensor): boolean {
    return !tensor.freed;
  }

  unbindLost(arrays: BoundArrays): void {
    const count = tensorsFreed();
    if (count === this.#freed) return;
    this.#freed = count;
    const { isBound } = arrays;
    const data = arrays.data as readonly CudaTensor[];
    const grads = arrays.grads as readonly (CudaTensor | null)[];
    for (let i = 0; i < isBound.length; ++i)
      if (isBound[i] && (data[i]!.freed || grads[i]?.freed)) arrays.unbind(i);
  }

  checkData(data: unknown, { dtype, name, length }: Identity): void {
    const tensor = this.#check(data, length, `data of "${name}"`);
    if (tensor.dtype === dtype) return;
    throw new TypeError(`Expected data of "${name}" to be ${dtype} but received ${tensor.dtype}.`);
  }

  gradDType(grad: unknown, { dtype, name, length }: Identity): DType {
    const what = `grad of "${name}"`;
    const tensor = this.#check(grad, length, what);
    const { grads } = supportOf(dtype);
    if (grads.includes(tensor.dtype as DType)) return tensor.dtype as DType;
    throw unsupported(what, either(grads), tensor.dtype, dtype);
  }

  #check(value: unknown, length: number, what: string): CudaTensor {
    if (!isCudaTensor(value)) throw expectedType(what, `a CudaTensor on device ${this.device}`, value);
    if (value.freed)
      throw new Error(`Expected ${what} to have memory on device ${this.device} but it was freed.`);
    if (value.device !== this.device)
      throw new RangeError(
        `Expected ${what} to be on device ${this.device} but it is on device ${value.device}.`,
      );
    if (value.length !== length)
      throw new RangeError(`Expected ${what} to have ${length} elements but received ${value.length}.`);
    return value;
  }

  native(tensor: CudaTensor): NativeMemory {
    return memoryOf(tensor, 'step()');
  }

  view({ kind, length }: StateField, native: NativeView): CudaTensor {
    return new CudaTensor(native as NativeMemory, {
      shape: [length],
      dtype: dtypes[kind],
      device: this.device,
    });
  }

  write(view: CudaTensor, array: StateArray): void {
    view.upload(array, { stream: this.stream });
  }

  read(view: CudaTensor): StateArray {
    const array: CudaArray = view.download(undefined, { stream: this.stream });
    return array;
  }

  finished(): Promise<void> {
    return this.stream.synchronizeAsync();
  }
}

function streamOf(option: unknown, device: number, className: string): CudaStream {
  const what = `stream of ${className}`;
  if (!nativeCuda().addon) usable(className);
  if (option === undefined) return defaultStream(device);
  if (typeof option === 'bigint') return makeStream({ device, handle: option });
  if (!(option instanceof CudaStream))
    throw new TypeError(
      `Expected ${what} to be a CudaStream, or the handle of one as a bigint, but received ${describe(option)}.`,
    );
  liveStream(option, className);
  if (option.device === device) return option;
  throw new RangeError(
    `Expected ${what} to be on device ${device}, as its parameters are, but it is on device ${option.device}.`,
  );
}
