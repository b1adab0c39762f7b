import path from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { readOptions } from '../cuda/device';
import { numberWhere } from '../validate';
import type { CommArray, Communicator, Counts, ReduceOptions, TransferOptions } from './communicator';
import {
  checkLauncher,
  collectives,
  elements,
  loadMpi,
  mpiCandidates,
  reductions,
  type NativeMpi,
} from './mpi-native';
import { borrow, checkCounts, checkOp, checkRoot, stage, type CommDType, type Staged } from './transfers';

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
  readonly op?: ReturnType<typeof checkOp>;
  readonly root?: number;
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
    this.#open('allReduce()');
    const { dtype, op } = readOptions(options, ['dtype', 'op'], 'allReduce()');
    const borrowed = borrow(data, dtype, 'data of allReduce()', true);
    const receive = { op: checkOp(op, 'allReduce()'), dtype: borrowed.dtype };
    return this.#call({ kind: 'allReduce', ...receive, receive: stage(borrowed, true, true) });
  }

  reduceScatter(send: CommArray, receive: CommArray, options?: ReduceOptions & Counts): Promise<void> {
    const call = 'reduceScatter()';
    this.#open(call);
    const { dtype, op, counts } = readOptions(options, ['dtype', 'op', 'counts'], call);
    const whole = borrow(send, dtype, `send of ${call}`, true);
    const share = borrow(receive, dtype, `receive of ${call}`, true);
    return this.#call({
      kind: 'reduceScatter',
      dtype: whole.dtype,
      op: checkOp(op, call),
      counts: checkCounts(counts, whole, share, { ...this.#place(), call }),
      send: stage(whole, true, false),
      receive: stage(share, false, true),
    });
  }

  allGather(send: CommArray, receive: CommArray, options?: TransferOptions & Counts): Promise<void> {
    const call = 'allGather()';
    this.#open(call);
    const { dtype, counts } = readOptions(options, ['dtype', 'counts'], call);
    const share = borrow(send, dtype, `send of ${call}`, false);
    const whole = borrow(receive, dtype, `receive of ${call}`, false);
    return this.#call({
      kind: 'allGather',
      dtype: whole.dtype,
      counts: checkCounts(counts, whole, share, { ...this.#place(), call }),
      send: stage(share, true, false),
      receive: stage(whole, false, true),
    });
  }

  broadcast(data: CommArray, root = 0, options?: TransferOptions): Promise<void> {
    this.#open('broadcast()');
    const { dtype } = readOptions(options, ['dtype'], 'broadcast()');
    const borrowed = borrow(data, dtype, 'data of broadcast()', false);
    const from = checkRoot(root, this.size);
    const receive = stage(borrowed, from === this.rank, from !== this.rank);
    return this.#call({ kind: 'broadcast', dtype: borrowed.dtype, root: from, receive });
  }

  barrier(): Promise<void> {
    this.#open('barrier()');
    return this.#call({ kind: 'barrier' });
  }

  async close(): Promise<void> {
    this.#closed ??= this.#native.close().then(() => undefined);
    await this.#closed;
  }

  #place(): { readonly rank: number; readonly size: number } {
    return { rank: this.rank, size: this.size };
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
    const codes = [collectives.indexOf(kind), elements.indexOf(dtype), reductions.indexOf(op), root] as const;
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
