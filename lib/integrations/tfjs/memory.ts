/** Where tensors of tfjs lie: what can be updated there, and what has to be copied first. */
import { isFloat32Array } from '../../dtypes';
import type { Tf, TfTensor, TfVariable } from './framework';

/** A backend whose tensors lie in memory that this process can write. */
export interface Memory {
  /**
   * A tensor's own memory, for this moment: WebAssembly memory that grows takes its views away. Moves the tensor here
   * from another backend, as tfjs does at a first use.
   */
  view(tensor: TfTensor): Float32Array | undefined;
  /** How many tensors are this memory: a clone or a reshaped tensor shares that of its source. */
  sharers(tensor: TfTensor): number;
  /** Tells the backend that a tensor's memory has other numbers now. */
  written(tensor: TfTensor): void;
}

/** What is used of the backend `cpu` of tfjs 4. */
interface CpuBackend {
  readonly data: { get(dataId: object): { readonly values?: unknown } };
  refCount(dataId: object): number;
}

/** What is used of the backend `wasm`. */
interface WasmBackend {
  readonly wasm: {
    readonly tfjs: {
      disposeData(id: number): void;
      registerTensor(id: number, size: number, memoryOffset: number): void;
    };
  };
  readonly dataIdMap: { get(dataId: object): { readonly id: number; readonly memoryOffset: number } };
  typedArrayFromHeap(tensor: TfTensor): unknown;
  refCount(dataId: object): number;
}

const isCpu = (backend: Partial<CpuBackend>): backend is CpuBackend =>
  typeof backend.data?.get === 'function' && typeof backend.refCount === 'function';

const isWasm = (backend: Partial<WasmBackend>): backend is WasmBackend =>
  typeof backend.wasm?.tfjs?.disposeData === 'function' &&
  typeof backend.wasm.tfjs.registerTensor === 'function' &&
  typeof backend.dataIdMap?.get === 'function' &&
  typeof backend.typedArrayFromHeap === 'function' &&
  typeof backend.refCount === 'function';

const viewOf = (array: unknown, { size }: TfTensor): Float32Array | undefined =>
  isFloat32Array(array) && array.length === size ? array : undefined;

function cpuMemory(backend: CpuBackend): Memory {
  return {
    view: (tensor) => viewOf(backend.data.get(tensor.dataId).values, tensor),
    sharers: ({ dataId }) => backend.refCount(dataId),
    written: () => undefined,
  };
}

function wasmMemory(backend: WasmBackend): Memory {
  const { tfjs } = backend.wasm;
  return {
    view: (tensor) => viewOf(backend.typedArrayFromHeap(tensor), tensor),
    sharers: ({ dataId }) => backend.refCount(dataId),
    written: ({ dataId, size }) => {
      // Products keep a packed copy of the weights for as long as their tensor is registered, and would go on with old
      // numbers. Registering it anew, under its number and where it is, drops those copies and nothing else.
      const { id, memoryOffset } = backend.dataIdMap.get(dataId);
      tfjs.disposeData(id);
      tfjs.registerTensor(id, size, memoryOffset);
    },
  };
}

/** The memory of the current backend; undefined where it lets nobody in, and only copies go in and out. */
export function memoryOf(tf: Tf): Memory | undefined {
  const name = tf.getBackend();
  const backend = tf.backend() as Partial<CpuBackend & WasmBackend>;
  if (name === 'cpu' && isCpu(backend)) return cpuMemory(backend);
  if (name === 'wasm' && isWasm(backend)) return wasmMemory(backend);
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
