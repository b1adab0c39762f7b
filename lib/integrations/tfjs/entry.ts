import type { Parameter, Role } from '../../parameter';
import type { Tf, TfTensor, TfVariable } from './framework';
import { assign, copyOf, isOwn, type Memory } from './memory';

/** A variable as the optimizer knows it: a parameter whose arrays are set anew for every step. */
export class Entry {
  readonly parameter: Parameter;
  /** The numbers of a variable whose memory nobody may enter, and the memory that they were last read from or put in. */
  #copy: { readonly array: Float32Array; dataId: object } | undefined;
  #rests = false;

  constructor(
    readonly name: string,
    public variable: TfVariable,
    role: Role | undefined,
  ) {
    const shape = Object.freeze([...variable.shape]);
    this.parameter = { name, shape, layout: 'in-out', role, data: new Float32Array(0), grad: null };
  }

  /** Makes sure that a step in place will change this variable and no other tensor. May make other memory move. */
  separate(tf: Tf, memory: Memory): void {
    if (!isOwn(memory, this.variable)) assign(tf, this.variable, copyOf(this.variable));
  }

  /** Sets the arrays of the coming step. */
  bind(memory: Memory | undefined, grad: TfTensor): void {
    const { parameter, variable } = this;
    this.#rests = false;
    const data = memory?.view(variable);
    if (data) this.#copy = undefined;
    else if (this.#copy?.dataId !== variable.dataId)
      this.#copy = { array: copyOf(variable), dataId: variable.dataId };
    parameter.data = data ?? this.#copy!.array;
    parameter.grad = memory?.view(grad) ?? copyOf(grad);
  }

  /**
   * For a step without a gradient: the array is neither read nor written, but has to be there and apart from all others.
   * The variable's own may be somebody else's by now.
   */
  rest(): void {
    const { parameter, variable } = this;
    parameter.grad = null;
    if (this.#rests) return;
    this.#rests = true;
    parameter.data = this.#copy?.array ?? new Float32Array(variable.size);
  }

  /** After a step that was applied: lets tfjs have the new numbers. */
  write(tf: Tf, memory: Memory | undefined): void {
    if (!this.#copy) return memory!.written(this.variable);
    assign(tf, this.variable, this.#copy.array.slice());
    this.#copy.dataId = this.variable.dataId;
  }
}
