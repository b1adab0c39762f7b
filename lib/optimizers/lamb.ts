import type { CommonGroupOptions } from '../algorithm';
import { betas, flag, limit, nonNegative } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { CommonOptions } from '../step-settings';

export interface LAMBOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-3 */
  lr?: number | undefined;
  /** Decay rates of the running means of the gradient and of its square; each in [0, 1). @default [0.9, 0.999] */
  betas?: readonly [number, number] | undefined;
  /** Added to the denominator; >= 0. With 0, an element whose gradients were all 0 becomes NaN. @default 1e-6 */
  eps?: number | undefined;
  /** Weight decay, inside the update whose norm is taken; >= 0. @default 1e-2 */
  weightDecay?: number | undefined;
  /** Divide the running means by `1 − βᵗ`. @default true */
  biasCorrection?: boolean | undefined;
  /** Scale groups without weight decay too. @default true */
  alwaysAdapt?: boolean | undefined;
  /** The least trust ratio, >= 0. @default 0 */
  trustRatioMin?: number | undefined;
  /** The largest trust ratio, > 0; 1 is LAMBC. `null`: no limit. @default null */
  trustRatioMax?: number | null | undefined;
  /** The largest norm of the weights that counts, > 0. `null`: no limit. @default null */
  weightNormMax?: number | null | undefined;
  /** `false`: the gradient enters its running mean whole, without the factor `1 − β₁`. @default true */
  gradAveraging?: boolean | undefined;
}

/**
 * LAMB: Adam's direction, scaled layer by layer to the norm of the weights. State: `expAvg`, `expAvgSq`.
 *
 *     m ← β₁ · m + (1 − β₁) · g          v ← β₂ · v + (1 − β₂) · g²
 *     u = m̂ / (√v̂ + eps) + weightDecay · p
 *     p ← p − lr · q · u                 with q = ‖p‖ / ‖u‖ (1 where either is 0)
 *
 * Apex's clipping by the global norm is `maxGradNorm`, which every optimizer has.
 *
 * @see You et al., "Large Batch Optimization for Deep Learning", 2020. https://arxiv.org/abs/1904.00962
 */
export class LAMB extends Optimizer<LAMBOptions> {
  constructor(params: Params<LAMBOptions>, options: LAMBOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

function together(values: Readonly<Record<string, unknown>>, where: string): void {
  const { trustRatioMin, trustRatioMax } = values as Required<LAMBOptions>;
  if (trustRatioMax === null || trustRatioMax! >= trustRatioMin!) return;
  throw new RangeError(
    `Expected trustRatioMax of ${where} to be >= trustRatioMin, ${trustRatioMin}, but received ${trustRatioMax}.`,
  );
}

const definition = {
  className: 'LAMB',
  rule: 'lamb',
  options: {
    lr: nonNegative(1e-3),
    betas: betas([0.9, 0.999]),
    eps: nonNegative(1e-6),
    weightDecay: nonNegative(1e-2),
    biasCorrection: flag(true),
    alwaysAdapt: flag(true),
    trustRatioMin: nonNegative(0),
    trustRatioMax: limit(null),
    weightNormMax: limit(null),
    gradAveraging: flag(true),
  },
  together,
};
