import { flag, integerFrom, read } from './fields';
import { expectedType, numberWhere } from './validate';

export interface GradScalerOptions {
  /** The first scale; in [2⁻¹²⁶, 3.4e38], the normal float32 numbers. @default 65536 */
  initScale?: number | undefined;
  /** Factor of the scale after `growthInterval` good steps in a row; > 1. @default 2 */
  growthFactor?: number | undefined;
  /** Factor of the scale after a step with an infinity or NaN; in (0, 1). @default 0.5 */
  backoffFactor?: number | undefined;
  /** Good steps in a row before the scale grows; an integer >= 1. @default 2000 */
  growthInterval?: number | undefined;
  /** With false the scale is 1 and no report changes anything. @default true */
  enabled?: boolean | undefined;
  /** Update after every report. With several optimizers, set it to false and call `update()` once a round. @default true */
  autoUpdate?: boolean | undefined;
}

/** What a {@link GradScaler} knows; plain data that JSON keeps. */
export interface GradScalerState {
  readonly scale: number;
  readonly growthFactor: number;
  readonly backoffFactor: number;
  readonly growthInterval: number;
  /** Good updates since the scale last changed. */
  readonly growthTracker: number;
  /** Steps skipped so far. */
  readonly skipped: number;
}

const smallest = 2 ** -126;
const largest = (2 - 2 ** -23) * 2 ** 127;

const scaleOf = (value: unknown, what: string): number =>
  Math.fround(
    numberWhere('a normal float32 number > 0', (v) => v >= smallest && Math.fround(v) <= largest)(
      value,
      what,
    ),
  );
const growth = numberWhere('a finite number > 1', (v) => v > 1);
const backoff = numberWhere('a number in (0, 1)', (v) => v > 0 && v < 1);

/**
 * A dynamic loss scale, as PyTorch's GradScaler keeps it: multiply the loss by `scale`, so that small gradients survive
 * float16; the optimizer divides by it, skips a step whose gradients are not all finite, and reports which it was.
 *
 * After a bad step the scale shrinks by `backoffFactor`; after `growthInterval` good ones in a row it grows by
 * `growthFactor`. It is always a normal float32 number: growth beyond the largest is not made, and back-off stops at
 * the smallest, 2⁻¹²⁶.
 *
 * A scaler that several optimizers share needs `autoUpdate: false` and one `update()` after all of their steps: else
 * the scale could change between two steps whose gradients were made with the same scale.
 *
 * @see Micikevicius et al., "Mixed Precision Training", 2018. https://arxiv.org/abs/1710.03740
 */
export class GradScaler {
  readonly #enabled: boolean;
  readonly #autoUpdate: boolean;
  #scale: number;
  #growthFactor: number;
  #backoffFactor: number;
  #growthInterval: number;
  #growthTracker = 0;
  #skipped = 0;
  /** Whether a step was reported since the last update, and whether one of them was bad. */
  #reported = false;
  #foundInf = false;
  #settle: (() => void)[] = [];

  constructor(options: GradScalerOptions = {}) {
    const given = read<GradScalerOptions>(options, 'GradScaler', {
      initScale: { check: scaleOf, fallback: 65536 },
      growthFactor: { check: growth, fallback: 2 },
      backoffFactor: { check: backoff, fallback: 0.5 },
      growthInterval: { check: integerFrom(1), fallback: 2000 },
      enabled: { check: flag, fallback: true },
      autoUpdate: { check: flag, fallback: true },
    });
    this.#scale = given.initScale;
    this.#growthFactor = given.growthFactor;
    this.#backoffFactor = given.backoffFactor;
    this.#growthInterval = given.growthInterval;
    this.#enabled = given.enabled;
    this.#autoUpdate = given.autoUpdate;
  }

  /** The factor for the loss of the next backward pass. */
  get scale(): number {
    this.#settled();
    return this.#enabled ? this.#scale : 1;
  }

  /** `scale`, under PyTorch's name. */
  getScale(): number {
    return this.scale;
  }

  isEnabled(): boolean {
    return this.#enabled;
  }

  /** Steps reported as bad, which their optimizers skipped. */
  get skipped(): number {
    this.#settled();
    return this.#skipped;
  }

  /** Good updates since the scale last changed. */
  get growthTracker(): number {
    this.#settled();
    return this.#growthTracker;
  }

  /** @internal Called by a step that is under way; `settle` calls `report()` when it is done, and waits for that. */
  expect(settle: () => void): void {
    this.#settle.push(settle);
  }

  /** Hears of steps that were under way before anybody looks. */
  #settled(): void {
    const waiting = this.#settle;
    this.#settle = [];
    for (const settle of waiting) settle();
  }

  /** Called by an optimizer's step: `foundInf` says that a gradient was infinite or NaN and the step was skipped. */
  report(foundInf: boolean): void {
    if (typeof foundInf !== 'boolean')
      throw expectedType('foundInf of GradScaler', 'true or false', foundInf);
    if (!this.#enabled) return;
    this.#reported = true;
    if (foundInf) {
      this.#foundInf = true;
      ++this.#skipped;
    }
    if (this.#autoUpdate) this.update();
  }

  /**
   * Adapts the scale to what was reported since the last update, or sets it to `newScale`. Without a report and without
   * `newScale` it does nothing.
   */
  update(newScale?: number): void {
    this.#settled();
    const given = newScale === undefined ? undefined : scaleOf(newScale, 'newScale of GradScaler');
    if (!this.#enabled) return;
    if (given !== undefined) this.#scale = given;
    else if (this.#reported) this.#adapt();
    this.#reported = false;
    this.#foundInf = false;
  }

  /** Everything but `enabled`, `autoUpdate` and reports that no update has seen. */
  stateDict(): GradScalerState {
    this.#settled();
    return {
      scale: this.#scale,
      growthFactor: this.#growthFactor,
      backoffFactor: this.#backoffFactor,
      growthInterval: this.#growthInterval,
      growthTracker: this.#growthTracker,
      skipped: this.#skipped,
    };
  }

  /** Continues from `stateDict()`; a dict that does not fit is an error and changes nothing. */
  loadStateDict(dict: GradScalerState): void {
    this.#settled();
    const state = read<GradScalerState>(dict, 'the state dict of GradScaler', {
      scale: { check: scaleOf },
      growthFactor: { check: growth },
      backoffFactor: { check: backoff },
      growthInterval: { check: integerFrom(1) },
      growthTracker: { check: integerFrom(0) },
      skipped: { check: integerFrom(0) },
    });
    this.#scale = state.scale;
    this.#growthFactor = state.growthFactor;
    this.#backoffFactor = state.backoffFactor;
    this.#growthInterval = state.growthInterval;
    this.#growthTracker = state.growthTracker;
    this.#skipped = state.skipped;
    this.#reported = false;
    this.#foundInf = false;
  }

  /** PyTorch's rule, in float32 as there. */
  #adapt(): void {
    if (this.#foundInf) {
      this.#scale = Math.max(Math.fround(this.#scale * this.#backoffFactor), smallest);
      this.#growthTracker = 0;
    } else if (++this.#growthTracker >= this.#growthInterval) {
      const grown = Math.fround(this.#scale * this.#growthFactor);
      if (grown <= largest) this.#scale = grown;
      this.#growthTracker = 0;
    }
  }
}
