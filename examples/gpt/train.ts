/**
 * Trains the GPT: onnxruntime computes the loss and the gradients, fused-optim updates the weights in place.
 * Run by scripts/demo.js (`npm run demo`), or `node -r ts-node/register/transpile-only examples/gpt/train.ts`.
 */
import path from 'node:path';
import { backends } from 'fused-optim';
import { CHECKPOINT_FILE } from './checkpoint';
import { compare } from './compare';
import { readCorpus, type Corpus } from './data';
import { helpText, parseOptions, UsageError, type Options } from './options';
import { Ranks } from './ranks';
import { report, resumeHint } from './report';
import { advance, begin, mean, save, speed, type Run, type Timing } from './run';
import { validate } from './sample';
import { Screen } from './screen';
import { runSweep } from './tune';

const SAVE_EVERY = 250;
const VALIDATE_EVERY = 100;

/** Trains up to the last step; false when a signal stopped it, on any rank. Either way the checkpoint is saved. */
async function train(
  run: Run,
  corpus: Corpus,
  options: Options,
  screen: Screen,
  timing: Timing,
): Promise<boolean> {
  const { model, trainLoss, validation, ranks } = run;
  const checkpoint = path.join(options.out, CHECKPOINT_FILE);
  ranks.listen();
  screen.start(trainLoss.length);
  try {
    while (trainLoss.length < run.steps && !ranks.stopped) {
      const start = performance.now();
      timing.optimizer += await advance(run, run.settings.seed, corpus.train);
      timing.total += (performance.now() - start) / 1000;
      timing.steps++;
      const step = trainLoss.length;
      const score = step % VALIDATE_EVERY === 0;
      if (score && ranks.isFirst) validation.push({ step, loss: await validate(model, corpus) });
      if (step % SAVE_EVERY === 0) await save(run, checkpoint);
      screen.update(
        {
          step,
          trainLoss: mean(trainLoss.slice(-20)),
          validationLoss: validation.at(-1)?.loss,
          ...speed(run, timing),
        },
        score,
      );
    }
    await save(run, checkpoint);
  } finally {
    screen.stop();
    ranks.ignore();
  }
  return !ranks.stopped;
}

async function run(options: Options, ranks: Ranks): Promise<number> {
  const state = await begin(options, ranks);
  const { model, settings, threads } = state;
  const corpus = readCorpus();
  const { optimizer } = settings;
  const { json, dataParallel: plain } = options;
  const screen = new Screen({ optimizer, steps: state.steps, json, silent: !ranks.isFirst, plain });
  const { isa } = backends().cpu;
  const count = (value: number): string => value.toLocaleString('en');
  screen.line(`Text: ${count(corpus.train.length)} characters to learn, ${count(corpus.validation.length)} held out, \
from ${corpus.files} files; unigram entropy ${corpus.unigramEntropy.toFixed(3)} nats per character.
Model: ${count(model.parameters)} parameters in ${model.weights.length} tensors; ${optimizer} \
on ${isa}, ${count(threads)} thread${threads === 1 ? '' : 's'}${options.dataParallel ? ` of each of ${ranks.size} ranks` : ''}.`);
  if (state.routing !== undefined) screen.line(`Where Muon sends what:\n${state.routing}`);
  const timing = { steps: 0, total: 0, optimizer: 0 };
  try {
    const first = state.trainLoss.length;
    if (first > 0) screen.line(`Going on from step ${first} of "${options.resume}".`);
    if (!(await train(state, corpus, options, screen, timing))) {
      screen.line(
        `Stopped after step ${state.trainLoss.length}; the checkpoint is saved, go on with ${resumeHint(options)}.`,
      );
      return 130;
    }
    await report(state, corpus, options, screen, timing);
    return 0;
  } finally {
    state.optimizer.dispose();
    await model.release();
  }
}

/**
 * The whole program; resolves to the exit code. `prepare` is called once the command line has been understood and
 * before anything else, with the options; of several ranks by the first, and the others wait for it.
 */
export async function main(argv: readonly string[], prepare?: (options: Options) => void): Promise<number> {
  let ranks = Ranks.alone();
  try {
    // Before the options are read: of a mistake in them the first rank alone speaks.
    if (argv.includes('--data-parallel') && !argv.includes('--help')) ranks = Ranks.join();
    const options = parseOptions(argv);
    if (!options) {
      process.stdout.write(`${helpText()}\n`);
      return 0;
    }
    if (ranks.isFirst) prepare?.(options);
    await ranks.barrier();
    if (options.compare) return await compare(options);
    if (options.sweep) return await runSweep(options);
    const code = await run(options, ranks);
    // The first rank still has to save and to report.
    await ranks.barrier();
    await ranks.close();
    return code;
  } catch (error) {
    await ranks.complain(error instanceof Error ? error.message : String(error));
    return error instanceof UsageError ? 2 : 1;
  }
}

if (require.main === module) {
  void main(process.argv.slice(2)).then((code) => {
    process.exitCode = code;
  });
}
