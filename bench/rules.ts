import type { Parameter } from 'fused-optim';
import * as library from 'fused-optim';
import {
  AdaGrad,
  Adam,
  AdamW,
  AMSGrad,
  Lion,
  Momentum,
  NAdam,
  NAG,
  Optimizer,
  RAdam,
  RMSprop,
  SGD,
} from 'fused-optim';

/** torch's spelling of the same rule. */
export interface TorchRule {
  readonly optimizer: string;
  readonly options: Readonly<Record<string, number | boolean>>;
  /** Whether torch has a fused CPU kernel for it. */
  readonly fused: boolean;
}

interface Entry {
  /** The class's name, and the option that makes a variant of it. */
  readonly title: string;
  /** Whether the arithmetic has a square root and a division for each element. */
  readonly divides: boolean;
  readonly torch: TorchRule | null;
  create(params: Parameter[], threads: number): Optimizer;
}

export interface BenchRule extends Entry {
  readonly name: string;
  /** State arrays: a step reads p, g and these, and writes p and these. */
  readonly states: number;
}

// So small that no parameter moves far in a million steps, and the same for everybody.
const lr = 1e-6;
const momentum = 0.9;
const decay = 0.01;

const entries: readonly Entry[] = [
  {
    title: 'SGD',
    divides: false,
    create: (params, threads) => new SGD(params, { lr, threads }),
    torch: { optimizer: 'SGD', options: { lr }, fused: true },
  },
  {
    title: 'Momentum',
    divides: false,
    create: (params, threads) => new Momentum(params, { lr, momentum, threads }),
    torch: { optimizer: 'SGD', options: { lr, momentum }, fused: true },
  },
  {
    title: 'NAG',
    divides: false,
    create: (params, threads) => new NAG(params, { lr, momentum, threads }),
    torch: { optimizer: 'SGD', options: { lr, momentum, nesterov: true }, fused: true },
  },
  {
    title: 'NAdam',
    divides: true,
    create: (params, threads) => new NAdam(params, { lr, threads }),
    torch: { optimizer: 'NAdam', options: { lr }, fused: false },
  },
  {
    title: 'AdaGrad',
    divides: true,
    create: (params, threads) => new AdaGrad(params, { lr, threads }),
    torch: { optimizer: 'Adagrad', options: { lr }, fused: true },
  },
  {
    title: 'RMSprop',
    divides: true,
    create: (params, threads) => new RMSprop(params, { lr, threads }),
    torch: { optimizer: 'RMSprop', options: { lr }, fused: false },
  },
  {
    title: 'RMSprop centered',
    divides: true,
    create: (params, threads) => new RMSprop(params, { lr, centered: true, threads }),
    torch: { optimizer: 'RMSprop', options: { lr, centered: true }, fused: false },
  },
  {
    title: 'RMSprop momentum',
    divides: true,
    create: (params, threads) => new RMSprop(params, { lr, momentum, threads }),
    torch: { optimizer: 'RMSprop', options: { lr, momentum }, fused: false },
  },
  {
    title: 'Adam',
    divides: true,
    create: (params, threads) => new Adam(params, { lr, threads }),
    torch: { optimizer: 'Adam', options: { lr }, fused: true },
  },
  {
    title: 'AdamW',
    divides: true,
    create: (params, threads) => new AdamW(params, { lr, weightDecay: decay, threads }),
    torch: { optimizer: 'AdamW', options: { lr, weight_decay: decay }, fused: true },
  },
  {
    title: 'AMSGrad',
    divides: true,
    create: (params, threads) => new AMSGrad(params, { lr, threads }),
    torch: { optimizer: 'Adam', options: { lr, amsgrad: true }, fused: true },
  },
  {
    title: 'RAdam',
    divides: true,
    create: (params, threads) => new RAdam(params, { lr, threads }),
    torch: { optimizer: 'RAdam', options: { lr }, fused: false },
  },
  {
    title: 'Lion',
    divides: false,
    create: (params, threads) => new Lion(params, { lr, weightDecay: decay, threads }),
    torch: null,
  },
];

type AnyOptimizer = new (params: Parameter[], options: { lr: number; threads: number }) => Optimizer;

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
      create: (params, threads) => new (value as unknown as AnyOptimizer)(params, { lr, threads }),
      torch: null,
    }));
}

/** How many arrays of the parameter's length the optimizer keeps, from one step with one element. */
function countStates(entry: Entry): number {
  const parameter: Parameter = { data: Float32Array.of(1), grad: Float32Array.of(1) };
  const optimizer = entry.create([parameter], 1);
  try {
    optimizer.step();
    return Object.values(optimizer.state(parameter)).filter((value) => typeof value !== 'number').length;
  } finally {
    optimizer.dispose();
  }
}

/** The rules measured, by name: the title in lower case, words joined by `-`. */
export const rules: ReadonlyMap<string, BenchRule> = new Map(
  [...entries, ...others()].map((entry) => {
    const name = entry.title.toLowerCase().replaceAll(' ', '-');
    return [name, { ...entry, name, states: countStates(entry) }];
  }),
);

/** Bytes one parameter's step must move in float32: reads of p, g and states, writes of p and states. */
export function bytesPerParameter(rule: BenchRule): number {
  return 4 * (2 + rule.states + 1 + rule.states);
}
