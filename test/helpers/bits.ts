import type { ParameterState } from 'fused-optim';

/** The bits of an array, without a copy; two arrays are equal when these are. */
export function bitsOf(array: Float32Array): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}

const words = (array: Float32Array): Uint32Array => new Uint32Array(array.slice().buffer);

/**
 * Where two arrays differ first, for an error message; undefined when their bits are the same. Any NaN equals any NaN:
 * IEEE 754 leaves its sign and payload to the processor.
 */
export function difference(a: Float32Array, b: Float32Array): string | undefined {
  if (a.length !== b.length) return `lengths ${a.length} and ${b.length}`;
  if (bitsOf(a).equals(bitsOf(b))) return undefined;
  const other = words(b);
  const i = words(a).findIndex((word, k) => word !== other[k] && !(Number.isNaN(a[k]) && Number.isNaN(b[k])));
  if (i < 0) return undefined;
  const hex = (word: number): string => `0x${word.toString(16).padStart(8, '0')}`;
  return `element ${i} of ${a.length}: ${a[i]} (${hex(words(a)[i]!)}) and ${b[i]} (${hex(other[i]!)})`;
}

export function expectSameBits(received: Float32Array, expected: Float32Array, what: string): void {
  const where = difference(received, expected);
  if (where !== undefined) throw new Error(`Expected the same bits for ${what} but they differ at ${where}`);
}

/** Two states: the same names, step counts, scalars and bits. */
export function expectSameState(received: ParameterState, expected: ParameterState, what: string): void {
  expect(Object.keys(received)).toEqual(Object.keys(expected));
  for (const [name, value] of Object.entries(expected)) {
    const given = received[name]!;
    if (typeof value === 'number') {
      if (!Object.is(given, value))
        throw new Error(`Expected ${value} for ${name} of ${what}, got ${String(given)}`);
    } else {
      expectSameBits(given as Float32Array, value, `${name} of ${what}`);
    }
  }
}

const canary = 0xc0ffee11;
const margin = 19;

/** A view that starts `offset` floats after an aligned place, with canaries before and behind it. */
export class Guarded {
  readonly view: Float32Array;
  readonly #words: Uint32Array;

  constructor(values: Float32Array, offset = 0) {
    const begin = 16 + offset;
    this.#words = new Uint32Array(begin + values.length + margin).fill(canary);
    this.view = new Float32Array(this.#words.buffer, begin * 4, values.length);
    this.view.set(values);
  }

  /** Throws when something was written outside the view. */
  expectIntact(what: string): void {
    const begin = this.view.byteOffset / 4;
    const end = begin + this.view.length;
    for (let i = 0; i < begin; ++i) this.#check(i, what);
    for (let i = end; i < this.#words.length; ++i) this.#check(i, what);
  }

  #check(i: number, what: string): void {
    if (this.#words[i] === canary) return;
    throw new Error(`${what}: ${i - this.view.byteOffset / 4} floats from its first, memory was written`);
  }
}
