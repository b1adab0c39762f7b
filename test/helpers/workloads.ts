import fs from 'node:fs';
import path from 'node:path';
import { sizeOf } from '../../lib/parameter';
import { newtonSchulzFlops, type Divisible, type Partition } from '../../lib/distributed/partition';
import { route } from '../../lib/muon/routing';

export interface Shaped {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Tensors of real models by the name of the list, in the order of their parameters. */
export const workloads: ReadonlyMap<string, readonly Shaped[]> = (() => {
  const lists = new Map<string, Shaped[]>();
  let list: Shaped[] = [];
  const file = path.join(__dirname, '..', 'distributed', 'workloads.txt');
  for (const line of fs.readFileSync(file, 'utf8').trim().split('\n')) {
    const begins = /^# (\w+):/.exec(line);
    if (begins) {
      lists.set(begins[1]!, (list = []));
      continue;
    }
    const [name, sizes] = line.split(' ') as [string, string];
    const shape = sizes.split('x').map(Number);
    const [, prefix, last] = /^(.*)\{0\.\.(\d+)\}$/.exec(name) ?? [];
    if (last === undefined) list.push({ name, shape });
    else for (let i = 0; i <= Number(last); ++i) list.push({ name: `${prefix}${i}`, shape });
  }
  return lists;
})();

export type Kind = 'split' | 'whole' | 'Muon';

/** A list as an optimizer of elementwise rules, one with norms, or Muon has it divided. */
export function divisible(tensors: readonly Shaped[], kind: Kind): Divisible[] {
  const all = tensors.map(({ name, shape }): Divisible => {
    const length = sizeOf(shape);
    const isMatrix = kind === 'Muon' && route({} as never, { name, shape } as never).optimizer === 'muon';
    const cost = isMatrix ? newtonSchulzFlops(shape[0]!, length / shape[0]!, 5) : length;
    const splits = kind !== 'whole' && !isMatrix;
    return { length, elementBytes: 4, splits, cost, kind: isMatrix ? 'matrix' : splits ? 'split' : 'whole' };
  });
  return [...all.filter((one) => one.kind === 'matrix'), ...all.filter((one) => one.kind !== 'matrix')];
}

/** Work of each rank, for each kind of tensors. */
export function loadsOf(tensors: readonly Divisible[], { ranks, buckets }: Partition): Map<string, number[]> {
  const loads = new Map(tensors.map(({ kind }) => [kind, new Array<number>(ranks).fill(0)]));
  for (const { pieces } of buckets) {
    for (const { tensor, rank, begin, end } of pieces) {
      const { kind, splits, cost } = tensors[tensor]!;
      loads.get(kind)![rank]! += splits ? end - begin : cost;
    }
  }
  return loads;
}
