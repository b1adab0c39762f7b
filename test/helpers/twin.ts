/**
 * What a step of a stored format must give: that of float32 on what is stored, and the result stored again. A second
 * optimizer, of float32, does the steps; storing is done here, one number at a time.
 */
import { expectSameBits } from './bits';
import { saysDtype, type Combination } from './formats';
import * as lowp from './lowp';
import type { Parameter, ParameterState, StateArray } from 'fused-optim';

/** States that are never negative, whose 8-bit codes have no sign. */
const unsigned = new Set(['expAvgSq', 'maxExpAvgSq']);

export const isSigned = (state: string): boolean => !unsigned.has(state);

/** A parameter of the format, and its twin in float32. */
export class Twin {
  readonly stored: Parameter;
  readonly plain: Parameter & { data: Float32Array };
  #before: Float32Array;
  readonly #compensation: Uint16Array;
  readonly #codes = new Map<string, { readonly codes: Uint8Array; readonly scales: Float32Array }>();

  constructor(
    values: Float32Array,
    private readonly combination: Combination,
    /** Whether this tensor has 8-bit states. */
    private readonly eightBits: boolean,
    more: Pick<Parameter, 'shape' | 'role' | 'layout'> & { readonly name: string },
  ) {
    const { dtype } = combination;
    const data = lowp.store(values, dtype);
    this.stored = { ...more, data, grad: null, dtype: saysDtype(combination) };
    this.plain = { ...more, data: lowp.load(data, dtype), grad: null };
    this.#before = this.plain.data.slice();
    this.#compensation = new Uint16Array(values.length);
  }

  give(grad: Float32Array | null): void {
    const { grad: dtype } = this.combination;
    this.stored.grad = grad && lowp.store(grad, dtype);
    this.plain.grad = this.stored.grad && lowp.load(this.stored.grad, dtype);
  }

  /** After both have stepped: stores what float32 made, and lets it go on from what can be read of that. */
  store(state: ParameterState, seed: number): void {
    const { plain, combination } = this;
    // What is not written keeps its codes, which storing twice would change: the signed map has 1, and no -1.
    if (plain.grad) this.#storeStates(state);
    const { dtype, rounding } = combination;
    const before = this.#before;
    if (plain.grad && (rounding === 'stochastic' || rounding === 'kahan' || rounding === 'nearest')) {
      const key = lowp.nameKey(plain.name!);
      const bits = Uint16Array.from(plain.data, (next, i) => {
        if (rounding === 'nearest') return lowp.store(Float32Array.of(next), dtype)[0]!;
        if (rounding === 'stochastic')
          return lowp.toBf16ByChance(next, lowp.randomBits(seed, key, state.step, i));
        const [param, rest] = lowp.addKahan(before[i]!, next, this.#compensation[i]!);
        this.#compensation[i] = rest;
        return param;
      });
      plain.data.set(lowp.load(bits, dtype));
    }
    this.#before = plain.data.slice();
  }

  #storeStates(state: ParameterState): void {
    for (const [name, array] of Object.entries(state)) {
      if (typeof array === 'number' || name === 'slow') continue;
      const values = array as Float32Array;
      if (this.combination.stateDtype === 'bfloat16')
        values.set(lowp.load(lowp.store(values, 'bfloat16'), 'bfloat16'));
      if (!this.eightBits) continue;
      const coded = lowp.encode8(values, isSigned(name));
      this.#codes.set(name, coded);
      values.set(lowp.decode8(coded.codes, coded.scales, isSigned(name)));
    }
  }

  /** Bit for bit, the parameter and all its states. */
  expectSame(received: ParameterState, twin: ParameterState): void {
    const { plain, stored, combination } = this;
    const { dtype, stateDtype, rounding } = combination;
    const { name } = plain;
    const expected: Record<string, StateArray | number> = {};
    for (const [key, value] of Object.entries(twin)) {
      const coded = this.#codes.get(key);
      if (coded) {
        expected[key] = coded.codes;
        expected[`${key}Scale`] = coded.scales;
      } else if (typeof value !== 'number' && stateDtype === 'bfloat16' && key !== 'slow') {
        expected[key] = lowp.store(value as Float32Array, 'bfloat16');
      } else expected[key] = value as StateArray | number;
    }
    let data = lowp.store(plain.data, dtype);
    if (rounding === 'master') expected.master = plain.data;
    if (rounding === 'kahan') expected.compensation = this.#compensation;
    if (rounding === 'split') {
      data = Uint16Array.from(plain.data, (value) => lowp.split(value)[0]);
      expected.remainder = Uint16Array.from(plain.data, (value) => lowp.split(value)[1]);
    }
    expectSameBits(stored.data as StateArray, data, `data of ${name}`);
    if (received.step === 0) return;
    expect(Object.keys(received)).toEqual(Object.keys(expected));
    for (const [key, value] of Object.entries(expected)) {
      if (typeof value === 'number') expect([key, received[key]]).toEqual([key, value]);
      else expectSameBits(received[key] as StateArray, value, `${key} of ${name}`);
    }
  }
}
