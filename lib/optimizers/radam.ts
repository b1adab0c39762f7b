import type { CommonGroupOptions } from '../algorithm';
import { betas, flag, from, nonNegative } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface RAdamOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-3 */
  lr?: number | undefined;
  /** Decay rates of the running means of the gradient and of its square; each in [0, 1). @default [0.9, 0.999] */
  betas?: readonly [number, number] | undefined;
  /** Added to the uncorrected √v; >= 0. With 0, an element whose gradients were all 0 becomes NaN. @default 1e-8 */
  eps?: number | undefined;
  /** Weight decay; >= 0. @default 0 */
  weightDecay?: number | undefined;
  /** Shrink the weights by `lr * weightDecay` directly instead of adding the decay to the gradient. @default false */
  decoupledWeightDecay?: boolean | undefined;
  /** Steps are adaptive once ρ exceeds this; >= 4. @default 5 */
  rhoThreshold?: number | undefined;
  /** Below the threshold take momentum steps; `false`: leave the weights alone, decay included. @default true */
  degenerateToSgd?: boolean | undefined;
}

/**
 * RAdam: Adam that takes plain momentum steps until the variance of its step is known. State: `expAvg`, `expAvgSq`.
 *
 *     g ← g + weightDecay · p
 *     m ← β₁ · m + (1 − β₁) · g          v ← β₂ · v + (1 − β₂) · g²
 *     ρ∞ = 2 / (1 − β₂) − 1              ρ = ρ∞ − 2t · β₂ᵗ / (1 − β₂ᵗ)
 *     ρ > rhoThreshold:  p ← p − lr · r · m̂ · √(1 − β₂ᵗ) / (√v + eps)
 *                        with r = √((ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ))
 *     otherwise:         p ← p − lr · m̂
 *
 * @see Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", 2020. https://arxiv.org/abs/1908.03265
 */
export class RAdam extends Optimizer<RAdamOptions> {
  constructor(params: Params<RAdamOptions>, options: RAdamOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'RAdam',
  rule: 'radam',
  options: {
    lr: nonNegative(1e-3),
    betas: betas([0.9, 0.999]),
    eps: nonNegative(1e-8),
    weightDecay: nonNegative(0),
    decoupledWeightDecay: flag(false),
    rhoThreshold: from(4, 5),
    degenerateToSgd: flag(true),
  },
};
