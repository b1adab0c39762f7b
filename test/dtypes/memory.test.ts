/** Bytes of state, to the last one, and 8-bit states where they belong. */
import { AdamW, Lion, Lookahead, Momentum, Muon, type CommonOptions, type Parameter } from 'fused-optim';
import { combinations, formatOptions, saysDtype, text } from '../helpers/formats';
import { store } from '../helpers/lowp';
import { values } from '../helpers/random';
import { mapValues } from '../helpers/lowp';

const length = 64 * 1024;
const numbers = values(length, 1);
const more: Readonly<Record<string, number>> = { master: 4, kahan: 2, split: 2 };

test.each(combinations.map((combination) => [text(combination), combination] as const))(
  '%s',
  (_, combination) => {
    const { dtype, stateDtype, rounding } = combination;
    const w: Parameter = {
      data: store(numbers, dtype),
      grad: store(numbers, combination.grad),
      dtype: saysDtype(combination),
    };
    const optimizer = new AdamW([w], formatOptions(combination));
    expect(optimizer.stateBytes()).toBe(0);
    optimizer.step();
    const state = dtype === 'float64' ? 8 : { float32: 4, bfloat16: 2, '8bit': 1 + 4 / 256 }[stateDtype];
    expect(optimizer.stateBytes()).toBe(length * (2 * state + (more[rounding ?? ''] ?? 0)));
    optimizer.dispose();
  },
);

test('Lookahead adds a float32, or a float64 with float64', () => {
  for (const [dtype, bytes] of [
    ['bfloat16', 4 + 4 + 4],
    ['float64', 8 + 8],
  ] as const) {
    const w: Parameter = { data: store(numbers, dtype), grad: store(numbers, dtype), dtype };
    const optimizer = new Lookahead(new Momentum([w]));
    optimizer.step();
    expect(optimizer.stateBytes()).toBe(bytes * length);
  }
});

const eightBit: CommonOptions = { stateDtype: '8bit' };
const kinds = (params: readonly Parameter[]): Record<string, string> => {
  const optimizer = new AdamW(params, eightBit);
  optimizer.step();
  return Object.fromEntries(
    params.map((param) => [
      param.name!,
      Object.prototype.toString.call(optimizer.state(param).expAvg).slice(8, -1),
    ]),
  );
};
const matrix = (name: string, elements: number, more: Partial<Parameter> = {}): Parameter => ({
  name,
  data: values(elements, 1),
  grad: values(elements, 2),
  ...more,
});

test('8-bit states are for large tensors that are no embeddings, by role or by name', () => {
  expect(
    kinds([
      matrix('h.0.weight', 4096),
      matrix('small', 4095),
      matrix('wte.weight', 8192),
      matrix('h.1.weight', 8192, { role: 'embedding' }),
      matrix('embed.weight', 8192, { role: 'hidden' }),
    ]),
  ).toEqual({
    'h.0.weight': 'Uint8Array',
    small: 'Float32Array',
    'wte.weight': 'Float32Array',
    'h.1.weight': 'Float32Array',
    'embed.weight': 'Uint8Array',
  });
});

test('8-bit codes and scales say what they are documented to say', () => {
  const w = matrix('w', 5000);
  const optimizer = new Lion([w], { betas: [0.9, 0], ...eightBit });
  optimizer.step(); // the momentum is the gradient
  const { expAvg, expAvgScale } = optimizer.state(w) as Record<string, Uint8Array | Float32Array>;
  const fractions = mapValues(true);
  const grad = w.grad as Float32Array;
  expect(expAvgScale).toHaveLength(Math.ceil(5000 / 256));
  grad.forEach((g, i) => {
    const scale = expAvgScale![i >> 8]!;
    const block = grad.subarray((i >> 8) * 256, ((i >> 8) + 1) * 256);
    if (i % 256 === 0) expect(scale).toBe(block.reduce((most, x) => Math.max(most, Math.abs(x)), 0));
    // Half of the widest gap between two codes, 0.9 / 64, and what rounding adds.
    const error = Math.abs(fractions[expAvg![i]!]! * scale - g);
    if (!(error <= 0.00704 * scale)) throw new Error(`element ${i}: ${g} is off by ${error} of ${scale}`);
  });
});

test("Muon's matrices keep float32 momentum under 8bit, its AdamW part does not", () => {
  const params = [
    matrix('h.0.weight', 4096, { shape: [64, 64] }),
    matrix('head.weight', 4096, { shape: [64, 64] }),
  ];
  const optimizer = new Muon(params, eightBit);
  optimizer.step();
  expect(optimizer.state(params[0]!).momentumBuffer).toBeInstanceOf(Float32Array);
  expect(optimizer.state(params[1]!).expAvg).toBeInstanceOf(Uint8Array);
});
