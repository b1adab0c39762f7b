import type { CommonGroupOptions } from '../algorithm';
import { betas, nonNegative } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface AMSGradOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-3 */
  lr?: number | undefined;
  /** Decay rates of the running means of the gradient and of its square; each in [0, 1). @default [0.9, 0.999] */
  betas?: readonly [number, number] | undefined;
  /** Added to the denominator; >= 0. With 0, an element whose gradients were all 0 becomes NaN. @default 1e-8 */
  eps?: number | undefined;
  /** L2 weight decay, added to the gradient; >= 0. For decoupled decay use AdamW with `amsgrad`. @default 0 */
  weightDecay?: number | undefined;
}

/**
 * AMSGrad: Adam whose denominator never shrinks, as `torch.optim.Adam(amsgrad=True)`. State: `expAvg`, `expAvgSq`,
 * `maxExpAvgSq`.
 *
 *     g ← g + weightDecay · p
 *     m ← β₁ · m + (1 − β₁) · g          v ← β₂ · v + (1 − β₂) · g²          x ← max(x, v)
 *     p ← p − lr · m̂ / (√x̂ + eps)       with m̂ = m / (1 − β₁ᵗ), x̂ = x / (1 − β₂ᵗ)
 *
 * @see Reddi, Kale & Kumar, "On the Convergence of Adam and Beyond", 2018. https://arxiv.org/abs/1904.09237
 */
export class AMSGrad extends Optimizer<AMSGradOptions> {
  constructor(params: Params<AMSGradOptions>, options: AMSGradOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'AMSGrad',
  rule: 'adam',
  fixed: { amsgrad: 1 },
  options: {
    lr: nonNegative(1e-3),
    betas: betas([0.9, 0.999]),
    eps: nonNegative(1e-8),
    weightDecay: nonNegative(0),
  },
};
