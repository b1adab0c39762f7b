// Ranks in one process, for tests: what a Communicator promises, with the sum taken in the order of ranks.
import type {
  CommArray,
  Communicator,
  Counts,
  ReduceOptions,
  TransferOptions,
} from '../../lib/distributed/communicator';
import type { HostArray } from '../../lib/dtypes';
import { fromBf16, toBf16 } from './lowp';

type Array_ = HostArray | Uint8Array;

interface Call {
  readonly kind: string;
  readonly data: readonly Array_[];
  readonly resolve: () => void;
  readonly reject: (reason: Error) => void;
}

/** Calls of ranks meet here: the n-th of each rank with the n-th of the others. */
class Room {
  readonly #calls: Call[][];
  /** Bytes that ranks have put in, by kind. */
  readonly bytes: Record<string, number> = {};
  constructor(readonly size: number) {
    this.#calls = Array.from({ length: size }, () => []);
  }
  meet(
    rank: number,
    kind: string,
    data: readonly Array_[],
    work: (all: readonly Call[]) => void,
  ): Promise<void> {
    this.bytes[kind] = (this.bytes[kind] ?? 0) + data[0]!.byteLength;
    return new Promise((resolve, reject) => {
      this.#calls[rank]!.push({ kind, data, resolve, reject });
      if (this.#calls.some((calls) => calls.length === 0)) return;
      const all = this.#calls.map((calls) => calls.shift()!);
      if (all.some((call) => call.kind !== kind)) {
        const kinds = all.map((call) => call.kind).join(', ');
        for (const call of all) call.reject(new Error(`ranks disagree: ${kinds}`));
        return;
      }
      work(all);
      // Later, as from a network.
      setImmediate(() => all.forEach((call) => call.resolve()));
    });
  }
}

const read = (array: Array_, i: number, dtype?: string): number =>
  dtype === 'bfloat16' ? fromBf16(array[i]!) : array[i]!;

function reduce(
  arrays: readonly Array_[],
  begin: number,
  out: Array_,
  { op = 'sum', dtype }: ReduceOptions = {},
): void {
  if (op !== 'max' && dtype === undefined) {
    // float32 and float64 are summed as they are stored, like a network's engine does.
    out.set(arrays[0]!.subarray(begin, begin + out.length));
    for (const array of arrays.slice(1)) for (let i = 0; i < out.length; ++i) out[i]! += array[begin + i]!;
    if (op === 'mean') for (let i = 0; i < out.length; ++i) out[i]! /= arrays.length;
    return;
  }
  for (let i = 0; i < out.length; ++i) {
    const values = arrays.map((array) => read(array, begin + i, dtype));
    let value = op === 'max' ? Math.max(...values) : values.reduce((sum, v) => sum + v);
    if (op === 'mean') value /= arrays.length;
    out[i] = dtype === 'bfloat16' ? toBf16(value) : value;
  }
}

class Rank implements Communicator {
  readonly engine = 'test';
  constructor(
    readonly room: Room,
    readonly rank: number,
  ) {}
  get size(): number {
    return this.room.size;
  }
  allReduce(data: CommArray, options?: ReduceOptions): Promise<void> {
    return this.room.meet(this.rank, 'allReduce', [data as Array_], (all) => {
      const arrays = all.map((call) => call.data[0]!.slice());
      for (const call of all) reduce(arrays, 0, call.data[0]!, options);
    });
  }
  reduceScatter(send: CommArray, receive: CommArray, options?: ReduceOptions & Counts): Promise<void> {
    return this.room.meet(this.rank, 'reduceScatter', [send as Array_, receive as Array_], (all) => {
      const arrays = all.map((call) => call.data[0]!.slice());
      let begin = 0;
      all.forEach((call, rank) => {
        if (call.data[1]!.length !== (options?.counts?.[rank] ?? call.data[1]!.length))
          throw new Error('counts');
        reduce(arrays, begin, call.data[1]!, options);
        begin += call.data[1]!.length;
      });
    });
  }
  allGather(send: CommArray, receive: CommArray, options?: TransferOptions & Counts): Promise<void> {
    return this.room.meet(this.rank, 'allGather', [send as Array_, receive as Array_], (all) => {
      const shares = all.map((call) => call.data[0]!.slice());
      shares.forEach((share, rank) => {
        if (share.length !== (options?.counts?.[rank] ?? share.length)) throw new Error('counts');
      });
      for (const call of all) {
        let at = 0;
        for (const share of shares) {
          (call.data[1] as Float32Array).set(share, at);
          at += share.length;
        }
      }
    });
  }
  broadcast(data: CommArray, root = 0): Promise<void> {
    return this.room.meet(this.rank, 'broadcast', [data as Array_], (all) => {
      for (const call of all) (call.data[0] as Float32Array).set(all[root]!.data[0] as Float32Array);
    });
  }
  barrier(): Promise<void> {
    return this.room.meet(this.rank, 'barrier', [new Uint8Array(0)], () => undefined);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** The communicators of so many ranks, and what they have sent. */
export function ranksOf(size: number): {
  readonly comms: readonly Communicator[];
  readonly bytes: Record<string, number>;
} {
  const room = new Room(size);
  return { comms: Array.from({ length: size }, (_, rank) => new Rank(room, rank)), bytes: room.bytes };
}
