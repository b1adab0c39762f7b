/** What is measured on a GPU: rules, formats and sets, whom they are compared with, and what is aimed for. */
import type { CommonOptions, MuonOptions } from 'fused-optim';
import { rules } from '../rules';
import { float32, type Format } from './floors';

export type TorchMode = 'forloop' | 'foreach' | 'fused' | 'compiled' | 'fused-graph' | 'only';

export const torchNames: Readonly<Record<TorchMode, string>> = {
  forloop: 'torch for-loop',
  foreach: 'torch foreach',
  fused: 'torch fused',
  compiled: 'torch compiled',
  'fused-graph': 'torch fused in a CUDA graph',
  only: 'torch.optim.Muon',
};

/** A number that a measurement is held against. */
export type Aim =
  /** At least this share of the copy rate. */
  | { readonly kind: 'share'; readonly atLeast: number }
  /** At most this many times the floor. */
  | { readonly kind: 'floor'; readonly atMost: number }
  /** At least this many times as fast; `inPieces`: while torch still launches in pieces of 320 blocks. */
  | {
      readonly kind: 'peer';
      readonly mode: TorchMode;
      readonly atLeast: number;
      readonly inPieces?: number;
    }
  /** At most so many microseconds of host time. */
  | { readonly kind: 'host'; readonly graph: boolean; readonly atMost: number }
  /** At least this share of the rate of large products in bfloat16, outside the elementwise passes. */
  | { readonly kind: 'products'; readonly atLeast: number };

export interface Case {
  readonly id: string;
  /** Parts of the run, as `--only` names them. */
  readonly part: Part;
  readonly title: string;
  readonly rule: string;
  /** The first set that fits the GPU's memory is taken. */
  readonly sets: readonly string[];
  readonly format: Format;
  readonly options: CommonOptions & Pick<MuonOptions, 'cudaMode'>;
  readonly torch: readonly TorchMode[];
  readonly aims: readonly Aim[];
  /** Whether the time that a call takes on the host is measured as well. */
  readonly host: boolean;
}

export const parts = ['adamw', 'two-pass', 'formats', 'small', 'one-pass', 'muon', 'models'] as const;
export type Part = (typeof parts)[number];

type Given = Pick<Case, 'part' | 'rule' | 'sets'> & Partial<Case>;

function describe(format: Format): string {
  const short = { float32: 'fp32', bfloat16: 'bf16', float16: 'fp16', '8bit': '8-bit' } as const;
  const { param, grad, state, rounding } = format;
  if (param === 'float32' && grad === 'float32' && state === 'float32') return 'fp32';
  const how = rounding === null ? '' : ` (${rounding})`;
  return `${short[param]}${how}, ${short[grad]} gradients, ${short[state]} states`;
}

function make(given: Given): Case {
  const format = given.format ?? float32;
  const plain = { format, options: {}, torch: [], aims: [], host: false };
  const title = `${rules.get(given.rule)?.title ?? given.rule}, ${describe(format)}`;
  const id = `${given.part}/${given.rule}/${given.sets[0]!}/${describe(format).replace(/[^\w-]+/g, '-')}`;
  return { ...plain, id, title, ...given };
}

const share: Aim = { kind: 'share', atLeast: 0.9 };
const gpt2 = ['gpt2-124m'];

const adamw = make({
  part: 'adamw',
  rule: 'adamw',
  sets: gpt2,
  torch: ['fused', 'foreach', 'forloop', 'compiled'],
  aims: [
    share,
    { kind: 'peer', mode: 'fused', atLeast: 1, inPieces: 1.2 },
    { kind: 'peer', mode: 'foreach', atLeast: 2.5 },
  ],
});

const twoPass = ['lamb', 'stableadamw', 'lars', 'adamw-clip'].map((rule) =>
  make({ part: 'two-pass', rule, sets: gpt2, aims: [{ kind: 'floor', atMost: 1.15 }] }),
);

/** Formats by what people call them. Torch has no master of its own; it has parameters and states in bfloat16. */
const formats: readonly (readonly [Partial<Format>, ...TorchMode[]])[] = [
  [{ grad: 'bfloat16' }],
  [{ param: 'bfloat16', grad: 'bfloat16', rounding: 'master' }],
  [{ param: 'float16', grad: 'float16', rounding: 'master' }],
  [{ param: 'bfloat16', grad: 'bfloat16', state: 'bfloat16', rounding: 'nearest' }, 'fused', 'foreach'],
  [{ param: 'bfloat16', grad: 'bfloat16', state: 'bfloat16', rounding: 'stochastic' }],
  [{ param: 'bfloat16', grad: 'bfloat16', state: 'bfloat16', rounding: 'kahan' }],
  [{ param: 'bfloat16', grad: 'bfloat16', rounding: 'split' }],
  [{ state: '8bit' }],
  [{ param: 'bfloat16', grad: 'bfloat16', state: '8bit', rounding: 'stochastic' }],
];

const lowPrecision = formats.map(([format, ...torch]) =>
  make({
    part: 'formats',
    rule: 'adamw',
    sets: gpt2,
    format: { ...float32, ...format },
    torch,
    aims: format.state === '8bit' ? [] : [share],
  }),
);

const small = ['adamw', 'sgd'].map((rule) =>
  make({
    part: 'small',
    rule,
    sets: ['1000x1000'],
    torch: rule === 'adamw' ? ['forloop', 'foreach', 'fused', 'fused-graph'] : ['forloop', 'fused'],
    aims: [
      { kind: 'peer', mode: 'forloop', atLeast: 20 },
      { kind: 'peer', mode: 'fused', atLeast: 1.2 },
      { kind: 'host', graph: true, atMost: 10 },
      { kind: 'host', graph: false, atMost: 30 },
    ],
    host: true,
  }),
);

const onePass = [...rules.values()]
  .filter(({ passes, plain, products, name }) => {
    const once = passes.length === 1 && !plain && !products;
    return once && name !== 'adamw';
  })
  .map(({ name, torch }) => {
    const modes: readonly TorchMode[] = !torch ? [] : torch.fused ? ['fused', 'foreach'] : ['foreach'];
    return make({ part: 'one-pass', rule: name, sets: gpt2, torch: modes, aims: [share] });
  });

/** Muon's ways through its products on a GPU. */
const muonModes = ['standard', 'precise', 'fast'] as const;

function muonAims(set: string, mode: string): readonly Aim[] {
  const peer = (atLeast: number): Aim => ({ kind: 'peer', mode: 'only', atLeast });
  if (set === 'muon-124m' && mode === 'standard') return [peer(3), { kind: 'products', atLeast: 0.65 }];
  if (set !== 'muon-llama-8b') return [];
  return mode === 'standard' ? [peer(1.1)] : mode === 'fast' ? [peer(1.5)] : [];
}

const muon = [['muon-124m'], ['muon-350m'], ['muon-llama-8b', 'muon-llama-8b/4'], ['muon-1.5b']].flatMap(
  (sets) =>
    muonModes.map((mode) =>
      make({
        id: `muon/${sets[0]!}/${mode}`,
        part: 'muon',
        title: `Muon, ${mode}`,
        rule: 'muon-bf16',
        sets,
        options: { cudaMode: mode },
        torch: ['only'],
        aims: muonAims(sets[0]!, mode),
      }),
    ),
);

const models = ['resnet50', 'gpt2-350m', 'gpt2-1.5b'].flatMap((set) =>
  (set === 'resnet50' ? ['adamw', 'momentum'] : ['adamw']).map((rule) =>
    make({ part: 'models', rule, sets: [set], torch: ['fused', 'foreach'], aims: [share] }),
  ),
);

/** Everything, what matters most first: a run that is short of time ends early. */
export const cases: readonly Case[] = [
  adamw,
  ...twoPass,
  ...lowPrecision,
  ...small,
  ...onePass,
  ...muon,
  ...models,
];
