import os from 'node:os';
import { parseArgs } from 'node:util';
import { rules, type BenchRule } from './rules';
import { workloads, type Workload } from './workloads';

/** A mistake on the command line; its message is one sentence for the user. */
export class UsageError extends Error {}

/** The options on a command line; or the exit code, after showing `usage` or saying what is wrong. */
export function commandLine<T extends object>(
  parse: (argv: readonly string[]) => T | 'help',
  argv: readonly string[],
  usage: string,
  { out, note }: { readonly out: (text: string) => void; readonly note: (text: string) => void },
): T | number {
  try {
    const options = parse(argv);
    if (options !== 'help') return options;
    out(usage);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    note(error.message);
    return 2;
  }
}

export type PeerName = 'torch' | 'js';

export interface BenchOptions {
  /** Sets that have a rule to measure, with their rules. */
  readonly sets: readonly { readonly set: Workload; readonly rules: readonly BenchRule[] }[];
  readonly threads: readonly number[];
  readonly rounds: number;
  readonly visitSeconds: number;
  readonly peers: readonly PeerName[];
  readonly hugePages: boolean;
  /** Measure bfloat16 products of torch where they are emulated too. */
  readonly slow: boolean;
  readonly json: boolean;
  readonly out: string | undefined;
}

export const usage = `Usage: npm run bench -- [options]

Times a step of every optimizer and the machine's own floor for the same reads and writes, in turn.

  --rules a,b      ${[...rules.keys()].join(', ')} (default: all)
  --sets a,b       ${[...workloads.keys()].join(', ')}
                   (default: gpt2,resnet50,1000x1000,100x100; with --vs js also gpt2-mini)
                   Sets of matrices are for Muon's rules, and the others for all other rules
  --threads a,b    numbers, or all (default: 1,all)
  --rounds n       rounds of each measurement (default: 7)
  --vs a,b         also time: torch (fused, foreach, for-loop), js (a plain JavaScript loop)
  --muon           short for --rules muon,… --sets gpt2-layer --vs torch
  --slow           torch's bfloat16 products even where it has no instructions for them: minutes a step
  --pages kind     pages of the floor's memory: ordinary (default) or huge
  --quick          3 short rounds on gpt2-mini,1000x1000,100x100,matrices-mini: a minute
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
  muon: { type: 'boolean' },
  slow: { type: 'boolean' },
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

/** Unless they are named, what a step does besides is not measured on the largest sets: it would say the same. */
const mostForVariants = 50_000_000;

function cellsOf(
  chosen: readonly BenchRule[],
  sets: readonly Workload[],
  named: boolean,
): BenchOptions['sets'] {
  const cells = sets.map((set) => ({
    set,
    rules: chosen.filter(
      ({ products, plain }) =>
        (products !== undefined) === (set.matrices === true) &&
        (named || plain === undefined || set.parameters <= mostForVariants),
    ),
  }));
  const empty = cells.find((cell) => named && cell.rules.length === 0);
  if (empty) {
    const which = empty.set.matrices ? "Muon's rules, and no others," : 'rules other than Muon';
    throw new UsageError(`Expected --rules to name ${which} for the set ${empty.set.name}.`);
  }
  return cells.filter((cell) => cell.rules.length > 0);
}

/** Reads the command line; `'help'` when that is what was asked for. */
export function parseOptions(
  argv: readonly string[],
  cores = os.availableParallelism(),
): BenchOptions | 'help' {
  const values = parse(argv);
  if (values.help) return 'help';
  const quick = values.quick === true;
  const muon = values.muon === true;
  const vs = values.vs ?? (muon ? 'torch' : undefined);
  const peers = vs === undefined ? [] : choose(vs, 'vs', peerNames);
  const large = muon
    ? 'gpt2-layer'
    : `gpt2,resnet50,1000x1000,100x100${peers.includes('js') ? ',gpt2-mini' : ''}`;
  const small = muon ? 'matrices-mini' : 'gpt2-mini,1000x1000,100x100,matrices-mini';
  const usual = [...rules.values()].filter(({ products }) => !muon || products).map(({ name }) => name);
  const threads = words(values.threads ?? '1,all', 'threads').map((word) =>
    word === 'all' ? cores : whole(word, 'threads', mostThreads, ' or "all"'),
  );
  const pages = choose(values.pages ?? 'ordinary', 'pages', pageKinds);
  if (pages.length > 1) throw new UsageError('Expected --pages to be ordinary or huge but received both.');
  return {
    sets: cellsOf(
      choose(values.rules ?? usual.join(), 'rules', rules),
      choose(values.sets ?? (quick ? small : large), 'sets', workloads),
      values.rules !== undefined,
    ),
    threads: [...new Set(threads)],
    rounds: values.rounds === undefined ? (quick ? 3 : 7) : whole(values.rounds, 'rounds', 10_000),
    visitSeconds: quick ? 0.01 : 0.1,
    peers,
    hugePages: pages[0] === true,
    slow: values.slow === true,
    json: values.json === true,
    out: values.out,
  };
}
