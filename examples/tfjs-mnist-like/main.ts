/** `npm run demo:tfjs`: trains a network of TensorFlow.js on drawn digits; see README.md here. */
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { Random } from '../gpt/random';
import { CLASSES, drawDigits, picture, PIXELS, type Digits } from './digits';
import { createModel, createOptimizer, load, save } from './model';
import { HELP, parseOptions, UsageError, type Options } from './options';

const BATCH = 64;
const TRAIN = 4000;
const TEST = 1000;

interface Result {
  optimizer: string;
  backend: string;
  /** Taken in all, those before --resume included. */
  steps: number;
  firstLoss: number;
  /** Mean of the last ten steps. */
  trainLoss: number;
  /** Share of digits it has never seen that it reads. */
  testAccuracy: number;
  /** Milliseconds of the middle step. */
  stepMs: number;
  /** Tensors more after training than before: 0. */
  tensorsLeft: number;
}

/** The batch of a step depends on the seed and the step alone, so that a run that is resumed sees the same. */
function batch(
  { images, labels, count }: Digits,
  seed: number,
  step: number,
): { x: tf.Tensor2D; y: tf.Tensor2D } {
  const random = new Random(seed, 1_000_000 + step);
  const x = new Float32Array(BATCH * PIXELS);
  const y = new Float32Array(BATCH * CLASSES);
  for (let i = 0; i < BATCH; ++i) {
    const index = random.below(count);
    x.set(images.subarray(index * PIXELS, (index + 1) * PIXELS), i * PIXELS);
    y[i * CLASSES + labels[index]!] = 1;
  }
  return { x: tf.tensor2d(x, [BATCH, PIXELS]), y: tf.tensor2d(y, [BATCH, CLASSES]) };
}

function predictions(model: tf.LayersModel, { images, count }: Digits): Int32Array {
  return tf.tidy(() => {
    const output = model.predict(tf.tensor2d(images, [count, PIXELS])) as tf.Tensor2D;
    return Int32Array.from(tf.argMax(output, 1).dataSync());
  });
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

async function train(options: Options, say: (line: string) => void): Promise<Result> {
  tf.enableProdMode(); // no advice on the console
  if (!(await tf.setBackend(options.backend)))
    throw new Error(`tfjs cannot start its backend ${options.backend}.`);
  const [digits, test] = [drawDigits(TRAIN, 1), drawDigits(TEST, 2)];
  const model = createModel(options.seed);
  const optimizer = createOptimizer(options);
  if (options.resume) await load(options.resume, model, optimizer);
  model.compile({ optimizer, loss: 'categoricalCrossentropy' });
  say(`${options.optimizer} on ${options.backend}, ${model.countParams().toLocaleString('en')} parameters.`);

  const before = tf.memory().numTensors;
  const losses: number[] = [];
  const times: number[] = [];
  for (let i = 0; i < options.steps; ++i) {
    const { x, y } = batch(digits, options.seed, optimizer.iterations);
    const start = performance.now();
    losses.push((await model.trainOnBatch(x, y)) as number);
    times.push(performance.now() - start);
    tf.dispose([x, y]);
    if ((i + 1) % 50 === 0) say(`step ${optimizer.iterations}: loss ${mean(losses.slice(-50)).toFixed(4)}`);
  }
  const tensorsLeft = tf.memory().numTensors - before;
  if (options.out) await save(options.out, model, optimizer);

  const read = predictions(model, test);
  const right = read.filter((digit, i) => digit === test.labels[i]).length;
  const wrong = read.findIndex((digit, i) => digit !== test.labels[i]);
  const shown = wrong < 0 ? 0 : wrong;
  say(`\n${picture(test, shown)}\n\na ${test.labels[shown]}, read as ${read[shown]}`);
  return {
    optimizer: options.optimizer,
    backend: options.backend,
    steps: optimizer.iterations,
    firstLoss: losses[0]!,
    trainLoss: mean(losses.slice(-10)),
    testAccuracy: right / test.count,
    stepMs: times.sort((a, b) => a - b)[times.length >> 1]!,
    tensorsLeft,
  };
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (!options) {
      console.log(HELP);
      return 0;
    }
    const result = await train(options, (line) => options.json || console.log(line));
    if (options.json) console.log(JSON.stringify(result));
    else {
      const { testAccuracy, stepMs, trainLoss } = result;
      const percent = (100 * testAccuracy).toFixed(1);
      console.log(
        `loss ${trainLoss.toFixed(4)}, ${percent} % of ${TEST} new digits, ${stepMs.toFixed(1)} ms a step`,
      );
    }
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(error.message);
      return 2;
    }
    throw error;
  }
}

void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
