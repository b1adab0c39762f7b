/** A framework of a page, as an example of one: its tensors live in a WebAssembly memory that grows when it is full. */
import type { Layout, Parameter, Role } from 'fused-optim';

interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}
// The libraries of TypeScript that Node code is compiled with do not know it.
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { Memory: new (pages: { initial: number }) => WasmMemory };
};

const PAGE = 65_536;

/** Memory in which nothing is ever freed. */
export class Heap {
  readonly #memory = new WebAssembly.Memory({ initial: 1 });
  #used = 0;

  get pages(): number {
    return this.#memory.buffer.byteLength / PAGE;
  }

  /** The place of so many floats. All views of before are of length 0 when the memory had to grow. */
  allocate(length: number): number {
    const place = this.#used;
    this.#used += length * 4;
    const missing = this.#used - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    return place;
  }

  view(place: number, length: number): Float32Array {
    return new Float32Array(this.#memory.buffer, place, length);
  }
}

/** A weight. It is a parameter as it is: an optimizer asks for `data` and `grad` at every step. */
export class Variable implements Parameter {
  readonly #heap: Heap;
  readonly #place: number;
  readonly #length: number;
  /** Two gradients in turn: one is read by the optimizer while the next is computed into the other. */
  readonly #grads: readonly [number, number];
  #turn: 0 | 1 = 0;
  #view: Float32Array = new Float32Array(0);
  #hasGrad = false;

  constructor(
    heap: Heap,
    readonly name: string,
    readonly shape: readonly number[],
    readonly role: Role,
    /** Dense weights of this framework are [in, out]. */
    readonly layout: Layout = 'in-out',
  ) {
    this.#heap = heap;
    this.#length = shape.reduce((product, size) => product * size, 1);
    this.#place = heap.allocate(this.#length);
    this.#grads = [heap.allocate(this.#length), heap.allocate(this.#length)];
  }

  /** The same view as long as it is good, which costs an optimizer nothing; a new one after the memory has grown. */
  get data(): Float32Array {
    if (this.#view.length !== this.#length) this.#view = this.#heap.view(this.#place, this.#length);
    return this.#view;
  }

  get grad(): Float32Array | null {
    return this.#hasGrad ? this.#heap.view(this.#grads[this.#turn], this.#length) : null;
  }
  /** `optimizer.zeroGrad()` sets null. */
  set grad(value: Float32Array | null) {
    if (value !== null)
      throw new TypeError(`The gradient of ${this.name} is written by the framework alone.`);
    this.#hasGrad = false;
  }

  /** Where the next gradient goes, all zeros; `grad` is that one from now on. */
  nextGrad(): Float32Array {
    this.#turn = this.#turn === 0 ? 1 : 0;
    this.#hasGrad = true;
    return this.#heap.view(this.#grads[this.#turn], this.#length).fill(0);
  }
}
