import type { Parameter } from './parameter';
import type { TensorArray } from './placement';

/**
 * The arrays that parameters held when they were last read, and whether native code has the addresses of these. They
 * are lists beside each other, by index of the tensor, so that a step for which nothing has changed compares two
 * references a tensor and touches none of its objects but the parameter itself: about 2 ns, where fetching an address
 * anew costs about 90.
 */
export class BoundArrays {
  readonly #parameters: Parameter[] = [];
  readonly #lengths: number[] = [];
  readonly #data: unknown[] = [];
  readonly #grads: unknown[] = [];
  readonly #isBound: boolean[] = [];
  #areBound = true;

  add(parameter: Parameter, length: number): void {
    this.#parameters.push(parameter);
    this.#lengths.push(length);
    this.#data.push(undefined);
    this.#grads.push(null);
    this.#isBound.push(false);
    this.#areBound = false;
  }

  /** Whether native code has all addresses. */
  get areBound(): boolean {
    return this.#areBound;
  }
  get lengths(): readonly number[] {
    return this.#lengths;
  }
  /** Of a tensor that is bound these are arrays; of another, whatever its parameter held. */
  get data(): readonly unknown[] {
    return this.#data;
  }
  get grads(): readonly unknown[] {
    return this.#grads;
  }
  get isBound(): readonly boolean[] {
    return this.#isBound;
  }

  /** Reads every parameter, once. This runs the caller's getters, which may call anything. */
  read(): void {
    const parameters = this.#parameters;
    const data = this.#data;
    const grads = this.#grads;
    for (let i = 0; i < parameters.length; ++i) {
      const parameter = parameters[i]!;
      const nextData = parameter.data;
      const nextGrad = parameter.grad ?? null;
      if (nextData === data[i] && nextGrad === grads[i]) continue;
      data[i] = nextData;
      grads[i] = nextGrad;
      this.unbind(i);
    }
  }

  /** The tensors that native code has to be told of. */
  unbound(): number[] {
    const indices: number[] = [];
    for (let i = 0; i < this.#isBound.length; ++i) if (!this.#isBound[i]) indices.push(i);
    return indices;
  }

  unbind(index: number): void {
    this.#isBound[index] = false;
    this.#areBound = false;
  }
  unbindAll(): void {
    this.#isBound.fill(false);
    this.#areBound = false;
  }
  /** Native code has been told of these. */
  bound(indices: readonly number[]): void {
    for (const index of indices) this.#isBound[index] = true;
    this.#areBound = !this.#isBound.includes(false);
  }

  /** Lets go of the gradients. Native code still has their addresses: they are bound again before they are used. */
  forgetGrads(): void {
    this.#grads.fill(null);
    this.unbindAll();
  }
  /** Lets go of everything. */
  release(): void {
    this.#data.fill(undefined);
    this.forgetGrads();
  }

  /** Every array that the step reads or writes, once they are bound: those of the tensors with a gradient. */
  *used(): Generator<{
    readonly index: number;
    readonly what: 'data' | 'grad';
    readonly array: TensorArray;
  }> {
    for (let index = 0; index < this.#data.length; ++index) {
      const data = this.#data[index] as TensorArray;
      const grad = this.#grads[index] as TensorArray | null;
      if (grad === null) continue;
      yield { index, what: 'data', array: data };
      yield { index, what: 'grad', array: grad };
    }
  }
}
