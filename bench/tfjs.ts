/**
 * `npm run bench:tfjs`: the same network of TensorFlow.js trained with tfjs's own Adam and with ours, on its CPU and WASM
 * backends: the optimizer's time and the whole step's. See docs/tfjs.md.
 */
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';
import { Adam, tfOptimizer } from 'fused-optim';
import { describeMachine, watchOthers, type Machine } from './machine';
import { median, ratioByRound, type Spread } from './statistics';
import { align, digits, percent } from './table';

const USAGE = `npm run bench:tfjs -- [options]

  --rounds N      rounds in which the contenders take turns; default 9
  --steps N       steps of a contender in a round; default 5
  --hidden N      width of the two hidden layers; default 512
  --quick         3 rounds of 2 steps, width 32
  --out FILE      where the JSON goes; default bench/out/tfjs-<date>.json
  --json          print the JSON instead of the table`;

const INPUTS = 784;
const OUTPUTS = 10;
const BATCH = 32;
const WARM_UP = 3;
/** Largest difference of two losses after the same steps; the arithmetic differs in rounding only. */
const LOSS_TOLERANCE = 1e-3;

interface Options {
  rounds: number;
  steps: number;
  hidden: number;
  json: boolean;
  out: string;
}

/** One optimizer on a network of its own. */
interface Contender {
  readonly name: string;
  /** Steps, and the milliseconds that one took in the middle: of the optimizer, of everything. */
  run(steps: number): { optimizerMs: number; stepMs: number };
  loss(): number;
  dispose(): void;
}

/** Of one contender on one backend. */
interface Row {
  readonly name: string;
  /** Medians over the rounds. */
  readonly optimizerMs: number;
  readonly stepMs: number;
  readonly rounds: readonly { readonly optimizerMs: number; readonly stepMs: number }[];
  /** tfjs's time as a multiple of this one's, round by round. */
  readonly optimizerTimes: Spread;
  readonly stepTimes: Spread;
  readonly loss: number;
}

interface BackendResult {
  readonly backend: string;
  readonly rows: readonly Row[];
  /** Share of the machine that others used meanwhile. */
  readonly others: number | null;
}

export interface TfjsReport {
  readonly machine: Machine;
  readonly tfjs: string;
  readonly parameters: number;
  readonly batch: number;
  readonly rounds: number;
  readonly stepsPerRound: number;
  readonly backends: readonly BackendResult[];
}

function parse(args: readonly string[]): Options | undefined {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: text, steps: text, hidden: text, out: text, quick: flag, json: flag, help: flag },
  });
  if (values.help) return undefined;
  const count = (name: 'rounds' | 'steps' | 'hidden', fallback: number): number => {
    const value = Number(values[name] ?? fallback);
    if (Number.isInteger(value) && value >= 1) return value;
    throw new RangeError(`Expected --${name} to be a whole number from 1 but received "${values[name]}".`);
  };
  const date = new Date().toISOString().replace(/[:.]/g, '-');
  return {
    rounds: count('rounds', values.quick ? 3 : 9),
    steps: count('steps', values.quick ? 2 : 5),
    hidden: count('hidden', values.quick ? 32 : 512),
    json: values.json ?? false,
    out: path.resolve(values.out ?? path.join(__dirname, 'out', `tfjs-${date}.json`)),
  };
}

/** Any optimizer as tfjs sees it. */
type Trainer = Pick<tf.Optimizer, 'minimize' | 'applyGradients' | 'dispose'>;

const optimizers: Readonly<Record<string, () => Trainer>> = {
  'tfjs Adam': () => tf.train.adam(1e-3, 0.9, 0.999, 1e-7),
  'fused-optim Adam': () => tfOptimizer(tf, Adam, { lr: 1e-3, eps: 1e-7 }),
  'fused-optim Adam, by copies': () => tfOptimizer(tf, Adam, { lr: 1e-3, eps: 1e-7, inPlace: false }),
};

function contender(
  name: string,
  trainer: Trainer,
  hidden: number,
  x: tf.Tensor2D,
  y: tf.Tensor2D,
): Contender {
  const layer = (units: number, index: number, rest: object): tf.layers.Layer =>
    tf.layers.dense({ units, kernelInitializer: tf.initializers.heNormal({ seed: index }), ...rest });
  const model = tf.sequential({
    layers: [
      layer(hidden, 1, { inputShape: [INPUTS], activation: 'relu' }),
      layer(hidden, 2, { activation: 'relu' }),
      layer(OUTPUTS, 3, {}),
    ],
  });
  const variables = model.trainableWeights.map((weight) => tf.engine().registeredVariables[weight.name]!);
  const loss = (): tf.Scalar =>
    tf.losses.softmaxCrossEntropy<tf.Tensor2D, tf.Scalar>(
      y,
      model.apply(x, { training: true }) as tf.Tensor2D,
    );
  let spent = 0;
  const apply = trainer.applyGradients.bind(trainer);
  trainer.applyGradients = (grads) => {
    const start = performance.now();
    apply(grads);
    spent += performance.now() - start;
  };
  return {
    name,
    run(steps) {
      const times = Array.from({ length: steps }, () => {
        spent = 0;
        const start = performance.now();
        tf.tidy(() => void trainer.minimize(loss, false, variables));
        return { optimizerMs: spent, stepMs: performance.now() - start };
      });
      return {
        optimizerMs: median(times.map(({ optimizerMs }) => optimizerMs)),
        stepMs: median(times.map(({ stepMs }) => stepMs)),
      };
    },
    loss: () => tf.tidy(() => loss().dataSync()[0]!),
    dispose: () => {
      trainer.dispose();
      model.dispose();
    },
  };
}

async function measure(backend: string, { rounds, steps, hidden }: Options): Promise<BackendResult> {
  if (!(await tf.setBackend(backend))) throw new Error(`tfjs cannot start its backend ${backend}.`);
  const x = tf.randomUniform<tf.Rank.R2>([BATCH, INPUTS], 0, 1, 'float32', 1);
  const labels = Int32Array.from({ length: BATCH }, (_, i) => i % OUTPUTS);
  const y = tf.tensor2d(
    Float32Array.from({ length: BATCH * OUTPUTS }, (_, i) =>
      Number(labels[Math.floor(i / OUTPUTS)] === i % OUTPUTS),
    ),
    [BATCH, OUTPUTS],
  );
  const contenders = Object.entries(optimizers).map(([name, make]) => contender(name, make(), hidden, x, y));
  const times = contenders.map((): { optimizerMs: number; stepMs: number }[] => []);
  for (const each of contenders) each.run(WARM_UP);
  const others = watchOthers();
  for (let round = 0; round < rounds; ++round) {
    for (let i = 0; i < contenders.length; ++i) {
      const turn = (i + round) % contenders.length;
      times[turn]!.push(contenders[turn]!.run(steps));
    }
  }
  const used = others();
  const losses = contenders.map((each) => each.loss());
  losses.forEach((loss, i) => {
    if (!(Math.abs(loss - losses[0]!) <= LOSS_TOLERANCE))
      throw new Error(
        `Expected the loss of ${contenders[i]!.name} on ${backend} to be ${losses[0]} but it is ${loss}.`,
      );
  });
  const column = (i: number, what: 'optimizerMs' | 'stepMs'): number[] => times[i]!.map((time) => time[what]);
  const rows = contenders.map(({ name }, i): Row => ({
    name,
    optimizerMs: median(column(i, 'optimizerMs')),
    stepMs: median(column(i, 'stepMs')),
    rounds: times[i]!,
    optimizerTimes: ratioByRound(column(0, 'optimizerMs'), column(i, 'optimizerMs')),
    stepTimes: ratioByRound(column(0, 'stepMs'), column(i, 'stepMs')),
    loss: losses[i]!,
  }));
  for (const each of contenders) each.dispose();
  tf.dispose([x, y]);
  return { backend, rows, others: used };
}

export function table({
  machine,
  tfjs,
  parameters,
  batch,
  rounds,
  stepsPerRound,
  backends,
}: TfjsReport): string {
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.isa}, ${machine.os}, Node ${machine.node}, tfjs ${tfjs}, ` +
      `commit ${machine.commit ?? 'unknown'}, ${machine.date}`,
    `An MLP of ${parameters.toLocaleString('en')} parameters, batches of ${batch}; medians of ${rounds} rounds in turn, ` +
      `${stepsPerRound} steps each.`,
  ];
  for (const { backend, rows, others } of backends) {
    const head = [
      '',
      'optimizer ms',
      'whole step ms',
      'optimizer: times as fast',
      'whole step: times as fast',
    ];
    const body = rows.map(({ name, optimizerMs, stepMs, optimizerTimes, stepTimes }) => [
      name,
      digits(optimizerMs),
      digits(stepMs),
      digits(optimizerTimes.median),
      digits(stepTimes.median),
    ]);
    const load = others === null ? '' : `, others used ${percent(others)} of the machine`;
    lines.push('', `${backend}${load}`, ...align([head, ...body]).map((line) => `  ${line}`));
  }
  return lines.join('\n');
}

export async function main(args: readonly string[]): Promise<TfjsReport | undefined> {
  const options = parse(args);
  if (!options) {
    console.log(USAGE);
    return undefined;
  }
  tf.enableProdMode(); // no advice on the console
  const backends: BackendResult[] = [];
  for (const backend of ['cpu', 'wasm']) backends.push(await measure(backend, options));
  const { hidden, rounds, steps } = options;
  const report: TfjsReport = {
    machine: describeMachine(),
    tfjs: tf.version.tfjs,
    parameters: (INPUTS + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * OUTPUTS,
    batch: BATCH,
    rounds,
    stepsPerRound: steps,
    backends,
  };
  fs.mkdirSync(path.dirname(options.out), { recursive: true });
  fs.writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
  console.log(
    options.json ? JSON.stringify(report) : `${table(report)}\n\n${path.relative('.', options.out)}`,
  );
  return report;
}

if (require.main === module) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error((error as Error).message);
    process.exitCode = 1;
  });
}
