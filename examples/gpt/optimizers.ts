/** Which optimizers the example can train with, and the settings that suit this model. */
import * as fused from 'fused-optim';
import type { Weight } from './model';
import { learningRate } from './schedule';

export interface Setting {
  /** Peak learning rate; of Muon, that of the matrices. */
  lr: number;
  /** Weight decay of the matrices; the other weights have none. */
  weightDecay: number;
  /** What else the constructor is given. */
  options?: Record<string, unknown>;
}

/**
 * AdamW's and Muon's rates are those of sweep.json. Those of LARS, LAMB, StableAdamW, Ranger and Lookahead are guesses
 * that train, and the others were found by runs of 200 to 1500 steps, doubling and halving the rate. An optimizer that
 * is not listed runs with its own defaults.
 */
export const SETTINGS: Readonly<Record<string, Setting>> = {
  SGD: { lr: 0.1, weightDecay: 0 },
  Momentum: { lr: 0.1, weightDecay: 0 },
  NAG: { lr: 0.1, weightDecay: 0 },
  NAdam: { lr: 2e-3, weightDecay: 0 },
  AdaGrad: { lr: 1e-2, weightDecay: 0 },
  RMSprop: { lr: 1e-3, weightDecay: 0 },
  Adam: { lr: 2e-3, weightDecay: 0 },
  AdamW: { lr: 2.8e-3, weightDecay: 0.1, options: { betas: [0.9, 0.99] } },
  AMSGrad: { lr: 2e-3, weightDecay: 0 },
  RAdam: { lr: 4e-3, weightDecay: 0 },
  Lion: { lr: 6e-4, weightDecay: 1 },
  LARS: { lr: 1, weightDecay: 0 },
  LAMB: { lr: 1e-2, weightDecay: 0.1 },
  StableAdamW: { lr: 4e-3, weightDecay: 0.1 },
  Ranger: { lr: 4e-3, weightDecay: 0 },
  // Its shape makes the matrices of the MLP worth the Gram form: the same result within rounding, in less time.
  Muon: { lr: 0.02, weightDecay: 0.01, options: { nsForm: 'auto', adamw: { lr: 4e-3, betas: [0.9, 0.99] } } },
  // Around AdamW, with AdamW's other settings.
  Lookahead: { lr: 4e-3, weightDecay: 0.1, options: { betas: [0.9, 0.99] } },
};

/** What states may be kept in. */
export type StateDType = fused.StateDType;
export const STATE_DTYPES: readonly StateDType[] = ['float32', 'bfloat16', '8bit'];

/** Any optimizer of the library, a Lookahead around one, or one that is divided among ranks. */
export type Trainer = AnyOptimizer | fused.Sharded;

/** Any optimizer of the library, or a Lookahead around one; all have a learning rate. */
export type AnyOptimizer = fused.Optimizer<{ lr?: number }> | fused.Lookahead<{ lr?: number }>;

type OptimizerClass = new (
  groups: unknown,
  options?: Record<string, unknown>,
) => fused.Optimizer<{ lr?: number }>;

/** Every optimizer class that the library exports, by name; Lookahead, a wrapper, is not among them. */
function optimizerClasses(): Map<string, OptimizerClass> {
  const classes = Object.values(fused).filter(
    (value) => typeof value === 'function' && value.prototype instanceof fused.Optimizer,
  ) as OptimizerClass[];
  return new Map(classes.map((value) => [value.name, value]));
}

/** What `--optimizer` may be. Lookahead is one around AdamW. */
export function optimizerNames(): string[] {
  return [...optimizerClasses().keys(), fused.Lookahead.name];
}

/** The name as the library spells it, whatever the case of the letters. */
export function optimizerName(wanted: string): string | undefined {
  return optimizerNames().find((name) => name.toLowerCase() === wanted.toLowerCase());
}

/** Two groups: the matrices, which decay, and the embeddings, norms and biases, which do not. */
export function createOptimizer(
  name: string,
  weights: readonly Weight[],
  { lr, weightDecay, options }: Partial<Setting> = {},
): AnyOptimizer {
  const wrapped = name === fused.Lookahead.name;
  const Class = optimizerClasses().get(wrapped ? fused.AdamW.name : name);
  if (!Class) throw new RangeError(`Expected the name of an optimizer but received "${name}".`);
  const setting = SETTINGS[name];
  const rate = lr ?? setting?.lr;
  const decays = (weight: Weight): boolean => weight.role === 'hidden';
  const decay = weightDecay ?? setting?.weightDecay;
  const inner = new Class(
    [
      { params: weights.filter(decays), ...(decay === undefined ? {} : { weightDecay: decay }) },
      { params: weights.filter((weight) => !decays(weight)), weightDecay: 0 },
    ],
    { ...setting?.options, ...options, ...(rate === undefined ? {} : { lr: rate }) },
  );
  return wrapped ? new fused.Lookahead(inner) : inner;
}

/** Each group's rate, as it is now, becomes the peak of the schedule: Muon's matrices have another than its AdamW. */
export function followSchedule(optimizer: Trainer, horizon: number): void {
  const groups = optimizer.paramGroups as AnyOptimizer['paramGroups'];
  groups.forEach(({ lr: peak }, group) => optimizer.schedule({ lr: learningRate(peak, horizon) }, { group }));
}
