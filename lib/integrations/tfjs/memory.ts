/** Where tensors of tfjs lie: what can be updated there, and what has to be copied first. */
import { isFloat32Array } from '../../dtypes';
import type { Tf, TfTensor, TfVariable } from './framework';

/** A backend whose tensors lie in memory that this process can write. */
export interface Memory {
  /** A tensor's own memory, for this moment: a later tensor may make WebAssembly memory grow, which detaches views. */
  view(tensor: TfTensor): Float32Array | undefined;
  /** Tensors that are this memory: a clone or a reshaped tensor shares that of its source. */
  sharers(tensor: TfTensor): number;
}

/** What is used of the backends `cpu` and `wasm` of tfjs 4. */
interface CpuBackend {
  readonly data: { get(dataId: object): { readonly values?: unknown } };
  refCount(dataId: object): number;
}
interface WasmBackend {
  typedArrayFromHeap(tensor: TfTensor): unknown;
  refCount(dataId: object): number;
}

const viewOf = (array: unknown, { size }: TfTensor): Float32Array | undefined =>
  isFloat32Array(array) && array.length === size ? array : undefined;

/** The memory of the current backend; undefined where it lets nobody in, and only copies go in and out. */
export function memoryOf(tf: Tf): Memory | undefined {
  const name = tf.getBackend();
  const backend: object = tf.backend();
  // Taking a tensor's memory also moves it here, should it lie in another backend; before that, nobody counts it here.
  if (name === 'cpu' && 'data' in backend && 'refCount' in backend) {
    const cpu = backend as CpuBackend;
    const view = (tensor: TfTensor) => viewOf(cpu.data.get(tensor.dataId).values, tensor);
    return { view, sharers: (tensor) => (view(tensor), cpu.refCount(tensor.dataId)) };
  }
  if (name === 'wasm' && 'typedArrayFromHeap' in backend && 'refCount' in backend) {
    const wasm = backend as WasmBackend;
    const view = (tensor: TfTensor) => viewOf(wasm.typedArrayFromHeap(tensor), tensor);
    return { view, sharers: (tensor) => (view(tensor), wasm.refCount(tensor.dataId)) };
  }
  return undefined;
}

/** Whether a variable can be updated where it lies, with no other tensor changing. */
export const isOwn = (memory: Memory, variable: TfVariable): boolean =>
  memory.view(variable) !== undefined && memory.sharers(variable) === 1;

/** A copy of a tensor's numbers. */
export const copyOf = (tensor: TfTensor): Float32Array => Float32Array.from(tensor.dataSync());

/** Gives a variable new memory, with these numbers, and leaves what it had to those who share it. */
export function assign(tf: Tf, variable: TfVariable, values: Float32Array): void {
  const tensor = tf.tensor(values, [...variable.shape], 'float32');
  variable.assign(tensor);
  tensor.dispose();
}
