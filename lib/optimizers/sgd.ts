import type { CommonGroupOptions } from '../algorithm';
import { flag, nonNegative } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface SGDOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-3 */
  lr?: number | undefined;
  /** Weight decay; >= 0. @default 0 */
  weightDecay?: number | undefined;
  /** Shrink the weights by `lr * weightDecay` directly instead of adding the decay to the gradient. @default false */
  decoupledWeightDecay?: boolean | undefined;
}

/**
 * Stochastic gradient descent, without momentum (see {@link Momentum} and {@link NAG}).
 *
 *     p ← p − lr · (g + weightDecay · p)
 *
 * @see Robbins & Monro, "A Stochastic Approximation Method", 1951. https://doi.org/10.1214/aoms/1177729586
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: Params<SGDOptions>, options: SGDOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'SGD',
  rule: 'sgd',
  options: { lr: nonNegative(1e-3), weightDecay: nonNegative(0), decoupledWeightDecay: flag(false) },
  hints: {
    momentum: 'use Momentum, or NAG for Nesterov momentum.',
    nesterov: 'use NAG.',
    dampening: 'use Momentum.',
  },
};
