/** The end of a run: the model scored on held-out text, the loss curves, and a text that it writes. */
import path from 'node:path';
import { writeLossChart } from './chart';
import { CHECKPOINT_FILE } from './checkpoint';
import type { Corpus } from './data';
import { DEFAULTS, type Options } from './options';
import { mean, speed, type Run, type Timing } from './run';
import { sample, validate } from './sample';
import type { Screen } from './screen';

/** The reported training loss is the mean over this many last steps. */
const RECENT = 50;
const SAMPLE = { prompt: 'interface ', length: 600, temperature: 0.7 };

/** What to type to go on from here. */
export function resumeHint({ out }: Options): string {
  return out === DEFAULTS.out ? '--resume' : `--resume --out ${out}`;
}

/** Scores and shows the trained model. */
export async function report(
  run: Run,
  corpus: Corpus,
  options: Options,
  screen: Screen,
  timing: Timing,
): Promise<void> {
  const { model, settings, trainLoss, ranks } = run;
  // All ranks take part in these; the rest is the first one's.
  const checksums = await ranks.checksums(model.weights.map(({ data }) => data));
  const stateBytes = await ranks.numbers(run.optimizer.stateBytes());
  const other = checksums.findIndex((checksum) => checksum !== checksums[0]);
  if (other >= 0)
    throw new Error(`Expected all ranks to end with the same weights but those of rank ${other} differ.`);
  if (!ranks.isFirst) return;
  const step = trainLoss.length;
  const { unigramEntropy } = corpus;
  const trainLossNow = mean(trainLoss.slice(-RECENT));
  const scored = run.validation.at(-1)?.step === step;
  const validation = scored
    ? run.validation
    : [...run.validation, { step, loss: await validate(model, corpus) }];
  const valLoss = validation.at(-1)?.loss ?? NaN;
  const chart = path.join(options.out, 'loss');
  await writeLossChart({ optimizer: settings.optimizer, trainLoss, validation }, unigramEntropy, chart);
  const { tokensPerSecond, optimizerShare } = speed(run, timing);
  if (options.json) {
    const result = {
      optimizer: settings.optimizer,
      steps: step,
      parameters: model.parameters,
      stateBytes: stateBytes[0],
      ...(options.dataParallel && {
        ranks: ranks.size,
        stage: options.stage,
        stateBytesOfRanks: stateBytes,
        weightsOfRanks: checksums,
      }),
      trainLoss: trainLossNow,
      valLoss,
      unigramEntropy,
      tokensPerSecond,
      optimizerShare,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return;
  }
  const text = await sample(model, SAMPLE.prompt, SAMPLE.length, { seed: settings.seed, ...SAMPLE });
  const speedLine =
    timing.steps === 0
      ? 'No step was left to do.'
      : `${timing.steps} steps in ${timing.total.toFixed(0)} s: ` +
        `${Math.round(tokensPerSecond).toLocaleString('en')} tokens/s, ` +
        `${settings.optimizer} took ${(100 * optimizerShare).toFixed(1)} % of the time.`;
  const megabytes = stateBytes.map((bytes) => (bytes / 2 ** 20).toFixed(1)).join(' + ');
  const agreed = options.dataParallel
    ? `\nThe weights of all ${ranks.size} ranks have the SHA-256 ${checksums[0]!.slice(0, 16)}….`
    : '';
  screen.line(`
Step ${step}: training loss ${trainLossNow.toFixed(3)}, validation loss ${valLoss.toFixed(3)}, \
unigram entropy ${unigramEntropy.toFixed(3)} nats per character.
${speedLine} Its state takes ${megabytes} MiB.${agreed}

The model writes:

${text.replace(/^/gm, '    ')}

Loss curves: ${chart}.svg, ${chart}.png
Checkpoint:  ${path.join(options.out, CHECKPOINT_FILE)} (go on with ${resumeHint(options)} --steps N)`);
}
