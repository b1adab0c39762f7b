import { resolve, type Algorithm, type CommonOptions, type Definition } from './algorithm';
import { chooseIsa, chooseThreads } from './backends';
import { Bindings, type Slot } from './bindings';
import { Group, type ParamGroup, type ParamGroupInit } from './group';
import { native, type Stepper } from './native';
import { identify, type Parameter } from './parameter';
import { checkStateDict, type StateDict, type TensorState } from './state-dict';
import { expectedType, onlyKnown } from './validate';

/** What a step did. */
export interface StepResult {
  /** False when the step was skipped and nothing was written. */
  readonly applied: boolean;
  /** Steps this optimizer has applied so far. */
  readonly step: number;
}

/** A parameter's state: `step`, and live views of its states under torch's names in camelCase. */
export interface ParameterState {
  /** Updates this parameter has had. */
  readonly step: number;
  readonly [name: string]: Float32Array | number;
}

/** What an optimizer is made of: parameters, or groups of them. */
export type Params<O extends object> = Iterable<Parameter> | Iterable<ParamGroupInit<O>>;

const symbolDispose: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for('nodejs.dispose');

/** Base of every optimizer: groups, state, and one native call a step for all tensors. */
export abstract class Optimizer<O extends object = object> {
  readonly #algorithm: Algorithm;
  readonly #defaults: Readonly<Record<string, unknown>>;
  readonly #stepper: Stepper;
  readonly #bindings: Bindings;
  #groups: readonly Group[] = [];
  #live: readonly ParamGroup<O>[] = Object.freeze([]);
  #hyper = new Float64Array(0);
  #steps = 0;
  #inFlight = false;
  #disposed = false;

  protected constructor(definition: Definition, params: Params<O>, options: O & CommonOptions) {
    const { className } = definition;
    if (typeof options !== 'object' || options === null || Symbol.iterator in options) {
      throw expectedType(`options of ${className}`, 'an object', options);
    }
    this.#algorithm = resolve(definition);
    const { threads, ...defaults } = options as CommonOptions & Record<string, unknown>;
    onlyKnown(defaults, [...this.#algorithm.optionNames, 'threads'], className, definition.hints);
    this.#defaults = defaults;
    const groups = groupsOf<O>(params, className);
    const { addon } = native();
    const isa = chooseIsa(addon.isas).value;
    this.#stepper = new addon.Stepper(definition.rule, isa, chooseThreads(threads).value);
    this.#bindings = new Bindings(this.#stepper);
    for (const group of groups) this.addParamGroup(group);
  }

  /** The live groups: assigning an option of one takes effect at the next step. */
  get paramGroups(): readonly ParamGroup<O>[] {
    return this.#live;
  }

  /** Adds parameters later, with options of their own where given. Their state starts at their first gradient. */
  addParamGroup(group: ParamGroupInit<O>): void {
    this.#available('addParamGroup()');
    const { className } = this.#algorithm;
    if (typeof group !== 'object' || group === null)
      throw expectedType(`group of ${className}`, 'an object', group);
    const { params, ...given } = group as ParamGroupInit & Record<string, unknown>;
    const index = this.#groups.length;
    const list = listOf<Parameter>(params, `params of group ${index} of ${className}`);
    const added = new Group(this.#algorithm, index, list, given, this.#defaults);
    this.#bindings.add(
      list.map((parameter, i) => ({ parameter, ...identify(parameter, this.#bindings.size + i) })),
      index,
    );
    this.#groups = [...this.#groups, added];
    this.#live = Object.freeze(this.#groups.map(({ live }) => live as unknown as ParamGroup<O>));
    this.#hyper = new Float64Array(this.#groups.length * this.#algorithm.hyper.length);
  }

  /**
   * Updates every parameter that has a gradient, in place, in one native call. All checks come before the first write:
   * a step that throws has changed nothing.
   */
  step(): StepResult {
    this.#available('step()');
    this.#prepare();
    this.#enough(this.#stepper.step(this.#hyper));
    return { applied: true, step: ++this.#steps };
  }

  /**
   * `step()` off the event loop. Until the promise resolves the tensors are borrowed: do not write them, and do not
   * call other methods of this optimizer. Resizable buffers cannot be borrowed.
   */
  async stepAsync(): Promise<StepResult> {
    this.#available('stepAsync()');
    this.#prepare();
    if (!native().addon.pinsBuffers || 'bun' in process.versions || 'deno' in process.versions)
      return this.step();
    const pending = this.#stepper.stepAsync(this.#hyper, this.#bindings.borrow());
    if (typeof pending === 'number') {
      this.#enough(pending);
      throw new Error('A step that was not started did not say why.');
    }
    this.#inFlight = true;
    try {
      await pending;
    } finally {
      this.#inFlight = false;
    }
    ++this.#steps;
    this.#bindings.checkReturned();
    return { applied: true, step: this.#steps };
  }

  /** Forgets all gradients: sets `grad` of every parameter to null. Gradient memory is never written. */
  zeroGrad(): void {
    this.#available('zeroGrad()');
    this.#bindings.forgetGrads();
  }

  /** A parameter's step count and live views of its states, which appear at its first update. */
  state(parameter: Parameter): ParameterState {
    this.#available('state()');
    const slot = this.#bindings.find(parameter);
    if (!slot)
      throw new RangeError(
        `Expected a parameter of this ${this.#algorithm.className} but received another object.`,
      );
    return this.#read(slot);
  }

  /** A copy of everything the optimizer knows, by parameter name. */
  stateDict(): StateDict {
    this.#available('stateDict()');
    const { slots } = this.#bindings;
    const state = slots.map((slot): [string, TensorState] => {
      const entries = Object.entries(this.#read(slot));
      const copies = entries.map(([key, value]) => [key, typeof value === 'number' ? value : value.slice()]);
      return [slot.name, { shape: [...slot.shape], ...(Object.fromEntries(copies) as ParameterState) }];
    });
    const paramGroups = this.#groups.map(({ live }, index) => ({
      ...structuredClone(this.#groups[index]!.checked((name) => live[name])),
      params: slots.filter(({ group }) => group === index).map(({ name }) => name),
    }));
    const { className: algorithm } = this.#algorithm;
    return { version: 1, algorithm, step: this.#steps, state: Object.fromEntries(state), paramGroups };
  }

  /** Continues from a state dict: matched by name and shape, exact dtype; nothing is written unless all of it fits. */
  loadStateDict(dict: StateDict): void {
    this.#available('loadStateDict()');
    const { slots } = this.#bindings;
    checkStateDict(dict, this.#algorithm, slots, this.#groups.length);
    const options = dict.paramGroups.map(({ params: _, ...given }, index) => {
      onlyKnown(given, this.#algorithm.optionNames, `group ${index} of the state dict`);
      return this.#groups[index]!.checked((name) => given[name]);
    });
    const rows = options.map((values, index) => this.#groups[index]!.numbers(values));
    const loads = this.#bindings.planLoads(dict.state, this.#algorithm, rows);
    const masks = Uint32Array.from(loads, ({ mask }) => mask);
    this.#enough(this.#stepper.createStates(masks, Float64Array.from(rows.flatMap((row) => [...row]))));
    this.#groups.forEach((group, index) => group.assign(options[index]!));
    for (const load of loads) load.write();
    this.#steps = dict.step;
  }

  /** Bytes of state the optimizer keeps now. */
  stateBytes(): number {
    this.#available('stateBytes()');
    return this.#stepper.stateBytes();
  }

  /** Frees the state. Every later call but this one is an error; views of the state stay readable. */
  dispose(): void {
    if (this.#disposed) return;
    this.#available('dispose()');
    this.#stepper.dispose();
    this.#bindings.release();
    this.#disposed = true;
  }

  [symbolDispose](): void {
    this.dispose();
  }

  #available(method: string): void {
    const { className } = this.#algorithm;
    if (this.#disposed) throw new Error(`${className} was disposed: ${method} is no longer possible.`);
    if (this.#inFlight)
      throw new Error(`stepAsync() of ${className} is in flight: await it before ${method}.`);
  }

  #row(group: number): Float64Array {
    const { length } = this.#algorithm.hyper;
    return this.#hyper.subarray(group * length, (group + 1) * length);
  }

  #refreshHyper(): void {
    for (let i = 0; i < this.#groups.length; ++i) this.#groups[i]!.write(this.#row(i));
  }

  #prepare(): void {
    this.#refreshHyper();
    this.#bindings.refresh();
  }

  #enough(missingBytes: number): void {
    if (missingBytes === 0) return;
    throw new RangeError(
      `Expected ${missingBytes} bytes of memory for the state of ${this.#algorithm.className} but could not allocate them.`,
    );
  }

  #read(slot: Slot): ParameterState {
    const [step = 0, , ...scalars] = this.#stepper.progress(slot.index);
    const state: Record<string, Float32Array | number> = { step };
    if (step > 0) this.#algorithm.scalars.forEach((name, i) => (state[name] = scalars[i]!));
    this.#algorithm.states.forEach((name, k) => {
      const view = this.#bindings.view(slot, k);
      if (view) state[name] = view;
    });
    return state as ParameterState;
  }
}

function listOf<T>(given: unknown, what: string): T[] {
  if (
    typeof given !== 'object' ||
    given === null ||
    !(Symbol.iterator in given) ||
    ArrayBuffer.isView(given)
  ) {
    throw expectedType(what, 'an iterable of parameters', given);
  }
  const list = [...(given as Iterable<T>)];
  if (list.length === 0)
    throw new RangeError(`Expected ${what} to hold at least one parameter but received none.`);
  return list;
}

function groupsOf<O extends object>(params: unknown, className: string): ParamGroupInit<O>[] {
  const list = listOf<unknown>(params, `params of ${className}`);
  const isGroup = (entry: unknown): boolean =>
    typeof entry === 'object' && entry !== null && 'params' in entry && !('data' in entry);
  const groups = list.filter(isGroup).length;
  if (groups === 0) return [{ params: list as Parameter[] } as unknown as ParamGroupInit<O>];
  if (groups === list.length) return list as ParamGroupInit<O>[];
  throw new TypeError(
    `Expected params of ${className} to be all parameters or all groups but received a mixture.`,
  );
}
