import { align } from '../align';
import { sum } from './owners';
import type { Shares } from './shares';

/** What one rank has. */
export interface RankShare {
  readonly rank: number;
  /** Elements of parameters that it updates. */
  readonly elements: number;
  /** Tensors that it has parts or all of. */
  readonly tensors: number;
  /** Floating-point operations a step of Muon's products. */
  readonly flops: number;
}

/** Who updates what. */
export class ShardPlan {
  readonly ranks: readonly RankShare[];
  /** The largest rank's elements over the mean; with Muon also that of the products' work. */
  readonly imbalance: { readonly elements: number; readonly flops?: number };

  constructor(
    { list, divided, comm }: Shares,
    private readonly own: number,
  ) {
    this.ranks = Array.from({ length: comm.size }, (_, rank) => {
      const mine = list.flatMap(({ pieces }, i) =>
        pieces.filter((piece) => piece.rank === rank).map(({ begin, end }) => ({ i, length: end - begin })),
      );
      return {
        rank,
        elements: sum(mine.map(({ length }) => length)),
        tensors: mine.length,
        flops: sum(mine.map(({ i }) => divided[i]!.flops)),
      };
    });
    const over = (values: readonly number[]): number =>
      (Math.max(...values) * values.length) / (sum(values) || 1);
    const flops = this.ranks.map((rank) => rank.flops);
    this.imbalance = {
      elements: over(this.ranks.map(({ elements }) => elements)),
      ...(flops.some((value) => value > 0) && { flops: over(flops) }),
    };
  }

  toString(): string {
    const rows = this.ranks.map(({ rank, elements, tensors, flops }) => [
      `${rank}${rank === this.own ? ' (this)' : ''}`,
      elements.toLocaleString('en'),
      String(tensors),
      (flops / 1e9).toFixed(1),
    ]);
    return align([['rank', 'elements', 'tensors', 'GFLOP'], ...rows]).join('\n');
  }
}
