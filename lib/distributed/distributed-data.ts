import { factsOf } from '../cuda/dtypes';
import { keyOf } from '../formats';
import { listOf } from '../group';
import { integer } from '../options';
import { identify, type Identity, type Parameter } from '../parameter';
import { placementOf, type Placement } from '../placement';
import { agree, hashOf } from './agreement';
import type { Communicator } from './communicator';
import { checkCommunicator } from './inner';
import { broadcastAll, copyInto, makeLike, memoryOf, sliceOf, transferOf, type Memory } from './memory';
import { sum } from './owners';
import { defaultBucketBytes } from './partition';
import { dtypes, type DType } from '../dtypes';
import { readOptions } from '../validate';

export interface DistributedDataOptions {
  /** About as many bytes of gradients travel at a time; an integer >= 1. @default 26214400 (25 MiB) */
  readonly bucketBytes?: number | undefined;
}

/** Gradients of one dtype that travel together. */
interface Bucket {
  readonly dtype: DType;
  readonly grads: Memory[];
  length: number;
}

/**
 * Data-parallel training without sharding, as torch's DistributedDataParallel: every rank has its own batch, and its
 * gradients become the mean of all ranks', in place. Any optimizer then steps on every rank alike.
 *
 *     const data = new DistributedData(mpi(), model.parameters());
 *     await data.broadcast();
 *     await data.average();
 *     optimizer.step();
 */
export class DistributedData {
  readonly #comm: Communicator;
  readonly #params: readonly Parameter[];
  readonly #identities: readonly Identity[];
  readonly #placement: Placement;
  readonly #bucketBytes: number;
  readonly #structure: number;
  readonly #buffers = new Map<DType, Memory>();
  #busy = false;

  /** @param params the same names, shapes and dtypes on every rank, in the same order */
  constructor(comm: Communicator, params: Iterable<Parameter>, options?: DistributedDataOptions) {
    checkCommunicator(comm, 'DistributedData');
    const { bucketBytes = defaultBucketBytes } = readOptions(options, ['bucketBytes'], 'DistributedData');
    integer(1, Infinity, defaultBucketBytes).check(bucketBytes, 'bucketBytes', 'DistributedData');
    this.#comm = comm;
    this.#bucketBytes = bucketBytes;
    this.#params = listOf<Parameter>(params, 'params of DistributedData');
    this.#identities = this.#params.map(identify);
    this.#placement = placementOf(this.#params[0]!.data, 'DistributedData', {});
    const facts = this.#identities.map(({ name, shape, dtype }) => [name, shape, dtype]);
    this.#structure = keyOf(JSON.stringify(facts));
  }

  /** Sends the parameters of a rank to all others. Every rank calls it. @param root default 0 */
  broadcast(root = 0): Promise<void> {
    return this.#alone(async () => {
      await agree(
        this.#comm,
        'broadcast() of DistributedData',
        { parameters: this.#structure, root },
        undefined,
      );
      const arrays = this.#params.map(({ data }, i) => ({
        data: memoryOf(data),
        dtype: this.#identities[i]!.dtype,
      }));
      await broadcastAll(this.#comm, arrays, root);
    });
  }

  /**
   * Gradients become the mean of all ranks'. Every rank calls it, with gradients of the same tensors; a parameter that has
   * none on every rank is left alone. Arrays that several parameters share are averaged once.
   */
  average(): Promise<void> {
    return this.#alone(async () => {
      let mask: Uint8Array = new Uint8Array(this.#params.length);
      let buckets: Bucket[] = [];
      let failed: unknown;
      try {
        ({ mask, buckets } = this.#read());
      } catch (error) {
        failed = error;
      }
      const facts = {
        parameters: this.#structure,
        bucketBytes: this.#bucketBytes,
        gradients: hashOf(mask),
        'number of shared gradients': sum(buckets.map(({ grads }) => grads.length)),
      };
      await agree(this.#comm, 'average() of DistributedData', facts, failed);
      for (const bucket of buckets) await this.#average(bucket);
    });
  }

  #read(): { readonly mask: Uint8Array; readonly buckets: Bucket[] } {
    const seen = new Map<object, Set<number>>();
    const open = new Map<DType, Bucket>();
    const buckets: Bucket[] = [];
    const mask = Uint8Array.from(this.#params, ({ grad = null }, i) => {
      if (grad === null) return 0;
      const dtype = this.#placement.gradDType(grad, this.#identities[i]!);
      const memory = memoryOf(grad);
      const [owner, at] = 'buffer' in memory ? [memory.buffer, memory.byteOffset] : [memory, 0];
      const places = seen.get(owner) ?? new Set();
      seen.set(owner, places);
      if (!places.has(at)) {
        places.add(at);
        let bucket = open.get(dtype);
        if (!bucket) open.set(dtype, (bucket = { dtype, grads: [], length: 0 }));
        if (bucket.length === 0) buckets.push(bucket);
        bucket.grads.push(memory);
        bucket.length += memory.length;
        if (bucket.length * factsOf(dtype).bytes >= this.#bucketBytes) open.delete(dtype);
      }
      return 1 + dtypes.indexOf(dtype);
    });
    return { mask, buckets };
  }

  async #average({ dtype, grads, length }: Bucket): Promise<void> {
    const [first] = grads;
    const how = { op: 'mean', ...transferOf(first!, dtype) } as const;
    if (grads.length === 1) return this.#comm.allReduce(first!, how);
    let buffer = this.#buffers.get(dtype);
    if (!buffer || buffer.length < length)
      this.#buffers.set(dtype, (buffer = makeLike(first!, dtype, length)));
    const all = sliceOf(buffer, 0, length);
    let at = 0;
    for (const grad of grads) {
      copyInto(all, at, grad);
      at += grad.length;
    }
    await this.#comm.allReduce(all, how);
    at = 0;
    for (const grad of grads) {
      copyInto(grad, 0, sliceOf(all, at, at + grad.length));
      at += grad.length;
    }
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.#busy) throw new Error('A call of DistributedData is in flight: await it before the next.');
    this.#busy = true;
    try {
      await work();
    } finally {
      this.#busy = false;
    }
  }
}
