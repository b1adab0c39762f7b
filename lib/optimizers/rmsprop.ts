import type { CommonGroupOptions } from '../algorithm';
import { flag, fraction, nonNegative } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface RMSpropOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-2 */
  lr?: number | undefined;
  /** Decay rate of the running mean of squared gradients; in [0, 1). @default 0.99 */
  alpha?: number | undefined;
  /** Added to the denominator; >= 0. With 0, an element whose gradients were all 0 becomes NaN. @default 1e-8 */
  eps?: number | undefined;
  /** L2 weight decay, added to the gradient; >= 0. @default 0 */
  weightDecay?: number | undefined;
  /** Momentum over the scaled gradients; >= 0. @default 0 */
  momentum?: number | undefined;
  /** Divide by the running standard deviation: subtract the squared running mean. @default false */
  centered?: boolean | undefined;
  /** Keras's and TensorFlow's form: divide by `√(v + eps)`. @default false */
  epsInsideSqrt?: boolean | undefined;
  /** Keras's and TensorFlow's form: the momentum buffer holds `lr` times the scaled gradient. @default false */
  lrInMomentum?: boolean | undefined;
  /** What the running mean of squares starts from; >= 0. @default 0 */
  initialAccumulatorValue?: number | undefined;
}

/**
 * RMSprop. State: `squareAvg`; with `centered` also `gradAvg`, with `momentum` also `momentumBuffer`.
 *
 *     g ← g + weightDecay · p
 *     v ← alpha · v + (1 − alpha) · g²
 *     centered: a ← alpha · a + (1 − alpha) · g and v − a² instead of v below, never less than 0
 *     u ← g / (√v + eps)
 *     momentum: b ← momentum · b + u and b instead of u below
 *     p ← p − lr · u
 *
 * @see Hinton, "Neural Networks for Machine Learning", lecture 6e, 2012.
 *   https://www.cs.toronto.edu/~hinton/coursera/lecture6/lec6.pdf
 * @see Graves, "Generating Sequences With Recurrent Neural Networks", 2013 (centered). https://arxiv.org/abs/1308.0850
 */
export class RMSprop extends Optimizer<RMSpropOptions> {
  constructor(params: Params<RMSpropOptions>, options: RMSpropOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'RMSprop',
  rule: 'rmsprop',
  options: {
    lr: nonNegative(1e-2),
    alpha: fraction(0.99),
    eps: nonNegative(1e-8),
    weightDecay: nonNegative(0),
    momentum: nonNegative(0),
    centered: flag(false),
    epsInsideSqrt: flag(false),
    lrInMomentum: flag(false),
    initialAccumulatorValue: nonNegative(0),
  },
};
