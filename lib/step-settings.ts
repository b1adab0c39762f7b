import { checkChoice, flag, limit, positive } from './options';
import { describe, expectedRange } from './validate';

/** A dynamic loss scale; see GradScaler. */
export interface LossScaler {
  /** What the loss, and so every gradient, was multiplied by. */
  readonly scale: number;
  /** Told after every step whether a gradient was not finite. */
  report(foundInf: boolean): void;
  stateDict(): object;
  loadStateDict(state: never): void;
}

export type NonFinite = 'propagate' | 'skip' | 'throw';

/** Options of every optimizer as a whole. */
export interface CommonOptions {
  /**
   * Threads a step may use, the calling one included; an integer in [1, 1024].
   * @default FUSED_OPTIM_THREADS, else the cores this process may use
   */
  threads?: number | undefined;
  /**
   * The L2 norm of all gradients of the optimizer together is limited to this, > 0; as torch's `clip_grad_norm_`, but
   * inside the update: gradients are not written. `null`: no limit. @default null
   */
  maxGradNorm?: number | null | undefined;
  /**
   * What the loss was multiplied by, > 0: gradients are divided by it inside the update. Or a `GradScaler`, which finds
   * the largest scale that works. @default 1
   */
  gradScale?: number | LossScaler | undefined;
  /**
   * What a step does when a gradient holds NaN or infinity: goes on with it, leaves everything as it is and says so in
   * its result, or throws with everything as it was. @default 'propagate'; with a GradScaler 'skip'
   */
  nonFinite?: NonFinite | undefined;
  /** Return norms of every tensor from every step. @default false */
  diagnostics?: boolean | undefined;
}

export const commonOptionNames = ['threads', 'maxGradNorm', 'gradScale', 'nonFinite', 'diagnostics'] as const;

const policies = ['propagate', 'skip', 'throw'] as const;

/** Places in the numbers a native step is given, and in those it answers with. */
const enum Setting {
  GradScale,
  MaxGradNorm,
  NonFinite,
  Diagnostics,
  Lookahead,
  Alpha,
  Seed,
  Count,
}
const enum Answer {
  Applied,
  BytesWanted,
  BadTensor,
  GradNorm,
  Count,
}

const isScaler = (value: unknown): value is LossScaler =>
  typeof value === 'object' &&
  value !== null &&
  'scale' in value &&
  typeof (value as LossScaler).report === 'function';

/** How an optimizer's steps treat gradients, as the numbers that go to native code. */
export class StepSettings {
  readonly numbers = new Float64Array(Setting.Count);
  readonly answer = new Float64Array(Answer.Count);
  readonly nonFinite: NonFinite;
  readonly diagnostics: boolean;
  #maxGradNorm: number | null = null;
  #gradScale: number | LossScaler = 1;

  constructor(
    private readonly className: string,
    { maxGradNorm, gradScale, nonFinite, diagnostics }: CommonOptions,
  ) {
    this.maxGradNorm = maxGradNorm ?? null;
    this.gradScale = gradScale ?? 1;
    const asked = nonFinite ?? (this.scaler ? 'skip' : 'propagate');
    this.nonFinite = checkChoice(asked, policies, `nonFinite of ${className}`);
    if (this.scaler && this.nonFinite === 'propagate') {
      throw new TypeError(
        `Expected nonFinite of ${className} to be "skip" or "throw" with a GradScaler but received "propagate".`,
      );
    }
    this.diagnostics = flag(false).check(diagnostics ?? false, 'diagnostics', className);
    this.numbers[Setting.NonFinite] = policies.indexOf(this.nonFinite);
    this.numbers[Setting.Diagnostics] = Number(this.diagnostics);
  }

  get maxGradNorm(): number | null {
    return this.#maxGradNorm;
  }
  set maxGradNorm(value: number | null) {
    this.#maxGradNorm = limit(null).check(value, 'maxGradNorm', this.className);
  }

  get gradScale(): number | LossScaler {
    return this.#gradScale;
  }
  set gradScale(value: number | LossScaler) {
    if (!isScaler(value) && typeof value !== 'number') {
      throw new TypeError(
        `Expected gradScale of ${this.className} to be a number > 0 or a GradScaler but received ${describe(value)}.`,
      );
    }
    this.#gradScale = isScaler(value) ? value : positive(1).check(value, 'gradScale', this.className);
  }

  get scaler(): LossScaler | undefined {
    return typeof this.#gradScale === 'number' ? undefined : this.#gradScale;
  }

  /** Brings the numbers up to date for a step. `alpha`: that of a Lookahead whose weights meet after it. */
  begin(lookahead: 'off' | 'keep' | 'sync', alpha = 0): void {
    const { numbers } = this;
    const scale = typeof this.#gradScale === 'number' ? this.#gradScale : this.#gradScale.scale;
    if (!(Number.isFinite(scale) && scale > 0)) {
      throw expectedRange(`scale of the GradScaler of ${this.className}`, 'a finite number > 0', scale);
    }
    numbers[Setting.GradScale] = scale;
    numbers[Setting.MaxGradNorm] = this.#maxGradNorm ?? 0;
    numbers[Setting.Lookahead] = ['off', 'keep', 'sync'].indexOf(lookahead);
    numbers[Setting.Alpha] = alpha;
  }

  get applied(): boolean {
    return this.answer[Answer.Applied] === 1;
  }
  /** Bytes that could not be had; 0 when memory was not the problem. */
  get bytesWanted(): number {
    return this.answer[Answer.BytesWanted]!;
  }
  /** The first tensor whose gradient is not finite; undefined when there is none or nobody looked. */
  get badTensor(): number | undefined {
    const index = this.answer[Answer.BadTensor]!;
    return index < 0 ? undefined : index;
  }
  /** Undefined when nothing asked for it. */
  get gradNorm(): number | undefined {
    const norm = this.answer[Answer.GradNorm]!;
    return norm === -1 ? undefined : norm;
  }
}
