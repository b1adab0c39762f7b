import path from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { numberWhere, readOptions } from '../validate';
import type {
  CommArray,
  Communicator,
  Counts,
  ReduceOp,
  ReduceOptions,
  TransferOptions,
} from './communicator';
import { checkLauncher, collectives, elements, loadMpi, mpiCandidates, type NativeMpi } from './mpi-native';
import { stage, type Staged } from './mpi-staging';
import { checkOne, checkPair, checkRoot, reduceOps, type CommDType } from './transfers';

export interface MpiOptions {
  /**
   * Seconds that a call waits for the other ranks to make it too; greater than 0, at most 1e6.
   * @default 300
   */
  readonly timeout?: number | undefined;
}

const defaultTimeout = 300;
const checkTimeout = numberWhere('> 0 and <= 1e6 seconds', (value) => value > 0 && value <= 1e6);

interface Shape {
  readonly kind: (typeof collectives)[number];
  readonly dtype?: CommDType;
  readonly op?: ReduceOp;
  readonly root?: number | undefined;
  readonly counts?: Int32Array;
  readonly send?: Staged;
  readonly receive?: Staged;
}

class MpiCommunicator implements Communicator {
  readonly engine = 'mpi';
  readonly rank: number;
  readonly size: number;
  readonly #native: NativeMpi;
  #closed: Promise<void> | undefined;

  constructor(native: NativeMpi, { rank, size }: { readonly rank: number; readonly size: number }) {
    this.#native = native;
    this.rank = rank;
    this.size = size;
  }

  allReduce(data: CommArray, options?: ReduceOptions): Promise<void> {
    return this.#one('allReduce', data, options);
  }
  reduceScatter(send: CommArray, receive: CommArray, options?: ReduceOptions & Counts): Promise<void> {
    return this.#pair('reduceScatter', send, receive, options);
  }
  allGather(send: CommArray, receive: CommArray, options?: TransferOptions & Counts): Promise<void> {
    return this.#pair('allGather', send, receive, options);
  }
  broadcast(data: CommArray, root = 0, options?: TransferOptions): Promise<void> {
    return this.#one('broadcast', data, options, root);
  }

  #one(
    kind: 'allReduce' | 'broadcast',
    array: CommArray,
    options: ReduceOptions | undefined,
    root?: number,
  ): Promise<void> {
    this.#open(`${kind}()`);
    const { data, op } = checkOne(kind, array, options);
    const from = root === undefined ? undefined : checkRoot(root, this.size);
    const receive = stage(data, from === undefined || from === this.rank, from !== this.rank);
    return this.#call({ kind, dtype: data.dtype, op, root: from, receive });
  }

  #pair(
    kind: 'reduceScatter' | 'allGather',
    from: CommArray,
    to: CommArray,
    options: (ReduceOptions & Counts) | undefined,
  ): Promise<void> {
    this.#open(`${kind}()`);
    const { send, receive, counts, dtype, op } = checkPair(kind, from, to, options, this);
    return this.#call({
      ...{ kind, dtype, op, counts: Int32Array.from(counts) },
      send: stage(send, true, false),
      receive: stage(receive, false, true),
    });
  }

  barrier(): Promise<void> {
    this.#open('barrier()');
    return this.#call({ kind: 'barrier' });
  }

  async close(): Promise<void> {
    this.#closed ??= this.#native.close().then(() => undefined);
    await this.#closed;
  }

  #open(call: string): void {
    if (this.#closed) throw new Error(`Expected ${call} before close() but the communicator is closed.`);
  }

  async #call({
    kind,
    dtype = 'float32',
    op = 'sum',
    root = 0,
    counts,
    send,
    receive,
  }: Shape): Promise<void> {
    const codes = [collectives.indexOf(kind), elements.indexOf(dtype), reduceOps.indexOf(op), root] as const;
    const problem = await this.#native.call(codes, send?.host ?? null, receive?.host ?? null, counts);
    if (problem !== undefined) throw new Error(problem);
    send?.finish();
    receive?.finish();
  }
}

let started: { readonly communicator: MpiCommunicator; readonly timeout: number } | undefined;
let failure: string | undefined;

/**
 * The ranks of an MPI job, of which this process is one: start the script with `mpirun -n 4 node train.js`. Waits until
 * all of them have called it. A second call in the same thread gives the same communicator. A process that ends with a
 * status other than 0 ends the others.
 */
export function mpi(options?: MpiOptions): Communicator {
  const { timeout } = readOptions(options, ['timeout'], 'mpi()');
  const seconds = timeout === undefined ? undefined : checkTimeout(timeout, 'timeout of mpi()');
  if (failure !== undefined) throw new Error(failure);
  if (started) {
    if (seconds === undefined || seconds === started.timeout) return started.communicator;
    throw new RangeError(
      `Expected timeout of mpi() to be ${started.timeout}, as in its first call, but received ${seconds}.`,
    );
  }
  checkLauncher();
  const native = loadMpi(mpiCandidates(path.join(__dirname, '..', '..')));
  const place = native.start(seconds ?? defaultTimeout);
  if (typeof place === 'string') throw new Error((failure = place));
  // A worker thread may end with any status: the process goes on.
  if (isMainThread) process.on('exit', (status) => native.processEnds(status));
  started = { communicator: new MpiCommunicator(native, place), timeout: seconds ?? defaultTimeout };
  return started.communicator;
}
