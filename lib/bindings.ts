import { slowName } from './algorithm';
import { isHostArray, type DType, type HostArray, type StateArray } from './dtypes';
import {
  dtypeCode,
  fieldBytes,
  keyOf,
  nativeFormat,
  stateFields,
  type Format,
  type StateField,
} from './formats';
import type { Group } from './group';
import type { Conflict, NativeArray, Stepper } from './native';
import { dimsOf, type Identity, type Parameter } from './parameter';
import type { Placement, StateView, TensorArray } from './placement';
import type { StateDict, TensorState } from './state-dict';

/** A parameter inside an optimizer, with the arrays native code has the addresses of. */
export interface Slot extends Identity {
  readonly parameter: Parameter;
  readonly index: number;
  readonly group: number;
  readonly format: Format;
  /** The arrays its state may have. */
  readonly fields: readonly StateField[];
  data: TensorArray | undefined;
  grad: TensorArray | null;
  /** Of the gradient it has or last had. */
  gradDType: DType;
  /** What the parameter holds now; checked before it becomes `data` and `grad`. */
  nextData: unknown;
  nextGrad: unknown;
  /** By field. */
  readonly views: (StateView | undefined)[];
}

/** A checkpoint's part for one tensor, ready to be written. */
export interface Load {
  /** Bit mask of the states it brings. */
  readonly mask: number;
  /** Cannot fail once the states in the mask exist. */
  write(): void;
}

/**
 * Keeps the native tensor list true to the parameters. Native code keeps addresses between steps, so every step
 * compares each array's identity and length with what was bound: a detached buffer and a grown WebAssembly memory
 * show as length 0. That costs about 2 ns an array; fetching an address anew costs about 90.
 */
export class Bindings {
  readonly slots: Slot[] = [];
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
  add(
    added: readonly (Identity &
      Pick<Slot, 'parameter' | 'group' | 'format'> & { readonly states: readonly string[] })[],
    begin: () => void,
  ): void {
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
    for (const { states, ...tensor } of added) {
      const { parameter, name, shape, length, group, format } = tensor;
      const dims = dimsOf(shape, parameter.layout);
      const index = this.stepper.add(length, dims, group, nativeFormat(format), keyOf(name));
      const slot: Slot = {
        ...tensor,
        index,
        fields: stateFields(states, format, length),
        data: undefined,
        grad: null,
        gradDType: tensor.dtype,
        nextData: undefined,
        nextGrad: null,
        views: [],
      };
      this.slots.push(slot);
      this.#byParameter.set(parameter, slot);
      this.#names.add(name);
    }
  }

  /** Reads every parameter and binds what changed. Throws before anything is written. */
  refresh(): void {
    const { slots, placement } = this;
    // Reading may run the caller's getters, and those may detach arrays read earlier; so all are read first.
    for (const slot of slots) {
      slot.nextData = slot.parameter.data;
      slot.nextGrad = slot.parameter.grad ?? null;
    }
    const changes: Slot[] = [];
    for (const slot of slots) {
      const { length, nextData, nextGrad, data, grad } = slot;
      if (
        data !== undefined &&
        nextData === data &&
        placement.intact(data, length) &&
        nextGrad === grad &&
        (nextGrad === null || placement.intact(nextGrad as TensorArray, length))
      ) {
        continue;
      }
      placement.checkData(nextData, slot);
      if (nextGrad !== null) slot.gradDType = placement.gradDType(nextGrad, slot);
      changes.push(slot);
    }
    if (changes.length > 0) this.#bind(changes);
  }

  #bind(changed: readonly Slot[]): void {
    const list: (number | NativeArray | null)[] = [];
    const native = (array: unknown) => this.placement.native(array as TensorArray);
    for (const slot of changed) {
      slot.data = undefined; // should binding fail, the next step tries again
      const { index, nextData, nextGrad } = slot;
      list.push(
        index,
        native(nextData),
        nextGrad === null ? null : native(nextGrad),
        dtypeCode(slot.gradDType),
      );
    }
    const conflict = this.stepper.bind(list);
    if (conflict) throw this.#overlap(conflict);
    for (const slot of changed) {
      slot.data = slot.nextData as TensorArray;
      slot.grad = slot.nextGrad as TensorArray | null;
    }
  }

  #overlap([first, second, gradOfFirst]: Conflict): RangeError {
    for (const slot of this.slots) slot.data = undefined;
    const a = this.slots[first]!.name;
    const b = this.slots[second]!.name;
    return gradOfFirst
      ? new RangeError(`Expected grad of "${a}" to be apart from data of "${b}" but they share memory.`)
      : sharedMemory(a, b);
  }

  /** The arrays of a step that is about to run on another thread, all in host memory. */
  borrow(): readonly NativeArray[] {
    const arrays: NativeArray[] = [];
    for (const slot of this.slots) {
      if (!slot.data || !slot.grad) continue;
      for (const what of ['data', 'grad'] as const) {
        const array = slot[what] as HostArray;
        if ((array.buffer as ArrayBuffer & { resizable?: boolean }).resizable === true) {
          throw new TypeError(
            `Expected ${what} of "${slot.name}" to be over a buffer of fixed size for stepAsync() ` +
              'but received a resizable one.',
          );
        }
        arrays.push(this.placement.native(array));
      }
    }
    return arrays;
  }

  /** After a borrowed step: were the arrays left in place? */
  checkReturned(): void {
    for (const slot of this.slots) {
      if (!slot.data || !slot.grad) continue;
      for (const what of ['data', 'grad'] as const) {
        if (slot[what]!.length === slot.length) continue;
        throw new Error(
          `Expected ${what} of "${slot.name}" to stay in place until stepAsync() resolved but its buffer was detached; ` +
            'the step was done on the memory it had.',
        );
      }
    }
  }

  /** Sets every gradient to null, and lets go of the arrays. */
  forgetGrads(): void {
    for (const slot of this.slots) {
      slot.parameter.grad = null;
      slot.data = undefined; // native code still has the old addresses: bind again before they are used
      slot.grad = slot.nextGrad = null;
    }
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
    for (const slot of this.slots) {
      slot.data = undefined;
      slot.grad = null;
      slot.nextData = slot.nextGrad = undefined;
      slot.views.length = 0;
    }
  }
}

/** The bit of what the rounding of a tensor keeps, as a mask; 0 where it keeps nothing. */
export function extraState({ fields, format: { rounding } }: Slot): number {
  const { name, state } = fields.at(-1)!;
  return rounding !== undefined && name !== slowName ? 1 << state : 0;
}

const sharedMemory = (a: string, b: string): RangeError =>
  new RangeError(
    `Expected data of "${a}" and "${b}" to be apart but they share memory: both would be updated twice.`,
  );

/** Views over one buffer may lie beside each other, not on each other. Other sharing is found by address at a step. */
export function refuseOverlap(
  tensors: readonly { readonly name: string; readonly parameter: Parameter }[],
): void {
  const byBuffer = new Map<unknown, { name: string; begin: number; end: number }[]>();
  for (const { name, parameter } of tensors) {
    const { data } = parameter;
    if (!isHostArray(data) || data.length === 0) continue; // a step will speak of it
    const { buffer, byteOffset, byteLength } = data as ArrayBufferView;
    const ranges = byBuffer.get(buffer) ?? [];
    ranges.push({ name, begin: byteOffset, end: byteOffset + byteLength });
    byBuffer.set(buffer, ranges);
  }
  for (const ranges of byBuffer.values()) {
    ranges.sort((a, b) => a.begin - b.begin);
    ranges.forEach((range, i) => {
      const before = ranges[i - 1];
      if (before && range.begin < before.end) throw sharedMemory(before.name, range.name);
    });
  }
}
