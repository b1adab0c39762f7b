import os from 'node:os';
import { parseArgs } from 'node:util';
import { rules, type BenchRule } from './rules';
import { workloads, type Workload } from './workloads';

/** A mistake on the command line; its message is one sentence for the user. */
export class UsageError extends Error {}

export type PeerName = 'torch' | 'js';

export interface BenchOptions {
  readonly rules: readonly BenchRule[];
  readonly sets: readonly Workload[];
  readonly threads: readonly number[];
  readonly rounds: number;
  readonly visitSeconds: number;
  readonly peers: readonly PeerName[];
  readonly hugePages: boolean;
  readonly json: boolean;
  readonly out: string | undefined;
}

export const usage = `Usage: npm run bench -- [options]

Times a step of every optimizer and the machine's own floor for the same reads and writes, in turn.

  --rules a,b      ${[...rules.keys()].join(', ')} (default: all)
  --sets a,b       ${[...workloads.keys()].join(', ')}
                   (default: gpt2,resnet50,1000x1000,100x100; with --vs js also gpt2-mini)
  --threads a,b    numbers, or all (default: 1,all)
  --rounds n       rounds of each measurement (default: 7)
  --vs a,b         also time: torch (fused, foreach, for-loop), js (a plain JavaScript loop)
  --pages kind     pages of the floor's memory: ordinary (default) or huge
  --quick          3 short rounds on gpt2-mini,1000x1000,100x100: seconds, not minutes
  --json           no table, no progress; the result as one line of JSON on standard output
  --out file       where the JSON goes (default: bench/out/<date>.json); the charts go beside it
  --help           this text`;

const options = {
  rules: { type: 'string' },
  sets: { type: 'string' },
  threads: { type: 'string' },
  rounds: { type: 'string' },
  vs: { type: 'string' },
  pages: { type: 'string' },
  quick: { type: 'boolean' },
  json: { type: 'boolean' },
  out: { type: 'string' },
  help: { type: 'boolean' },
} as const;

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    const word = /'([^' <]+)/.exec(message)?.[1] ?? '';
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION' || code === 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL') {
      const known = Object.keys(options).map((name) => `--${name}`);
      throw new UsageError(`Expected one of ${known.join(', ')} but received ${JSON.stringify(word)}.`);
    }
    throw new UsageError(`${message.split(/[.\n]/)[0] ?? message}.`);
  }
}

function words(text: string, option: string): string[] {
  const list = text.split(',').map((word) => word.trim());
  if (list.some((word) => word === '')) {
    throw new UsageError(
      `Expected --${option} to list names between commas but received ${JSON.stringify(text)}.`,
    );
  }
  return [...new Set(list)];
}

function choose<T>(text: string, option: string, known: ReadonlyMap<string, T>): T[] {
  return words(text, option).map((word) => {
    const value = known.get(word);
    if (value === undefined) {
      const names = [...known.keys()].join(', ');
      throw new UsageError(
        `Expected --${option} to name some of ${names} but received ${JSON.stringify(word)}.`,
      );
    }
    return value;
  });
}

const peerNames = new Map<string, PeerName>([
  ['torch', 'torch'],
  ['js', 'js'],
]);

const pageKinds = new Map([
  ['ordinary', false],
  ['huge', true],
]);

const mostThreads = 256;

function whole(text: string, option: string, most: number, instead = ''): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most) {
    throw new UsageError(
      `Expected --${option} to be a whole number from 1 to ${most}${instead} but received ${JSON.stringify(text)}.`,
    );
  }
  return value;
}

/** Reads the command line; `'help'` when that is what was asked for. */
export function parseOptions(
  argv: readonly string[],
  cores = os.availableParallelism(),
): BenchOptions | 'help' {
  const values = parse(argv);
  if (values.help) return 'help';
  const quick = values.quick === true;
  const peers = values.vs === undefined ? [] : choose(values.vs, 'vs', peerNames);
  const usual = quick
    ? 'gpt2-mini,1000x1000,100x100'
    : `gpt2,resnet50,1000x1000,100x100${peers.includes('js') ? ',gpt2-mini' : ''}`;
  const threads = words(values.threads ?? '1,all', 'threads').map((word) =>
    word === 'all' ? cores : whole(word, 'threads', mostThreads, ' or "all"'),
  );
  const pages = choose(values.pages ?? 'ordinary', 'pages', pageKinds);
  if (pages.length > 1) throw new UsageError('Expected --pages to be ordinary or huge but received both.');
  return {
    rules: choose(values.rules ?? [...rules.keys()].join(), 'rules', rules),
    sets: choose(values.sets ?? usual, 'sets', workloads),
    threads: [...new Set(threads)],
    rounds: values.rounds === undefined ? (quick ? 3 : 7) : whole(values.rounds, 'rounds', 10_000),
    visitSeconds: quick ? 0.01 : 0.1,
    peers,
    hugePages: pages[0] === true,
    json: values.json === true,
    out: values.out,
  };
}
