import type { Group } from '../group';
import { sizeOf, type Parameter } from '../parameter';
import { newtonSchulzFlops, type Divisible } from './partition';

/** What the update of a tensor asks for, of its division among ranks: see {@link Divisible}. */
export interface Work extends Pick<Divisible, 'splits' | 'cost'> {
  readonly kind: 'split' | 'matrix' | 'whole';
  /** Floating-point operations of Muon's products. */
  readonly flops: number;
}

export function workOf(
  { layout }: Pick<Parameter, 'layout'>,
  shape: readonly number[],
  { algorithm, live }: Group,
): Work {
  const { rule, splits } = algorithm;
  const length = sizeOf(shape);
  if (rule !== 'muon') return { kind: splits ? 'split' : 'whole', splits, cost: length, flops: 0 };
  const { split, nsSteps } = live as unknown as { readonly split: number; readonly nsSteps: number };
  const outputs = (layout === 'in-out' ? shape.at(-1)! : shape[0]!) / split;
  const flops = split * newtonSchulzFlops(outputs, length / split / outputs, nsSteps);
  return { kind: 'matrix', splits, cost: flops || length, flops };
}
