/**
 * One rank of `mpirun -n <any> node -r ts-node/register/transpile-only every-optimizer-ranks.ts <folder> <optimizers>`:
 * trains the model of the GPT example in seven steps, and in four resumed up to seven. The first rank prints what came of
 * it as JSON. A program of its own: onnxruntime does not know the typed arrays of a jest test.
 */
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { readCheckpoint } from '../../examples/gpt/checkpoint';
import { readCorpus } from '../../examples/gpt/data';
import { parseOptions } from '../../examples/gpt/options';
import { Ranks } from '../../examples/gpt/ranks';
import { advance, begin, save, type Run } from '../../examples/gpt/run';

const [folder = '.', ...names] = process.argv.slice(2);
const text = readCorpus().train;

interface Result {
  losses: readonly number[];
  checksums: readonly string[];
  /** Bytes that each rank keeps. */
  stateBytes: readonly number[];
  resumes: boolean;
}

async function train(ranks: Ranks, to: number, file: string, ...options: string[]): Promise<Run> {
  const given = ['--data-parallel', '--horizon', '10', ...options];
  const run = await begin(parseOptions(given)!, ranks);
  while (run.trainLoss.length < to) await advance(run, run.settings.seed, text);
  await save(run, file);
  // The others read what the first has written.
  await ranks.barrier();
  return run;
}

async function release({ model, optimizer }: Run): Promise<void> {
  optimizer.dispose();
  await model.release();
}

async function check(name: string, stage: string, ranks: Ranks): Promise<Result> {
  const out = (part: string): string => path.join(folder, `${name}-${part}.bin`);
  const options = ['--optimizer', name, '--stage', stage];
  const whole = await train(ranks, 7, out('whole'), ...options);
  const checksums = await ranks.checksums(whole.model.weights.map(({ data }) => data));
  const stateBytes = await ranks.numbers(whole.optimizer.stateBytes());
  await release(whole);
  await release(await train(ranks, 4, out('part'), ...options));
  await release(await train(ranks, 7, out('resumed'), ...options, '--resume', out('part')));
  const resumes = isDeepStrictEqual(readCheckpoint(out('whole')), readCheckpoint(out('resumed')));
  return { losses: whole.trainLoss, checksums, stateBytes, resumes };
}

async function main(): Promise<void> {
  const ranks = Ranks.join();
  const results: Record<string, Result> = {};
  for (const [i, name] of names.entries()) results[name] = await check(name, `${1 + (i % 2)}`, ranks);
  if (ranks.isFirst) process.stdout.write(JSON.stringify(results));
  await ranks.close();
}

void main();
