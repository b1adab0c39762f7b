/** A model in training with one optimizer, for programs that train several: what it lost, and the time it took. */
import type { Corpus } from './data';
import { Model } from './model';
import { createOptimizer, followSchedule, type AnyOptimizer, type Setting } from './optimizers';
import { advance } from './run';
import { validate } from './sample';

/** A validation: steps and seconds of training before it, and the loss on held-out text. */
export interface Point {
  step: number;
  seconds: number;
  loss: number;
}

export class Trainee {
  readonly trainLoss: number[] = [];
  readonly curve: Point[] = [];
  /** Time of forward, backward and update; validation is not in it. */
  seconds = 0;
  /** The optimizer's part of that. */
  optimizerSeconds = 0;

  private constructor(
    readonly name: string,
    readonly seed: number,
    readonly model: Model,
    readonly optimizer: AnyOptimizer,
    /** Peak learning rates of its groups, each once. */
    readonly peaks: readonly number[],
  ) {}

  /** Weights and batches depend on the seed alone, the schedule on the horizon. */
  static async create(
    name: string,
    seed: number,
    horizon: number,
    setting?: Partial<Setting>,
  ): Promise<Trainee> {
    const model = await Model.load(seed);
    const optimizer = createOptimizer(name, model.weights, setting);
    const peaks = new Set(optimizer.paramGroups.map(({ lr }) => lr));
    followSchedule(optimizer, horizon);
    return new Trainee(name, seed, model, optimizer, [...peaks]);
  }

  get step(): number {
    return this.trainLoss.length;
  }

  async train(steps: number, corpus: Corpus): Promise<void> {
    for (let i = 0; i < steps; i++) {
      const start = performance.now();
      this.optimizerSeconds += await advance(this, this.seed, corpus.train);
      this.seconds += (performance.now() - start) / 1000;
    }
  }

  /** Scores the model, and notes it. */
  async validate(corpus: Corpus): Promise<number> {
    const loss = await validate(this.model, corpus);
    this.curve.push({ step: this.step, seconds: this.seconds, loss });
    return loss;
  }

  async release(): Promise<void> {
    this.optimizer.dispose();
    await this.model.release();
  }
}
