import { factsOf } from '../cuda/dtypes';
import { dtypes, type DType } from '../dtypes';
import type { Optimizer } from '../optimizer';
import { firstElement, type Parameter, type PartOfTensor } from '../parameter';
import type { Placement } from '../placement';
import type { Slot } from '../slot';
import type { Communicator } from './communicator';
import { broadcastAll, copyInto, makeLike, memoryOf, sliceOf, transferOf, type Memory } from './memory';
import { sum } from './owners';
import {
  cudaCutElements,
  cutElements,
  countsOf,
  partition,
  placed,
  type Bucket,
  type Divisible,
  type Piece,
} from './partition';
import { sendsDirection, workOf, type Work } from './work';

/** A rank's part of a parameter as its optimizer sees it. */
type Twin = { -readonly [K in keyof PartOfTensor]: PartOfTensor[K] };

/** A parameter, its twin, and what they are in this step. */
export interface Share {
  readonly parameter: Parameter;
  readonly slot: Slot;
  /** All ranks' pieces, in order. */
  readonly pieces: readonly Piece[];
  /** This rank's, if it has one. */
  readonly own: Piece | undefined;
  readonly twin: Twin;
  data: Memory;
  grad: Memory | null;
  gradDType: DType;
}

/** A tensor as it is divided. */
export type Divided = Divisible & Pick<Work, 'flops'>;

/** What travels in one call. */
interface Load {
  readonly pieces: readonly Piece[];
  readonly counts: readonly number[];
  /** Where this rank's elements begin. */
  readonly offset: number;
  readonly length: number;
  /** The only tensor of it, whose own memory is in the order of ranks. */
  readonly only: Share | undefined;
}

/** A bucket as this step needs it: its tensors that have gradients. */
export interface Active extends Load {
  readonly index: number;
  readonly dtype: DType;
  readonly gradDType: DType;
  /** Of them, those whose parameters are gathered, and those whose directions are. */
  readonly parameters: Load;
  readonly directions: Load;
}

/** The bit of a mask that says that a tensor's direction is gathered. */
const directed = 128;

/** What of every tensor decides who keeps its state. */
function divisible({ parameter, slot }: Optimizer['order'][number], inner: Optimizer): Divided {
  const { shape, length, dtype } = slot;
  const work = workOf(parameter, shape, inner.groupOf(slot));
  // Buckets hold one dtype.
  return { ...work, length, elementBytes: factsOf(dtype).bytes, kind: `${work.kind} ${dtype}` };
}

/** Who has which elements of an optimizer's tensors, and this rank's share of each. */
export class Shares {
  /** In the order of native tensors. */
  readonly list: readonly Share[];
  readonly buckets: readonly Bucket[];
  readonly divided: readonly Divided[];
  #active: { readonly key: string; readonly buckets: readonly Active[] } | undefined;
  readonly #buffers = new Map<string, Memory>();
  readonly #placement: Placement;

  /** @param probe an optimizer over the whole parameters */
  constructor(
    readonly comm: Communicator,
    probe: Optimizer,
    bucketBytes: number,
  ) {
    const { order } = probe;
    this.#placement = probe.placement;
    this.divided = order.map((entry) => divisible(entry, probe));
    const cut = probe.isOnHost ? cutElements : cudaCutElements;
    this.buckets = partition(this.divided, comm.size, bucketBytes, cut).buckets;
    const pieces: Piece[][] = order.map(() => []);
    for (const bucket of this.buckets) for (const piece of bucket.pieces) pieces[piece.tensor]!.push(piece);
    this.list = order.map(({ parameter, slot }, i): Share => {
      // Somebody has to count the steps of an empty tensor.
      if (slot.length === 0) pieces[i]!.push({ tensor: i, rank: 0, begin: 0, end: 0 });
      const own = pieces[i]!.find(({ rank }) => rank === comm.rank);
      const data = memoryOf(parameter.data);
      const { begin = 0, end = 0 } = own ?? {};
      const twin: Twin = {
        name: slot.name,
        shape: slot.shape,
        dtype: slot.bits ?? (slot.dtype.endsWith('16') ? slot.dtype : undefined),
        role: parameter.role,
        layout: parameter.layout,
        data: sliceOf(data, begin, end),
        grad: null,
        [firstElement]: begin,
      };
      return { parameter, slot, pieces: pieces[i]!, own, twin, data, grad: null, gradDType: slot.dtype };
    });
  }

  /** Reads and checks every parameter, and says which have gradients, of which dtype, and what of them is gathered. */
  read(inner?: Optimizer): Uint8Array {
    const order = this.comm.size > 1 ? inner?.order : undefined;
    return Uint8Array.from(this.list, (share, i) => {
      const { parameter, slot } = share;
      const { data, grad = null } = parameter;
      this.#placement.checkData(data, slot);
      share.data = memoryOf(data);
      share.grad = grad === null ? null : memoryOf(grad);
      if (grad === null) return 0;
      share.gradDType = this.#placement.gradDType(grad, slot);
      const isDirected = order && sendsDirection(inner!, order[i]!.slot);
      return 1 + dtypes.indexOf(share.gradDType) + (isDirected ? directed : 0);
    });
  }

  #load(pieces: readonly Piece[]): Load {
    const { rank, size } = this.comm;
    const counts = countsOf(pieces, size);
    return {
      ...{ pieces, counts, offset: sum(counts.slice(0, rank)), length: sum(counts) },
      only: new Set(pieces.map(({ tensor }) => tensor)).size === 1 ? this.list[pieces[0]!.tensor] : undefined,
    };
  }

  /** The buckets' parts that a step of such a mask is about. */
  active(mask: Uint8Array): readonly Active[] {
    const key = Buffer.from(mask).toString('latin1');
    if (this.#active?.key === key) return this.#active.buckets;
    const buckets = this.buckets.map(({ first, end, pieces: all }, index): Active => {
      const tensors = this.list.slice(first, end).filter((_, i) => mask[first + i]);
      const pieces = all.filter(({ tensor }) => mask[tensor]);
      const dtypes = new Set(tensors.map((share) => share.gradDType));
      if (dtypes.size > 1) {
        const [one, other] = [...dtypes].map((dtype) => tensors.find((share) => share.gradDType === dtype)!);
        throw new TypeError(
          `Expected gradients of ${one!.slot.dtype} parameters to have one dtype but that of "${one!.slot.name}" is ` +
            `${one!.gradDType} and that of "${other!.slot.name}" is ${other!.gradDType}.`,
        );
      }
      return {
        ...this.#load(pieces),
        index,
        parameters: this.#load(pieces.filter(({ tensor }) => mask[tensor]! < directed)),
        directions: this.#load(pieces.filter(({ tensor }) => mask[tensor]! >= directed)),
        dtype: tensors[0]?.slot.dtype ?? 'float32',
        gradDType: tensors[0]?.gradDType ?? 'float32',
      };
    });
    this.#active = { key, buckets };
    return buckets;
  }

  /** Memory that a bucket uses for a while: the `turn`-th of a few. */
  buffer(use: string, turn: number, dtype: DType, length: number): Memory {
    const key = `${use} ${turn} ${dtype}`;
    let buffer = this.#buffers.get(key);
    if (!buffer || buffer.length < length) {
      buffer = makeLike(this.list[0]!.data, dtype, length);
      this.#buffers.set(key, buffer);
    }
    return sliceOf(buffer, 0, length);
  }

  /** Where this rank's reduced gradients of a bucket are to be. */
  #shareOf({ index, counts, gradDType }: Active): Memory {
    return this.buffer(`share ${index}`, 0, gradDType, counts[this.comm.rank]!);
  }

  /** Shows the twins this step's memory; gradients are where `reduce` will put them, or the rank's own. */
  arrange(buckets: readonly Active[], isReduced: boolean): void {
    for (const share of this.list) {
      const { twin, own, data, grad, slot } = share;
      twin.data = sliceOf(data, own?.begin ?? 0, own?.end ?? 0);
      twin.grad = grad && own && (!isReduced || slot.length === 0) ? sliceOf(grad, own.begin, own.end) : null;
    }
    if (!isReduced) return;
    for (const bucket of buckets) {
      const reduced = this.#shareOf(bucket);
      for (const { piece, at, end } of placed(bucket.pieces))
        if (piece.rank === this.comm.rank)
          this.list[piece.tensor]!.twin.grad = sliceOf(reduced, at - bucket.offset, end - bucket.offset);
    }
  }

  /** Reduces a bucket's gradients; resolves when this rank's are in place. */
  async reduce(bucket: Active, turn: number, op: 'mean' | 'sum', stage: 1 | 2): Promise<void> {
    const { pieces, counts, offset, length, only, gradDType } = bucket;
    if (length === 0) return;
    const { comm } = this;
    const share = this.#shareOf(bucket);
    let all: Memory;
    if (only && stage === 2) {
      all = only.grad!;
    } else {
      all = this.buffer('gradients', turn, gradDType, length);
      for (const { piece, at } of placed(pieces))
        copyInto(all, at, sliceOf(this.list[piece.tensor]!.grad!, piece.begin, piece.end));
    }
    const how = { op, ...transferOf(all, gradDType) };
    if (stage === 2) return comm.reduceScatter(all, share, { ...how, counts });
    await comm.allReduce(all, how);
    copyInto(share, 0, sliceOf(all, offset, offset + counts[comm.rank]!));
  }

  /** Sends all parameters of one rank to the others. */
  async broadcast(root: number): Promise<void> {
    this.read();
    await broadcastAll(
      this.comm,
      this.list.map(({ data, slot: { dtype } }) => ({ data, dtype })),
      root,
    );
  }

  /** Gradients' blocks of a rank, tensor by tensor; sums of them come in this order. */
  blocks(mask: Uint8Array, rank: number, block: number): number[] {
    return this.list.map(({ pieces }, i) => {
      const piece = mask[i] ? pieces.find((one) => one.rank === rank) : undefined;
      return piece ? Math.ceil((piece.end - piece.begin) / block) : 0;
    });
  }

  /** What all ranks must have alike. */
  get description(): string {
    const facts = this.list.map(({ slot: { name, shape, dtype, group, format } }) => [
      name,
      shape,
      dtype,
      group,
      format,
    ]);
    return JSON.stringify([facts, this.buckets.map(({ end }) => end)]);
  }
}
