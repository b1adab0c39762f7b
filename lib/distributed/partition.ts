import { owners, sum } from './owners';

/** What of a tensor decides who keeps its state. */
export interface Divisible {
  readonly length: number;
  /** Bytes of an element of the parameter. */
  readonly elementBytes: number;
  /** Whether an element's update depends on no other element. */
  readonly splits: boolean;
  /** Work of its update, of tensors that are not split: elements, or the floating-point operations of Muon's products. */
  readonly cost: number;
  /** Only tensors of one kind share a bucket and are balanced with each other. */
  readonly kind: string;
}

/** Elements [begin, end) of a tensor, which belong to a rank. */
export interface Piece {
  readonly tensor: number;
  readonly rank: number;
  readonly begin: number;
  readonly end: number;
}

/** Tensors in a row whose gradients and parameters travel together. */
export interface Bucket {
  /** The tensors [first, end). */
  readonly first: number;
  readonly end: number;
  /** Rank by rank, and by tensor within one; they follow each other in the bucket's memory. */
  readonly pieces: readonly Piece[];
  /** Elements of each rank. */
  readonly counts: readonly number[];
  readonly length: number;
}

export interface Partition {
  readonly ranks: number;
  readonly buckets: readonly Bucket[];
}

/** Cuts lie at multiples of it: sums over gradients are formed in such blocks, and 8-bit states in parts of them. */
export const cutElements = 4096;
/** On a GPU. */
export const cudaCutElements = 16384;
/** Bytes of parameters that travel together: enough to use a network well, little enough to overlap. */
export const defaultBucketBytes = 25 * 2 ** 20;

/** Elements of each rank. */
export function countsOf(pieces: readonly Piece[], ranks: number): number[] {
  const counts = new Array<number>(ranks).fill(0);
  for (const { rank, begin, end } of pieces) counts[rank]! += end - begin;
  return counts;
}

/** Pieces and where they lie in their bucket's memory. */
export function placed(
  pieces: readonly Piece[],
): { readonly piece: Piece; readonly at: number; readonly end: number }[] {
  let next = 0;
  return pieces.map((piece) => {
    const at = next;
    next += piece.end - piece.begin;
    return { piece, at, end: next };
  });
}

/** The owner of every tensor that stays whole, -1 for others; those of a kind are balanced with each other. */
function ownersOf(tensors: readonly Divisible[], ranks: number): number[] {
  const owner = new Array<number>(tensors.length).fill(-1);
  const whole = tensors.map((_, index) => index).filter((index) => !tensors[index]!.splits);
  for (const kind of new Set(whole.map((index) => tensors[index]!.kind))) {
    const members = whole.filter((index) => tensors[index]!.kind === kind);
    const costs = members.map((index) => tensors[index]!.cost);
    owners(costs, ranks).forEach((rank, i) => (owner[members[i]!] = rank));
  }
  return owner;
}

/** Where a bucket's tensors, one after the other, are cut: the end of each rank's share. */
function cuts(tensors: readonly Divisible[], load: readonly number[], cut: number): number[] {
  const total = sum(tensors.map(({ length }) => length));
  const level = (sum(load) + total) / load.length;
  // Who has less than the others gets more.
  const wanted = load.map((have) => Math.max(0, level - have));
  const scale = total / (sum(wanted) || 1);
  let [target, tensor, start] = [0, 0, 0];
  return wanted.map((share, rank) => {
    if (rank === load.length - 1) return total;
    target += share * scale;
    while (tensor < tensors.length && start + tensors[tensor]!.length <= target)
      start += tensors[tensor++]!.length;
    if (tensor === tensors.length) return total;
    const inside = Math.round((target - start) / cut) * cut;
    return start + Math.min(inside, tensors[tensor]!.length);
  });
}

/**
 * Divides tensors among ranks: those that may be split element by element, the others whole. It depends on its arguments
 * alone, so all ranks agree on it.
 */
export function partition(
  tensors: readonly Divisible[],
  ranks: number,
  bucketBytes: number = defaultBucketBytes,
  cut: number = cutElements,
): Partition {
  const owner = ownersOf(tensors, ranks);
  const load = new Map<string, number[]>();
  const buckets: Bucket[] = [];
  for (let first = 0, end = 0; first < tensors.length; first = end) {
    const { kind, splits } = tensors[first]!;
    let bytes = 0;
    do {
      bytes += tensors[end]!.length * tensors[end]!.elementBytes;
      ++end;
    } while (
      end < tensors.length &&
      tensors[end]!.kind === kind &&
      tensors[end]!.splits === splits &&
      bytes + tensors[end]!.length * tensors[end]!.elementBytes <= bucketBytes
    );
    const inside = tensors.slice(first, end);
    const pieces: Piece[] = [];
    if (splits) {
      const had = load.get(kind) ?? new Array<number>(ranks).fill(0);
      const ends = cuts(inside, had, cut);
      let start = 0;
      inside.forEach(({ length }, i) => {
        ends.forEach((to, rank) => {
          const begin = Math.max(start, ends[rank - 1] ?? 0);
          const last = Math.min(start + length, to);
          if (begin < last) pieces.push({ tensor: first + i, rank, begin: begin - start, end: last - start });
        });
        start += length;
      });
      load.set(
        kind,
        had.map((have, rank) => have + ends[rank]! - (ends[rank - 1] ?? 0)),
      );
    } else {
      inside.forEach(({ length }, i) => {
        if (length > 0) pieces.push({ tensor: first + i, rank: owner[first + i]!, begin: 0, end: length });
      });
    }
    pieces.sort((a, b) => a.rank - b.rank || a.tensor - b.tensor);
    const counts = countsOf(pieces, ranks);
    buckets.push({ first, end, pieces, counts, length: sum(counts) });
  }
  return { ranks, buckets };
}

/**
 * Floating-point operations of orthogonalizing a matrix by Newton–Schulz iterations of three products each: X·Xᵀ, its
 * square, and that times X, on the shorter side.
 */
export function newtonSchulzFlops(rows: number, cols: number, iterations: number): number {
  const [short, long] = rows < cols ? [rows, cols] : [cols, rows];
  return iterations * (4 * short * short * long + 2 * short ** 3);
}
