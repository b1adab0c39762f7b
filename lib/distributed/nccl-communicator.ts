import { usable } from '../cuda/device';
import { factsOf } from '../cuda/dtypes';
import { CudaError } from '../cuda/errors';
import type { NativeComm } from '../cuda/native';
import { liveStream, type CudaStream } from '../cuda/stream';
import { CudaTensor, memoryOf } from '../cuda/tensor';
import type { CommArray, Communicator, Counts, ReduceOptions, TransferOptions } from './communicator';
import * as calls from './nccl-call';
import { decode, disagreement, encode, headerBytes, type Header } from './nccl-header';

/** What `nccl()` has found out. */
export interface NcclInit extends calls.Rank {
  readonly stream: CudaStream;
  readonly checks: boolean;
  /** Seconds. */
  readonly timeout: number;
  readonly over: Communicator | undefined;
}

/** How long another communicator is asked who has gone, in seconds. */
const askSeconds = 5;

/** What begins a call; its promise is settled when that is done, `pending` when the call is. */
type Begin = () => Promise<{ readonly pending: Promise<void> } | undefined>;

export class NcclCommunicator implements Communicator {
  readonly engine = 'nccl';
  readonly rank: number;
  readonly size: number;
  readonly #init: NcclInit;
  readonly #comm: NativeComm;
  /** Settled when the last call has been handed to NCCL: calls reach it in one order. */
  #tail: Promise<unknown> = Promise.resolve();
  /** Why no call can be made any more. */
  #failure: Promise<Error> | undefined;
  #closing: Promise<void> | undefined;

  constructor(comm: NativeComm, init: NcclInit) {
    this.#comm = comm;
    this.#init = init;
    this.rank = init.rank;
    this.size = init.size;
  }

  /** What a collective comes after. */
  get stream(): CudaStream {
    return this.#init.stream;
  }

  /** The first exchange, over NCCL: it connects all ranks, and compares what they are. */
  connect(version: number): Promise<void> {
    const facts = { op: Number(this.#init.checks), length: version };
    return this.#next('nccl()', () => this.#exchange(calls.headerOf('nccl', facts), undefined));
  }

  allReduce(data: CommArray, options?: ReduceOptions): Promise<void> {
    return this.#run(calls.one('allReduce', this.#init, data, options));
  }
  reduceScatter(send: CommArray, receive: CommArray, options?: ReduceOptions & Counts): Promise<void> {
    return this.#run(calls.pair('reduceScatter', this.#init, send, receive, options));
  }
  allGather(send: CommArray, receive: CommArray, options?: TransferOptions & Counts): Promise<void> {
    return this.#run(calls.pair('allGather', this.#init, send, receive, options));
  }
  broadcast(data: CommArray, root = 0, options?: TransferOptions): Promise<void> {
    return this.#run(calls.one('broadcast', this.#init, data, options, root));
  }
  barrier(): Promise<void> {
    return this.#next('barrier()', () => this.#exchange(calls.headerOf('barrier'), this.#init.over));
  }
  close(): Promise<void> {
    return (this.#closing ??= this.#tail.then(() => this.#comm.close()));
  }

  async #run({ kind, header, ops, reduce, send, receive }: calls.Call): Promise<void> {
    const { stream, checks, over } = this.#init;
    const what = `${kind}()`;
    try {
      const sent = send.send(stream);
      sent.catch(() => undefined); // it is awaited below
      await this.#next(what, async () => {
        if (checks) await this.#exchange(header, over);
        await sent;
        const divides = reduce === 'mean' && this.size > 1;
        const pending = this.#comm.call(
          liveStream(stream, what),
          send.memory,
          receive.memory,
          Float64Array.from(ops.flat()),
          reduce === 'max' ? 2 : 0,
          divides ? receive.length : 0,
        );
        return { pending };
      });
      await receive.fetch(stream);
    } finally {
      send.release();
      receive.release();
    }
  }

  /** Begins a call when the one before has begun. */
  async #next(what: string, begin: Begin): Promise<void> {
    if (this.#closing) throw new Error(`Expected the communicator to be open for ${what} but it was closed.`);
    const begun = this.#tail.then(async () => {
      if (this.#failure) throw await this.#failure;
      return begin();
    });
    this.#tail = begun.catch(() => undefined);
    try {
      await (
        await begun
      )?.pending;
    } catch (error) {
      if (!(error instanceof CudaError)) throw error;
      throw await this.#fail(() => this.#reason(error, what));
    }
  }

  /** Ends the communicator; the first reason stays. */
  #fail(reason: () => Promise<Error>): Promise<Error> {
    this.#comm.abort('a call of this rank has failed');
    return (this.#failure ??= reason());
  }

  /** Every rank's header comes to all, and they are compared. */
  async #exchange(header: Header, over: Communicator | undefined): Promise<undefined> {
    const { size } = this;
    if (size === 1) return undefined;
    const [mine, all] = [encode(header), new Uint8Array(size * headerBytes)];
    if (over) {
      try {
        await over.allGather(mine, all);
      } catch (error) {
        throw await this.#fail(() => Promise.resolve(error as Error));
      }
    } else {
      await this.#gather(mine, all);
    }
    const error = disagreement(Array.from({ length: size }, (_, rank) => decode(all, rank)));
    if (error) throw error;
    return undefined;
  }

  async #gather(mine: Uint8Array, all: Uint8Array): Promise<void> {
    const { device, stream } = this.#init;
    const what = 'nccl()';
    const make = ({ length }: Uint8Array): CudaTensor<'uint8'> => {
      const memory = usable(what).allocate(device, length, factsOf('uint8').code);
      return new CudaTensor(memory, { shape: [length], dtype: 'uint8', device });
    };
    using from = make(mine);
    using to = make(all);
    await from.uploadAsync(mine, { stream });
    const ops = Float64Array.of(calls.codes.allGather, 0, 0, mine.length, 0);
    await this.#comm.call(liveStream(stream, what), memoryOf(from, what), memoryOf(to, what), ops, 0, 0);
    await to.downloadAsync(all, { stream });
  }

  /** What every call from now on rejects with. */
  async #reason(error: CudaError, what: string): Promise<Error> {
    const { size, rank } = this;
    const { over, timeout } = this.#init;
    const said = over === undefined ? '' : await whoHasGone(over);
    const noted =
      error.codeName === 'ncclTimeout'
        ? `nothing has happened for ${timeout} s on rank ${rank}`
        : error.message;
    const why = said ? `${said} (rank ${rank}: ${noted.replace(/\.$/, '')})` : noted.replace(/\.$/, '');
    const hint =
      over === undefined && size > 1 ? ' The launcher, or an option over, may say which has gone.' : '';
    return new Error(`Expected all ${size} ranks to take part in ${what} but ${why}.${hint}`, {
      cause: error,
    });
  }
}

/** What another communicator says when one of its ranks has gone; nothing where it cannot tell. */
async function whoHasGone(over: Communicator): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(''), askSeconds * 1000);
  });
  const asked = over.barrier().then(
    () => '',
    (error: unknown) => (error as Error).message.replace(/\.$/, ''),
  );
  return Promise.race([asked, late]).finally(() => clearTimeout(timer));
}
