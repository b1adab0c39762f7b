import type { CommonOptions, Parameter } from 'fused-optim';
import * as library from 'fused-optim';
import {
  AdaGrad,
  Adam,
  AdamW,
  AMSGrad,
  LAMB,
  LARS,
  Lion,
  Lookahead,
  Momentum,
  Muon,
  NAdam,
  NAG,
  Optimizer,
  RAdam,
  Ranger,
  RMSprop,
  SGD,
  StableAdamW,
} from 'fused-optim';
import { bytesOf, meeting as k, otherPasses, pass, plainPass, type Pass } from '../lib/cli/bench/traffic';

export { streams, type Pass } from '../lib/cli/bench/traffic';

/** torch's spelling of the same rule. */
export interface TorchRule {
  readonly optimizer: string;
  readonly options: Readonly<Record<string, number | boolean>>;
  /** Whether torch has a fused CPU kernel for it. */
  readonly fused: boolean;
}

/** What an optimizer is timed by; Lookahead is none of the class Optimizer. */
type Stepping = Pick<Optimizer, 'step' | 'state' | 'dispose'>;

type Common = CommonOptions & { readonly lr: number };

interface Entry {
  /** The class's name, and the option that makes a variant of it. */
  readonly title: string;
  /** Whether the arithmetic has a square root and a division for each element. */
  readonly divides: boolean;
  readonly torch: TorchRule | null;
  /** Where they are not one pass that reads g and updates p and the states. */
  readonly passes?: readonly Pass[];
  /** The plain rule that this one adds something to. */
  readonly plain?: string;
  /** Runs on sets of matrices alone, and multiplies them in this precision. */
  readonly products?: 'float32' | 'bfloat16';
  create(params: Parameter[], common: Common): Stepping;
}

export interface BenchRule extends Omit<Entry, 'create' | 'divides'> {
  readonly name: string;
  readonly states: number;
  readonly passes: readonly Pass[];
  /** `more`: options beside those that the benchmark gives every rule. */
  create(params: Parameter[], threads: number | undefined, more?: CommonOptions): Stepping;
}

// So small that no parameter moves far in a million steps, and the same for everybody.
const lr = 1e-6;
const momentum = 0.9;
const decay = 0.01;

const entries: readonly Entry[] = [
  {
    title: 'SGD',
    divides: false,
    create: (params, common) => new SGD(params, common),
    torch: { optimizer: 'SGD', options: { lr }, fused: true },
  },
  {
    title: 'Momentum',
    divides: false,
    create: (params, common) => new Momentum(params, { ...common, momentum }),
    torch: { optimizer: 'SGD', options: { lr, momentum }, fused: true },
  },
  {
    title: 'NAG',
    divides: false,
    create: (params, common) => new NAG(params, { ...common, momentum }),
    torch: { optimizer: 'SGD', options: { lr, momentum, nesterov: true }, fused: true },
  },
  {
    title: 'NAdam',
    divides: true,
    create: (params, common) => new NAdam(params, common),
    torch: { optimizer: 'NAdam', options: { lr }, fused: false },
  },
  {
    title: 'AdaGrad',
    divides: true,
    create: (params, common) => new AdaGrad(params, common),
    torch: { optimizer: 'Adagrad', options: { lr }, fused: true },
  },
  {
    title: 'RMSprop',
    divides: true,
    create: (params, common) => new RMSprop(params, common),
    torch: { optimizer: 'RMSprop', options: { lr }, fused: false },
  },
  {
    title: 'RMSprop centered',
    divides: true,
    create: (params, common) => new RMSprop(params, { ...common, centered: true }),
    torch: { optimizer: 'RMSprop', options: { lr, centered: true }, fused: false },
  },
  {
    title: 'RMSprop momentum',
    divides: true,
    create: (params, common) => new RMSprop(params, { ...common, momentum }),
    torch: { optimizer: 'RMSprop', options: { lr, momentum }, fused: false },
  },
  {
    title: 'Adam',
    divides: true,
    create: (params, common) => new Adam(params, common),
    torch: { optimizer: 'Adam', options: { lr }, fused: true },
  },
  {
    title: 'AdamW',
    divides: true,
    create: (params, common) => new AdamW(params, { ...common, weightDecay: decay }),
    torch: { optimizer: 'AdamW', options: { lr, weight_decay: decay }, fused: true },
  },
  {
    title: 'AMSGrad',
    divides: true,
    create: (params, common) => new AMSGrad(params, common),
    torch: { optimizer: 'Adam', options: { lr, amsgrad: true }, fused: true },
  },
  {
    title: 'RAdam',
    divides: true,
    create: (params, common) => new RAdam(params, common),
    torch: { optimizer: 'RAdam', options: { lr }, fused: false },
  },
  {
    title: 'Lion',
    divides: false,
    create: (params, common) => new Lion(params, { ...common, weightDecay: decay }),
    torch: null,
  },
  {
    title: 'LARS',
    divides: false,
    passes: otherPasses.get('LARS')!,
    create: (params, common) => new LARS(params, common),
    torch: null,
  },
  {
    title: 'LAMB',
    divides: true,
    passes: otherPasses.get('LAMB')!,
    create: (params, common) => new LAMB(params, common),
    torch: null,
  },
  {
    title: 'StableAdamW',
    divides: true,
    passes: otherPasses.get('StableAdamW')!,
    create: (params, common) => new StableAdamW(params, common),
    torch: null,
  },
  {
    title: 'Ranger',
    divides: true,
    passes: otherPasses.get('Ranger')!,
    create: (params, common) => new Ranger(params, { ...common, k }),
    torch: null,
  },
  {
    title: 'Ranger uncentered',
    divides: true,
    passes: [pass('g', 'pmv', true), pass('', 'x', false, k)],
    create: (params, common) => new Ranger(params, { ...common, k, gradientCentralization: 'none' }),
    torch: null,
  },
  {
    title: 'Lookahead AdamW',
    divides: true,
    passes: otherPasses.get('Lookahead')!,
    create: (params, common) => new Lookahead(new AdamW(params, { ...common, weightDecay: decay }), { k }),
    torch: null,
  },
  ...(['float32', 'bfloat16'] as const).flatMap((nsDtype) =>
    (['standard', 'auto'] as const).map((nsForm): Entry => {
      const title = ['Muon', nsDtype === 'bfloat16' && 'bf16', nsForm === 'auto' && 'auto'];
      return {
        title: title.filter(Boolean).join(' '),
        divides: false,
        passes: [pass('g', 'pm')],
        products: nsDtype,
        create: (params, common) => new Muon(params, { ...common, nsDtype, nsForm }),
        // Its iteration is in bfloat16 always.
        torch:
          nsDtype === 'bfloat16'
            ? { optimizer: 'Muon', options: { lr, weight_decay: 0 }, fused: false }
            : null,
      };
    }),
  ),
];

/** What a step may do besides: the plain rule's title, the word that is added, the options, and a pass more. */
const extras: readonly [string, string, CommonOptions, Pass?][] = [
  ['SGD', 'clip', { maxGradNorm: 1 }, pass('g', '')],
  ['SGD', 'diagnostics', { diagnostics: true }],
  ['AdamW', 'scale', { gradScale: 1024 }],
  ['AdamW', 'clip', { maxGradNorm: 1 }, pass('g', '')],
  ['AdamW', 'skip', { gradScale: 1024, nonFinite: 'skip' }, pass('g', '')],
  ['AdamW', 'diagnostics', { diagnostics: true }],
  ['LARS', 'clip', { maxGradNorm: 1 }, pass('g', '')],
  ['LAMB', 'diagnostics', { diagnostics: true }],
];

function nameOf(title: string): string {
  return title.toLowerCase().replaceAll(' ', '-');
}

function passesOf(entry: Entry): readonly Pass[] {
  return entry.passes ?? [plainPass(countStates(entry), entry.divides)];
}

const variants: readonly Entry[] = extras.map(([title, word, options, before]) => {
  const plain = entries.find((entry) => entry.title === title)!;
  return {
    ...plain,
    title: `${title} ${word}`,
    plain: nameOf(title),
    passes: [...(before ? [before] : []), ...passesOf(plain)],
    create: (params, common) => plain.create(params, { ...common, ...options }),
    torch: null,
  };
});

type AnyOptimizer = new (params: Parameter[], options: Common) => Optimizer;

/** Optimizers the library has and the list above does not know: measured with their defaults, against traffic alone. */
function others(): Entry[] {
  const known = new Set(entries.map(({ title }) => title));
  return Object.entries(library)
    .filter(
      ([title, value]) =>
        typeof value === 'function' && value.prototype instanceof Optimizer && !known.has(title),
    )
    .map(([title, value]) => ({
      title,
      divides: false,
      create: (params, common) => new (value as unknown as AnyOptimizer)(params, common),
      torch: null,
    }));
}

/** How many arrays of the parameter's length the optimizer keeps, from one step with one element. */
function countStates(entry: Entry): number {
  const parameter: Parameter = { data: Float32Array.of(1), grad: Float32Array.of(1) };
  const optimizer = entry.create([parameter], { lr, threads: 1 });
  try {
    optimizer.step();
    return Object.values(optimizer.state(parameter)).filter((value) => typeof value !== 'number').length;
  } finally {
    optimizer.dispose();
  }
}

function complete(entry: Entry): BenchRule {
  const passes = passesOf(entry);
  const used = passes.map(({ reads, updates }) => reads + updates).join('');
  return {
    ...entry,
    name: nameOf(entry.title),
    passes,
    states: ['m', 'v', 'x'].filter((state) => used.includes(state)).length,
    create: (params, threads, more) =>
      entry.create(params, { lr, ...(threads !== undefined && { threads }), ...more }),
  };
}

/** The rules measured, by name: the title in lower case, words joined by `-`. */
export const rules: ReadonlyMap<string, BenchRule> = new Map(
  [...entries, ...variants, ...others()].map((entry) => [nameOf(entry.title), complete(entry)]),
);

/** Bytes one parameter's step must move in float32, on average over the steps. */
export function bytesPerParameter({ passes }: BenchRule): number {
  return bytesOf(passes);
}
