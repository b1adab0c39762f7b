/** The command line: what may be asked for, and one sentence for everything else. */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { closest, distance } from 'fastest-levenshtein';
import { checkpointPath } from './checkpoint';
import { optimizerName, optimizerNames, SETTINGS, STATE_DTYPES, type StateDType } from './optimizers';

/** The learning rate ends its decay here, and a run without --steps ends here too. */
export const DEFAULT_STEPS = 1000;

export interface Options {
  /** Not given: AdamW, or the checkpoint's. */
  optimizer: string | undefined;
  /** Not given: DEFAULT_STEPS, or what a checkpoint beyond that has done. */
  steps: number | undefined;
  lr: number | undefined;
  horizon: number | undefined;
  seed: number | undefined;
  /** Not given: float32, or the checkpoint's. */
  stateDtype: StateDType | undefined;
  out: string;
  /** Train together with the other processes that mpirun has started. */
  dataParallel: boolean;
  /** What becomes of gradients then, as in ShardedOptions. */
  stage: 1 | 2;
  /** The checkpoint to go on from. */
  resume: string | undefined;
  json: boolean;
  /** Train with AdamW and with Muon, and compare. */
  compare: boolean;
  /** Find the learning rates of that comparison. */
  sweep: boolean;
}

export const DEFAULTS = {
  optimizer: 'AdamW',
  horizon: DEFAULT_STEPS,
  seed: 1,
  out: path.join(__dirname, 'out'),
};

/** A mistake on the command line; the message is all there is to say about it. */
export class UsageError extends Error {}

const SPEC = {
  optimizer: { type: 'string' },
  steps: { type: 'string' },
  lr: { type: 'string' },
  horizon: { type: 'string' },
  seed: { type: 'string' },
  'state-dtype': { type: 'string' },
  out: { type: 'string' },
  resume: { type: 'string' },
  'data-parallel': { type: 'boolean' },
  stage: { type: 'string' },
  json: { type: 'boolean' },
  compare: { type: 'boolean' },
  sweep: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

export function helpText(): string {
  const rates = Object.entries(SETTINGS).map(([name, { lr }], i, all) => {
    const separator = i === all.length - 1 ? '' : i % 5 === 4 ? ',\n                    ' : ', ';
    return `${name} ${lr}${separator}`;
  });
  return `Trains a small GPT on the TypeScript compiler's declaration files, its weights updated by fused-optim.

  npm run demo -- [options]

  --optimizer NAME  ${optimizerNames().join(', ')}
                    (default ${DEFAULTS.optimizer}; upper or lower case; Lookahead is one around AdamW)
  --steps N         train until step N in all (default ${DEFAULT_STEPS})
  --lr X            peak learning rate (default ${rates.join('')})
  --horizon N       the step at which the learning rate has come down to a tenth (default ${DEFAULTS.horizon})
  --resume [PATH]   go on from a checkpoint: that of the output folder, or a file or folder
  --seed N          of the first weights, the batches and the sample (default ${DEFAULTS.seed})
  --state-dtype T   what the optimizer keeps its state in: ${STATE_DTYPES.join(', ')} (default float32)
  --out DIR         where the checkpoint and the charts go (default examples/gpt/out)
  --data-parallel   train together with the other processes of: mpirun -n 2 node scripts/demo.js --data-parallel
  --stage S         then every rank gets all gradients (1), or those of what it updates (2) (default 1)
  --compare         train with AdamW and with Muon, and compare the steps and seconds to the same loss
  --sweep           try the learning rates that --compare uses, and write examples/gpt/sweep.json (takes an hour)
  --json            no progress bar; the last line of the output is one JSON object
  --help            this text`;
}

function number(
  name: string,
  text: string | undefined,
  expected: string,
  fits: (value: number) => boolean,
): number | undefined {
  if (text === undefined) return undefined;
  const value = text.trim() === '' ? NaN : Number(text);
  if (!fits(value)) throw new UsageError(`Expected --${name} to be ${expected} but received "${text}".`);
  return value;
}

/** `--resume` may stand alone, which parseArgs does not know: a bare one gets an empty value. */
function giveResumeAValue(argv: readonly string[]): string[] {
  return argv.flatMap((argument, i) => {
    const next = argv[i + 1];
    const bare = argument === '--resume' && (next === undefined || next.startsWith('-'));
    return bare ? ['--resume='] : [argument];
  });
}

function parse(
  argv: readonly string[],
): { [K in keyof typeof SPEC]?: string | boolean } & { help?: boolean } {
  try {
    return parseArgs({ args: giveResumeAValue(argv), options: SPEC, strict: true }).values;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const [, given = ''] = /'(.*?)'/.exec(message) ?? [];
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
      const name = given.replace(/^-+/, '');
      const near = closest(name, Object.keys(SPEC));
      const guess = distance(name, near) <= name.length / 2 ? `; did you mean --${near}?` : ';';
      throw new UsageError(`Unknown option "${given}"${guess} --help lists the options.`);
    }
    if (code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
      throw new UsageError(
        `Unexpected argument "${given}"; options look like this: npm run demo -- --steps 200`,
      );
    }
    if (code !== 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE') throw error;
    const what =
      SPEC[given.replace(/^--| .*$/g, '') as keyof typeof SPEC]?.type === 'boolean' ? 'no value' : 'a value';
    throw new UsageError(`Expected ${given.replace(/ .*$/, '')} to have ${what}; --help lists the options.`);
  }
}

/** Comparisons choose their optimizers and rates themselves, and begin with step 1. */
function checkTogether(values: Readonly<Record<string, unknown>>): void {
  const excluded = {
    compare: ['optimizer', 'lr', 'horizon', 'state-dtype', 'resume', 'sweep', 'data-parallel'],
    sweep: ['lr', 'horizon', 'state-dtype', 'resume', 'out', 'json', 'data-parallel'],
  };
  for (const [mode, others] of Object.entries(excluded)) {
    const other = values[mode] === true && others.find((name) => values[name] !== undefined);
    if (other) throw new UsageError(`Expected --${mode} to be without --${other}; --help lists the options.`);
  }
  if (values.stage !== undefined && values['data-parallel'] !== true) {
    throw new UsageError('Expected --stage to be with --data-parallel; --help lists the options.');
  }
  if (!['1', '2', undefined].includes(values.stage as string | undefined)) {
    throw new UsageError(`Expected --stage to be 1 or 2 but received "${String(values.stage)}".`);
  }
}

/** The options, or undefined when only the help text was asked for. */
export function parseOptions(argv: readonly string[]): Options | undefined {
  const values = parse(argv) as { [name: string]: string | undefined } & {
    [name in 'compare' | 'data-parallel' | 'help' | 'json' | 'sweep']?: boolean;
  };
  if (values.help) return undefined;
  const whole = (least: number) => (value: number) => Number.isSafeInteger(value) && value >= least;

  let optimizer: string | undefined;
  if (values.optimizer !== undefined) {
    optimizer = optimizerName(values.optimizer);
    const names = optimizerNames();
    if (!optimizer) {
      throw new UsageError(
        `Expected --optimizer to be one of ${names.join(', ')} but received "${values.optimizer}".`,
      );
    }
  }
  const given = values['state-dtype'];
  const stateDtype = STATE_DTYPES.find((dtype) => dtype === given);
  if (given !== undefined && !stateDtype) {
    throw new UsageError(
      `Expected --state-dtype to be one of ${STATE_DTYPES.join(', ')} but received "${given}".`,
    );
  }
  const out = path.resolve(values.out ?? DEFAULTS.out);
  checkTogether(values);
  return {
    optimizer,
    steps: number('steps', values.steps, 'a whole number from 1', whole(1)),
    lr: number('lr', values.lr, 'a positive number', (value) => value > 0 && Number.isFinite(value)),
    horizon: number('horizon', values.horizon, 'a whole number from 1', whole(1)),
    seed: number(
      'seed',
      values.seed,
      'a whole number from 0 to 2147483647',
      (v) => whole(0)(v) && v < 2 ** 31,
    ),
    stateDtype,
    out,
    dataParallel: values['data-parallel'] ?? false,
    stage: values.stage === '2' ? 2 : 1,
    resume:
      values.resume === undefined
        ? undefined
        : checkpointPath(values.resume === '' ? out : path.resolve(values.resume)),
    json: values.json ?? false,
    compare: values.compare ?? false,
    sweep: values.sweep ?? false,
  };
}
