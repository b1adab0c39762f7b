import { BoundArrays } from './bound-arrays';
import type { HostArray, StateArray } from './dtypes';
import { dtypeCode, fieldBytes, keyOf, nativeFormat } from './formats';
import type { Group } from './group';
import type { Conflict, NativeArray, Stepper } from './native';
import { refuseOverlap, sharedMemory } from './overlap';
import { dimsOf, type Parameter } from './parameter';
import type { Placement, StateView, TensorArray } from './placement';
import { Slot, type Joining } from './slot';
import type { StateDict, TensorState } from './state-dict';

/** A checkpoint's part for one tensor, ready to be written. */
export interface Load {
  /** Bit mask of the states it brings. */
  readonly mask: number;
  /** Cannot fail once the states in the mask exist. */
  write(): void;
}

/**
 * Keeps the native tensor list true to the parameters. Native code keeps addresses between steps, so every step
 * compares each array's identity with what was bound, and looks whether it is still there: on the host by its length,
 * for a detached buffer and a grown WebAssembly memory show as length 0.
 */
export class Bindings {
  readonly slots: Slot[] = [];
  readonly #arrays = new BoundArrays();
  readonly #byParameter = new Map<Parameter, Slot>();
  readonly #names = new Set<string>();

  constructor(
    private readonly stepper: Stepper,
    private readonly placement: Placement,
  ) {}

  get size(): number {
    return this.slots.length;
  }

  find(parameter: Parameter): Slot | undefined {
    return this.#byParameter.get(parameter);
  }

  /** Adds the parameters of new groups: all of them or, when one cannot be, none. `begin` is called before the first. */
  add(added: readonly Joining[], begin: () => void): void {
    const names = new Set(this.#names);
    const parameters = new Set(this.#byParameter.keys());
    for (const { name, parameter } of added) {
      if (parameters.has(parameter))
        throw new RangeError(`Expected parameter "${name}" once but it was given twice.`);
      if (names.has(name))
        throw new RangeError(`Expected unique parameter names but received "${name}" twice.`);
      names.add(name);
      parameters.add(parameter);
    }
    refuseOverlap([...this.slots, ...added]);
    begin();
    for (const joining of added) {
      const { parameter, name, length, first = 0, group, format } = joining;
      const dims = dimsOf(joining, parameter.layout);
      const index = this.stepper.add(length, dims, group, nativeFormat(format), keyOf(name), first);
      this.slots.push(new Slot(joining, index));
      this.#arrays.add(parameter, length);
      this.#byParameter.set(parameter, this.slots[index]!);
      this.#names.add(name);
    }
  }

  /** Reads every parameter and binds what changed. Throws before anything is written. */
  refresh(): void {
    const arrays = this.#arrays;
    // Reading may run the caller's getters, and those may detach arrays read earlier; so all are read first.
    arrays.read();
    this.placement.unbindLost(arrays);
    // Checking asks arrays for their kind, which may be a getter too, and take away what was bound.
    while (!arrays.areBound) this.#bind(arrays.unbound());
  }

  #bind(changed: readonly number[]): void {
    const { placement } = this;
    const { data, grads } = this.#arrays;
    for (const index of changed) {
      const slot = this.slots[index]!;
      placement.checkData(data[index], slot);
      if (grads[index] !== null) slot.gradDType = placement.gradDType(grads[index], slot);
    }
    const native = (array: unknown) => placement.native(array as TensorArray);
    const list: (number | NativeArray | null)[] = [];
    for (const index of changed) {
      const grad = grads[index] === null ? null : native(grads[index]);
      list.push(index, native(data[index]), grad, dtypeCode(this.slots[index]!.gradDType));
    }
    const conflict = this.stepper.bind(list);
    if (conflict) throw this.#overlap(conflict);
    this.#arrays.bound(changed);
  }

  #overlap([first, second, gradOfFirst]: Conflict): RangeError {
    this.#arrays.unbindAll();
    const a = this.slots[first]!.name;
    const b = this.slots[second]!.name;
    return gradOfFirst
      ? new RangeError(`Expected grad of "${a}" to be apart from data of "${b}" but they share memory.`)
      : sharedMemory(a, b);
  }

  /** The arrays of a step that is about to run on another thread, all in host memory. */
  borrow(): readonly NativeArray[] {
    return Array.from(this.#arrays.used(), ({ index, what, array }) => {
      const { buffer } = array as HostArray;
      if ((buffer as ArrayBuffer & { resizable?: boolean }).resizable === true) {
        throw new TypeError(
          `Expected ${what} of "${this.slots[index]!.name}" to be over a buffer of fixed size for stepAsync() ` +
            'but received a resizable one.',
        );
      }
      return this.placement.native(array);
    });
  }

  /** After a borrowed step: were the arrays left in place? */
  checkReturned(): void {
    for (const { index, what, array } of this.#arrays.used()) {
      const { name, length } = this.slots[index]!;
      if (array.length === length) continue;
      throw new Error(
        `Expected ${what} of "${name}" to stay in place until stepAsync() resolved but its buffer was detached; ` +
          'the step was done on the memory it had.',
      );
    }
  }

  /** The gradient that the last step had of a tensor. */
  gradOf({ index }: Slot): TensorArray | null {
    return this.#arrays.grads[index] as TensorArray | null;
  }
  /** The tensors that had a gradient at the last step. */
  withGrad(): readonly Slot[] {
    return this.slots.filter((slot) => this.gradOf(slot) !== null);
  }

  /** Sets every gradient to null, and lets go of the arrays. */
  forgetGrads(): void {
    for (const { parameter } of this.slots) parameter.grad = null;
    this.#arrays.forgetGrads();
  }

  /** A live view of the part of its state that is field number `k`, or undefined while there is none. */
  view(slot: Slot, k: number): StateView | undefined {
    const field = slot.fields[k]!;
    const known = slot.views[k];
    if (known && this.placement.intact(known, field.length)) return known;
    const memory = this.stepper.stateBuffer(slot.index, field.state, field.byteOffset, fieldBytes(field));
    // Made here and not in native code, so that it is an array of the caller's realm.
    return (slot.views[k] = memory && this.placement.view(field, memory));
  }

  /** A copy of what a view shows. */
  copy(view: StateView): StateArray {
    return this.placement.read(view);
  }

  /** Sets all of a view to 0. */
  clear(view: StateView): void {
    this.placement.write(view, this.placement.read(view).fill(0));
  }

  /** Prepares to replace every tensor's state by its part of a checked dict; `rows` is what the groups will have then. */
  planLoads(
    state: StateDict['state'],
    groups: readonly Group[],
    rows: readonly Float64Array[],
    lookahead: boolean,
  ): Load[] {
    // A dict built by hand may hold this optimizer's own live views, which writing would change under its feet.
    const own = new Set<unknown>(
      this.slots.flatMap(({ views }) => views.map((view) => ArrayBuffer.isView(view) && view.buffer)),
    );
    return this.slots.map((slot) => {
      const given = state[slot.name]!;
      const { states, scalars } = groups[slot.group]!.algorithm;
      const arrays = slot.fields.map(({ name }) => {
        const array = given[name] as StateArray | undefined;
        return array && own.has(array.buffer) ? array.slice() : array;
      });
      const slow = lookahead ? 1 << states.length : 0;
      const needs = this.stepper.usedStates(slot.index, rows[slot.group]!) | slow;
      return this.#planLoad(slot, given, arrays, scalars, needs);
    });
  }

  #planLoad(
    slot: Slot,
    given: TensorState,
    arrays: readonly (StateArray | undefined)[],
    scalars: readonly string[],
    needs: number,
  ): Load {
    const { fields } = slot;
    const mask = arrays.reduce((bits, array, k) => bits | (array ? 1 << fields[k]!.state : 0), 0);
    const needed = mask | (given.step > 0 ? needs : 0);
    const absent = fields.filter(({ state }, k) => !arrays[k] && needed & (1 << state));
    if (absent.length > 0) {
      const list = absent.map(({ name }) => name).join(', ');
      throw new TypeError(`Expected ${list} of "${slot.name}" in the state dict but it is missing.`);
    }
    return {
      mask,
      write: () => {
        arrays.forEach((array, k) => {
          if (array) this.placement.write(this.view(slot, k)!, array);
          else slot.views[k] = undefined;
        });
        const values = given.step > 0 ? scalars.map((name) => given[name] as number) : [];
        this.stepper.restore(slot.index, given.step, mask, values);
      },
    };
  }

  release(): void {
    this.#arrays.release();
    for (const { views } of this.slots) views.length = 0;
  }
}
