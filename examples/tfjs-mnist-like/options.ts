/** The command line: what may be asked for, and one sentence for everything else. */
import path from 'node:path';
import { parseArgs } from 'node:util';

/** Optimizers to choose from, with learning rates that suit them here. */
export const RATES = { AdamW: 2e-3, Adam: 2e-3, Lion: 3e-4, Muon: 0.02, SGD: 0.1, RAdam: 2e-3 } as const;
export type OptimizerName = keyof typeof RATES;

export interface Options {
  optimizer: OptimizerName;
  backend: 'wasm' | 'cpu';
  steps: number;
  lr: number;
  seed: number;
  /** Where the weights and the optimizer's state go. */
  out: string | undefined;
  /** The folder to go on from. */
  resume: string | undefined;
  json: boolean;
}

/** A mistake on the command line; the message is all there is to say about it. */
export class UsageError extends Error {}

export const HELP = `npm run demo:tfjs -- [options]

  --steps N         batches of 64 digits to train on            (default 300)
  --optimizer NAME  ${Object.keys(RATES).join(', ')}    (default AdamW)
  --lr X            learning rate                               (default by optimizer)
  --backend NAME    of tfjs: wasm or cpu                        (default wasm)
  --seed N          of the first weights and of the batches     (default 1)
  --out DIR         save weights and optimizer there at the end
  --resume DIR      go on from such a folder
  --json            print one JSON object and nothing else`;

const SPEC = {
  steps: { type: 'string' },
  optimizer: { type: 'string' },
  lr: { type: 'string' },
  backend: { type: 'string' },
  seed: { type: 'string' },
  out: { type: 'string' },
  resume: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

function given(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: SPEC }).values;
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split('. ');
    throw new UsageError(`${sentence.replace(/\.$/, '')}; --help lists the options.`);
  }
}

function oneOf<T extends string>(name: string, text: string, known: readonly T[]): T {
  const found = known.find((value) => value.toLowerCase() === text.toLowerCase());
  if (found !== undefined) return found;
  throw new UsageError(`Expected --${name} to be one of ${known.join(', ')} but received "${text}".`);
}

function number(name: string, text: string, expected: string, suits: (value: number) => boolean): number {
  const value = text.trim() === '' ? NaN : Number(text);
  if (Number.isFinite(value) && suits(value)) return value;
  throw new UsageError(`Expected --${name} to be ${expected} but received "${text}".`);
}

/** Undefined: help was asked for. */
export function parseOptions(args: readonly string[]): Options | undefined {
  const values = given(args);
  if (values.help) return undefined;
  const optimizer = oneOf('optimizer', values.optimizer ?? 'AdamW', Object.keys(RATES) as OptimizerName[]);
  const folder = (text: string | undefined) => (text === undefined ? undefined : path.resolve(text));
  return {
    optimizer,
    backend: oneOf('backend', values.backend ?? 'wasm', ['wasm', 'cpu']),
    steps: number(
      'steps',
      values.steps ?? '300',
      'a whole number from 1',
      (n) => Number.isInteger(n) && n >= 1,
    ),
    lr: number('lr', values.lr ?? String(RATES[optimizer]), 'a positive number', (n) => n > 0),
    seed: number('seed', values.seed ?? '1', 'a whole number from 0', (n) => Number.isInteger(n) && n >= 0),
    out: folder(values.out),
    resume: folder(values.resume),
    json: values.json ?? false,
  };
}
