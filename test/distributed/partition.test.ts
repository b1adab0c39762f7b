import { leastLoad, owners } from '../../lib/distributed/owners';
import {
  cutElements,
  defaultBucketBytes,
  newtonSchulzFlops,
  partition,
  type Divisible,
  type Partition,
} from '../../lib/distributed/partition';
import { divisible, loadsOf, workloads, type Kind } from '../helpers/workloads';

const tensor = (length: number, more: Partial<Divisible> = {}): Divisible => ({
  ...{ length, elementBytes: 4, splits: true, cost: length, kind: 'split' },
  ...more,
});
const whole = (length: number, cost = length): Divisible =>
  tensor(length, { splits: false, cost, kind: 'whole' });

/** What of a partition is not as promised, whatever the tensors. */
function problems(
  tensors: readonly Divisible[],
  { ranks, buckets }: Partition,
  bucketBytes: number,
): string[] {
  const found: string[] = [];
  const say = (isFine: boolean, what: string): void => {
    if (!isFine) found.push(what);
  };
  const covered = tensors.map(() => 0);
  let next = 0;
  for (const [b, { first, end, pieces, counts, length }] of buckets.entries()) {
    say(first === next && end > first, `bucket ${b} is not behind the one before`);
    next = end;
    const inside = tensors.slice(first, end);
    say(new Set(inside.map(({ kind }) => kind)).size === 1, `bucket ${b} is of several kinds`);
    const bytes = inside.reduce((sum, one) => sum + one.length * one.elementBytes, 0);
    say(inside.length === 1 || bytes <= bucketBytes, `bucket ${b} has ${bytes} bytes`);
    const own = new Array<number>(ranks).fill(0);
    let before = { rank: 0, tensor: -1 };
    for (const piece of pieces) {
      const { tensor: index, rank, begin, end: last } = piece;
      const { length: all, splits } = tensors[index]!;
      // Rank by rank, and by tensor within one: at most one piece of a tensor.
      const isBehind = rank > before.rank || (rank === before.rank && index > before.tensor);
      say(isBehind, `bucket ${b} has tensor ${index} of rank ${rank} out of order`);
      before = piece;
      say(last > begin && begin === covered[index], `tensor ${index} has a hole or an overlap at ${begin}`);
      covered[index] = last;
      say(last === all || (splits && last % cutElements === 0), `tensor ${index} is cut at ${last}`);
      own[rank]! += last - begin;
    }
    say(counts.length === ranks && own.every((count, i) => count === counts[i]), `counts of bucket ${b}`);
    say(length === own.reduce((x, y) => x + y), `length of bucket ${b}`);
  }
  say(next === tensors.length, 'tensors are left over');
  tensors.forEach(({ length }, i) => say(covered[i] === length, `tensor ${i} is not had whole`));
  return found;
}

const ranksOf = [1, 2, 3, 4, 8, 16, 64];
const kinds: readonly Kind[] = ['split', 'whole', 'Muon'];
const lists = [...workloads].flatMap(([name, list]) =>
  kinds.map((kind) => [name, kind, divisible(list, kind)] as const),
);

describe('every element belongs to one rank, cuts are at multiples of 4096, ranks are in order', () => {
  test.each(lists)('%s, %s', (_, __, tensors) => {
    for (const ranks of ranksOf) {
      for (const bytes of [1, 2 ** 20, defaultBucketBytes])
        expect(problems(tensors, partition(tensors, ranks, bytes), bytes)).toEqual([]);
    }
  });

  test.each([
    ['no tensors', []],
    ['empty tensors alone', [tensor(0), tensor(0), whole(0)]],
    ['empty tensors among others', [tensor(0), tensor(10_000), tensor(0), whole(0), whole(5), tensor(0)]],
    ['one element', [tensor(1)]],
    ['one more than a block', [tensor(cutElements + 1)]],
    ['fewer tensors than ranks', [whole(7), whole(9)]],
    ['kinds that alternate', [tensor(9000), whole(9000), tensor(9000), whole(1), tensor(5000)]],
    ['odd lengths', [tensor(12_289), tensor(4095), tensor(4097), tensor(50_000)]],
  ])('%s', (_, tensors: readonly Divisible[]) => {
    for (const ranks of ranksOf)
      expect(problems(tensors, partition(tensors, ranks), defaultBucketBytes)).toEqual([]);
  });
});

test('more ranks than tensors: each has one owner, and the other ranks have none', () => {
  const { buckets } = partition([whole(5), whole(6), whole(7)], 8);
  const pieces = buckets.flatMap((bucket) => bucket.pieces);
  expect(pieces.map(({ tensor: index }) => index).sort()).toEqual([0, 1, 2]);
  expect(new Set(pieces.map(({ rank }) => rank)).size).toBe(3);
});

test('all ranks come to the same division: it depends on the arguments alone', () => {
  for (const [, , tensors] of lists) {
    const copy = tensors.map((each) => ({ ...each }));
    expect(partition(copy, 16)).toEqual(partition(tensors, 16));
  }
});

describe('balance', () => {
  const cases = lists.flatMap(([name, kind, tensors]) =>
    [2, 4, 8, 16, 64].map((ranks) => [name, kind, ranks, tensors] as const),
  );
  test.each(cases)('%s, %s, %i ranks: within 5 %% or the best there can be', (_, __, ranks, tensors) => {
    for (const [kind, loads] of loadsOf(tensors, partition(tensors, ranks))) {
      const mean = loads.reduce((a, b) => a + b) / ranks;
      const most = Math.max(...loads);
      const ofKind = tensors.filter((each) => each.kind === kind);
      // Where a whole tensor is more than a share, or two that cannot be apart are, nothing can be under that.
      const least =
        kind === 'split'
          ? mean
          : leastLoad(
              ofKind.map(({ cost }) => cost),
              ranks,
            );
      // A rank that has one block more than another is as even as blocks allow.
      const block = kind === 'split' ? cutElements : 0;
      expect(most).toBeLessThanOrEqual(Math.max(1.05 * mean, least, mean + block));
    }
  });

  test('the lists that matter are within 5 % on as many ranks as their tensors are for', () => {
    const ratio = (name: string, kind: Kind, ranks: number): number => {
      const tensors = divisible(workloads.get(name)!, kind);
      const loads = [...loadsOf(tensors, partition(tensors, ranks)).values()];
      return Math.max(...loads.map((load) => (Math.max(...load) * ranks) / load.reduce((a, b) => a + b)));
    };
    for (const ranks of [2, 4, 8, 16, 64]) {
      for (const name of ['gpt2_124m', 'resnet50', 'llama_1b'])
        expect(ratio(name, 'split', ranks)).toBeLessThan(1.01);
    }
    for (const ranks of [2, 4, 8, 16]) {
      for (const name of ['gpt2_124m', 'llama_1b']) expect(ratio(name, 'Muon', ranks)).toBeLessThan(1.001);
    }
  });
});

describe('owners of whole tensors', () => {
  const most = (costs: readonly number[], ranks: number): number => {
    const loads = new Array<number>(ranks).fill(0);
    owners(costs, ranks).forEach((rank, i) => (loads[rank]! += costs[i]!));
    return Math.max(...loads);
  };
  /** By trying everything. */
  const best = (costs: readonly number[], ranks: number): number => {
    const loads = new Array<number>(ranks).fill(0);
    let least = Infinity;
    const place = (i: number): void => {
      if (Math.max(...loads) >= least) return;
      if (i === costs.length) return void (least = Math.max(...loads));
      for (let rank = 0; rank < ranks; ++rank) {
        loads[rank]! += costs[i]!;
        place(i + 1);
        loads[rank]! -= costs[i]!;
      }
    };
    place(0);
    return least;
  };
  let seed = 1;
  const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;

  test('the bound is one, and packing is near the best', () => {
    for (let trial = 0; trial < 60; ++trial) {
      const costs = Array.from({ length: 1 + random(9) }, () => 1 + random(30));
      const ranks = 1 + random(4);
      const optimum = best(costs, ranks);
      expect(leastLoad(costs, ranks)).toBeLessThanOrEqual(optimum);
      expect(most(costs, ranks)).toBeGreaterThanOrEqual(optimum);
      expect(most(costs, ranks)).toBeLessThanOrEqual(1.2 * optimum);
    }
  });

  test('finds the even division of GPT-2, which giving the dearest to who has least misses by 10 %', () => {
    const costs = [
      ...Array<number>(24).fill(18),
      ...Array<number>(12).fill(14),
      ...Array<number>(12).fill(6),
    ];
    expect(most(costs, 16)).toBe(42);
  });

  test('fractions and zeros are costs like others', () => {
    expect(owners([], 4)).toEqual([]);
    expect(most([0, 0, 0], 2)).toBe(0);
    expect(most([0.5, 0.25, 0.25], 2)).toBe(0.5);
    expect(leastLoad([0, 0], 2)).toBe(0);
  });
});

test('operations of Newton–Schulz count three products on the shorter side', () => {
  // XXᵀ and its product with X: 2·s²·l each; the square: 2·s³.
  expect(newtonSchulzFlops(3, 5, 1)).toBe(2 * (2 * 9 * 5) + 2 * 27);
  expect(newtonSchulzFlops(5, 3, 7)).toBe(7 * newtonSchulzFlops(3, 5, 1));
});
