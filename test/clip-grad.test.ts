import { clipGradAdaptive, clipGradNorm, clipGradValue, SGD, type Parameter } from 'fused-optim';
import { expectSameBits } from './helpers/bits';
import { describeIsas, withIsa } from './helpers/isas';
import { gradsOf, unscaledAndClipped } from './helpers/plain';
import { values } from './helpers/random';

type Tensor = Parameter & { data: Float32Array; grad: Float32Array | null };

const tensors = (step = 0): Tensor[] =>
  gradsOf(step).map((grad, i) => ({
    name: `t${i}`,
    data: values(grad?.length ?? 9, i),
    grad: grad?.slice() ?? null,
  }));
const tensor = (...grad: number[]): Tensor => ({
  name: 'w',
  data: new Float32Array(grad.length).fill(1),
  grad: Float32Array.from(grad),
});

describe('clipGradNorm', () => {
  describeIsas((isa) => {
    test.each([1, 3])('gives the bits of maxGradNorm inside a step, %d threads', (threads) => {
      const clipped = tensors();
      const inside = tensors();
      const norm = withIsa(isa, () => clipGradNorm(clipped, 0.7, { threads }));
      withIsa(isa, () => new SGD(clipped, { threads }).step());
      const { gradNorm } = withIsa(isa, () => new SGD(inside, { threads, maxGradNorm: 0.7 }).step());
      expect(norm).toBe(gradNorm);
      const plain = unscaledAndClipped(gradsOf(0), { maxNorm: 0.7 });
      clipped.forEach(({ name, data, grad }, i) => {
        expectSameBits(data, inside[i]!.data, name!);
        if (grad) expectSameBits(grad, plain.grads[i]!, `grad of ${name}`);
      });
    });
  });

  test.each([
    [1, 11],
    [2, 7],
    [3, Math.cbrt(27 + 8 + 216)],
    [Infinity, 6],
  ])('knows the %d-norm', (normType, norm) => {
    const params = [tensor(-3, 2), tensor(0, -6), { ...tensor(9), grad: null }];
    expect(clipGradNorm(params, 1, { normType })).toBeCloseTo(norm, 12);
    const factor = Math.fround(1 / (norm + 1e-6));
    expectSameBits(params[0]!.grad!, Float32Array.of(-3 * factor, 2 * factor), 'the first');
    expectSameBits(params[1]!.grad!, Float32Array.of(0, -6 * factor), 'the second');
  });

  test('leaves small gradients and an unlimited norm alone', () => {
    const w = tensor(3, 4);
    expect(clipGradNorm([w], Infinity)).toBe(5);
    expect(clipGradNorm([w], 5.1)).toBe(5);
    expect(w.grad).toEqual(Float32Array.of(3, 4));
    expect(clipGradNorm([w], 0)).toBe(5);
    expect(w.grad).toEqual(Float32Array.of(0, 0));
  });

  test('does with NaN and infinity what torch does, or throws with gradients as they were', () => {
    for (const normType of [2, 1, Infinity]) {
      for (const bad of [NaN, Infinity]) {
        const params = [tensor(1, bad), tensor(2)];
        expect(() => clipGradNorm(params, 1, { normType, errorIfNonfinite: true })).toThrow(
          new RangeError(
            `Expected the norm of gradients in clipGradNorm() to be finite but received ${bad}.`,
          ),
        );
        expect(params.map(({ grad }) => grad)).toEqual([Float32Array.of(1, bad), Float32Array.of(2)]);
        expect(clipGradNorm(params, 1, { normType })).toBe(bad);
        const [one, two] = Number.isNaN(bad) ? [NaN, NaN] : [0, 0];
        expect(params.map(({ grad }) => grad)).toEqual([Float32Array.of(one, NaN), Float32Array.of(two)]);
      }
    }
  });

  test('scales a shared gradient once', () => {
    const a = tensor(3, 4);
    const b = { ...a, name: 'b', data: new Float32Array(2) };
    const c = { ...a, name: 'c', grad: new Float32Array(a.grad!.buffer, 0, 2) };
    expect(clipGradNorm([a, b, c], 1)).toBeCloseTo(Math.sqrt(75), 12);
    const factor = Math.fround(1 / (Math.sqrt(75) + 1e-6));
    expectSameBits(a.grad!, Float32Array.of(3 * factor, 4 * factor), 'the shared gradient');
  });
});

test('clipGradValue limits elements', () => {
  const w = tensor(-3, -0.5, 0, 0.5, 3, NaN, Infinity, -Infinity, 0.7);
  clipGradValue([w, { ...tensor(1), grad: null }], 0.7);
  expect(w.grad).toEqual(Float32Array.of(-0.7, -0.5, 0, 0.5, 0.7, NaN, 0.7, -0.7, 0.7));
  clipGradValue([w], 0);
  expect(w.grad!.filter((value) => value !== 0)).toEqual(Float32Array.of(NaN));
});

describe('clipGradAdaptive', () => {
  /** The formula, unit by unit, in double; `indices` are the elements of each. */
  function expected({ data, grad }: Tensor, units: readonly number[][], clipFactor: number, eps: number) {
    const result = Float64Array.from(grad!);
    const norm = (array: Float32Array, unit: number[]) =>
      Math.sqrt(unit.reduce((s, i) => s + array[i]! ** 2, 0));
    let clipped = 0;
    for (const unit of units) {
      const limit = clipFactor * Math.max(norm(data, unit), eps);
      const size = norm(grad!, unit);
      if (size < limit) continue;
      ++clipped;
      for (const i of unit) result[i]! *= limit / Math.max(size, 1e-6);
    }
    return { result, clipped };
  }
  const range = (length: number): number[] => Array.from({ length }, (_, i) => i);
  const cases: [string, number[], 'out-in' | 'in-out' | undefined, (i: number) => number, number][] = [
    ['rows of a matrix', [5, 7], undefined, (i) => Math.floor(i / 7), 5],
    ['columns of a matrix', [7, 5], 'in-out', (i) => i % 5, 5],
    ['filters', [4, 3, 2, 2], 'out-in', (i) => Math.floor(i / 12), 4],
    ['filters of the other layout', [2, 2, 3, 4], 'in-out', (i) => i % 4, 4],
    ['a vector as a whole', [11], 'in-out', () => 0, 1],
    ['a number', [], undefined, () => 0, 1],
  ];
  test.each(cases)('clips %s', (_, shape, layout, unitOf, count) => {
    const length = shape.reduce((product, size) => product * size, 1);
    const data = values(length, 1).map((p, i) => (unitOf(i) % 2 ? 20 * p : 1e-4 * p));
    const w: Tensor = { name: 'w', shape, layout, data, grad: values(length, 2) };
    const units = range(count).map((unit) => range(length).filter((i) => unitOf(i) === unit));
    const { result, clipped } = expected(w, units, 0.5, 1e-3);
    expect(clipped).toBeGreaterThan(0);
    if (count > 1) expect(clipped).toBeLessThan(count);
    const before = data.slice();
    clipGradAdaptive([w, { ...tensor(1), name: 'none', grad: null }], { clipFactor: 0.5 });
    w.grad!.forEach((g, i) =>
      expect(Math.abs(g - result[i]!)).toBeLessThanOrEqual(2e-7 * Math.abs(result[i]!)),
    );
    expectSameBits(w.data, before, 'the weights');
  });

  test('has the defaults of its paper', () => {
    const w: Tensor = { data: Float32Array.of(0, 0), grad: Float32Array.of(3, 4) };
    clipGradAdaptive([w]);
    expect(w.grad![0]).toBeCloseTo(0.6 * 1e-5, 12);
  });
});

describe('what is refused is refused before anything is written', () => {
  const clips: [string, (params: Iterable<Parameter>, options?: object) => unknown][] = [
    ['clipGradNorm()', (params, options) => clipGradNorm(params, 0.1, options)],
    ['clipGradValue()', (params, options) => clipGradValue(params, 0.1, options)],
    ['clipGradAdaptive()', (params, options) => clipGradAdaptive(params, options)],
  ];
  test.each(clips)('%s', (where, clip) => {
    const refused = (last: unknown, message: string): void => {
      const first = { ...tensor(3, 4), name: 'first' };
      expect(() => clip([first, last as Parameter])).toThrow(message);
      expect(first.grad).toEqual(Float32Array.of(3, 4));
    };
    refused({ ...tensor(1, 2), grad: [1, 2] }, 'Expected grad of "w" to be a Float32Array');
    refused({ ...tensor(1, 2), grad: new Float64Array(2) }, 'Expected grad of "w" to be a Float32Array');
    refused(
      { ...tensor(1, 2), grad: new Float32Array(0) },
      'Expected grad of "w" to have 2 elements but received 0 (was its ArrayBuffer detached or resized?).',
    );
    refused(null, 'Expected parameter 1 to be an object with data and grad but received null.');
    const grad = new Float32Array(4).fill(1);
    const halves = [0, 4].map((offset) => ({
      name: `at.${offset}`,
      data: new Float32Array(2),
      grad: new Float32Array(grad.buffer, offset, 2),
    }));
    expect(() => clip(halves)).toThrow(
      'Expected grad of "at.0" and "at.4" to be apart or the same memory but they overlap in part.',
    );
    expect(grad).toEqual(new Float32Array(4).fill(1));
    expect(() => clip([], {})).toThrow(`Expected params of ${where} to hold at least one parameter`);
    expect(() => clip([tensor(1)], { norm: 2 })).toThrow(`Unknown option "norm" for ${where}`);
    expect(() => clip([tensor(1)], { threads: 0 })).toThrow('Expected threads to be an integer in [1, 1024]');
  });

  test('options', () => {
    const w = tensor(3, 4);
    expect(() => clipGradNorm([w], -1)).toThrow(
      new RangeError('Expected maxNorm of clipGradNorm() to be a number >= 0 but received -1.'),
    );
    expect(() => clipGradNorm([w], NaN)).toThrow(RangeError);
    expect(() => clipGradNorm([w], 1, { normType: 0 })).toThrow(
      new RangeError('Expected normType of clipGradNorm() to be a number > 0 but received 0.'),
    );
    expect(() => clipGradValue([w], Infinity)).toThrow(
      new RangeError(
        'Expected clipValue of clipGradValue() to be a finite number >= 0 but received Infinity.',
      ),
    );
    expect(() => clipGradAdaptive([w], { clipFactor: -1 })).toThrow(
      new RangeError('Expected clipFactor of clipGradAdaptive() to be a finite number >= 0 but received -1.'),
    );
    expect(w.grad).toEqual(Float32Array.of(3, 4));
  });
});
