/** Every combination of dtypes computes what float32 does, and rounds once, where it stores. */
import { Lookahead, Muon, type MuonOptions } from 'fused-optim';
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

const tensors = [
  { name: 'wide', shape: [67, 71] }, // 18 blocks of 256, and a bit
  { name: 'odd', shape: [3, 17] },
  { name: 'wte', shape: [64, 80] }, // an embedding, by its name
  { name: 'one', shape: [1] },
  { name: 'none', shape: [0] },
  { name: 'long', shape: [8192] },
] as const;
const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
const steps = 4;
const start = tensors.map(({ shape }, i) => values(sizeOf(shape), i + 1));
const grads = Array.from({ length: steps }, (_, step) =>
  tensors.map(({ shape }, i) => values(sizeOf(shape), 100 * step + i + 50, 0.1)),
);
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
  const twins = tensors.map(({ name, shape }, i) => {
    const eightBits = combination.stateDtype === '8bit' && allows8bit(name, sizeOf(shape));
    return new Twin(start[i]!, combination, eightBits, { name, shape });
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
    twins.forEach((twin, i) => twin.give((i + step) % 5 === 3 ? null : grads[step]![i]!));
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

test('every kernel set here took part', () => {
  for (const { name, reason } of isas)
    if (reason) process.stderr.write(`Not tested: the ${name} conversions (${reason}).\n`);
  expect(runnableIsas.length).toBeGreaterThan(0);
});
