/**
 * Finds the learning rates of `--compare`: `npm run demo -- --sweep [--optimizer NAME]` tries as many settings of AdamW
 * as of Muon and writes what each came to into sweep.json. All train for a fifth of the length first, the better two
 * then for the whole of it; the schedule is always fitted to the length. The best by validation loss at the end is taken.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { backends } from 'fused-optim';
import { readCorpus, type Corpus } from './data';
import { DEFAULT_STEPS, DEFAULTS, type Options } from './options';
import { Trainee } from './trainee';

export const SWEEP_FILE = path.join(__dirname, 'sweep.json');

/** Learning rate, and of Muon that of its AdamW. */
interface Rates {
  lr: number;
  adamwLr?: number;
}

interface Trial extends Rates {
  steps: number;
  /** On held-out text, in nats a character; null: the training loss was not finite. */
  loss: number | null;
}

export interface Sweep {
  /** Steps of the comparison. */
  steps: number;
  seed: number;
  /** Instruction set and threads. */
  machine: string;
  trials: Trial[];
  best: Rates;
}

const CANDIDATES: Readonly<Record<string, readonly Rates[]>> = {
  AdamW: [0.5e-3, 1e-3, 1.4e-3, 2e-3, 2.8e-3, 4e-3, 5.6e-3, 8e-3].map((lr) => ({ lr })),
  Muon: [5e-3, 1e-2, 2e-2, 4e-2].flatMap((lr) => [2e-3, 4e-3].map((adamwLr) => ({ lr, adamwLr }))),
};
const FIRST_ROUND = 1 / 5;
const SECOND_ROUND = 2;

/** What was found, by optimizer. */
export function readSweep(): Record<string, Sweep> {
  return JSON.parse(readFileSync(SWEEP_FILE, 'utf8')) as Record<string, Sweep>;
}

async function tryOut(
  name: string,
  rates: Rates,
  steps: number,
  seed: number,
  corpus: Corpus,
): Promise<Trial> {
  const { lr, adamwLr } = rates;
  const options = adamwLr === undefined ? {} : { adamw: { lr: adamwLr, betas: [0.9, 0.99] } };
  const trainee = await Trainee.create(name, seed, steps, { lr, options });
  let loss: number | null = null;
  try {
    await trainee.train(steps, corpus);
    loss = await trainee.validate(corpus);
  } catch (error) {
    process.stderr.write(`${String(error)}\n`); // A rate that is too large is a result as well.
  } finally {
    await trainee.release();
  }
  const trial = { ...rates, steps, loss };
  process.stdout.write(`${name} ${JSON.stringify(trial)}, ${trainee.seconds.toFixed(0)} s\n`);
  return trial;
}

const byLoss = (a: Trial, b: Trial): number => (a.loss ?? Infinity) - (b.loss ?? Infinity);

async function sweep(name: string, steps: number, seed: number, corpus: Corpus): Promise<Sweep> {
  const trials: Trial[] = [];
  for (const rates of CANDIDATES[name] ?? []) {
    trials.push(await tryOut(name, rates, Math.ceil(steps * FIRST_ROUND), seed, corpus));
  }
  const finals: Trial[] = [];
  for (const { steps: _, loss: __, ...rates } of [...trials].sort(byLoss).slice(0, SECOND_ROUND)) {
    finals.push(await tryOut(name, rates, steps, seed, corpus));
  }
  const { steps: _, loss: __, ...best } = [...finals].sort(byLoss)[0]!;
  const { isa, threads } = backends().cpu;
  return { steps, seed, machine: `${isa}, ${threads} threads`, trials: [...trials, ...finals], best };
}

export async function runSweep(options: Options): Promise<number> {
  const corpus = readCorpus();
  const { steps = DEFAULT_STEPS, seed = DEFAULTS.seed, optimizer } = options;
  for (const name of optimizer === undefined ? Object.keys(CANDIDATES) : [optimizer]) {
    const found = await sweep(name, steps, seed, corpus);
    process.stdout.write(`${name}: the best is ${JSON.stringify(found.best)}\n`);
    writeFileSync(SWEEP_FILE, `${JSON.stringify({ ...readSweep(), [name]: found }, null, 2)}\n`);
  }
  return 0;
}
