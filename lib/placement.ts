import { chooseIsa, chooseThreads } from './backends';
import type { BoundArrays } from './bound-arrays';
import { CudaPlacement } from './cuda/placement';
import { isCudaTensor, type CudaTensor } from './cuda/tensor';
import { checkData, gradDType, type DType, type HostArray, type StateArray } from './dtypes';
import { fieldView, type StateField } from './formats';
import { native, type NativeArray, type NativeView, type Stepper } from './native';
import type { Identity } from './parameter';
import type { CommonOptions } from './step-settings';
import { describe } from './validate';

/** Memory that a parameter or gradient may live in. */
export type TensorArray = HostArray | CudaTensor;
/** A live view of a state. */
export type StateView = StateArray | CudaTensor;

/** Where an optimizer's tensors live: what their arrays are, and who steps over them. One kind for each backend. */
export interface Placement {
  /** Of a GPU; undefined on the host. */
  readonly device: number | undefined;
  stepper(rules: readonly string[]): Stepper;
  /** Whether data may join an optimizer whose first tensor is `first`; throws where not. */
  accept(data: unknown, name: string, first: string): void;
  /** Whether a view that was made is still there. */
  intact(view: StateView, length: number): boolean;
  /** Unbinds the tensors whose bound arrays are no longer there; called at every step. */
  unbindLost(arrays: BoundArrays): void;
  checkData(data: unknown, tensor: Identity): void;
  /** The dtype of a gradient, checked. */
  gradDType(grad: unknown, tensor: Identity): DType;
  native(array: TensorArray): NativeArray;
  view(field: StateField, memory: NativeView): StateView;
  /** Copies to and from a view, in the order of steps. */
  write(view: StateView, array: StateArray): void;
  read(view: StateView): StateArray;
  /** Resolves when queued steps are done; only where they are queued. */
  finished?(): Promise<void>;
}

class HostPlacement implements Placement {
  readonly device = undefined;

  constructor(private readonly threads: unknown) {}

  stepper(rules: readonly string[]): Stepper {
    const { addon } = native();
    return new addon.Stepper(rules, chooseIsa(addon.isas).value, chooseThreads(this.threads).value);
  }
  accept(data: unknown, name: string, first: string): void {
    if (!isCudaTensor(data)) return;
    throw new TypeError(
      `Expected data of "${name}" to be a typed array, as that of "${first}" is, but received a CudaTensor.`,
    );
  }
  intact(view: StateArray, length: number): boolean {
    return view.length === length;
  }
  unbindLost(arrays: BoundArrays): void {
    const { isBound, lengths } = arrays;
    const data = arrays.data as readonly HostArray[];
    const grads = arrays.grads as readonly (HostArray | null)[];
    for (let i = 0; i < lengths.length; ++i) {
      const length = lengths[i]!;
      const grad = grads[i]!;
      if (isBound[i] && (data[i]!.length !== length || (grad !== null && grad.length !== length)))
        arrays.unbind(i);
    }
  }
  checkData(data: unknown, { dtype, length, name }: Identity): void {
    checkData(data, dtype, length, name);
  }
  gradDType(grad: unknown, { dtype, bits, length, name }: Identity): DType {
    return gradDType(grad, dtype, bits, length, name);
  }
  native(array: HostArray): NativeArray {
    return array;
  }
  view(field: StateField, memory: ArrayBuffer): StateArray {
    return fieldView(field, memory);
  }
  write(view: StateArray, array: StateArray): void {
    view.set(array);
  }
  read(view: StateArray): StateArray {
    return view.slice();
  }
}

/** The backend of an optimizer whose first parameter has these data. */
export function placementOf(data: unknown, className: string, options: CommonOptions): Placement {
  const { threads, stream, cudaGraph } = options;
  if (isCudaTensor(data)) return new CudaPlacement(data.device, stream, className);
  for (const [name, value] of Object.entries({ stream, cudaGraph })) {
    if (value === undefined || value === false) continue;
    throw new TypeError(
      `Expected ${name} of ${className} to be left out for parameters in host memory but received ${describe(value)}.`,
    );
  }
  return new HostPlacement(threads);
}
