/**
 * `npm run bench:sharded`: Sharded on ranks of mpirun, beside the optimizer in one process and beside DistributedData: state
 * of a rank, time of a step, bytes sent. bench/README.md says how it is measured.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { describeMachine, type Machine } from './machine';
import { commandLine, UsageError } from './options';
import { makes, type Cell, type Task } from './sharded-rank';
import { median, ratioByRound } from './statistics';
import { align, digits } from './table';
import { workloads } from './workloads';

const usage = `Usage: npm run bench:sharded -- [options]

  --set NAME         ${[...workloads.keys()].join(', ')} (default: gpt2-mini)
  --optimizers a,b   ${[...makes.keys()].join(', ')} (default: all)
  --ranks a,b        numbers of ranks (default: 1,2,4)
  --rounds N         rounds in which all take turns (default: 7)
  --quick            2 short rounds on the set "tiny", 2 ranks
  --out FILE         where the JSON goes (default: bench/out/sharded-<date>.json)
  --json             print the JSON instead of the table
  --help             this text`;

const SPEC = {
  set: { type: 'string' },
  optimizers: { type: 'string' },
  ranks: { type: 'string' },
  rounds: { type: 'string' },
  quick: { type: 'boolean' },
  out: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

interface Options {
  readonly set: string;
  readonly optimizers: readonly string[];
  readonly ranks: readonly number[];
  readonly rounds: number;
  readonly visitSeconds: number;
  readonly out: string | undefined;
  readonly json: boolean;
}

export interface ShardedReport {
  readonly schema: 1;
  readonly machine: Machine;
  /** Of a minute, before and after: who else was busy is part of what was measured. */
  readonly load: readonly [before: number, after: number];
  readonly launcher: string;
  readonly settings: Omit<Options, 'out' | 'json'>;
  readonly cells: readonly Cell[];
}

function whole(name: string, text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new UsageError(`Expected --${name} to be a whole number from 1 to 9999 but received "${text}".`);
}

function oneOf(name: string, known: Iterable<string>, text: string): string {
  const names = [...known];
  if (names.includes(text)) return text;
  throw new UsageError(`Expected --${name} to name some of ${names.join(', ')} but received "${text}".`);
}

export function parseOptions(argv: readonly string[]): Options | 'help' {
  let values;
  try {
    ({ values } = parseArgs({ args: [...argv], options: SPEC }));
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(/[.\n]/)[0]!}.`);
  }
  if (values.help) return 'help';
  const { quick = false } = values;
  return {
    set: oneOf('set', workloads.keys(), values.set ?? (quick ? 'tiny' : 'gpt2-mini')),
    optimizers: (values.optimizers ?? [...makes.keys()].join()).split(',').map((name) => {
      return oneOf('optimizers', makes.keys(), name);
    }),
    ranks: (values.ranks ?? (quick ? '2' : '1,2,4')).split(',').map((text) => whole('ranks', text)),
    rounds: whole('rounds', values.rounds ?? (quick ? '2' : '7')),
    visitSeconds: quick ? 0.001 : 0.2,
    out: values.out,
    json: values.json ?? false,
  };
}

function launch(ranks: number, task: Task): Cell[] {
  const program = ['-r', 'ts-node/register/transpile-only', path.join(__dirname, 'sharded-rank.ts')];
  const args = ['--oversubscribe', '-n', `${ranks}`, process.execPath, ...program, JSON.stringify(task)];
  const { status, stdout, error } = spawnSync('mpirun', args, {
    encoding: 'utf8',
    // Named, since a test's is another object than what children would inherit.
    env: process.env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error) throw new Error(`mpirun could not be started: ${error.message}`, { cause: error });
  if (status !== 0) throw new Error(`mpirun of ${ranks} ranks ended with status ${status}.`);
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Cell);
}

export function table({ machine, load, settings, cells, launcher }: ShardedReport): string {
  const { parameters, description } = workloads.get(settings.set)!;
  const mega = (bytes: number): string => digits(bytes / 1e6);
  const time = (own: readonly number[], alone: readonly number[]): string =>
    `${digits(1e3 * median(own))} (${digits(ratioByRound(own, alone).median)})`;
  const rows = cells.map((cell) => {
    const { alone, stateBytes, aloneStateBytes, sentBytes } = cell;
    const most = Math.max(...stateBytes);
    return [
      cell.optimizer,
      `${cell.ranks}`,
      mega(most),
      digits((most * cell.ranks) / aloneStateBytes),
      digits(1e3 * median(alone)),
      time(cell.stage1, alone),
      time(cell.stage2, alone),
      time(cell.replicated, alone),
      mega(sentBytes.stage1),
      mega(sentBytes.stage2),
      mega(sentBytes.replicated),
    ];
  });
  const head = [
    ...['optimizer', 'ranks', 'state MB', 'of 1/N', 'alone ms', 'stage 1', 'stage 2', 'replicated'],
    ...['sent 1 MB', 'sent 2', 'replicated'],
  ];
  return [
    `${settings.set}: ${description}; ${parameters.toLocaleString('en')} parameters, ${settings.rounds} rounds`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.isa}, Node ${machine.node}, ${launcher}, ${machine.date}; ` +
      `load ${load.map((value) => value.toFixed(1)).join(' to ')}`,
    ...align([head, ...rows]).map((line) => `  ${line}`),
    'State and bytes sent in a step: of the largest rank. In brackets: time over that of one process with all cores.',
  ].join('\n');
}

/** The exit code: 0, or 2 for a mistake on the command line. */
export function main(
  argv: readonly string[],
  out: (text: string) => void = console.log,
  note: (text: string) => void = console.error,
): number {
  const options = commandLine(parseOptions, argv, usage, { out, note });
  if (typeof options === 'number') return options;
  const { out: file, json, ...settings } = options;
  const machine = describeMachine();
  const before = os.loadavg()[0]!;
  const launcher = spawnSync('mpirun', ['--version'], { encoding: 'utf8' }).stdout?.split('\n')[0] ?? '';
  const { set, optimizers, rounds, visitSeconds } = settings;
  const cells = settings.ranks.flatMap((ranks) => {
    const threads = { alone: machine.cores, rank: Math.max(1, Math.floor(machine.cores / ranks)) };
    return launch(ranks, { set, optimizers, rounds, visitSeconds, threads });
  });
  cells.sort((a, b) => optimizers.indexOf(a.optimizer) - optimizers.indexOf(b.optimizer));
  const load = [before, os.loadavg()[0]!] as const;
  const report: ShardedReport = { schema: 1, machine, load, launcher, settings, cells };
  const name = `sharded-${machine.date.slice(0, 19).replace(/[:T]/g, '-')}.json`;
  const place = file ?? path.join(__dirname, 'out', name);
  fs.mkdirSync(path.dirname(path.resolve(place)), { recursive: true });
  fs.writeFileSync(place, `${JSON.stringify(report, null, 2)}\n`);
  out(json ? JSON.stringify(report) : table(report));
  note(`Written: ${path.relative('', place)}`);
  return 0;
}

if (require.main === module) {
  try {
    process.exitCode = main(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
