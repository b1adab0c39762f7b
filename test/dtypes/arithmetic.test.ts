/** Every combination of dtypes computes what float32 does, and rounds once, where it stores. */
import { Lookahead, Muon, SGD, type MuonOptions } from 'fused-optim';
import { combinationsOf, formatOptions, has8bit, text, type Combination } from '../helpers/formats';
import { isas, runnableIsas, widestIsa, withIsa } from '../helpers/isas';
import { values } from '../helpers/random';
import {
  registered,
  setOptions,
  testLr,
  type Options,
  type Registered,
  type Trainer,
} from '../helpers/registry';
import { Twin } from '../helpers/twin';

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
}
const small: readonly Tensor[] = [
  { name: 'wide', shape: [37, 31] },
  { name: 'odd', shape: [3, 17] },
  { name: 'one', shape: [1] },
  { name: 'none', shape: [0] },
  { name: 'long', shape: [1300] },
];
/** Large enough for states in 8 bits, with odd ends. */
const large: readonly Tensor[] = [
  { name: 'wide', shape: [67, 63] },
  { name: 'odd', shape: [3, 17] },
  { name: 'wte', shape: [64, 64] }, // an embedding, by its name
  { name: 'long', shape: [4097] },
];
const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
const steps = 4;
/** Numbers and gradients of a size, the same every time. */
const numbers = new Map<number, readonly Float32Array[]>();
function numbersOf(size: number): readonly Float32Array[] {
  const known =
    numbers.get(size) ??
    Array.from({ length: steps + 1 }, (_, step) => values(size, 100 * step + size, step && 0.1));
  numbers.set(size, known);
  return known;
}
const seed = 0xdecade;

/** Options that change with the combination, so that most of them meet most formats. */
const variants: readonly Options[] = [
  {},
  { weightDecay: 0.1 },
  { maximize: true },
  { weightDecay: 0.1, amsgrad: true, nesterov: true, centered: true, decoupledWeightDecay: true },
];
const knownOf = ({ defaults }: Registered, options: Options): Options =>
  Object.fromEntries(Object.entries(options).filter(([name]) => name in defaults));

/** LAMB and StableAdamW measure their update before its states are stored, and make it from what is. */
const storesBetween = ({ rules }: Pick<Registered, 'rules'>, { stateDtype }: Combination): boolean =>
  stateDtype !== 'float32' && rules.some((rule) => rule === 'lamb' || rule === 'stableadamw');

function compare(
  make: (params: Twin['stored'][], options: Options) => Trainer,
  combination: Combination,
  allows8bit: (name: string, length: number) => boolean,
  common: Options = {},
): void {
  const tensors = combination.stateDtype === '8bit' ? large : small;
  const twins = tensors.map(({ name, shape }) => {
    const eightBits = combination.stateDtype === '8bit' && allows8bit(name, sizeOf(shape));
    return new Twin(numbersOf(sizeOf(shape))[0]!, combination, eightBits, { name, shape });
  });
  const stored = make(
    twins.map((twin) => twin.stored),
    { ...formatOptions(combination), ...common, seed },
  );
  const plain = make(
    twins.map((twin) => twin.plain),
    common,
  );
  for (let step = 0; step < steps; ++step) {
    twins.forEach((twin, i) => {
      const { length } = twin.plain.data;
      twin.give((i + step) % 5 === 3 ? null : numbersOf(length)[step + 1]!);
    });
    for (const optimizer of [stored, plain]) {
      setOptions(optimizer, { lr: testLr / (step + 1) });
      optimizer.step();
    }
    for (const twin of twins) twin.store(plain.state(twin.plain), seed);
  }
  for (const twin of twins) twin.expectSame(stored.state(twin.stored), plain.state(twin.plain));
  stored.dispose();
  plain.dispose();
}

/** Bit for bit that of float32 between exact conversions; float64 has no twin in float32, and golden data of its own. */
const staged = (combination: Combination): boolean => combination.dtype !== 'float64';
const eightBit = (name: string, length: number): boolean => length >= 4096 && name !== 'wte';

describe.each(registered)('$name', (entry) => {
  const all = combinationsOf(entry).filter((c) => staged(c) && !storesBetween(entry, c));

  test.each(all.map((combination, i) => [text(combination), combination, i] as const))(
    '%s',
    (_, combination, i) => {
      const options = { ...(entry.name === 'AdaGrad' && { initialAccumulatorValue: 0.25 }) };
      const variant = knownOf(entry, { ...options, ...variants[i % variants.length] });
      const isa = runnableIsas[i % runnableIsas.length]!;
      const make = (params: Twin['stored'][], given: Options): Trainer =>
        withIsa(isa, () => new entry.Class(params, { ...variant, ...given }));
      compare(make, combination, (name, length) => has8bit(entry) && eightBit(name, length));
    },
  );
});

describe('what a step does besides', () => {
  const entry = registered.find(({ name }) => name === 'AdamW')!;
  const all = combinationsOf(entry).filter(staged);
  const commons: readonly Options[] = [
    { diagnostics: true },
    { maxGradNorm: 0.5 },
    { gradScale: 64, nonFinite: 'skip' },
    { threads: 3, maxGradNorm: 0.5, diagnostics: true },
  ];
  test.each(all.map((combination, i) => [text(combination), combination, i] as const))(
    '%s',
    (_, combination, i) => {
      const common = commons[i % commons.length]!;
      const make = (params: Twin['stored'][], given: Options): Trainer => new entry.Class(params, given);
      compare(make, combination, eightBit, common);
    },
  );

  test.each(all.map((combination) => [text(combination), combination] as const))(
    'Lookahead: %s',
    (_, combination) => {
      const make = (params: Twin['stored'][], given: Options): Trainer =>
        new Lookahead(new entry.Class(params, given), { k: 2 });
      compare(make, combination, eightBit);
    },
  );
});

describe('Muon', () => {
  const entry = { rules: ['muon', 'adamw'] };
  const all = combinationsOf(entry).filter(staged);
  test.each(all.map((combination, i) => [text(combination), combination, i] as const))(
    '%s',
    (_, combination, i) => {
      const options: MuonOptions[] = [
        {},
        { weightDecay: 0.1, adjustLr: 'matchRmsAdamw' },
        { nesterov: false, nsDtype: 'bfloat16' },
      ];
      const make = (params: Twin['stored'][], given: Options): Trainer =>
        withIsa(widestIsa, () => new Muon(params, { ...options[i % 3], ...given }));
      // Its matrices keep their momentum in float32.
      compare(make, combination, (name) => name === 'long');
    },
  );
});

describe('float64', () => {
  test.each(runnableIsas)('unscales, clips and steps in double, with %s', (isa) => {
    const [start, slope] = [0, 1].map((seed) =>
      Float64Array.from(values(1033, seed), (x) => x + x ** 2 / 3e8),
    );
    const param = { data: start!.slice(), grad: slope! };
    const optimizer = withIsa(
      isa,
      () => new SGD([param], { lr: 0.3, gradScale: 3, maxGradNorm: 0.5, diagnostics: true }),
    );
    const { gradNorm } = optimizer.step();
    const unscaled = slope!.map((g) => g * (1 / 3));
    const norm = Math.sqrt(unscaled.reduce((sum, g) => sum + g * g, 0));
    expect(gradNorm! / norm).toBeCloseTo(1, 14);
    const clip = 0.5 / (norm + 1e-6);
    start!.forEach((p, i) => {
      const expected = p - 0.3 * clip * unscaled[i]!;
      const most = 3e-15 * (Math.abs(p) + Math.abs(p - expected));
      if (!(Math.abs(param.data[i]! - expected) <= most))
        throw new Error(`element ${i} is ${param.data[i]}, expected ${expected}`);
    });
  });
});

test('every kernel set here took part', () => {
  for (const { name, reason } of isas)
    if (reason) process.stderr.write(`Not tested: the ${name} conversions (${reason}).\n`);
  expect(runnableIsas.length).toBeGreaterThan(0);
});
