import { atLeast0, integerFrom, oneOf, read, type Complete } from '../fields';
import { describe, expectedRange, expectedType, numberWhere } from '../validate';

/** What the class needs of an optimizer: groups with a learning rate that may be assigned. */
export interface HasLearningRates {
  readonly paramGroups: readonly { lr: number }[];
}

export interface ReduceLROnPlateauOptions {
  /** Whether a better metric is a smaller or a larger one. @default 'min' */
  mode?: 'max' | 'min' | undefined;
  /** Factor of each reduction; in [0, 1). @default 0.1 */
  factor?: number | undefined;
  /** Calls without an improvement that are still accepted; an integer >= 0. @default 10 */
  patience?: number | undefined;
  /** What counts as an improvement: a change of more than this; >= 0. @default 1e-4 */
  threshold?: number | undefined;
  /** `threshold` is a share of the best metric or a difference from it. @default 'rel' */
  thresholdMode?: 'abs' | 'rel' | undefined;
  /** Calls after a reduction that do not count; an integer >= 0. @default 0 */
  cooldown?: number | undefined;
  /** The lowest learning rate, of all groups or one for each; >= 0. @default 0 */
  minLr?: number | readonly number[] | undefined;
  /** A reduction by no more than this is not made; >= 0. @default 1e-8 */
  eps?: number | undefined;
}

/** The counters of a {@link ReduceLROnPlateau}; plain data that JSON keeps. */
export interface ReduceLROnPlateauState {
  /** The best metric so far; null before the first. */
  readonly best: number | null;
  /** Calls since the last improvement. */
  readonly numBadEpochs: number;
  /** Calls that will not count. */
  readonly cooldownCounter: number;
}

const where = 'ReduceLROnPlateau';
const count = integerFrom(0);

/**
 * Multiplies the learning rate of every group by `factor` when a metric has stopped improving, as PyTorch's class of
 * this name does. Call `step(metric)` once a validation, an epoch in PyTorch's words.
 *
 * It assigns `lr`, and a schedule of `lr` on the same optimizer would overwrite that at its next step: use one of the
 * two. The learning rates themselves are kept by the optimizer's own state dict.
 */
export class ReduceLROnPlateau {
  readonly #optimizer: HasLearningRates;
  readonly #options: Complete<ReduceLROnPlateauOptions>;
  #best: number | null = null;
  #numBadEpochs = 0;
  #cooldownCounter = 0;

  constructor(optimizer: HasLearningRates, options: ReduceLROnPlateauOptions = {}) {
    this.#optimizer = optimizer;
    this.#options = read<ReduceLROnPlateauOptions>(options, where, {
      mode: { check: oneOf('min', 'max'), fallback: 'min' },
      factor: { check: numberWhere('a number in [0, 1)', (v) => v >= 0 && v < 1), fallback: 0.1 },
      patience: { check: count, fallback: 10 },
      threshold: { check: atLeast0, fallback: 1e-4 },
      thresholdMode: { check: oneOf('rel', 'abs'), fallback: 'rel' },
      cooldown: { check: count, fallback: 0 },
      minLr: { check: lowest, fallback: 0 },
      eps: { check: atLeast0, fallback: 1e-8 },
    });
    this.#checkGroups();
  }

  /** Takes the next metric, and reduces the learning rates when it is time. NaN and infinity are no improvement. */
  step(metric: number): void {
    if (typeof metric !== 'number') throw expectedType(`metric of ${where}`, 'a number', metric);
    this.#checkGroups();
    const { patience, cooldown } = this.#options;
    if (this.#isBetter(metric)) {
      this.#best = metric;
      this.#numBadEpochs = 0;
    } else {
      ++this.#numBadEpochs;
    }
    if (this.#cooldownCounter > 0) {
      --this.#cooldownCounter;
      this.#numBadEpochs = 0;
    }
    if (this.#numBadEpochs <= patience) return;
    this.#reduce();
    this.#cooldownCounter = cooldown;
    this.#numBadEpochs = 0;
  }

  /** The counters; options are the constructor's, learning rates the optimizer's. */
  stateDict(): ReduceLROnPlateauState {
    return { best: this.#best, numBadEpochs: this.#numBadEpochs, cooldownCounter: this.#cooldownCounter };
  }

  /** Continues from `stateDict()`; a dict that does not fit is an error and changes nothing. */
  loadStateDict(dict: ReduceLROnPlateauState): void {
    const finite = numberWhere('a finite number', () => true);
    const { best, numBadEpochs, cooldownCounter } = read<{
      best: number | null;
      numBadEpochs: number;
      cooldownCounter: number;
    }>(dict, `the state dict of ${where}`, {
      best: { check: (value, what) => (value === null ? null : finite(value, what)) },
      numBadEpochs: { check: count },
      cooldownCounter: { check: count },
    });
    this.#best = best;
    this.#numBadEpochs = numBadEpochs;
    this.#cooldownCounter = cooldownCounter;
  }

  #isBetter(metric: number): boolean {
    if (!Number.isFinite(metric)) return false;
    const best = this.#best;
    if (best === null) return true;
    const { mode, threshold, thresholdMode } = this.#options;
    if (mode === 'min') return metric < (thresholdMode === 'rel' ? best * (1 - threshold) : best - threshold);
    return metric > (thresholdMode === 'rel' ? best * (1 + threshold) : best + threshold);
  }

  #reduce(): void {
    const { factor, minLr, eps } = this.#options;
    this.#optimizer.paramGroups.forEach((group, i) => {
      const lr = Math.max(group.lr * factor, typeof minLr === 'number' ? minLr : minLr[i]!);
      if (group.lr - lr > eps) group.lr = lr;
    });
  }

  #checkGroups(): void {
    const groups = this.#optimizer?.paramGroups as unknown;
    if (!Array.isArray(groups)) {
      throw expectedType(`optimizer of ${where}`, 'an object with paramGroups', this.#optimizer);
    }
    groups.forEach((group: { lr?: unknown } | null, i) => {
      if (typeof group?.lr !== 'number')
        throw new TypeError(
          `Expected lr of group ${i} of ${where} to be a number but received ${describe(group?.lr)}.`,
        );
    });
    const { minLr } = this.#options;
    if (typeof minLr !== 'number' && minLr.length !== groups.length) {
      throw expectedRange(
        `minLr of ${where}`,
        `one number or one for each of ${groups.length} groups`,
        `[${minLr.join(', ')}]`,
      );
    }
  }
}

function lowest(value: unknown, what: string): number | readonly number[] {
  if (!Array.isArray(value)) return atLeast0(value, what);
  return value.map((entry: unknown, i) => atLeast0(entry, what.replace(' of', `[${i}] of`)));
}
