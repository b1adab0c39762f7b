import type { CommonGroupOptions } from '../algorithm';
import { betas, choice, from, integer, nonNegative, unit } from '../options';
import { Optimizer, type Params } from '../optimizer';
import type { Parameter } from '../parameter';
import type { CommonOptions } from '../step-settings';

export interface RangerOptions extends CommonGroupOptions {
  /** Learning rate; >= 0. @default 1e-3 */
  lr?: number | undefined;
  /** Decay rates of the running means of the gradient and of its square; each in [0, 1). @default [0.95, 0.999] */
  betas?: readonly [number, number] | undefined;
  /** Added to the uncorrected √v; >= 0. With 0, an element whose gradients were all 0 becomes NaN. @default 1e-5 */
  eps?: number | undefined;
  /** Decoupled weight decay; >= 0. A step shrinks the weights by `lr * weightDecay`. @default 0 */
  weightDecay?: number | undefined;
  /** Steps are adaptive once ρ exceeds this; >= 4. @default 5 */
  rhoThreshold?: number | undefined;
  /** Steps between two meetings with the slow weights; an integer >= 1. @default 6 */
  k?: number | undefined;
  /** How far the slow weights go towards the fast ones, in [0, 1]. @default 0.5 */
  alpha?: number | undefined;
  /**
   * Whose gradients have the mean over all axes but the first taken away: of all tensors of two axes or more, of those of
   * four or more, or of none. @default 'all'
   */
  gradientCentralization?: 'none' | 'all' | 'conv' | undefined;
}

/**
 * Ranger: RAdam, Lookahead and gradient centralization in one. State: `expAvg`, `expAvgSq`, `slow`.
 *
 *     p ← p · (1 − lr · weightDecay)
 *     g ← g − mean of g over all axes but the first
 *     RAdam's update;  where t is a multiple of k:  slow ← slow + alpha · (p − slow);  p ← slow
 *
 * @see Wright, "Ranger", 2019. https://github.com/lessw2020/Ranger-Deep-Learning-Optimizer
 * @see Yong et al., "Gradient Centralization", 2020. https://arxiv.org/abs/2004.01461
 */
export class Ranger extends Optimizer<RangerOptions> {
  constructor(params: Params<RangerOptions>, options: RangerOptions & CommonOptions = {}) {
    super(definition, params, options);
  }
}

/** Means are taken of rows, and those of layout in-out are not outputs. */
function suits(
  { gradientCentralization }: Readonly<Record<string, unknown>>,
  where: string,
  params: readonly Parameter[],
): void {
  const turned = params.find(({ layout, shape }) => layout === 'in-out' && (shape?.length ?? 1) > 1);
  if (gradientCentralization === 'none' || !turned) return;
  throw new TypeError(
    `Expected layout of "${turned.name ?? 'a parameter'}" to be "out-in" for gradientCentralization ` +
      `"${String(gradientCentralization)}" of ${where} but received "in-out".`,
  );
}

const definition = {
  className: 'Ranger',
  rule: 'ranger',
  slow: true,
  whole: true, // rows of gradients are centered
  options: {
    lr: nonNegative(1e-3),
    betas: betas([0.95, 0.999]),
    eps: nonNegative(1e-5),
    weightDecay: nonNegative(0),
    rhoThreshold: from(4, 5),
    k: integer(1, Infinity, 6),
    alpha: unit(0.5),
    gradientCentralization: choice(['none', 'all', 'conv'], 'all'),
  },
  suits,
};
