import type { CommonGroupOptions } from '../algorithm';
import { betas, flag, nonNegative } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface NAdamOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 2e-3 */
  lr?: number | undefined;
  /** Decay rates of the running means of the gradient and of its square; each in [0, 1). @default [0.9, 0.999] */
  betas?: readonly [number, number] | undefined;
  /** Added to the denominator; >= 0. With 0, an element whose gradients were all 0 becomes NaN. @default 1e-8 */
  eps?: number | undefined;
  /** How fast the momentum grows to β₁; >= 0. 1 gives Keras's schedule. @default 4e-3 */
  momentumDecay?: number | undefined;
  /** Weight decay; >= 0. @default 0 */
  weightDecay?: number | undefined;
  /** Shrink the weights by `lr * weightDecay` directly instead of adding the decay to the gradient. @default false */
  decoupledWeightDecay?: boolean | undefined;
}

/**
 * NAdam: Adam with Nesterov momentum. State: `expAvg`, `expAvgSq` and the number `muProduct`.
 *
 *     g ← g + weightDecay · p
 *     μₜ = β₁ · (1 − ½ · 0.96^(t · momentumDecay))          P ← P · μₜ
 *     m ← β₁ · m + (1 − β₁) · g          v ← β₂ · v + (1 − β₂) · g²
 *     p ← p − lr · ( (1 − μₜ) / (1 − P) · g + μₜ₊₁ / (1 − P · μₜ₊₁) · m ) / (√v̂ + eps)
 *
 * @see Dozat, "Incorporating Nesterov Momentum into Adam", 2016. https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
 */
export class NAdam extends Optimizer<NAdamOptions> {
  constructor(params: Params<NAdamOptions>, options: NAdamOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'NAdam',
  rule: 'nadam',
  options: {
    lr: nonNegative(2e-3),
    betas: betas([0.9, 0.999]),
    eps: nonNegative(1e-8),
    momentumDecay: nonNegative(4e-3),
    weightDecay: nonNegative(0),
    decoupledWeightDecay: flag(false),
  },
};
