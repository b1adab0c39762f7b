import type { CommonGroupOptions } from '../algorithm';
import { choice, finite, flag, nonNegative, positive } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface LARSOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1 */
  lr?: number | undefined;
  /** Share of the velocity that is kept; >= 0. With 0 there is no state. @default 0.9 */
  momentum?: number | undefined;
  /** Share of the scaled gradient kept out of the velocity from the second step on. @default 0 */
  dampening?: number | undefined;
  /** Look ahead as NAG does; needs `momentum > 0` and `dampening: 0`. @default false */
  nesterov?: boolean | undefined;
  /** Weight decay, inside the scaled gradient; >= 0. The papers use 1e-4 to 5e-4. @default 0 */
  weightDecay?: number | undefined;
  /** How large a layer's step is beside its weights; > 0. @default 1e-3 */
  trustCoefficient?: number | undefined;
  /** Added to the denominator of the trust ratio; >= 0. @default 1e-8 */
  eps?: number | undefined;
  /** Limit the trust ratio to `1 / lr`, as LARC does. @default false */
  trustClip?: boolean | undefined;
  /** Scale groups without weight decay too. @default true */
  alwaysAdapt?: boolean | undefined;
  /** Leave tensors of one axis without scaling and decay: biases and norms. @default false */
  skip1d?: boolean | undefined;
  /** Whose norm is in the denominator: the gradient's and the decay's apart, or that of their sum. @default 'gradient' */
  trustNorm?: 'gradient' | 'update' | undefined;
  /** The paper's form: the velocity holds `lr · q · g`, so a schedule acts on new gradients only. @default false */
  lrInMomentum?: boolean | undefined;
}

/**
 * LARS: momentum whose step is scaled, layer by layer, to the norm of the weights. State: `momentumBuffer`.
 *
 *     q = trustCoefficient · ‖p‖ / (‖g‖ + weightDecay · ‖p‖ + eps)       (1 where ‖p‖ or ‖g‖ is 0)
 *     g ← q · (g + weightDecay · p)
 *     v ← momentum · v + (1 − dampening) · g        (first step: v ← g)
 *     p ← p − lr · v
 *
 * @see You, Gitman & Ginsburg, "Large Batch Training of Convolutional Networks", 2017. https://arxiv.org/abs/1708.03888
 */
export class LARS extends Optimizer<LARSOptions> {
  constructor(params: Params<LARSOptions>, options: LARSOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

function together(values: Readonly<Record<string, unknown>>, where: string): void {
  const { nesterov, lrInMomentum, momentum, dampening } = values as Required<LARSOptions>;
  if (nesterov && momentum === 0)
    throw new RangeError(`Expected momentum of ${where} to be > 0 with nesterov but received 0.`);
  if ((nesterov || lrInMomentum) && dampening !== 0)
    throw new RangeError(
      `Expected dampening of ${where} to be 0 with ${nesterov ? 'nesterov' : 'lrInMomentum'} but received ${dampening}.`,
    );
}

const definition = {
  className: 'LARS',
  rule: 'lars',
  options: {
    lr: nonNegative(1),
    momentum: nonNegative(0.9),
    dampening: finite(0),
    nesterov: flag(false),
    weightDecay: nonNegative(0),
    trustCoefficient: positive(1e-3),
    eps: nonNegative(1e-8),
    trustClip: flag(false),
    alwaysAdapt: flag(true),
    skip1d: flag(false),
    trustNorm: choice(['gradient', 'update'], 'gradient'),
    lrInMomentum: flag(false),
  },
  together,
};
