import { readStateDict, writeStateDict } from '../../checkpoint/checkpoint';
import { checkPath } from '../../checkpoint/files';
import type { ParamGroup } from '../../group';
import { symbolDispose } from '../../optimizer';
import type { GroupSchedules } from '../../plan';
import type { ParameterState } from '../../state';
import type { StateDict } from '../../state-dict';
import type { StepResult } from '../../step-result';
import { expectedType } from '../../validate';
import type { Tf, TfGradients, TfNamedTensor, TfTensor, TfVariable } from './framework';
import { memoryOf } from './memory';
import { checkOptions, divideOptions, plainOptions } from './options';
import type { TfInner, TfInnerClass, TfOptions } from './options';
import { Variables } from './variables';
import { fromWeights, toWeights } from './weights';

/**
 * An optimizer of this library as tfjs wants one. It has tfjs's methods, for `model.compile()` and by hand, and those of
 * this library's optimizers, by variable instead of by parameter. `inner`, the optimizer behind it, is there from the
 * first step on, when variables are known; `addVariables()` makes it at once.
 */
export class TfOptimizer<O extends object = object, I extends TfInner<O> = TfInner<O>> {
  readonly #tf: Tf;
  readonly #className: string;
  readonly #given: TfOptions<O>;
  readonly #inPlace: boolean;
  readonly #variables: Variables<O, I>;
  /** A loaded state whose variables have not been seen yet. */
  #pending: StateDict | undefined;
  #iterations = 0;
  #lastStep: StepResult | undefined;
  #disposed = false;

  /** @internal */
  constructor(tf: Tf, Class: TfInnerClass<O, I>, given: TfOptions<O>) {
    for (const name of ['variableGrads', 'engine', 'getBackend', 'backend', 'tensor'] as const) {
      if (typeof (tf as Partial<Tf> | null | undefined)?.[name] !== 'function')
        throw expectedType('the first argument of tfOptimizer', 'the package @tensorflow/tfjs', tf);
    }
    this.#className = typeof Class === 'function' ? Class.name : 'tfOptimizer';
    const { own, options } = divideOptions(given, this.#className);
    checkOptions(Class, options);
    this.#tf = tf;
    this.#given = given;
    this.#inPlace = own.inPlace;
    this.#variables = new Variables(tf, Class, options, own);
  }

  /** The optimizer behind this one; undefined before the first step. `load()` may put another in its place. */
  get inner(): I | undefined {
    return this.#variables.inner;
  }
  /** Live groups of the optimizer behind: `paramGroups[0].lr = 1e-4` takes effect at the next step. None before the first. */
  get paramGroups(): readonly ParamGroup<O>[] {
    return this.inner?.paramGroups ?? [];
  }
  /** Steps applied so far. */
  get iterations(): number {
    return this.#iterations;
  }
  /** What the last step did: whether it was applied, norms where options ask for them. */
  get lastStep(): StepResult | undefined {
    return this.#lastStep;
  }

  /**
   * Minimizes what `f` returns: gradients by `tf.variableGrads`, then one step.
   *
   * @param f computes a scalar from variables
   * @param returnCost return what `f` returned, for the caller to dispose; else null. @default false
   * @param varList variables to update. @default all that are trainable
   */
  minimize<S extends TfTensor>(f: () => S, returnCost = false, varList?: readonly TfVariable[]): S | null {
    this.#available('minimize()');
    const { value, grads } = this.computeGradients(f, varList);
    let isKept = false;
    try {
      this.applyGradients(grads);
      isKept = returnCost;
    } finally {
      for (const grad of Object.values(grads) as (TfTensor | null)[]) grad?.dispose();
      if (!isKept) value.dispose();
    }
    return isKept ? value : null;
  }

  /** `tf.variableGrads(f, varList)`. */
  computeGradients<S extends TfTensor>(
    f: () => S,
    varList?: readonly TfVariable[],
  ): { value: S; grads: Record<string, TfTensor> } {
    varList?.forEach((variable) => this.#variables.checkAlive(variable));
    const { value, grads } = this.#tf.variableGrads(f, varList && [...varList]);
    return { value: value as S, grads };
  }

  /**
   * One step. Variables without a gradient are left alone, their state and weight decay included; those seen for the
   * first time start with a state of their own. Gradients are only read, and stay the caller's to dispose.
   */
  applyGradients(gradients: TfGradients): void {
    this.#available('applyGradients()');
    const variables = this.#variables;
    const pairs = variables.match(gradients);
    if (pairs.size === 0) return;
    const entries = [...pairs.keys()];
    const memory = this.#inPlace ? memoryOf(this.#tf) : undefined;
    // All that takes memory comes before the first view: memory that grows takes its views away.
    if (memory) for (const entry of entries) entry.separate(this.#tf, memory);
    for (const [entry, grad] of pairs) entry.bind(memory, grad);
    for (const entry of variables.known) if (!pairs.has(entry)) entry.rest();
    try {
      this.#settle(entries);
      variables.add(entries);
      this.#lastStep = variables.inner!.step();
    } finally {
      for (const { parameter } of entries) parameter.grad = null;
      variables.inner?.zeroGrad();
    }
    this.#iterations = this.#lastStep.step;
    if (this.#lastStep.applied) for (const entry of entries) entry.write(this.#tf, memory);
  }

  /** Makes variables known before their first step: to look at `inner`, such as Muon's routing, or to load a state. */
  addVariables(variables: Iterable<TfVariable>): this {
    this.#available('addVariables()');
    const entries = this.#variables.entriesOf(variables);
    for (const entry of entries) entry.rest();
    this.#settle(entries);
    this.#variables.add(entries);
    return this;
  }

  /** Gives options of groups a schedule, as an optimizer's `schedule()` does; also before the first step. */
  schedule(schedules: GroupSchedules<O>, options: { readonly group?: number } = {}): this {
    this.#available('schedule()');
    this.#variables.schedule(schedules, options);
    return this;
  }

  /** A variable's step count and live views of its states. */
  state(variable: TfVariable): ParameterState {
    this.#available('state()');
    return this.#variables.stateOf(variable);
  }

  /** Bytes of state kept now. */
  stateBytes(): number {
    this.#available('stateBytes()');
    return this.inner?.stateBytes() ?? 0;
  }

  /** A copy of everything the optimizer knows, by variable name. Error before the first step. */
  stateDict(): StateDict {
    this.#available('stateDict()');
    if (this.#pending) return structuredClone(this.#pending);
    if (!this.inner)
      throw new Error(`${this.#className} knows no variables before its first step: there is no state yet.`);
    return this.inner.stateDict();
  }

  /**
   * Continues from a state dict, matched by variable name and shape: at once when variables are known, else at the first
   * step, which then is an error when they differ. Every tensor of the dict needs its variable; variables that the dict
   * does not have start anew.
   */
  loadStateDict(dict: StateDict): void {
    this.#available('loadStateDict()');
    this.#variables.checkDict(dict);
    if (this.#variables.known.length > 0) this.#variables.load(dict, []);
    else this.#pending = structuredClone(dict);
    this.#iterations = dict.step;
  }

  /** Writes the state to a safetensors file, as an optimizer's `save()` does. Weights are the model's to save. */
  async save(path: string): Promise<void> {
    this.#available('save()');
    checkPath(path);
    await writeStateDict(path, this.stateDict());
  }

  /** Continues from a file that `save()` wrote, as `loadStateDict()` does. */
  async load(path: string): Promise<void> {
    this.#available('load()');
    this.loadStateDict(await readStateDict(path));
  }

  /** The name under which tfjs saves the optimizer with a model: that of the class after "Fused". */
  getClassName(): string {
    return `Fused${this.#className}`;
  }

  /** The options it was made with. TypeError when one of them is code. */
  getConfig(): Record<string, unknown> {
    return plainOptions(this.#given, this.#className);
  }

  /** The state as named tensors, for `model.save(…, { includeOptimizer: true })`. The caller disposes them. */
  getWeights(): Promise<TfNamedTensor[]> {
    this.#available('getWeights()');
    return Promise.resolve(this.inner || this.#pending ? toWeights(this.#tf, this.stateDict()) : []);
  }

  /** Continues from what `getWeights()` returned. */
  async setWeights(weights: readonly TfNamedTensor[]): Promise<void> {
    this.#available('setWeights()');
    const dict = await fromWeights(weights);
    this.loadStateDict(dict);
  }

  /** Frees the state. Every later step is an error. */
  dispose(): void {
    this.#variables.dispose();
    this.#pending = undefined;
    this.#disposed = true;
  }

  [symbolDispose](): void {
    this.dispose();
  }

  /** Loads what was waiting for variables. */
  #settle(entries: Parameters<Variables<O, I>['add']>[0]): void {
    if (!this.#pending) return;
    this.#variables.load(this.#pending, entries);
    this.#pending = undefined;
  }

  #available(method: string): void {
    if (this.#disposed) throw new Error(`${this.#className} was disposed: ${method} is no longer possible.`);
  }
}
