import type { CommonGroupOptions } from '../algorithm';
import { betas, flag, nonNegative, startingLr } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface LionOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. Three to ten times smaller than AdamW's. @default 1e-4 */
  lr?: number | undefined;
  /** Weight of the momentum in the sign, and its own decay rate; each in [0, 1). @default [0.9, 0.99] */
  betas?: readonly [number, number] | undefined;
  /** Decoupled weight decay; >= 0. Three to ten times larger than AdamW's. @default 0 */
  weightDecay?: number | undefined;
  /** Make decay independent of `lr`: shrink by `(lr / maxLr) * weightDecay` instead. @default false */
  decoupleLr?: boolean | undefined;
  /** The highest learning rate of the schedule, for `decoupleLr`. @default the group's first `lr` */
  maxLr?: number | undefined;
}

/**
 * Lion: every element moves by exactly `lr`, in the direction of an interpolated momentum. Half of AdamW's state:
 * `expAvg`.
 *
 *     p ← p · (1 − lr · weightDecay)
 *     p ← p − lr · sign(β₁ · m + (1 − β₁) · g)        sign(0) = 0, sign(NaN) = NaN
 *     m ← β₂ · m + (1 − β₂) · g
 *
 * @see Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023. https://arxiv.org/abs/2302.06675
 */
export class Lion extends Optimizer<LionOptions> {
  constructor(params: Params<LionOptions>, options: LionOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'Lion',
  rule: 'lion',
  options: {
    lr: nonNegative(1e-4),
    betas: betas([0.9, 0.99]),
    weightDecay: nonNegative(0),
    decoupleLr: flag(false),
    maxLr: startingLr(),
  },
};
