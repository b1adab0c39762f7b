/** Which optimizers the example can train with, and the settings that suit this model. */
import * as fused from 'fused-optim';
import type { Weight } from './model';

export interface Setting {
  /** Peak learning rate. */
  lr: number;
  /** Weight decay of the matrices; the other weights have none. */
  weightDecay: number;
  /** What else the constructor is given. */
  options?: Record<string, unknown>;
}

/**
 * Found by runs of 200 to 1500 steps of this example, doubling and halving the rate. An optimizer that is not listed
 * runs with its own defaults.
 */
export const SETTINGS: Readonly<Record<string, Setting>> = {
  SGD: { lr: 0.1, weightDecay: 0 },
  Momentum: { lr: 0.1, weightDecay: 0 },
  NAG: { lr: 0.1, weightDecay: 0 },
  NAdam: { lr: 2e-3, weightDecay: 0 },
  AdaGrad: { lr: 1e-2, weightDecay: 0 },
  RMSprop: { lr: 1e-3, weightDecay: 0 },
  Adam: { lr: 2e-3, weightDecay: 0 },
  AdamW: { lr: 2e-3, weightDecay: 0.1, options: { betas: [0.9, 0.99] } },
  AMSGrad: { lr: 2e-3, weightDecay: 0 },
  RAdam: { lr: 4e-3, weightDecay: 0 },
  Lion: { lr: 6e-4, weightDecay: 1 },
};

/** Any optimizer of the library; all have a learning rate. */
export type AnyOptimizer = fused.Optimizer<{ lr?: number }>;

type OptimizerClass = new (groups: unknown, options?: Record<string, unknown>) => AnyOptimizer;

/** Every optimizer class that the library exports, by name. */
export function optimizerClasses(): Map<string, OptimizerClass> {
  const classes = Object.values(fused).filter(
    (value) => typeof value === 'function' && value.prototype instanceof fused.Optimizer,
  ) as OptimizerClass[];
  return new Map(classes.map((value) => [value.name, value]));
}

/** The name as the library spells it, whatever the case of the letters. */
export function optimizerName(wanted: string): string | undefined {
  return [...optimizerClasses().keys()].find((name) => name.toLowerCase() === wanted.toLowerCase());
}

/** Two groups: the matrices, which decay, and the embeddings, norms and biases, which do not. */
export function createOptimizer(name: string, weights: readonly Weight[], lr?: number): AnyOptimizer {
  const Class = optimizerClasses().get(name);
  if (!Class) throw new RangeError(`Expected the name of an optimizer but received "${name}".`);
  const setting = SETTINGS[name];
  const rate = lr ?? setting?.lr;
  const options = { ...setting?.options, ...(rate === undefined ? {} : { lr: rate }) };
  if (!setting) return new Class(weights, options);
  const decays = (weight: Weight): boolean => weight.shape.length > 1 && !/^w[tp]e\./.test(weight.name);
  return new Class(
    [
      { params: weights.filter(decays), weightDecay: setting.weightDecay },
      { params: weights.filter((weight) => !decays(weight)), weightDecay: 0 },
    ],
    options,
  );
}
