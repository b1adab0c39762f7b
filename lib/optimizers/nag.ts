import type { CommonGroupOptions } from '../algorithm';
import { flag, nonNegative, positive } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface NAGOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. There is no published default; 0.01 to 0.1 is usual. @default 1e-3 */
  lr?: number | undefined;
  /** Share of the velocity that is kept; > 0. @default 0.9 */
  momentum?: number | undefined;
  /** Weight decay; >= 0. @default 0 */
  weightDecay?: number | undefined;
  /** Shrink the weights by `lr * weightDecay` directly instead of adding the decay to the gradient. @default false */
  decoupledWeightDecay?: boolean | undefined;
  /** Keras's form: the velocity holds `lr · g`, so a schedule acts on new gradients only. @default false */
  lrInMomentum?: boolean | undefined;
}

/**
 * Nesterov's accelerated gradient, as `torch.optim.SGD(momentum=…, nesterov=True)`. State: `momentumBuffer`.
 *
 *     g ← g + weightDecay · p
 *     v ← momentum · v + g
 *     p ← p − lr · (g + momentum · v)
 *
 * @see Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
 *   https://proceedings.mlr.press/v28/sutskever13.html
 */
export class NAG extends Optimizer<NAGOptions> {
  constructor(params: Params<NAGOptions>, options: NAGOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'NAG',
  rule: 'nag',
  options: {
    lr: nonNegative(1e-3),
    momentum: positive(0.9),
    weightDecay: nonNegative(0),
    decoupledWeightDecay: flag(false),
    lrInMomentum: flag(false),
  },
  hints: {
    nesterov: 'NAG always is; use Momentum without it.',
    dampening: 'Nesterov momentum has none; use Momentum.',
  },
};
