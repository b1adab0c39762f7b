/**
 * Runs every kernel of the CUDA backend on small tensors, and compares three runs of the same steps: on the CPU, on
 * the GPU, and on the GPU in a CUDA graph. Rules of one pass must give the same bits in all three; the others the same
 * bits with and without a graph, and nearly the CPU's numbers.
 *
 *   every-kernel [--quick] [--no-products]
 *
 * --quick: float32 and one 16-bit format. --no-products: without Muon, which needs cuBLAS. Prints what differs; the
 * last line is "N passed, N failed". scripts/test-gpu.js runs it, also under compute-sanitizer.
 */
import * as library from '../../lib';
import { difference, differences, type Snapshot } from './snapshots';
import { tensorsFor, type Kind, type Place } from './tensors';

type Options = Readonly<Record<string, unknown>>;
type Trainer = Pick<library.Optimizer, 'step' | 'state' | 'dispose'>;
type Make = (params: library.Parameter[], options: Options) => Trainer;

interface Entry {
  readonly name: string;
  readonly make: Make;
  readonly options: readonly Options[];
  /** Every element depends on its own history alone, and is the same everywhere. */
  readonly onePass: boolean;
  readonly eightBit: boolean;
}

type Class = new (params: library.Parameter[], options: Options) => Trainer;

const classes = new Map(
  Object.entries(library as Readonly<Record<string, unknown>>).flatMap(([name, value]) =>
    typeof value === 'function' && value.prototype instanceof library.Optimizer
      ? [[name, value as Class]]
      : [],
  ),
);

/** Options that change a rule's kernels. */
const variants: Readonly<Record<string, readonly Options[]>> = {
  Adam: [{}, { weightDecay: 0.1 }, { amsgrad: true }],
  AdamW: [{}, { amsgrad: true }],
  RMSprop: [{}, { momentum: 0.9 }, { centered: true }, { momentum: 0.9, centered: true }],
  Ranger: [{ k: 2 }, { k: 2, gradientCentralization: 'none' }],
  LARS: [{}, { nesterov: true }],
};
const whole = ['LARS', 'LAMB', 'StableAdamW', 'Ranger', 'Muon'];
const eightBit = ['Adam', 'AdamW', 'AMSGrad', 'NAdam', 'RAdam', 'Lion'];

const entries: readonly Entry[] = [
  ...[...classes].map(([name, Made]): Entry => ({
    name,
    make: (params, options) => new Made(params, options),
    options: variants[name] ?? [{}],
    onePass: !whole.includes(name),
    eightBit: eightBit.includes(name),
  })),
  {
    name: 'Lookahead',
    make: (params, options) => new library.Lookahead(new library.AdamW(params, options), { k: 2 }),
    options: [{}],
    onePass: true,
    eightBit: false,
  },
];

/** What a step may do besides; each goes through kernels of its own. */
const extras: readonly Options[] = [
  { diagnostics: true },
  { maxGradNorm: 0.1, gradScale: 4 },
  { gradScale: 4, nonFinite: 'skip' },
  { maximize: true },
];

const sixteen = ['bfloat16', 'float16'] as const;
const allKinds: readonly Kind[] = [
  { param: 'float32', grad: 'float32', options: {} },
  ...sixteen.map((grad): Kind => ({ param: 'float32', grad, options: {} })),
  ...sixteen.map((param): Kind => ({ param, grad: param, options: { rounding: 'master' } })),
  ...['stochastic', 'kahan', 'split', 'nearest'].map((rounding): Kind => ({
    param: 'bfloat16',
    grad: 'bfloat16',
    options: { rounding },
  })),
  ...['stochastic', 'kahan', 'nearest'].map((rounding): Kind => ({
    param: 'bfloat16',
    grad: 'bfloat16',
    options: { rounding, stateDtype: 'bfloat16' },
  })),
  { param: 'bfloat16', grad: 'float32', options: { rounding: 'stochastic', stateDtype: 'bfloat16' } },
  { param: 'float64', grad: 'float64', options: {} },
  { param: 'float32', grad: 'float32', options: { stateDtype: '8bit' } },
  { param: 'bfloat16', grad: 'bfloat16', options: { rounding: 'stochastic', stateDtype: '8bit' } },
];
const quickKinds = [allKinds[0]!, allKinds[3]!];
const wildKinds: readonly Kind[] = [
  { ...allKinds[0]!, wild: true },
  { param: 'float32', grad: 'bfloat16', options: {}, wild: true },
];

const steps = 4;

/** Everything an optimizer leaves after a few steps, as host memory. */
function run({ make, name }: Entry, kind: Kind, options: Options, place: Place): Snapshot {
  const tensors = tensorsFor(kind, place, name === 'Muon');
  const graph = place === 'graph' ? { cudaGraph: true } : {};
  const optimizer = make(tensors.parameters, { lr: 0.05, seed: 7, ...kind.options, ...options, ...graph });
  try {
    for (let step = 0; step < steps; ++step) {
      tensors.give(step);
      const { applied } = optimizer.step();
      if (!applied) throw new Error(`step ${step + 1} was not applied`);
    }
    return tensors.snapshot((parameter) => optimizer.state(parameter));
  } finally {
    optimizer.dispose();
    tensors.free();
  }
}

const closeEnough = 2e-3;

/** How far the GPU's numbers are from the CPU's, in words; undefined where that is as it should be. */
function fromCpu(entry: Entry, kind: Kind, options: Options, eager: Snapshot): string | undefined {
  const host = run(entry, kind, options, 'cpu');
  if (entry.onePass && options.maxGradNorm === undefined) {
    const where = difference(eager, host);
    return where === undefined ? undefined : `on the GPU and the CPU ${where}`;
  }
  // A coarse format turns a last bit into a larger one, so only float32 is held against the CPU here.
  const fine = kind.param === 'float32' && kind.options.stateDtype === undefined && entry.name !== 'Muon';
  const far = fine ? differences(eager, host) : 0;
  return far <= closeEnough ? undefined : `on the GPU and the CPU numbers are ${far} apart`;
}

/** What is wrong with the three runs; undefined when nothing is. */
function problem(entry: Entry, kind: Kind, options: Options): string | undefined {
  const eager = run(entry, kind, options, 'gpu');
  const cpu = fromCpu(entry, kind, options, eager);
  if (cpu !== undefined) return cpu;
  const where = difference(run(entry, kind, options, 'graph'), eager);
  return where === undefined ? undefined : `with and without a graph ${where}`;
}

function main(argv: readonly string[]): number {
  const kinds = argv.includes('--quick') ? quickKinds : allKinds;
  let passed = 0;
  let failed = 0;
  const check = (entry: Entry, kind: Kind, options: Options): void => {
    let what: string | undefined;
    try {
      what = problem(entry, kind, options);
    } catch (error) {
      what = error instanceof Error ? error.message : String(error);
    }
    if (what === undefined) passed += 1;
    else {
      failed += 1;
      const { param, grad, wild } = kind;
      const given = JSON.stringify({ param, grad, wild, ...kind.options, ...options });
      console.log(`FAILED ${entry.name} ${given}: ${what}`);
    }
  };
  for (const entry of entries) {
    if (entry.name === 'Muon' && argv.includes('--no-products')) continue;
    for (const kind of kinds) {
      if (kind.options.stateDtype === '8bit' && !entry.eightBit) continue;
      // Its gradient means and its products are in float32.
      if (kind.param === 'float64' && entry.name === 'Muon') continue;
      for (const options of entry.options) check(entry, kind, options);
    }
    for (const kind of entry.onePass ? wildKinds : []) check(entry, kind, entry.options[0]!);
    for (const options of extras) check(entry, kinds[0]!, { ...entry.options[0], ...options });
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

const { available, reason } = library.backends().cuda;
if (available) process.exitCode = main(process.argv.slice(2));
else {
  console.log(`every-kernel: skipped, ${reason.split('\n')[0]!}`);
  console.log('0 passed, 0 failed');
}
