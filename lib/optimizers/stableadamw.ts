import type { CommonGroupOptions } from '../algorithm';
import { betas, flag, nonNegative, startingLr } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface StableAdamWOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-3 */
  lr?: number | undefined;
  /** Decay rates of the running means of the gradient and of its square; each in [0, 1). @default [0.9, 0.99] */
  betas?: readonly [number, number] | undefined;
  /** Added to the denominator; >= 0. With 0, a tensor one of whose elements had only gradients of 0 becomes NaN. @default 1e-6 */
  eps?: number | undefined;
  /** Decoupled weight decay; >= 0. A step shrinks the weights by `η * weightDecay`. @default 1e-2 */
  weightDecay?: number | undefined;
  /** Make decay independent of `lr`: shrink by `(η / maxLr) * weightDecay` instead. @default false */
  decoupleLr?: boolean | undefined;
  /** The highest learning rate of the schedule, for `decoupleLr`. @default the group's first `lr` */
  maxLr?: number | undefined;
}

/**
 * StableAdamW: AdamW whose learning rate is clipped, tensor by tensor, when gradients outgrow their running mean.
 * State: `expAvgHat`, `expAvgSqHat`, the debiased means.
 *
 *     m ← β̂₁ · m + (1 − β̂₁) · g          v ← β̂₂ · v + (1 − β̂₂) · g²        with β̂ = β (1 − βᵗ⁻¹) / (1 − βᵗ)
 *     η = lr / max(1, RMS)                with RMS = √ mean(g² / max(v, eps²))
 *     p ← p · (1 − η · weightDecay) − η · m / (√v + eps)
 *
 * @see Wortsman et al., "Stable and low-precision training for large-scale vision-language models", 2023.
 *   https://arxiv.org/abs/2304.13013
 */
export class StableAdamW extends Optimizer<StableAdamWOptions> {
  constructor(params: Params<StableAdamWOptions>, options: StableAdamWOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'StableAdamW',
  rule: 'stableadamw',
  options: {
    lr: nonNegative(1e-3),
    betas: betas([0.9, 0.99]),
    eps: nonNegative(1e-6),
    weightDecay: nonNegative(1e-2),
    decoupleLr: flag(false),
    maxLr: startingLr(),
  },
};
