/**
 * Trains the model of the GPT example for a few steps with every optimizer, and stops and resumes some; prints what
 * came of it as one JSON object. A program of its own: onnxruntime does not know the typed arrays of a jest test.
 */
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { readCheckpoint } from '../../examples/gpt/checkpoint';
import { readCorpus } from '../../examples/gpt/data';
import { Model } from '../../examples/gpt/model';
import { createOptimizer, followSchedule, optimizerNames } from '../../examples/gpt/optimizers';
import { parseOptions } from '../../examples/gpt/options';
import { advance, begin, save } from '../../examples/gpt/run';

const [folder = '.', ...resumed] = process.argv.slice(2);
const text = readCorpus().train;

/** Losses of three steps from the same weights; the horizon makes the rates of the first steps large. */
async function losses(model: Model, first: readonly Float32Array[], name: string): Promise<number[]> {
  model.weights.forEach(({ data }, i) => data.set(first[i] ?? []));
  const optimizer = createOptimizer(name, model.weights);
  followSchedule(optimizer, 10);
  const trainLoss: number[] = [];
  for (let step = 0; step < 3; step++) await advance({ model, optimizer, trainLoss }, 1, text);
  optimizer.dispose();
  return trainLoss;
}

/** Whether seven steps, and four resumed up to seven, leave the same checkpoint. */
async function resumes(optimizer: string): Promise<boolean> {
  const out = (name: string): string => path.join(folder, `${optimizer}-${name}.bin`);
  const train = async (to: number, file: string, from?: string): Promise<void> => {
    const resume = from === undefined ? [] : ['--resume', from];
    const run = await begin(parseOptions(['--optimizer', optimizer, '--horizon', '20', ...resume])!);
    while (run.trainLoss.length < to) await advance(run, run.settings.seed, text);
    await save(run, file);
    run.optimizer.dispose();
    await run.model.release();
  };
  await train(7, out('whole'));
  await train(4, out('part'));
  await train(7, out('resumed'), out('part'));
  return isDeepStrictEqual(readCheckpoint(out('whole')), readCheckpoint(out('resumed')));
}

async function main(): Promise<void> {
  const model = await Model.load(1);
  const first = model.weights.map(({ data }) => data.slice());
  const result = { losses: {} as Record<string, number[]>, resumes: {} as Record<string, boolean> };
  for (const name of optimizerNames()) result.losses[name] = await losses(model, first, name);
  await model.release();
  for (const name of resumed) result.resumes[name] = await resumes(name);
  process.stdout.write(JSON.stringify(result));
}

void main();
