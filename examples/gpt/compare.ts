/**
 * `npm run demo -- --compare`: the same GPT, from the same first weights and with the same batches, trained with AdamW
 * and with Muon, each with its tuned settings. What is compared are the steps and the seconds to the same loss.
 */
import path from 'node:path';
import { backends, Muon } from 'fused-optim';
import { drawComparison } from './chart';
import { readCorpus, type Corpus } from './data';
import { DEFAULT_STEPS, DEFAULTS, type Options } from './options';
import { createOptimizer } from './optimizers';
import { Trainee, type Point } from './trainee';

/** Steps between two validations; the optimizers take turns of this many, so that both see the same load. */
const TURN = 50;

export interface Reached {
  /** Whole steps; null: the target was not reached. */
  steps: number | null;
  /** Of training; validation is not in it. */
  seconds: number | null;
}

interface Outcome extends Reached {
  finalLoss: number;
  totalSeconds: number;
  /** Of that time. */
  optimizerShare: number;
  stateBytes: number;
}

interface Result {
  targetLoss: number;
  adamw: Outcome;
  muon: Outcome;
  lion: { stateBytes: number };
}

/** Where a curve first comes down to the target, on the straight line between two validations. */
export function reach(curve: readonly Point[], target: number): Reached {
  const index = curve.findIndex(({ loss }) => loss <= target);
  const after = curve[index];
  if (!after) return { steps: null, seconds: null };
  const before = curve[index - 1] ?? after;
  const part = before === after ? 1 : (before.loss - target) / (before.loss - after.loss);
  const between = (from: number, to: number): number => from + part * (to - from);
  return {
    steps: Math.ceil(between(before.step, after.step)),
    seconds: between(before.seconds, after.seconds),
  };
}

const lowest = (curve: readonly Point[]): number => Math.min(...curve.map(({ loss }) => loss));

/** Bytes of state that an optimizer keeps for this model after a step, which is taken on copies of the weights. */
function stateBytes(name: string, { model }: Trainee): number {
  const optimizer = createOptimizer(
    name,
    model.weights.map((weight) => ({ ...weight, data: weight.data.slice(), grad: weight.grad })),
  );
  try {
    optimizer.step();
    return optimizer.stateBytes();
  } finally {
    optimizer.dispose();
  }
}

/** In turns, up to the last step. */
async function race(
  trainees: readonly Trainee[],
  steps: number,
  corpus: Corpus,
  log: (line: string) => void,
): Promise<void> {
  for (const trainee of trainees) await trainee.validate(corpus);
  for (let done = 0; done < steps;) {
    const now = Math.min(TURN, steps - done);
    for (const trainee of trainees) {
      await trainee.train(now, corpus);
      await trainee.validate(corpus);
    }
    done += now;
    const parts = trainees.map(
      ({ name, curve, seconds }) => `${name} ${curve.at(-1)?.loss.toFixed(3)} in ${seconds.toFixed(1)} s`,
    );
    log(`step ${done}/${steps} | validation loss: ${parts.join(', ')}`);
  }
}

function outcome({ curve, seconds, optimizerSeconds, optimizer }: Trainee, targetLoss: number): Outcome {
  return {
    ...reach(curve, targetLoss),
    finalLoss: curve.at(-1)?.loss ?? NaN,
    totalSeconds: seconds,
    optimizerShare: optimizerSeconds / seconds,
    stateBytes: optimizer.stateBytes(),
  };
}

export async function compare(options: Options): Promise<number> {
  const { steps = DEFAULT_STEPS, seed = DEFAULTS.seed, out, json } = options;
  const log = (line: string): void => void (json ? process.stderr : process.stdout).write(`${line}\n`);
  const corpus = readCorpus();
  const adamw = await Trainee.create('AdamW', seed, steps);
  const muon = await Trainee.create('Muon', seed, steps);
  const trainees = [adamw, muon];
  try {
    const { isa, threads } = backends().cpu;
    const rates = trainees.map(({ name, peaks }) => `${name} (peak learning rate ${peaks.join(' and ')})`);
    log(`${rates.join(' and ')}, ${steps} steps each, on ${isa}, ${threads} threads.`);
    if (muon.optimizer instanceof Muon) log(`Where Muon sends what:\n${muon.optimizer.routing().toString()}`);
    await race(trainees, steps, corpus, log);

    // AdamW needs its whole schedule for its best loss; Muon passes it on the way, at whatever rate it has then.
    const targetLoss = lowest(adamw.curve);
    const result: Result = {
      targetLoss,
      adamw: outcome(adamw, targetLoss),
      muon: outcome(muon, targetLoss),
      lion: { stateBytes: stateBytes('Lion', adamw) },
    };
    const picture = path.join(out, 'compare');
    await drawComparison(trainees, result.targetLoss, picture);
    log(summary(result));
    log(`Curves: ${picture}.svg, ${picture}.png`);
    if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
    return 0;
  } finally {
    for (const trainee of trainees) await trainee.release();
  }
}

/** The result in sentences. */
function summary({ targetLoss, adamw, muon, lion }: Result): string {
  const line = (name: string, { steps, seconds, finalLoss, optimizerShare }: Outcome): string => {
    const there = steps === null ? 'not reached' : `${steps} steps, ${seconds?.toFixed(1)} s`;
    const share = (100 * optimizerShare).toFixed(1);
    return `  ${name.padEnd(5)}  ${there}; ${finalLoss.toFixed(3)} in the end; the update took ${share} % of the time`;
  };
  const ratio = (lion.stateBytes / adamw.stateBytes).toFixed(3);
  return `
To validation loss ${targetLoss.toFixed(3)}, AdamW's best:
${line('AdamW', adamw)}
${line('Muon', muon)}
Muon ${difference(muon, adamw)}
State: Lion ${count(lion.stateBytes)} bytes, AdamW ${count(adamw.stateBytes)}; Lion's is ${ratio} of AdamW's.`;
}

const count = (value: number): string => value.toLocaleString('en');

function difference(muon: Reached, adamw: Reached): string {
  if (muon.steps === null || muon.seconds === null) return 'did not get there.';
  const percent = (part: number, whole: number | null): number => 100 * (part / (whole ?? NaN) - 1);
  const words = (value: number, less: string, more: string): string =>
    `${Math.abs(value).toFixed(0)} % ${value < 0 ? less : more}`;
  const steps = words(percent(muon.steps, adamw.steps), 'fewer steps', 'more steps');
  return `needs ${steps} and ${words(percent(muon.seconds, adamw.seconds), 'less time', 'more time')}.`;
}
