import { parseArgs } from 'node:util';
import { UsageError } from '../options';
import { parts, type Part } from './cases';

export interface GpuOptions {
  readonly parts: readonly Part[];
  readonly quick: boolean;
  /** A stand-in may play the GPU. */
  readonly standIn: boolean;
  readonly torch: boolean;
  /** Seconds after which nothing new is begun. */
  readonly budget: number;
  readonly out: string | undefined;
  readonly json: boolean;
}

export const usage = `Usage: npm run bench:gpu -- [options]

Times steps on the first NVIDIA GPU, beside PyTorch in the same run where Python has it.

  --only a,b       parts of it: ${parts.join(', ')}
  --quick          fewer samples, and no models above 500 million parameters
  --no-torch       ours alone
  --budget n       seconds after which nothing new is begun (default: 540)
  --stand-in       runs tiny sets on a GPU that is played by this processor: tries the benchmark, measures nothing
  --json           no table; the result as one line of JSON on standard output
  --out file       where the JSON goes (default: bench/results/<date>-<device>-gpu.json); the table goes beside it
  --help           this text`;

const options = {
  only: { type: 'string' },
  quick: { type: 'boolean' },
  'no-torch': { type: 'boolean' },
  budget: { type: 'string' },
  'stand-in': { type: 'boolean' },
  json: { type: 'boolean' },
  out: { type: 'string' },
  help: { type: 'boolean' },
} as const;

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(/[.\n]/)[0]!}.`);
  }
}

function chosen(text: string): Part[] {
  return text.split(',').map((word) => {
    const part = parts.find((each) => each === word.trim());
    if (part) return part;
    const known = parts.join(', ');
    throw new UsageError(`Expected --only to name some of ${known} but received ${JSON.stringify(word)}.`);
  });
}

/** Reads the command line; `'help'` when that is what was asked for. */
export function parseGpuOptions(argv: readonly string[]): GpuOptions | 'help' {
  const values = parse(argv);
  if (values.help) return 'help';
  const budget = Number(values.budget ?? 540);
  if (!(budget > 0)) {
    throw new UsageError(
      `Expected --budget to be seconds above 0 but received ${JSON.stringify(values.budget)}.`,
    );
  }
  return {
    parts: values.only === undefined ? parts : chosen(values.only),
    quick: values.quick === true,
    standIn: values['stand-in'] === true,
    torch: values['no-torch'] !== true,
    budget,
    out: values.out,
    json: values.json === true,
  };
}
