import type { DType, HostArray } from '../dtypes';
import type { Parameter } from '../parameter';
import { usable } from './device';
import { factsOf, type CudaDType } from './dtypes';
import { CudaEvent, liveStream, makeStream, type CudaStream } from './stream';
import { memoryOf, type CudaTensor } from './tensor';

/** Parameters as an optimizer on the host sees them: same names, shapes and dtypes, other memory. */
export type HostTwin = Parameter & { readonly name: string; data: HostArray };

/** A parameter on the device and its twin on the host. */
export interface OffloadEntry {
  readonly parameter: Parameter;
  readonly twin: HostTwin;
  readonly dtype: DType;
  readonly length: number;
  /** Its tensors as they are now, checked. */
  readonly data: () => CudaTensor;
  readonly grad: () => CudaTensor | null;
}

/** What is copied together. */
interface Bucket {
  readonly entries: readonly Entry[];
  readonly arrived: CudaEvent;
  readonly left: CudaEvent;
}

interface Entry extends OffloadEntry {
  /** Whether it is written with the last bucket, whatever bucket it is in. */
  isLast: boolean;
  /** Pinned memory for gradients of a dtype. */
  readonly grads: Map<CudaDType, HostArray>;
}

const what = 'Offload';
const align = 64;
const padded = (bytes: number): number => Math.ceil(bytes / align) * align;

/** Copies between parameters on a device and their twins, in buckets that follow each other through a step. */
export class OffloadBuckets {
  readonly #device: number;
  readonly #bucketBytes: number;
  /** One stream for each direction: a device copies both ways at once. */
  readonly #down: CudaStream;
  readonly #up: CudaStream;
  #entries: readonly Entry[];
  #buckets: readonly Bucket[] = [];
  #stepped: readonly Entry[] = [];
  ends = new Uint32Array(0);

  constructor(device: number, entries: readonly OffloadEntry[], bucketBytes: number) {
    this.#device = device;
    this.#bucketBytes = bucketBytes;
    this.#down = makeStream({ device });
    this.#up = makeStream({ device });
    this.#entries = entries.map((entry) => ({ ...entry, isLast: false, grads: new Map() }));
    const sizes = entries.map(({ dtype, length }) => ({ dtype, length }));
    this.#pinned(sizes).forEach((array, i) => (entries[i]!.twin.data = array));
  }

  /** Cuts the tensors into buckets, in the order in which they are updated. */
  arrange(order: readonly { readonly parameter: Parameter; readonly isLast: boolean }[]): void {
    const byTwin = new Map(this.#entries.map((entry) => [entry.twin as Parameter, entry]));
    this.#entries = order.map(({ parameter, isLast }) => Object.assign(byTwin.get(parameter)!, { isLast }));
    const buckets: Entry[][] = [];
    let bytes = Infinity;
    for (const entry of this.#entries) {
      if (bytes >= this.#bucketBytes) {
        buckets.push([]);
        bytes = 0;
      }
      buckets.at(-1)!.push(entry);
      bytes += entry.length * factsOf(entry.dtype).bytes;
    }
    const event = (): CudaEvent => new CudaEvent(this.#device, false);
    this.#buckets = buckets.map((entries) => ({ entries, arrived: event(), left: event() }));
    let end = 0;
    this.ends = Uint32Array.from(this.#buckets, ({ entries }) => (end += entries.length));
  }

  /** Copies all weights to the host. */
  refresh(stream: CudaStream): void {
    this.#up.synchronize();
    for (const { data, twin } of this.#entries) data().download(twin.data as Float32Array, { stream });
  }

  /** Checks all tensors, then queues the copies of all gradients, after the work that computes them. */
  begin(work: CudaStream): void {
    const tensors = this.#entries.map(({ data, grad }) => ({ data: data(), grad: grad() }));
    this.#entries.forEach((entry, i) => (entry.twin.grad = this.#place(entry, tensors[i]!.grad)));
    this.#stepped = this.#entries.filter(({ twin }) => twin.grad !== null);
    const ready = work.record(new CudaEvent(this.#device, false));
    this.#down.wait(ready);
    this.#up.wait(ready);
    const down = liveStream(this.#down, what);
    let i = 0;
    for (const { entries, arrived } of this.#buckets) {
      for (const { twin } of entries) {
        const { grad } = tensors[i++]!;
        if (grad) memoryOf(grad, what).queueDownload(down, twin.grad as HostArray);
      }
      this.#down.record(arrived);
    }
  }

  /** Pinned memory that a gradient fits in. */
  #place({ grads, length }: Entry, grad: CudaTensor | null): HostArray | null {
    if (!grad) return null;
    let array = grads.get(grad.dtype);
    if (!array) grads.set(grad.dtype, (array = this.#pinned([{ dtype: grad.dtype, length }])[0]!));
    return array;
  }

  /** Waits until a bucket's gradients are here, and until its weights of the last step have left. */
  arrive(part: number): void {
    const { arrived, left } = this.#buckets[part]!;
    arrived.synchronize();
    left.synchronize();
  }

  /** Queues the copies of the weights that were updated. */
  leave(part: number): void {
    const isEnd = part === this.#buckets.length - 1;
    const { entries, left } = this.#buckets[part]!;
    const own = entries.filter(({ isLast, twin }) => !isLast && twin.grad !== null);
    const late = isEnd ? this.#stepped.filter(({ isLast }) => isLast) : [];
    const up = liveStream(this.#up, what);
    for (const { data, twin } of [...own, ...late]) memoryOf(data(), what).queueUpload(up, twin.data);
    this.#up.record(left);
    if (isEnd) for (const bucket of this.#buckets) if (late.length > 0) this.#up.record(bucket.left);
  }

  /** Makes what is queued from now on wait for the weights. */
  end(work: CudaStream): void {
    work.wait(this.#up.record(new CudaEvent(this.#device, false)));
  }

  /** Waits for all copies. */
  finish(): void {
    this.#down.synchronize();
    this.#up.synchronize();
    this.#down.destroy();
    this.#up.destroy();
  }

  /** Arrays in one block of pinned memory. */
  #pinned(sizes: readonly { readonly dtype: CudaDType; readonly length: number }[]): HostArray[] {
    const bytes = sizes.map(({ dtype, length }) => padded(length * factsOf(dtype).bytes));
    const block = usable(what).pinned(
      this.#device,
      bytes.reduce((sum, size) => sum + size, 0),
    );
    let at = 0;
    return sizes.map(({ dtype, length }, i) => {
      const array = new (factsOf(dtype).Kind)(block, at, length) as HostArray;
      at += bytes[i]!;
      return array;
    });
  }
}
