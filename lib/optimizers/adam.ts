import type { CommonGroupOptions } from '../algorithm';
import { betas, flag, nonNegative } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface AdamOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-3 */
  lr?: number | undefined;
  /** Decay rates of the running means of the gradient and of its square; each in [0, 1). @default [0.9, 0.999] */
  betas?: readonly [number, number] | undefined;
  /** Added to the denominator; >= 0. With 0, an element whose gradients were all 0 becomes NaN. @default 1e-8 */
  eps?: number | undefined;
  /** L2 weight decay, added to the gradient; >= 0. For decoupled decay use {@link AdamW}. @default 0 */
  weightDecay?: number | undefined;
  /** Divide by the largest running mean so far, as {@link AMSGrad}. @default false */
  amsgrad?: boolean | undefined;
}

/**
 * Adam. State: `expAvg`, `expAvgSq`; with `amsgrad` also `maxExpAvgSq`.
 *
 *     g ← g + weightDecay · p
 *     m ← β₁ · m + (1 − β₁) · g          v ← β₂ · v + (1 − β₂) · g²
 *     p ← p − lr · m̂ / (√v̂ + eps)       with m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ)
 *
 * @see Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015. https://arxiv.org/abs/1412.6980
 */
export class Adam extends Optimizer<AdamOptions> {
  constructor(params: Params<AdamOptions>, options: AdamOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'Adam',
  rule: 'adam',
  options: {
    lr: nonNegative(1e-3),
    betas: betas([0.9, 0.999]),
    eps: nonNegative(1e-8),
    weightDecay: nonNegative(0),
    amsgrad: flag(false),
  },
};
