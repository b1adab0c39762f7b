import type { ParamGroup, ParamGroupInit } from './group';
import { checkChoice, integer, unit } from './options';
import { Optimizer, symbolDispose } from './optimizer';
import type { Parameter } from './parameter';
import type { GroupSchedules } from './plan';
import { extraState } from './slot';
import type { ParameterState } from './state';
import type { StateDict } from './state-dict';
import type { StepResult } from './step-result';
import { expectedType, readOptions } from './validate';

export interface LookaheadOptions {
  /** Steps of the inner optimizer between two meetings with the slow weights; an integer >= 1. @default 6 */
  k?: number | undefined;
  /** How far the slow weights go towards the fast ones, in [0, 1]. @default 0.5 */
  alpha?: number | undefined;
  /**
   * What becomes of the inner optimizer's state when the weights meet: `keep` it, set `momentumBuffer` to 0
   * (`resetMomentum`), or begin anew with all of it, step counts included (`resetAll`). @default 'keep'
   */
  innerStateOnSync?: 'keep' | 'resetMomentum' | 'resetAll' | undefined;
}

const policies = ['keep', 'resetMomentum', 'resetAll'] as const;

/** How far a Lookahead is. */
export class Ahead {
  steps = 0;
  /** What is done after weights have met, if anything. */
  onSync: (() => void) | undefined;

  constructor(
    readonly k: number,
    readonly alpha: number,
    readonly innerStateOnSync: (typeof policies)[number],
  ) {}

  /** Whether the weights meet after the coming step. */
  get due(): boolean {
    return (this.steps + 1) % this.k === 0;
  }

  applied(): void {
    const { due } = this;
    ++this.steps;
    if (due) this.onSync?.();
  }

  stateDict(): NonNullable<StateDict['lookahead']> {
    const { k, alpha, innerStateOnSync, steps: step } = this;
    return { k, alpha, innerStateOnSync, step };
  }

  loadStateDict(state: StateDict['lookahead']): void {
    this.steps = state?.step ?? 0;
  }
}

/**
 * Lookahead: every `k` steps of an inner optimizer, slow weights move towards the fast ones and these start again from
 * there. Wraps any optimizer but Ranger, which has it built in. State: `slow`, beside the inner optimizer's own.
 *
 *     inner step;  every k-th:  slow ← slow + alpha · (p − slow);  p ← slow
 *
 * The slow weights start as the parameters are at the first step; they are the ones to evaluate. Meeting them is part of
 * the inner optimizer's update and costs no pass of its own. A tensor without a gradient is left alone by meetings too.
 *
 * @see Zhang et al., "Lookahead Optimizer: k steps forward, 1 step back", 2019. https://arxiv.org/abs/1907.08610
 */
export class Lookahead<O extends object = object> {
  readonly #inner: Optimizer<O>;
  readonly #ahead: Ahead;

  constructor(inner: Optimizer<O>, options?: LookaheadOptions) {
    if (!(inner instanceof Optimizer)) throw expectedType('inner of Lookahead', 'an optimizer', inner);
    const known = ['k', 'alpha', 'innerStateOnSync'] as const;
    const { k = 6, alpha = 0.5, innerStateOnSync = 'keep' } = readOptions(options, known, 'Lookahead');
    const ahead = new Ahead(
      integer(1, Infinity, 6).check(k, 'k', 'Lookahead'),
      unit(0.5).check(alpha, 'alpha', 'Lookahead'),
      checkChoice(innerStateOnSync, policies, 'innerStateOnSync of Lookahead'),
    );
    const { className } = inner;
    if (inner.keepsSlow)
      throw new TypeError(
        `Expected inner of Lookahead to be without slow weights but received ${className}, which has its own.`,
      );
    if (inner.attached)
      throw new TypeError(`Expected ${className} to be in one Lookahead but it is in another already.`);
    this.#inner = inner;
    this.#ahead = ahead;
    const { bindings, groups, stepper } = inner.attach(ahead);
    const { slots } = bindings;
    if (innerStateOnSync === 'resetMomentum') {
      const without = groups.find(({ algorithm }) => !algorithm.states.includes('momentumBuffer'));
      if (without)
        throw new RangeError(
          `Expected innerStateOnSync of Lookahead to be "keep" or "resetAll" for ${className}, which has no momentumBuffer, ` +
            'but received "resetMomentum".',
        );
      ahead.onSync = () => {
        for (const slot of slots)
          slot.fields.forEach(({ name }, k) => {
            const view = name === 'momentumBuffer' && bindings.view(slot, k);
            if (view) bindings.clear(view);
          });
      };
    } else if (innerStateOnSync === 'resetAll') {
      // Only the slow weights, which follow a rule's own states, and what makes the parameter whole are kept.
      ahead.onSync = () => {
        for (const slot of slots) {
          const slow = inner.groupOf(slot).algorithm.states.length;
          stepper.restore(slot.index, 0, (1 << slow) | extraState(slot), []);
          slot.fields.forEach(({ state }, k) => state < slow && (slot.views[k] = undefined));
        }
      };
    }
  }

  /** The optimizer that was wrapped. */
  get inner(): Optimizer<O> {
    return this.#inner;
  }
  /** The inner optimizer's live groups. */
  get paramGroups(): readonly ParamGroup<O>[] {
    return this.#inner.paramGroups;
  }
  /** Steps that were skipped for a gradient that was not finite. */
  get skippedSteps(): number {
    return this.#inner.skippedSteps;
  }

  addParamGroup(group: ParamGroupInit<O>): void {
    this.#inner.addParamGroup(group);
  }
  schedule(schedules: GroupSchedules<O>, options?: { readonly group?: number }): this {
    this.#inner.schedule(schedules, options);
    return this;
  }

  /** A step of the inner optimizer; after every k-th the weights meet the slow ones, in the same native call. */
  step(): StepResult {
    return this.#inner.stepWith(this.#ahead);
  }
  /** `step()` off the event loop. */
  stepAsync(): Promise<StepResult> {
    return this.#inner.stepAsyncWith(this.#ahead);
  }

  zeroGrad(): void {
    this.#inner.zeroGrad();
  }
  /** The inner optimizer's state, and `slow`. */
  state(parameter: Parameter): ParameterState {
    return this.#inner.state(parameter);
  }
  /** The inner optimizer's state dict, with the slow weights and how far Lookahead is. */
  stateDict(): StateDict {
    return this.#inner.stateDict();
  }
  loadStateDict(dict: StateDict): void {
    this.#inner.loadStateDict(dict);
  }
  /** Writes the state dict to a safetensors file, as an optimizer's `save()` does. */
  save(path: string): Promise<void> {
    return this.#inner.save(path);
  }
  /** Continues from a file that `save()` wrote. */
  load(path: string): Promise<void> {
    return this.#inner.load(path);
  }
  stateBytes(): number {
    return this.#inner.stateBytes();
  }
  /** Disposes the inner optimizer. */
  dispose(): void {
    this.#inner.dispose();
  }
  [symbolDispose](): void {
    this.dispose();
  }
}
