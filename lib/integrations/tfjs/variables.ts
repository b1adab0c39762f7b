import { groupsOf, listOf, type ParamGroupInit } from '../../group';
import type { Params } from '../../optimizer';
import type { Parameter } from '../../parameter';
import type { GroupSchedules } from '../../plan';
import type { ParameterState } from '../../state';
import type { StateDict } from '../../state-dict';
import type { CommonOptions } from '../../step-settings';
import { describe, expectedType } from '../../validate';
import { Entry } from './entry';
import type { Tf, TfGradients, TfTensor, TfVariable } from './framework';
import type { TfInner, TfInnerClass, TfOwnOptions } from './options';

const list = (names: readonly string[]): string =>
  names
    .slice(0, 8)
    .map((name) => `"${name}"`)
    .join(', ') + (names.length > 8 ? `, … (${names.length})` : '');

const isList = (gradients: TfGradients): gradients is Extract<TfGradients, readonly unknown[]> =>
  Array.isArray(gradients);

/** The variables that an optimizer has been given, by name, and the optimizer over them. */
export class Variables<O extends object, I extends TfInner<O>> {
  readonly #className: string;
  readonly #schedules: [GroupSchedules<O>, { readonly group?: number }][] = [];
  #entries = new Map<string, Entry>();
  #inner: I | undefined;

  constructor(
    private readonly tf: Tf,
    private readonly Class: TfInnerClass<O, I>,
    private readonly options: O & CommonOptions,
    private readonly own: TfOwnOptions<O>,
  ) {
    this.#className = Class.name;
  }

  get inner(): I | undefined {
    return this.#inner;
  }
  get known(): readonly Entry[] {
    return [...this.#entries.values()];
  }

  /** Throws for a variable that tfjs no longer knows. */
  checkAlive(variable: TfVariable): void {
    if (typeof variable !== 'object' || variable === null || typeof variable.name !== 'string')
      throw expectedType(`a variable of ${this.#className}`, 'a tf.Variable', variable);
    if (!this.#isAlive(variable))
      throw new Error(`Expected variable "${variable.name}" to be there but it was disposed.`);
  }

  #isAlive(variable: TfVariable): boolean {
    return !variable.isDisposed && this.tf.engine().registeredVariables[variable.name] === variable;
  }

  /** Gradients with the variables that they are of, all checked. */
  match(gradients: TfGradients): Map<Entry, TfTensor> {
    if (typeof gradients !== 'object' || gradients === null)
      throw expectedType('gradients', 'a list of { name, tensor }, or tensors by name', gradients);
    const named = isList(gradients)
      ? gradients
      : Object.entries(gradients).map(([name, tensor]) => ({ name, tensor }));
    const { registeredVariables } = this.tf.engine();
    const tensors = new Map<TfVariable, TfTensor>();
    for (const { name, tensor } of named) {
      if (tensor === null || tensor === undefined) continue;
      const variable = Object.hasOwn(registeredVariables, name) ? registeredVariables[name] : undefined;
      if (!variable)
        throw new RangeError(
          `Expected a variable "${name}" for the gradient of that name but there is none (was it disposed?).`,
        );
      if (tensors.has(variable))
        throw new RangeError(`Expected one gradient for "${name}" but received two.`);
      checkGradient(variable, tensor);
      tensors.set(variable, tensor);
    }
    const entries = this.entriesOf(tensors.keys());
    return new Map(entries.map((entry) => [entry, tensors.get(entry.variable)!]));
  }

  /** An entry for each variable: the one it has, or a new one that `add()` is to take over. */
  entriesOf(variables: Iterable<TfVariable>): Entry[] {
    const fresh = new Map<string, Entry>();
    return [...variables].map((variable) => {
      this.checkAlive(variable);
      const name = this.#nameOf(variable);
      const known = this.#entries.get(name) ?? fresh.get(name);
      if (!known) {
        const { role } = this.own;
        const entry = new Entry(name, variable, role?.({ name, shape: variable.shape }));
        fresh.set(name, entry);
        return entry;
      }
      if (known.variable !== variable) this.#succeed(known, variable);
      return known;
    });
  }

  /** A new variable of a known name takes over the state of a disposed one. */
  #succeed(entry: Entry, variable: TfVariable): void {
    if (this.#isAlive(entry.variable))
      throw new RangeError(
        `Expected every variable of ${this.#className} to have a name of its own but "${entry.variable.name}" and ` +
          `"${variable.name}" both have "${entry.name}".`,
      );
    const [expected, received] = [entry.variable, variable].map(({ shape }) => `[${shape.join(', ')}]`);
    if (expected !== received)
      throw new RangeError(
        `Expected variable "${variable.name}" to have shape ${expected}, as the disposed one of its name had, but received ${received}.`,
      );
    entry.variable = variable;
  }

  #nameOf({ name, shape }: TfVariable): string {
    const { nameOf } = this.own;
    if (!nameOf) return name;
    const given: unknown = nameOf({ name, shape });
    if (typeof given !== 'string' || given === '')
      throw expectedType(`nameOf("${name}") of ${this.#className}`, 'a name', given);
    return given;
  }

  /** Takes over those of the entries that the optimizer does not have yet; their arrays must be there. */
  add(entries: readonly Entry[]): void {
    const added = entries.filter(({ name }) => !this.#entries.has(name));
    if (added.length === 0) return;
    const byParameter = new Map(added.map((entry) => [entry.parameter, entry]));
    const groups = this.#divide([...byParameter.keys()]);
    if (!this.#inner) {
      this.#inner = this.#make(groups);
      for (const entry of added) this.#entries.set(entry.name, entry);
      return;
    }
    for (const group of groups) {
      this.#inner.addParamGroup(group);
      for (const parameter of group.params) {
        const entry = byParameter.get(parameter)!;
        this.#entries.set(entry.name, entry);
      }
    }
  }

  #divide(params: readonly Parameter[]): ParamGroupInit<O>[] {
    const { groups } = this.own;
    if (!groups) return groupsOf<O>(params, this.#className);
    const what = `groups of ${this.#className} for tfjs`;
    const divided = groupsOf<O>(groups(params), what).map((group) => ({
      ...group,
      params: listOf<Parameter>(group.params, `params of ${what}`),
    }));
    const returned = divided.flatMap((group) => group.params);
    const lost = params.find((parameter) => !returned.includes(parameter));
    if (lost)
      throw new RangeError(`Expected ${what} to return every parameter but "${lost.name}" is missing.`);
    if (returned.length !== params.length)
      throw new RangeError(
        `Expected ${what} to return the ${params.length} parameters that it was given but received ${returned.length}.`,
      );
    return divided;
  }

  #make(groups: Params<O>): I {
    const inner = new this.Class(groups, this.options);
    try {
      for (const [schedules, options] of this.#schedules) inner.schedule(schedules, options);
    } catch (error) {
      inner.dispose();
      throw error;
    }
    return inner;
  }

  schedule(schedules: GroupSchedules<O>, options: { readonly group?: number }): void {
    this.#inner?.schedule(schedules, options);
    this.#schedules.push([schedules, options]);
  }

  stateOf(variable: TfVariable): ParameterState {
    this.checkAlive(variable);
    const entry = this.#entries.get(this.#nameOf(variable));
    if (!entry || !this.#inner)
      throw new RangeError(
        `Expected ${this.#className} to have had a gradient of "${variable.name}" but it has not.`,
      );
    return this.#inner.state(entry.parameter);
  }

  /** Checks as much of a dict as is read before the optimizer itself checks it. */
  checkDict(dict: unknown): asserts dict is StateDict {
    const { algorithm, paramGroups } = (dict ?? {}) as { algorithm?: unknown; paramGroups?: unknown };
    const hasParams = (group: unknown): boolean =>
      Array.isArray((group as { params?: unknown } | null)?.params);
    if (!Array.isArray(paramGroups) || !paramGroups.every(hasParams))
      throw expectedType('the state dict', 'an object made by stateDict()', dict);
    if (paramGroups.length === 0 || algorithm === undefined)
      throw new TypeError(
        `Expected a state dict of ${this.#className} but received one of ${describe(algorithm)}.`,
      );
  }

  /** Continues from a dict; nothing is changed unless all of it fits. `seen`: entries that are about to be added. */
  load(dict: StateDict, seen: readonly Entry[]): void {
    const names = dict.paramGroups.map(({ params }) => params);
    const found = this.#find(names.flat(), seen);
    const current = this.#inner?.paramGroups.map(({ params }) => params.map(({ name }) => name!));
    if (this.#inner && sameGroups(current!, names)) return this.#inner.loadStateDict(dict);
    for (const entry of found.values()) if (!seen.includes(entry)) entry.rest();
    const groups = names.map((group) => ({ params: group.map((name) => found.get(name)!.parameter) }));
    const inner = this.#make(groups as unknown as Params<O>);
    try {
      inner.loadStateDict(dict);
    } catch (error) {
      inner.dispose();
      throw error;
    }
    this.#inner?.dispose();
    this.#inner = inner;
    this.#entries = found;
  }

  /** The entries of these names: those that are used, and variables that tfjs has besides, such as frozen ones. */
  #find(names: readonly string[], seen: readonly Entry[]): Map<string, Entry> {
    const used = new Map([...this.#entries, ...seen.map((entry) => [entry.name, entry] as const)]);
    const what = `the state of ${this.#className} that was loaded`;
    if (!names.some((name) => used.has(name)))
      throw new RangeError(
        `Expected ${what} to be of ${list([...used.keys()])} but it is of ${list(names)}; give nameOf where a model ` +
          'was built twice in one process.',
      );
    const others = new Map<string, TfVariable>();
    for (const variable of Object.values(this.tf.engine().registeredVariables))
      others.set(this.#nameOf(variable), variable);
    const missing = names.filter((name) => !used.has(name) && !others.has(name));
    if (missing.length > 0)
      throw new RangeError(
        `Expected a variable for every tensor of ${what} but there is none for ${list(missing)}.`,
      );
    const role = this.own.role;
    return new Map(
      names.map((name) => {
        const variable = others.get(name);
        const entry = used.get(name) ?? new Entry(name, variable!, role?.({ name, shape: variable!.shape }));
        return [name, entry];
      }),
    );
  }

  dispose(): void {
    this.#inner?.dispose();
    this.#entries.clear();
  }
}

function sameGroups(a: readonly (readonly string[])[], b: readonly (readonly string[])[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((names, i) => {
    const others = new Set(b[i]);
    return names.length === others.size && names.every((name) => others.has(name));
  });
}

function checkGradient({ name, shape, dtype }: TfVariable, grad: TfTensor): void {
  if (dtype !== 'float32')
    throw new TypeError(`Expected variable "${name}" to be float32 for a step but it is ${dtype}.`);
  if (grad.isDisposed) throw new Error(`Expected the gradient of "${name}" to be there but it was disposed.`);
  if (grad.dtype !== 'float32')
    throw new TypeError(`Expected the gradient of "${name}" to be float32 but received ${grad.dtype}.`);
  if (grad.shape.join() === shape.join()) return;
  throw new RangeError(
    `Expected the gradient of "${name}" to have shape [${shape.join(', ')}] but received [${grad.shape.join(', ')}].`,
  );
}
