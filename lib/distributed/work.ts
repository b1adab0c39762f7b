import type { Group } from '../group';
import type { Optimizer } from '../optimizer';
import { sizeOf, type Parameter } from '../parameter';
import type { Slot } from '../slot';
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

/**
 * Whether ranks get the orthogonalized direction of a tensor from its owner, 2 bytes an element, and move their parameters by
 * it. It takes a direction that is bfloat16 whatever it is kept in, a parameter that takes more, and weights that depend on
 * nothing else that the owner alone has. All ranks know it without a word: see docs/distributed.md.
 */
export function sendsDirection(inner: Optimizer, slot: Slot): boolean {
  const { algorithm, live } = inner.groupOf(slot);
  if (algorithm.rule !== 'muon' || slot.dtype !== 'float32' || inner.attached) return false;
  const { nsDtype, nsForm, cudaMode } = live;
  const isBf16 = nsDtype === 'bfloat16';
  if (inner.isOnHost) return isBf16;
  return cudaMode === 'standard' || (cudaMode === 'auto' && isBf16 && nsForm === 'standard');
}
