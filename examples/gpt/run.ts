/** A training run as data: how it begins, afresh or from a checkpoint, and how it is saved. */
import { backends, Muon, Sharded } from 'fused-optim';
import { readCheckpoint, restoreWeights, saveCheckpoint, type Checkpoint } from './checkpoint';
import { trainingBatch } from './data';
import { Model, type Weight } from './model';
import { DEFAULT_STEPS, DEFAULTS, UsageError, type Options } from './options';
import { createOptimizer, followSchedule, type AnyOptimizer, type Trainer } from './optimizers';
import { Ranks } from './ranks';

/** A run between two steps: all of it goes into a checkpoint. */
export interface Run {
  model: Model;
  optimizer: Trainer;
  /** Where Muon sends what, as a table. */
  routing: string | undefined;
  /** Who trains. */
  ranks: Ranks;
  /** Threads of this process. */
  threads: number;
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
export async function begin(options: Options, ranks = Ranks.alone()): Promise<Run> {
  const saved = options.resume === undefined ? undefined : readCheckpoint(options.resume);
  const { settings, steps } = settle(options, saved);
  const threads = ranks.share(backends().cpu.threads);
  const model = await Model.load(settings.seed, threads);
  const { lr, stateDtype } = settings;
  const make = (weights: readonly Weight[]): AnyOptimizer =>
    createOptimizer(settings.optimizer, weights, {
      ...(lr !== undefined && { lr }),
      options: { threads, ...(stateDtype && { stateDtype }) },
    });
  let routing: string | undefined;
  const watched = (weights: readonly Weight[]): AnyOptimizer => {
    const made = make(weights);
    // Of the whole weights, which come first; a rank's parts would be a part of the table.
    if (made instanceof Muon) routing ??= made.routing().toString();
    return made;
  };
  const { comm } = ranks;
  const optimizer = comm
    ? new Sharded(comm, (params) => watched(params as readonly Weight[]), {
        params: model.weights,
        stage: options.stage,
      })
    : watched(model.weights);
  followSchedule(optimizer, settings.horizon);
  if (saved) {
    restoreWeights(model.weights, saved.weights, options.resume ?? '');
    await optimizer.loadStateDict(saved.optimizerState);
  }
  const { trainLoss = [], validation = [] } = saved ?? {};
  return { model, optimizer, routing, ranks, threads, steps, settings, trainLoss, validation };
}

/** One step of all ranks; returns the seconds that the optimizer took of it, the exchange with other ranks included. */
export async function advance(
  {
    model,
    optimizer,
    trainLoss,
    ranks = Ranks.alone(),
  }: Pick<Run, 'model' | 'optimizer' | 'trainLoss'> & Partial<Pick<Run, 'ranks'>>,
  seed: number,
  text: Uint8Array,
): Promise<number> {
  const step = trainLoss.length;
  const own = await model.step(trainingBatch(text, model.batch, model.context, seed, step, ranks.rank));
  const loss = await ranks.mean(own);
  if (!Number.isFinite(loss))
    throw new Error(`The loss became ${loss} at step ${step + 1}; try a smaller --lr.`);
  const start = performance.now();
  if (optimizer instanceof Sharded) await optimizer.step();
  else optimizer.step();
  trainLoss.push(loss);
  return (performance.now() - start) / 1000;
}

/** Every rank calls it, and the first one writes what all of them know: the file is that of a process alone. */
export async function save(run: Run, file: string): Promise<void> {
  const optimizerState = await run.optimizer.stateDict();
  if (!run.ranks.isFirst) return;
  const weights = run.model.weights.map(({ name, shape, data }) => [name, { shape, data }] as const);
  saveCheckpoint(file, {
    ...run.settings,
    step: run.trainLoss.length,
    weights: Object.fromEntries(weights),
    optimizerState,
    trainLoss: run.trainLoss,
    validation: run.validation,
  });
}

/** Tokens of all ranks. */
export function speed(
  { model, ranks }: Run,
  timing: Timing,
): { tokensPerSecond: number; optimizerShare: number } {
  if (timing.steps === 0) return { tokensPerSecond: 0, optimizerShare: 0 };
  return {
    tokensPerSecond: (timing.steps * model.batch * model.context * ranks.size) / timing.total,
    optimizerShare: timing.optimizer / timing.total,
  };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
