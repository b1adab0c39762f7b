import { alone, resolve, type Algorithm, type Composite, type Definition } from './algorithm';
import { Formats } from './formats';
import { Group, groupsOf, listOf, type ParamGroup, type ParamGroupInit } from './group';
import type { Ahead } from './lookahead';
import { readStateDict, writeStateDict } from './checkpoint/checkpoint';
import { checkPath } from './checkpoint/files';
import { make, type Made } from './made';
import { native } from './native';
import { identify, type Parameter } from './parameter';
import { Plan, type GroupSchedules } from './plan';
import { dictOf, loadDict, readState, type ParameterState, type Parts } from './state';
import type { Placement } from './placement';
import type { Slot } from './slot';
import type { StateDict } from './state-dict';
import { doInParts, stepInParts, type StepInParts } from './step-in-parts';
import type { StepResult } from './step-result';
import { commonOptionNames, StepSettings, type CommonOptions, type LossScaler } from './step-settings';
import { expectedType, onlyKnown } from './validate';

/** What an optimizer is made of: parameters, or groups of them. */
export type Params<O extends object> = Iterable<Parameter> | Iterable<ParamGroupInit<O>>;

/** Not part of the interface; the declarations of classes name it, so it may not be stripped from them. */
export const symbolDispose: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for('nodejs.dispose');

/** Base of every optimizer: groups, state, and one native call a step for all tensors. */
export abstract class Optimizer<O extends object = object> {
  readonly #definition: Composite;
  readonly #algorithms: readonly Algorithm[];
  readonly #defaults: Readonly<Record<string, unknown>>;
  readonly #settings: StepSettings;
  readonly #formats: Formats;
  readonly #options: CommonOptions;
  readonly #plan = new Plan();
  #made!: Made;
  #groups: readonly Group[] = [];
  #live: readonly ParamGroup<O>[] = Object.freeze([]);
  #ahead: Ahead | undefined;
  #inFlight = false;
  #disposed = false;

  protected constructor(
    definition: Definition | Composite,
    params: Params<O>,
    options: O & CommonOptions,
    optionNames?: readonly string[],
  ) {
    const { className } = definition;
    if (typeof options !== 'object' || options === null || Symbol.iterator in options) {
      throw expectedType(`options of ${className}`, 'an object', options);
    }
    this.#definition = 'parts' in definition ? definition : alone(definition);
    this.#algorithms = this.#definition.parts.map(resolve);
    const { hints } = this.#definition.parts[0]!;
    const known = optionNames ?? this.#algorithms[0]!.optionNames;
    onlyKnown(options, [...known, ...commonOptionNames], className, hints);
    const common = new Set<string>(commonOptionNames);
    this.#defaults = Object.fromEntries(Object.entries(options).filter(([name]) => !common.has(name)));
    this.#settings = new StepSettings(className, options);
    this.#formats = new Formats(className, this.#algorithms, options);
    this.#options = options;
    const groups = groupsOf<O>(params, className);
    for (const group of groups) this.addParamGroup(group);
  }

  /** The live groups: assigning an option of one takes effect at the next step. */
  get paramGroups(): readonly ParamGroup<O>[] {
    return this.#live;
  }

  /** The limit of the gradients' norm; `null`: none. Assigning it takes effect at the next step. */
  get maxGradNorm(): number | null {
    return this.#settings.maxGradNorm;
  }
  set maxGradNorm(value: number | null) {
    this.#settings.maxGradNorm = value;
  }

  /** What gradients are divided by. Assigning it takes effect at the next step. */
  get gradScale(): number | LossScaler {
    return this.#settings.gradScale;
  }
  set gradScale(value: number | LossScaler) {
    this.#settings.gradScale = value;
  }

  /** Steps that were skipped for a gradient that was not finite. */
  get skippedSteps(): number {
    return this.#made.steps.skipped;
  }

  /** Adds parameters later, with options of their own where given. Their state starts at their first gradient. */
  addParamGroup(group: ParamGroupInit<O>): void {
    this.#available('addParamGroup()');
    const { className } = this.#definition;
    if (typeof group !== 'object' || group === null)
      throw expectedType(`group of ${className}`, 'an object', group);
    const { params, ...given } = group as ParamGroupInit & Record<string, unknown>;
    const index = this.#groups.length;
    const list = listOf<Parameter>(params, `params of group ${index} of ${className}`);
    const size = index === 0 ? 0 : this.#made.bindings.size;
    const entries = list.map((parameter, i) => ({ parameter, identity: identify(parameter, size + i) }));
    if (index === 0) {
      const rules = this.#algorithms.map(({ rule }) => rule);
      this.#made = make(list[0]!, className, rules, this.#settings, this.#options);
    }
    const { placement, bindings, stepper, steps } = this.#made;
    const first = bindings.slots[0]?.name ?? entries[0]!.identity.name;
    for (const { parameter, identity } of entries) placement.accept(parameter.data, identity.name, first);
    const identities = new Map(entries.map(({ parameter, identity }) => [parameter, identity]));
    const pieces = this.#definition.divide(entries, given, this.#defaults);
    const added = pieces.map(
      ({ part, params, given, defaults }, i) =>
        new Group(this.#algorithms[part]!, index + i, params, given, defaults),
    );
    const slots = pieces.flatMap(({ part, params }, i) => {
      const algorithm = this.#algorithms[part]!;
      return params.map((parameter) => {
        const identity = identities.get(parameter)!;
        const format = this.#formats.of(parameter, identity, algorithm);
        return { ...identity, parameter, group: index + i, format, states: algorithm.states };
      });
    });
    bindings.add(slots, () => pieces.forEach(({ part }) => stepper.addGroup(part)));
    this.#groups = [...this.#groups, ...added];
    this.#live = Object.freeze(this.#groups.map(({ live }) => live as unknown as ParamGroup<O>));
    let length = 0;
    for (const group of this.#groups) {
      group.offset = length;
      length += group.algorithm.hyper.length;
    }
    steps.regroup();
  }

  /**
   * Gives options of groups a schedule each, a function of the number of steps applied so far: at the start of step 1
   * it is called with 0. Its value replaces the option's. `null` takes a schedule away. Schedules are code and not in
   * the state dict; all they need to go on is its `step`.
   *
   * @param group index of the only group it is for; without it all groups of the optimizer's first algorithm
   */
  schedule(schedules: GroupSchedules<O>, { group }: { readonly group?: number } = {}): this {
    this.#available('schedule()');
    this.#plan.set(schedules, group, this.#groups, this.#definition);
    return this;
  }

  /**
   * Updates every parameter that has a gradient, in place, in one native call. All checks come before the first write:
   * a step that throws has changed nothing.
   */
  step(): StepResult {
    return this.stepWith(undefined);
  }

  /** @internal A step, as part of a Lookahead or alone. */
  stepWith(ahead: Ahead | undefined): StepResult {
    this.#available('step()');
    const { numbers, answer } = this.#settings;
    const { stepper, steps } = this.#made;
    stepper.step(this.#prepare(ahead), numbers, answer);
    return steps.finish(ahead);
  }

  /** @internal A step whose tensors' memory comes and goes part by part. */
  stepInParts(ends: Uint32Array, before: (part: number) => void, after: (part: number) => void): StepResult {
    return doInParts(this.inParts(undefined), this.#settings.measures, ends, before, after);
  }

  /** @internal A step whose parts are called for; what `begin` throws for has changed nothing. */
  inParts(ahead: Ahead | undefined): StepInParts {
    this.#available('step()');
    const hyper = this.#prepare(ahead);
    return stepInParts(this.#made, this.#settings, this.#groups, this.#definition.className, hyper, ahead);
  }

  /**
   * `step()` off the event loop. Until the promise resolves the tensors are borrowed: do not write them, and do not
   * call other methods of this optimizer. Resizable buffers cannot be borrowed.
   */
  async stepAsync(): Promise<StepResult> {
    return this.stepAsyncWith(undefined);
  }

  /** @internal */
  async stepAsyncWith(ahead: Ahead | undefined): Promise<StepResult> {
    this.#available('stepAsync()');
    const { stepper, steps, bindings, placement } = this.#made;
    if (placement.finished) {
      const result = this.stepWith(ahead);
      await placement.finished();
      return result;
    }
    const hyper = this.#prepare(ahead);
    if (!native().addon.pinsBuffers || 'bun' in process.versions || 'deno' in process.versions)
      return this.stepWith(ahead);
    const { numbers, answer } = this.#settings;
    const pending = stepper.stepAsync(hyper, numbers, answer, bindings.borrow());
    this.#inFlight = true;
    try {
      await pending;
    } finally {
      this.#inFlight = false;
    }
    stepper.settle(answer);
    const result = steps.finish(ahead);
    bindings.checkReturned();
    return result;
  }

  /**
   * Records the step as a CUDA graph at one of the next steps, and launches that from then on; as `cudaGraph: true`.
   * Parameters and gradients may move, options change and steps be skipped; a new set of tensors with gradients is
   * recorded anew.
   */
  capture(): this {
    this.#available('capture()');
    if (this.#made.placement.device === undefined)
      throw new TypeError(
        `Expected parameters of ${this.#definition.className} to be in CUDA memory for capture() but they are in host memory.`,
      );
    this.#settings.graph = true;
    return this;
  }

  /** Forgets all gradients: sets `grad` of every parameter to null. Gradient memory is never written. */
  zeroGrad(): void {
    this.#available('zeroGrad()');
    this.#made.bindings.forgetGrads();
  }

  /** A parameter's step count and live views of its states, which appear at its first update. */
  state(parameter: Parameter): ParameterState {
    this.#available('state()');
    const slot = this.#made.bindings.find(parameter);
    if (!slot)
      throw new RangeError(
        `Expected a parameter of this ${this.#definition.className} but received another object.`,
      );
    return readState(this.#parts(), slot);
  }

  /** A copy of everything the optimizer knows, by parameter name. */
  stateDict(): StateDict {
    this.#available('stateDict()');
    const { steps } = this.#made;
    return dictOf(this.#parts(), steps.taken, steps.skipped);
  }

  /** Continues from a state dict: matched by name and shape, exact dtype; nothing is written unless all of it fits. */
  loadStateDict(dict: StateDict): void {
    this.#available('loadStateDict()');
    this.#made.steps.settle();
    loadDict(this.#parts(), dict);
    this.#made.steps.restart(dict.step, dict.skipped ?? 0);
  }

  /**
   * Writes the state dict to a safetensors file, which is replaced whole or not at all. What is saved is the state at
   * the call: training may go on at once. Until the promise resolves that copy takes `stateBytes()` more memory.
   *
   * @throws Error with the operating system's reason when the file cannot be written; the old one is then still there
   */
  async save(path: string): Promise<void> {
    this.#available('save()');
    checkPath(path);
    await writeStateDict(path, this.stateDict());
  }

  /**
   * Continues from a file that `save()` wrote, as `loadStateDict()` does: nothing is changed unless all of it fits.
   *
   * @throws RangeError or TypeError in one sentence when the file is damaged or is not of this optimizer and its
   *   parameters; Error when a step is in flight, or the optimizer was disposed, once the file has been read
   */
  async load(path: string): Promise<void> {
    this.#available('load()');
    const dict = await readStateDict(path);
    this.#available('load()');
    this.loadStateDict(dict);
  }

  /** Bytes of state the optimizer keeps now. */
  stateBytes(): number {
    this.#available('stateBytes()');
    return this.#made.stepper.stateBytes();
  }

  /** Frees the state. Every later call but this one is an error; views of the state stay readable. */
  dispose(): void {
    if (this.#disposed) return;
    this.#available('dispose()');
    this.#made.stepper.dispose();
    this.#made.bindings.release();
    this.#disposed = true;
  }

  [symbolDispose](): void {
    this.dispose();
  }

  /** Every parameter with its facts, in the order of native code's tensors. */
  protected parameters(): [Parameter, Slot][] {
    return this.#made.bindings.slots.map((slot) => [slot.parameter, slot]);
  }

  /** @internal Every parameter in the order of native tensors, and whether its update waits for the last part. */
  get order(): readonly { readonly parameter: Parameter; readonly isLast: boolean; readonly slot: Slot }[] {
    return this.#made.bindings.slots.map((slot) => ({
      parameter: slot.parameter,
      isLast: this.#groups[slot.group]!.algorithm.rule === 'muon',
      slot,
    }));
  }
  /** @internal */
  get placement(): Placement {
    return this.#made.placement;
  }
  /** @internal */
  get settings(): StepSettings {
    return this.#settings;
  }
  /** @internal */
  get stepsTaken(): number {
    return this.#made.steps.taken;
  }
  /** @internal */
  get isOnHost(): boolean {
    return this.#made.placement.device === undefined;
  }

  /** @internal What a Lookahead needs of the optimizer it wraps. */
  attach(ahead: Ahead): Pick<Made, 'bindings' | 'stepper'> & { readonly groups: readonly Group[] } {
    this.#available('Lookahead');
    this.#ahead = ahead;
    const { bindings, stepper } = this.#made;
    return { bindings, groups: this.#groups, stepper };
  }
  /** @internal */
  groupOf(slot: Slot): Group {
    return this.#groups[slot.group]!;
  }
  /** @internal */
  get attached(): Ahead | undefined {
    return this.#ahead;
  }
  /** @internal */
  get keepsSlow(): boolean {
    return this.#algorithms.some(({ slow }) => slow);
  }
  /** @internal */
  get algorithms(): readonly Algorithm[] {
    return this.#algorithms;
  }
  /** @internal */
  get className(): string {
    return this.#definition.className;
  }

  #available(method: string): void {
    const { className } = this.#definition;
    if (this.#disposed) throw new Error(`${className} was disposed: ${method} is no longer possible.`);
    if (this.#inFlight)
      throw new Error(`stepAsync() of ${className} is in flight: await it before ${method}.`);
  }

  #prepare(ahead: Ahead | undefined): Float64Array {
    const { steps, bindings } = this.#made;
    const hyper = steps.begin(this.#plan, this.#groups, this.#ahead !== undefined, ahead);
    bindings.refresh();
    return hyper;
  }

  #parts(): Parts {
    return {
      className: this.#definition.className,
      ...this.#made,
      groups: this.#groups,
      ahead: this.#ahead,
      settings: this.#settings,
    };
  }
}
