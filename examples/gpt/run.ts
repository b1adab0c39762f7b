/** A training run as data: how it begins, afresh or from a checkpoint, and how it is saved. */
import { readCheckpoint, restoreWeights, saveCheckpoint, type Checkpoint } from './checkpoint';
import { trainingBatch } from './data';
import { Model } from './model';
import { DEFAULT_STEPS, DEFAULTS, UsageError, type Options } from './options';
import { createOptimizer, followSchedule, type AnyOptimizer } from './optimizers';

/** A run between two steps: all of it goes into a checkpoint. */
export interface Run {
  model: Model;
  optimizer: AnyOptimizer;
  /** Where to stop. */
  steps: number;
  settings: Pick<Checkpoint, 'optimizer' | 'lr' | 'seed' | 'horizon' | 'stateDtype'>;
  trainLoss: number[];
  validation: { step: number; loss: number }[];
}

export interface Timing {
  steps: number;
  total: number;
  optimizer: number;
}

/** What a resumed run may change is the rate and the horizon; another optimizer or seed would be another run. */
function settle(options: Options, saved: Checkpoint | undefined): Pick<Run, 'steps' | 'settings'> {
  for (const name of ['optimizer', 'seed'] as const) {
    if (saved && options[name] !== undefined && options[name] !== saved[name]) {
      throw new UsageError(
        `Expected --${name} to be ${saved[name]}, as in the checkpoint, but received ${options[name]}.`,
      );
    }
  }
  const stateDtype = options.stateDtype ?? saved?.stateDtype;
  if (saved && stateDtype !== undefined && stateDtype !== (saved.stateDtype ?? 'float32')) {
    throw new UsageError(
      `Expected --state-dtype to be ${saved.stateDtype ?? 'float32'}, as in the checkpoint, but received ${stateDtype}.`,
    );
  }
  const done = saved?.step ?? 0;
  if (options.steps !== undefined && options.steps < done) {
    throw new UsageError(
      `Expected --steps to be at least ${done}, which the checkpoint has done, but received ${options.steps}.`,
    );
  }
  const settings = {
    optimizer: options.optimizer ?? saved?.optimizer ?? DEFAULTS.optimizer,
    lr: options.lr ?? saved?.lr,
    seed: options.seed ?? saved?.seed ?? DEFAULTS.seed,
    horizon: options.horizon ?? saved?.horizon ?? DEFAULTS.horizon,
    ...(stateDtype && { stateDtype }),
  };
  return { settings, steps: options.steps ?? Math.max(DEFAULT_STEPS, done) };
}

/** The run that the options ask for, before its next step. */
export async function begin(options: Options): Promise<Run> {
  const saved = options.resume === undefined ? undefined : readCheckpoint(options.resume);
  const { settings, steps } = settle(options, saved);
  const model = await Model.load(settings.seed);
  const { lr, stateDtype } = settings;
  const optimizer = createOptimizer(settings.optimizer, model.weights, {
    ...(lr !== undefined && { lr }),
    ...(stateDtype && { options: { stateDtype } }),
  });
  followSchedule(optimizer, settings.horizon);
  if (saved) {
    restoreWeights(model.weights, saved.weights, options.resume ?? '');
    optimizer.loadStateDict(saved.optimizerState);
  }
  const { trainLoss = [], validation = [] } = saved ?? {};
  return { model, optimizer, steps, settings, trainLoss, validation };
}

/** One step; returns the seconds that the optimizer took of it. */
export async function advance(
  { model, optimizer, trainLoss }: Pick<Run, 'model' | 'optimizer' | 'trainLoss'>,
  seed: number,
  text: Uint8Array,
): Promise<number> {
  const step = trainLoss.length;
  const loss = await model.step(trainingBatch(text, model.batch, model.context, seed, step));
  if (!Number.isFinite(loss))
    throw new Error(`The loss became ${loss} at step ${step + 1}; try a smaller --lr.`);
  const start = performance.now();
  optimizer.step();
  trainLoss.push(loss);
  return (performance.now() - start) / 1000;
}

export function save(run: Run, file: string): void {
  const weights = run.model.weights.map(({ name, shape, data }) => [name, { shape, data }] as const);
  saveCheckpoint(file, {
    ...run.settings,
    step: run.trainLoss.length,
    weights: Object.fromEntries(weights),
    optimizerState: run.optimizer.stateDict(),
    trainLoss: run.trainLoss,
    validation: run.validation,
  });
}

export function speed({ model }: Run, timing: Timing): { tokensPerSecond: number; optimizerShare: number } {
  if (timing.steps === 0) return { tokensPerSecond: 0, optimizerShare: 0 };
  return {
    tokensPerSecond: (timing.steps * model.batch * model.context) / timing.total,
    optimizerShare: timing.optimizer / timing.total,
  };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
