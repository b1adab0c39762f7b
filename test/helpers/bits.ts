import type { HostArray, ParameterState, StateArray } from 'fused-optim';

type AnyArray = HostArray | StateArray;

/** The bits of an array, without a copy; two arrays are equal when these are. */
export function bitsOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** An element's bits, as text. */
const hex = (array: AnyArray, i: number): string => {
  const { BYTES_PER_ELEMENT: bytes } = array;
  return `0x${Buffer.from(bitsOf(array).subarray(i * bytes, (i + 1) * bytes))
    .reverse()
    .toString('hex')}`;
};

/**
 * Where two arrays differ first, for an error message; undefined when their bits are the same. Any NaN equals any NaN:
 * IEEE 754 leaves its sign and payload to the processor. Uint16Arrays are compared as integers.
 */
export function difference(a: AnyArray, b: AnyArray): string | undefined {
  if (a.length !== b.length) return `lengths ${a.length} and ${b.length}`;
  if (bitsOf(a).equals(bitsOf(b))) return undefined;
  // Object.is knows -0, and takes one NaN for another.
  for (let i = 0; i < a.length; ++i) {
    const [one, other] = [a[i]!, b[i]!];
    if (!Object.is(one, other))
      return `element ${i} of ${a.length}: ${one} (${hex(a, i)}) and ${other} (${hex(b, i)})`;
  }
  return undefined;
}

export function expectSameBits(received: AnyArray, expected: AnyArray, what: string): void {
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
        throw new Error(
          `Expected ${value} for ${name} of ${what}, got ${typeof given === 'number' ? given : 'an array'}`,
        );
    } else {
      expectSameBits(given as StateArray, value as StateArray, `${name} of ${what}`);
    }
  }
}

const canary = 0xc1;
const margin = 76;

/** A view that starts `offset` elements after an aligned place, with canaries before and behind it. */
export class Guarded<T extends HostArray> {
  readonly view: T;
  readonly #bytes: Uint8Array;

  constructor(values: T, offset = 0) {
    const { length, BYTES_PER_ELEMENT: bytes } = values;
    const begin = 64 + offset * bytes;
    this.#bytes = new Uint8Array(begin + length * bytes + margin).fill(canary);
    const Kind = values.constructor as new (buffer: ArrayBufferLike, offset: number, length: number) => T;
    this.view = new Kind(this.#bytes.buffer, begin, length);
    this.view.set(values);
  }

  /** Throws when something was written outside the view. */
  expectIntact(what: string): void {
    const { byteOffset, byteLength } = this.view;
    const end = byteOffset + byteLength;
    for (let i = 0; i < byteOffset; ++i) this.#check(i, what);
    for (let i = end; i < this.#bytes.length; ++i) this.#check(i, what);
  }

  #check(i: number, what: string): void {
    if (this.#bytes[i] === canary) return;
    throw new Error(`${what}: ${i - this.view.byteOffset} bytes from its first, memory was written`);
  }
}
