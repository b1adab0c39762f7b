import type { CudaTensor } from '../cuda/tensor';
import type { HostArray } from '../dtypes';

/** How the values of the ranks become one. `mean` is the sum divided by the number of ranks. */
export type ReduceOp = 'sum' | 'mean' | 'max';

/** What a communicator moves. Bytes cannot be reduced; a Uint16Array needs its `dtype` to be. */
export type CommArray = HostArray | Uint8Array | CudaTensor;

export interface TransferOptions {
  /** What a Uint16Array holds. Other arrays tell themselves. */
  readonly dtype?: 'bfloat16' | 'float16' | undefined;
}

export interface ReduceOptions extends TransferOptions {
  /** @default 'sum' */
  readonly op?: ReduceOp | undefined;
}

/** Elements of each rank, in the order of ranks; some may be 0. @default all the same */
export interface Counts {
  readonly counts?: readonly number[] | undefined;
}

/**
 * Ranks that exchange arrays: the one interface of MPI and NCCL. Every rank calls the same methods in the same order with
 * arrays of the same dtype; calls need not be awaited one by one. Until a promise resolves its arrays are borrowed.
 *
 * A call whose arguments are not right by themselves throws; one that does not fit the other ranks' rejects on all of
 * them, and says what differs. When a rank has gone, every call rejects in bounded time with its number.
 */
export interface Communicator {
  /** 'mpi', 'nccl', or what another engine calls itself. */
  readonly engine: string;
  /** Of this process, in [0, size). */
  readonly rank: number;
  /** Number of ranks. */
  readonly size: number;
  /** Every rank's `data` becomes the reduction of all. */
  allReduce(data: CommArray, options?: ReduceOptions): Promise<void>;
  /** `send` holds a share for each rank, one after the other; `receive` becomes the reduction of this rank's. */
  reduceScatter(send: CommArray, receive: CommArray, options?: ReduceOptions & Counts): Promise<void>;
  /**
   * `receive` becomes the shares of all ranks, one after the other. `send` may be this rank's place in `receive`.
   */
  allGather(send: CommArray, receive: CommArray, options?: TransferOptions & Counts): Promise<void>;
  /** Every rank's `data` becomes that of `root`. @param root default 0 */
  broadcast(data: CommArray, root?: number, options?: TransferOptions): Promise<void>;
  /** Resolves when every rank has called it. */
  barrier(): Promise<void>;
  /** Waits for what was begun and leaves; every later call is an error. */
  close(): Promise<void>;
}
