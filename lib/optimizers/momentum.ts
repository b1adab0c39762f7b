import type { CommonGroupOptions } from '../algorithm';
import { finite, flag, nonNegative } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface MomentumOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. There is no published default; 0.01 to 0.1 is usual. @default 1e-3 */
  lr?: number | undefined;
  /** Share of the velocity that is kept; >= 0. @default 0.9 */
  momentum?: number | undefined;
  /** Share of the gradient kept out of the velocity from the second step on. @default 0 */
  dampening?: number | undefined;
  /** Weight decay; >= 0. @default 0 */
  weightDecay?: number | undefined;
  /** Shrink the weights by `lr * weightDecay` directly instead of adding the decay to the gradient. @default false */
  decoupledWeightDecay?: boolean | undefined;
  /** Keras's form: the velocity holds `lr · g`, so a schedule acts on new gradients only. @default false */
  lrInMomentum?: boolean | undefined;
}

/**
 * Heavy-ball momentum, as `torch.optim.SGD(momentum=…)`. State: `momentumBuffer`.
 *
 *     g ← g + weightDecay · p
 *     v ← momentum · v + (1 − dampening) · g        (first step: v ← g)
 *     p ← p − lr · v
 *
 * @see Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
 *   https://doi.org/10.1016/0041-5553(64)90137-5
 */
export class Momentum extends Optimizer<MomentumOptions> {
  constructor(params: Params<MomentumOptions>, options: MomentumOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

const definition = {
  className: 'Momentum',
  rule: 'momentum',
  options: {
    lr: nonNegative(1e-3),
    momentum: nonNegative(0.9),
    dampening: finite(0),
    weightDecay: nonNegative(0),
    decoupledWeightDecay: flag(false),
    lrInMomentum: flag(false),
  },
  hints: { nesterov: 'use NAG.' },
  together: ({ lrInMomentum, dampening }: Readonly<Record<string, unknown>>, where: string) => {
    if (lrInMomentum !== true || dampening === 0) return;
    throw new RangeError(
      `Expected dampening of ${where} to be 0 with lrInMomentum but received ${String(dampening)}.`,
    );
  },
};
