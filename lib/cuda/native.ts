import type { NativeCatalogue, Stepper } from '../native';

/** What the CUDA addon exports; native/node/cuda_addon.cpp is the other side. */

/** A GPU as the driver describes it. */
export interface CudaDevice {
  readonly index: number;
  readonly name: string;
  /** As in "9.0". */
  readonly computeCapability: string;
  readonly multiprocessors: number;
  /** Bytes. */
  readonly memory: number;
  readonly l2Bytes: number;
  /** Whether float64 arithmetic runs at a quarter of the rate of float32 or more. */
  readonly fastFloat64: boolean;
}

export interface NativePresence {
  /** Empty when devices can be used. */
  readonly reason: string;
  readonly driver: string;
  readonly runtime: string;
  readonly devices: readonly CudaDevice[];
}

/** cuBLAS or NCCL, which are looked for at run time. */
export interface NativeLibrary {
  readonly available: boolean;
  readonly path: string;
  readonly reason: string;
  readonly version: number;
}

/** A range of device memory. `stream` arguments are native streams. */
export interface NativeMemory {
  /** Undefined once freed. */
  pointer(): bigint | undefined;
  free(): void;
  clear(stream: NativeStream): void;
  upload(stream: NativeStream, array: ArrayBufferView): void;
  download(stream: NativeStream, array: ArrayBufferView): void;
  /** Queues a copy of memory of the same size on the same device. */
  copyFrom(stream: NativeStream, from: NativeMemory): void;
  /** Copies to or from an array over pinned memory, which is done when the stream gets there. */
  queueUpload(stream: NativeStream, array: ArrayBufferView): void;
  queueDownload(stream: NativeStream, array: ArrayBufferView): void;
  uploadAsync(stream: NativeStream, array: ArrayBufferView): Promise<void>;
  downloadAsync(stream: NativeStream, array: ArrayBufferView): Promise<void>;
}

/** A rank of NCCL. */
export interface NativeComm {
  /** Begins: with NCCL's id, or the address where rank 0 listens. `seconds`: without progress, until it gives up. */
  start(ranks: number, rank: number, id: Uint8Array | string, seconds: number): Promise<void>;
  /**
   * Operations that begin together, after what is queued on the stream: five numbers each, kind (allReduce,
   * reduceScatter, allGather, broadcast, reduce), elements of `send` and of `receive` to begin at, count, root. `mean`:
   * elements of `receive` to divide by the number of ranks.
   */
  call(
    stream: NativeStream,
    send: NativeMemory,
    receive: NativeMemory,
    ops: Float64Array,
    op: number,
    mean: number,
  ): Promise<void>;
  close(): Promise<void>;
  abort(reason: string): void;
}

export interface NativeStream {
  handle(): bigint;
  alive(): boolean;
  synchronize(): void;
  synchronizeAsync(): Promise<void>;
  destroy(): void;
}

export interface NativeEvent {
  record(stream: NativeStream): void;
  wait(stream: NativeStream): void;
  done(): boolean;
  synchronize(): void;
  elapsed(end: NativeEvent): number;
}

/** A tensor of a DLPack capsule; only `taken` where that is true. */
export interface NativeDLPack {
  readonly taken: boolean;
  readonly readOnly: boolean;
  readonly deviceType: number;
  readonly device: number;
  readonly code: number;
  readonly bits: number;
  readonly lanes: number;
  readonly shape: readonly number[];
  readonly compact: boolean;
  readonly pointer: bigint;
}

/** `[call, code, codeName, message, kernel, bytes]`; empty or 0 where there is none. */
export type FaultFacts = [string, number, string, string, string, number];

export interface NativeCuda {
  readonly pinsBuffers: boolean;
  readonly Memory: new () => NativeMemory;
  readonly Stream: new (device: number, handle?: bigint) => NativeStream;
  readonly Comm: new (device: number) => NativeComm;
  readonly Stepper: new (rules: readonly string[], stream: NativeStream) => Stepper;
  readonly Event: new (device: number, timing: boolean) => NativeEvent;
  presence(): NativePresence;
  cublas(): NativeLibrary;
  nccl(): NativeLibrary;
  ncclUniqueId(): Uint8Array;
  /** Errors are made here, so that they belong to the caller's realm. */
  setErrors(make: (...facts: FaultFacts) => Error): void;
  allocate(device: number, bytes: number, dtype: number): NativeMemory;
  wrap(device: number, pointer: bigint, bytes: number, dtype: number, keep?: NativeMemory): NativeMemory;
  /** Memory of this process that devices copy to and from at full speed. */
  pinned(device: number, bytes: number): ArrayBuffer;
  /** `[kind, device, bytes of its allocation from there on, or -1]` */
  pointerInfo(
    device: number,
    pointer: bigint,
  ): ['unknown' | 'host' | 'device' | 'managed', device: number, bytes: number];
  synchronize(device: number): void;
  /** Makes a stream wait for everything that is queued on others. */
  join(device: number, stream: NativeStream): void;
  exportDLPack(memory: NativeMemory, shape: readonly number[], dtype: number): object;
  readDLPack(external: unknown): NativeDLPack | undefined;
  takeDLPack(external: unknown, device: number, bytes: number, dtype: number): NativeMemory;
  nativeApi(catalogue: NativeCatalogue): object;
}
