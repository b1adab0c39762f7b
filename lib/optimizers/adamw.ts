import type { CommonGroupOptions } from '../algorithm';
import { betas, flag, nonNegative, startingLr } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface AdamWOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-3 */
  lr?: number | undefined;
  /** Decay rates of the running means of the gradient and of its square; each in [0, 1). @default [0.9, 0.999] */
  betas?: readonly [number, number] | undefined;
  /** Added to the denominator; >= 0. With 0, an element whose gradients were all 0 becomes NaN. @default 1e-8 */
  eps?: number | undefined;
  /** Decoupled weight decay; >= 0. A step shrinks the weights by `lr * weightDecay`. @default 1e-2 */
  weightDecay?: number | undefined;
  /** Divide by the largest running mean of squares so far, as {@link AMSGrad}. @default false */
  amsgrad?: boolean | undefined;
  /** Make decay independent of `lr`: shrink by `(lr / maxLr) * weightDecay` instead. @default false */
  decoupleLr?: boolean | undefined;
  /** The highest learning rate of the schedule, for `decoupleLr`. @default the group's first `lr` */
  maxLr?: number | undefined;
}

/**
 * AdamW: Adam with decoupled weight decay. State: `expAvg`, `expAvgSq`; with `amsgrad` also `maxExpAvgSq`.
 *
 *     p ← p · (1 − lr · weightDecay)
 *     m ← β₁ · m + (1 − β₁) · g          v ← β₂ · v + (1 − β₂) · g²
 *     p ← p − lr · m̂ / (√v̂ + eps)       with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
 *
 * @see Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019. https://arxiv.org/abs/1711.05101
 */
export class AdamW extends Optimizer<AdamWOptions> {
  constructor(params: Params<AdamWOptions>, options: AdamWOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'AdamW',
  rule: 'adamw',
  options: {
    lr: nonNegative(1e-3),
    betas: betas([0.9, 0.999]),
    eps: nonNegative(1e-8),
    weightDecay: nonNegative(1e-2),
    amsgrad: flag(false),
    decoupleLr: flag(false),
    maxLr: startingLr(),
  },
};
