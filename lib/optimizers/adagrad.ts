import type { CommonGroupOptions } from '../algorithm';
import { flag, nonNegative } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface AdaGradOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-2 */
  lr?: number | undefined;
  /** At step t the learning rate is `lr / (1 + (t − 1) · lrDecay)`; >= 0. @default 0 */
  lrDecay?: number | undefined;
  /** L2 weight decay, added to the gradient; >= 0. @default 0 */
  weightDecay?: number | undefined;
  /** What the sum of squares starts from; >= 0. @default 0 */
  initialAccumulatorValue?: number | undefined;
  /** Added to the denominator; >= 0. With 0, an element whose gradients were all 0 becomes NaN. @default 1e-10 */
  eps?: number | undefined;
  /** Keras's and optax's form: divide by `√(s + eps)`. @default false */
  epsInsideSqrt?: boolean | undefined;
}

/**
 * AdaGrad: each element's step shrinks with the squares of all its gradients. State: `sum`.
 *
 *     g ← g + weightDecay · p
 *     s ← s + g²
 *     p ← p − lr · g / (√s + eps)
 *
 * @see Duchi, Hazan & Singer, "Adaptive Subgradient Methods", 2011. https://jmlr.org/papers/v12/duchi11a.html
 */
export class AdaGrad extends Optimizer<AdaGradOptions> {
  constructor(params: Params<AdaGradOptions>, options: AdaGradOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'AdaGrad',
  rule: 'adagrad',
  options: {
    lr: nonNegative(1e-2),
    lrDecay: nonNegative(0),
    weightDecay: nonNegative(0),
    initialAccumulatorValue: nonNegative(0),
    eps: nonNegative(1e-10),
    epsInsideSqrt: flag(false),
  },
};
