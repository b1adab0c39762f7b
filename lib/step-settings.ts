import type { CudaStream } from './cuda/stream';
import type { Rounding, StateDType } from './dtypes';
import type { Ahead } from './lookahead';
import { checkChoice, flag, integer, limit, positive } from './options';
import { describe, expectedRange } from './validate';

/** A dynamic loss scale; see GradScaler. */
export interface LossScaler {
  /** What the loss, and so every gradient, was multiplied by. */
  readonly scale: number;
  /** Told after every step whether a gradient was not finite. */
  report(foundInf: boolean): void;
  /** Of a step on a GPU, which may not be done yet: `settle` reports, and is to be called before `scale` is read. */
  expect?(settle: () => void): void;
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
  /**
   * The stream in which steps on parameters in CUDA memory are queued, or the `cudaStream_t` of someone else.
   * @default the stream that `cuda` uses for the device
   */
  stream?: CudaStream | bigint | undefined;
  /**
   * Record the step as a CUDA graph, once, and launch that; `capture()` turns it on later. Schedules are then called ahead
   * of time, for up to 32 coming steps, and must depend on the step alone. @default false
   */
  cudaGraph?: boolean | undefined;
  /**
   * How 16-bit parameters keep what rounding would lose; other parameters lose nothing. `master`: a float32 copy, 4 bytes
   * a parameter, is updated and rounded to the parameter. Of bfloat16 only: `stochastic`: rounded up or down by chance,
   * right on average, no bytes; `kahan`: a bfloat16 compensation, 2 bytes; `split`: the lower half of the float32 whose
   * upper half is the parameter, 2 bytes, the numbers of `master` within rounding of the parameter. `nearest`: lost.
   * TypeError for another with float16 parameters. @default 'master'
   */
  rounding?: Rounding | undefined;
  /**
   * What states are kept in: 4, 2, or 1 byte and 1/64 a number. `8bit` is for Adam, AdamW, AMSGrad, NAdam, RAdam, Lion and
   * the AdamW part of Muon, a TypeError elsewhere; embeddings (by `role`, else by name) and tensors of fewer than 4096
   * elements keep float32 then. States of float64 parameters are float64, 8 bytes, and anything but the default is a
   * TypeError. @default 'float32'
   */
  stateDtype?: StateDType | undefined;
  /** Of stochastic rounding; an integer in [0, 2³² − 1]. A state dict brings its own. @default 0 */
  seed?: number | undefined;
}

export const commonOptionNames = [
  'threads',
  'maxGradNorm',
  'gradScale',
  'nonFinite',
  'diagnostics',
  'rounding',
  'stateDtype',
  'seed',
  'stream',
  'cudaGraph',
] as const;

export const seedOption = integer(0, 2 ** 32 - 1, 0);
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
  Graph,
  Rows,
  FirstRow,
  Taken,
  Known,
  LookaheadK,
  LookaheadStep,
  KnownNorm,
  KnownBad,
  Count,
}
const enum Answer {
  Applied,
  BytesWanted,
  BadTensor,
  GradNorm,
  Pending,
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
    { maxGradNorm, gradScale, nonFinite, diagnostics, seed, cudaGraph }: CommonOptions,
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
    this.seed = seed ?? 0;
    this.graph = flag(false).check(cudaGraph ?? false, 'cudaGraph', className);
    this.numbers[Setting.Rows] = 1;
    this.known(-1, -1);
  }

  /** Whether many ranks judge the gradients, before the step. */
  isJudged = false;

  /** What all gradients were found to be, where this optimizer has a share of them; -1: the step measures. */
  known(norm: number, badTensor: number): void {
    this.numbers[Setting.KnownNorm] = norm;
    this.numbers[Setting.KnownBad] = badTensor;
  }

  /** Whether steps are recorded as a CUDA graph. */
  get graph(): boolean {
    return this.numbers[Setting.Graph] === 1;
  }
  set graph(on: boolean) {
    this.numbers[Setting.Graph] = Number(on);
  }

  /** Whether the norm of gradients is taken. */
  get measures(): boolean {
    return this.#maxGradNorm !== null || this.nonFinite !== 'propagate';
  }

  /** Of stochastic rounding. */
  get seed(): number {
    return this.numbers[Setting.Seed]!;
  }
  set seed(value: number) {
    this.numbers[Setting.Seed] = seedOption.check(value, 'seed', this.className);
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

  /** Brings the numbers up to date for a step, of a Lookahead `ahead` or none; `isKept`: its slow weights exist. */
  begin(isKept: boolean, ahead: Ahead | undefined): void {
    const { numbers } = this;
    const scale = typeof this.#gradScale === 'number' ? this.#gradScale : this.#gradScale.scale;
    if (!(Number.isFinite(scale) && scale > 0)) {
      throw expectedRange(`scale of the GradScaler of ${this.className}`, 'a finite number > 0', scale);
    }
    numbers[Setting.GradScale] = scale;
    numbers[Setting.MaxGradNorm] = this.#maxGradNorm ?? 0;
    numbers[Setting.Lookahead] = ahead?.due ? 2 : Number(isKept);
    numbers[Setting.Alpha] = ahead?.alpha ?? 0;
    numbers[Setting.LookaheadK] = ahead?.k ?? 0;
    numbers[Setting.LookaheadStep] = ahead?.steps ?? 0;
  }

  /** Answers that a step is not made for what was found; no backend is asked. */
  refuse(norm: number, badTensor: number): void {
    this.answer.set([0, 0, badTensor, norm, 0]);
  }

  /** For backends that count steps themselves: `rows` of hyper-parameters, what steps are known, and until which. */
  count(rows: number, firstRow: number, taken: number, known: number): void {
    const { numbers } = this;
    numbers[Setting.Rows] = rows;
    numbers[Setting.FirstRow] = firstRow;
    numbers[Setting.Taken] = taken;
    numbers[Setting.Known] = known;
  }

  /** The serial of a step whose outcome is to be asked for; 0 where all is known. */
  get pending(): number {
    return this.answer[Answer.Pending]!;
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
