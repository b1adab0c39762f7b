/** Who gets which of the tensors that stay whole, so that the busiest rank has as little as may be. */

export const sum = (numbers: readonly number[]): number => numbers.reduce((all, one) => all + one, 0);
export const most = (numbers: readonly number[]): number => numbers.reduce((a, b) => Math.max(a, b), 0);
const dearestFirst = (costs: readonly number[]): number[] =>
  costs.map((_, index) => index).sort((a, b) => costs[b]! - costs[a]! || a - b);

/** What no division of whole tensors can bring the busiest rank under. */
export function leastLoad(costs: readonly number[], ranks: number): number {
  const sorted = dearestFirst(costs).map((index) => costs[index]!);
  let least = sum(costs) / ranks;
  // Of ranks · k + 1 tensors some rank gets k + 1, at best the cheapest of them.
  for (let k = 0; ranks * k < sorted.length; ++k)
    least = Math.max(least, sum(sorted.slice(ranks * k - k, ranks * k + 1)));
  // All loads are multiples of the costs' common divisor, as the products of a model's matrices have a large one.
  const common = sorted.every(Number.isSafeInteger)
    ? sorted.reduce((a, b) => {
        while (b) [a, b] = [b, a % b];
        return a;
      }, 0)
    : 0;
  return common > 0 ? Math.ceil(least / common) * common : least;
}

/** Each to who has least. */
function toLeast(costs: readonly number[], order: readonly number[], ranks: number) {
  const loads = new Array<number>(ranks).fill(0);
  const owner = new Array<number>(costs.length).fill(0);
  for (const index of order) {
    let least = 0;
    for (let rank = 1; rank < ranks; ++rank) if (loads[rank]! < loads[least]!) least = rank;
    owner[index] = least;
    loads[least]! += costs[index]!;
  }
  return { owner, load: most(loads) };
}

/** Each to the first rank that stays within a limit; undefined where one has no room. */
function firstFit(costs: readonly number[], order: readonly number[], ranks: number, limit: number) {
  const loads = new Array<number>(ranks).fill(0);
  const owner = new Array<number>(costs.length).fill(0);
  for (const index of order) {
    const cost = costs[index]!;
    const rank = loads.findIndex((load) => load + cost <= limit);
    if (rank < 0) return undefined;
    owner[index] = rank;
    loads[rank]! += cost;
  }
  return { owner, load: most(loads) };
}

/**
 * The owner of each tensor. Either rule alone can be tens of percent from the best where ranks get two or three tensors
 * each, and then the other often finds it: MULTIFIT, Coffman, Garey and Johnson, 1978, https://doi.org/10.1137/0207001
 */
export function owners(costs: readonly number[], ranks: number): number[] {
  const order = dearestFirst(costs);
  let best = toLeast(costs, order, ranks);
  let least = leastLoad(costs, ranks);
  // The first limit that is tried is the best there can be; then the interval is halved.
  for (let round = 0, limit = least; round < 24 && best.load > least; ++round) {
    const found = firstFit(costs, order, ranks, limit);
    if (found && found.load < best.load) best = found;
    else least = limit;
    limit = (least + best.load) / 2;
  }
  return best.owner;
}
