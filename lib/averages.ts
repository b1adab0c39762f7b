import { arrayOps, type ArrayOps } from './array-ops';
import { refuseOverlap } from './overlap';
import { listOf } from './group';
import { flag, fraction } from './options';
import { checkFloat32, isFloat32Array } from './dtypes';
import { identify, type Identity, type Parameter } from './parameter';
import { describe, expectedType, numberWhere, readOptions } from './validate';

/** Averages by parameter name, and how many updates made them. */
export interface AverageStateDict {
  readonly version: 1;
  readonly algorithm: string;
  readonly updates: number;
  readonly averages: Readonly<
    Record<string, { readonly shape: readonly number[]; readonly average: Float32Array }>
  >;
}

export interface AverageOptions {
  /**
   * Threads an update may use, the calling one included; an integer in [1, 1024].
   * @default FUSED_OPTIM_THREADS, else the cores this process may use
   */
  threads?: number | undefined;
}

interface Slot extends Identity {
  readonly parameter: Parameter;
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function';

const updateCount = numberWhere('an integer >= 0', (value) => Number.isSafeInteger(value) && value >= 0);

/** Averages of weights over the course of training, beside the weights themselves. */
export abstract class WeightAverage {
  readonly #className: string;
  readonly #slots: readonly Slot[];
  readonly #ops: ArrayOps;
  /** While swapped, the weights of training. Empty before the first update. */
  #kept: Float32Array[] = [];
  #updates = 0;
  #swapped = false;

  protected constructor(
    className: string,
    params: Iterable<Parameter>,
    options: AverageOptions,
    optionNames: readonly string[],
  ) {
    readOptions(options, [...optionNames, 'threads'] as 'threads'[], className);
    this.#className = className;
    const names = new Set<string>();
    this.#slots = listOf<Parameter>(params, `params of ${className}`).map((parameter, index) => {
      const identity = identify(parameter, index);
      if (names.has(identity.name))
        throw new RangeError(`Expected unique parameter names but received "${identity.name}" twice.`);
      names.add(identity.name);
      this.#check(parameter.data, identity.length, identity.name);
      return { ...identity, parameter };
    });
    refuseOverlap(this.#slots);
    this.#ops = arrayOps(options.threads);
  }

  /** How much of the coming average the weights make up, when there were `updates` before; in [0, 1]. */
  protected abstract shareAt(updates: number): number;

  /** Updates so far. */
  get updates(): number {
    return this.#updates;
  }

  /** Whether the parameters hold the averages now. */
  get swapped(): boolean {
    return this.#swapped;
  }

  /** Takes the weights as they are now into the averages, in one native call; the first update copies them. */
  update(): void {
    this.#refuseSwapped('update()');
    const data = this.#data();
    if (this.#updates === 0) {
      this.#kept = data.map((array) => array.slice());
    } else {
      const share = this.shareAt(this.#updates);
      this.#ops.transform('average', this.#kept, new Array<number>(data.length).fill(share), data);
    }
    ++this.#updates;
  }

  /**
   * Exchanges the contents of parameters and averages: once to evaluate with the averages, once more to train on.
   * Better use `whileSwapped()`, which does not forget the second.
   */
  swap(): void {
    this.#refuseEmpty('swap()');
    const data = this.#data();
    data.forEach((array, i) => {
      const kept = this.#kept[i]!;
      const weights = array.slice();
      array.set(kept);
      kept.set(weights);
    });
    this.#swapped = !this.#swapped;
  }

  /** Calls `action` while the parameters hold the averages, and swaps back when it returns, throws or settles. */
  whileSwapped<T>(action: () => T): T {
    this.#refuseSwapped('whileSwapped()');
    this.swap();
    const back = (): void => {
      if (this.#swapped) this.swap();
    };
    let result: T;
    try {
      result = action();
    } catch (error) {
      back();
      throw error;
    }
    if (isThenable(result)) return Promise.resolve(result).finally(back) as T;
    back();
    return result;
  }

  /** A copy of a parameter's average. */
  average(parameter: Parameter): Float32Array {
    this.#refuseEmpty('average()');
    const index = this.#slots.findIndex((slot) => slot.parameter === parameter);
    if (index < 0)
      throw new RangeError(`Expected a parameter of this ${this.#className} but received another object.`);
    return this.#averages()[index]!.slice();
  }

  /** A copy of all averages, by parameter name. */
  stateDict(): AverageStateDict {
    const arrays = this.#updates === 0 ? [] : this.#averages();
    const entries = this.#slots.map(({ name, shape }, i) => [
      name,
      { shape: [...shape], average: arrays[i]?.slice() ?? new Float32Array(0) },
    ]);
    return {
      version: 1,
      algorithm: this.#className,
      updates: this.#updates,
      averages: arrays.length > 0 ? (Object.fromEntries(entries) as AverageStateDict['averages']) : {},
    };
  }

  /** Continues from a state dict, matched by name and shape; nothing is taken over unless all of it fits. */
  loadStateDict(dict: AverageStateDict): void {
    this.#refuseSwapped('loadStateDict()');
    const what = `the state dict of ${this.#className}`;
    if (typeof dict !== 'object' || dict === null) throw expectedType(what, 'an object', dict);
    const { version, algorithm, averages } = dict;
    if (version !== 1) throw expectedType(`version of ${what}`, '1', version);
    if (algorithm !== this.#className)
      throw expectedType(`algorithm of ${what}`, `"${this.#className}"`, algorithm);
    const updates = updateCount(dict.updates, `updates of ${what}`);
    if (typeof averages !== 'object' || (averages as unknown) === null)
      throw expectedType(`averages of ${what}`, 'an object', averages);
    const names = new Set(this.#slots.map(({ name }) => name));
    const unknown = Object.keys(averages).find((name) => !names.has(name));
    if (unknown !== undefined)
      throw new RangeError(
        `Expected ${what} to hold this one's parameters but received another, "${unknown}".`,
      );
    this.#kept = updates === 0 ? [] : this.#slots.map((slot) => averageIn(averages, slot, what).slice());
    this.#updates = updates;
  }

  /** Every parameter's array as it is now, all checked before one is written. */
  #data(): Float32Array[] {
    const arrays = this.#slots.map(({ parameter, name, length }) => {
      const { data } = parameter;
      this.#check(data, length, name);
      return data;
    });
    // Reading may run the caller's getters, and those may detach arrays read earlier.
    arrays.forEach((data, i) => this.#check(data, this.#slots[i]!.length, this.#slots[i]!.name));
    refuseOverlap(this.#slots.map(({ name }, i) => ({ name, parameter: { data: arrays[i]! } })));
    return arrays;
  }

  #check(data: unknown, length: number, name: string): asserts data is Float32Array {
    checkFloat32(data, length, `data of "${name}"`, `${this.#className} averages`);
  }

  #averages(): readonly Float32Array[] {
    return this.#swapped ? this.#data() : this.#kept;
  }

  #refuseSwapped(method: string): void {
    if (this.#swapped)
      throw new Error(`${this.#className} is swapped: call swap() once more before ${method}.`);
  }

  #refuseEmpty(method: string): void {
    if (this.#updates === 0)
      throw new Error(`${this.#className} has no averages yet: call update() before ${method}.`);
  }
}

function averageIn(
  averages: AverageStateDict['averages'],
  { name, shape, length }: Slot,
  what: string,
): Float32Array {
  const entry = Object.hasOwn(averages, name) ? averages[name] : undefined;
  if (typeof entry !== 'object' || (entry as unknown) === null)
    throw expectedType(`"${name}" in ${what}`, 'an object', entry);
  const given = entry.shape as unknown;
  if (!Array.isArray(given) || given.join() !== shape.join() || given.length !== shape.length)
    throw new RangeError(
      `Expected shape of "${name}" in ${what} to be [${shape.join(', ')}] but received ${describe(given)}.`,
    );
  if (!isFloat32Array(entry.average))
    throw expectedType(`average of "${name}" in ${what}`, 'a Float32Array', entry.average);
  checkFloat32(entry.average, length, `average of "${name}" in ${what}`, 'is averaged');
  return entry.average;
}

export interface EMAOptions extends AverageOptions {
  /** Share of the average that an update keeps; in [0, 1). @default 0.999 */
  decay?: number | undefined;
  /** Keep less at first: at most `(1 + t) / (10 + t)`, where t is the updates before, as in TensorFlow. @default false */
  warmup?: boolean | undefined;
}

/**
 * Exponential moving average of weights.
 *
 *     average ← average + (1 − decay) · (p − average)        (first update: average ← p)
 *
 * It is torch's `AveragedModel` with `get_ema_multi_avg_fn(decay)`; the warm-up is that of TensorFlow's
 * `tf.train.ExponentialMovingAverage` with `num_updates`.
 *
 * @see Polyak & Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
 */
export class EMA extends WeightAverage {
  readonly #decay: number;
  readonly #warmup: boolean;

  constructor(params: Iterable<Parameter>, options: EMAOptions = {}) {
    super('EMA', params, options, ['decay', 'warmup']);
    this.#decay = fraction(0.999).check(options.decay ?? 0.999, 'decay', 'EMA');
    this.#warmup = flag(false).check(options.warmup ?? false, 'warmup', 'EMA');
  }

  /** The share that the next update keeps. */
  get decay(): number {
    const { updates } = this;
    return this.#warmup ? Math.min(this.#decay, (1 + updates) / (10 + updates)) : this.#decay;
  }

  protected override shareAt(): number {
    return 1 - this.decay;
  }
}

/**
 * Stochastic weight averaging: the equal average of all weights that `update()` was called with, usually once an epoch
 * late in training. It is torch's `AveragedModel` without options. A model with batch normalization needs its running
 * statistics computed anew for the averages.
 *
 *     average ← average + (p − average) / (updates + 1)        (first update: average ← p)
 *
 * @see Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018.
 * https://arxiv.org/abs/1803.05407
 */
export class SWA extends WeightAverage {
  constructor(params: Iterable<Parameter>, options: AverageOptions = {}) {
    super('SWA', params, options, []);
  }

  protected override shareAt(updates: number): number {
    return 1 / (updates + 1);
  }
}
