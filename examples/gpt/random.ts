/**
 * Seeded random numbers (SplitMix-style hashing into Mulberry32): the same seed gives the same numbers everywhere.
 * Two integers make the seed, so that every step of a run can have a generator of its own.
 */
export class Random {
  #state: number;

  constructor(seed: number, stream = 0) {
    this.#state = scramble(scramble(seed | 0) ^ Math.imul(stream + 1, 0x9e3779b1));
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let z = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** Normal with mean 0 and deviation 1 (Box and Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }
}

function scramble(value: number): number {
  let z = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return z ^ (z >>> 16);
}
