import type { Optimizer } from '../optimizer';
import { copyInto, sliceOf, transferOf, type Memory } from './memory';
import { MuonWeights } from './muon-weights';
import { placed } from './partition';
import type { Active, Shares } from './shares';

/** How what ranks have updated comes to all of them: as parameters, or as directions that each moves its own by. */
export class Gathering {
  readonly #weights: MuonWeights;

  constructor(
    private readonly shares: Shares,
    inner: Optimizer,
  ) {
    this.#weights = new MuonWeights(inner);
  }

  /** A bucket's directions of this rank, which its step writes. */
  #ownDirections({ index, directions: { counts } }: Active): Memory {
    return this.shares.buffer(`own directions ${index}`, 0, 'bfloat16', counts[this.shares.comm.rank]!);
  }

  /** Where this rank's directions are to be, each behind the index of its tensor. */
  places(buckets: readonly Active[]): (number | Memory)[] {
    return buckets.flatMap((bucket) => {
      const { pieces, offset, length } = bucket.directions;
      if (length === 0) return [];
      const own = this.#ownDirections(bucket);
      return placed(pieces)
        .filter(({ piece }) => piece.rank === this.shares.comm.rank)
        .flatMap(({ piece, at, end }) => [piece.tensor, sliceOf(own, at - offset, end - offset)]);
    });
  }

  /** Brings all ranks' updates of a bucket to every rank. `hyper`: the options of the step that made them. */
  async gather(bucket: Active, turn: number, hyper: Float64Array): Promise<void> {
    // Both calls are made before anything is waited for: all ranks make them in one order.
    await Promise.all([this.#gatherParameters(bucket, turn), this.#gatherDirections(bucket, turn, hyper)]);
  }

  async #gatherDirections(bucket: Active, turn: number, hyper: Float64Array): Promise<void> {
    const { index, directions } = bucket;
    const { pieces, counts, length } = directions;
    if (length === 0) return;
    const { comm, list } = this.shares;
    const all = this.shares.buffer('directions', turn, 'bfloat16', length);
    await comm.allGather(this.#ownDirections(bucket), all, { counts, ...transferOf(all, 'bfloat16') });
    const others = placed(pieces).filter(({ piece }) => piece.rank !== comm.rank);
    if (others.length === 0) return;
    this.#weights.move(
      index,
      others.map(({ piece, at, end }) => ({
        share: list[piece.tensor]!,
        direction: sliceOf(all, at, end),
      })),
      hyper,
    );
  }

  async #gatherParameters({ parameters, dtype }: Active, turn: number): Promise<void> {
    const { pieces, counts, offset, length, only } = parameters;
    if (length === 0) return;
    const { comm, list } = this.shares;
    const own = counts[comm.rank]!;
    const all = only ? only.data : this.shares.buffer('parameters', turn, dtype, length);
    const mine = (rank: number): boolean => rank === comm.rank;
    if (!only)
      for (const { piece, at } of placed(pieces))
        if (mine(piece.rank)) copyInto(all, at, sliceOf(list[piece.tensor]!.data, piece.begin, piece.end));
    await comm.allGather(sliceOf(all, offset, offset + own), all, { counts, ...transferOf(all, dtype) });
    if (!only)
      for (const { piece, at, end } of placed(pieces))
        if (!mine(piece.rank)) copyInto(list[piece.tensor]!.data, piece.begin, sliceOf(all, at, end));
  }
}
