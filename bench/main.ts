/** `npm run bench`: see README.md here. */
import path from 'node:path';
import { SingleBar } from 'cli-progress';
import { measureCell, type CellResult } from './cell';
import { Floor, loadFloor } from './floor';
import { describeMachine, type Machine } from './machine';
import { commandLine, parseOptions, usage, type BenchOptions } from './options';
import { javascript } from './peers/javascript';
import type { PeerGroup } from './peers/peer';
import { torch } from './peers/torch';
import { writeReport, type Report } from './report';
import { block } from './table';
import { makeTensors } from './workloads';

/** Where text goes; tests give their own. */
export interface Output {
  readonly out: (text: string) => void;
  readonly note: (text: string) => void;
  /** Whether a bar that redraws itself makes sense. */
  readonly bar: boolean;
}

const console_: Output = {
  out: (text) => process.stdout.write(`${text}\n`),
  note: (text) => process.stderr.write(`${text}\n`),
  bar: process.stderr.isTTY,
};

/** One line on standard error: which cell is measured, and how far along the run is. */
class Progress {
  readonly #bar: SingleBar | undefined;

  constructor(total: number, enabled: boolean) {
    if (!enabled) return;
    const format = '{bar} {value}/{total} | {what} | {duration_formatted}';
    this.#bar = new SingleBar({ format, stream: process.stderr, clearOnComplete: true, hideCursor: true });
    this.#bar.start(total, 0, { what: '' });
  }

  show(what: string): void {
    this.#bar?.update({ what });
  }

  advance(): void {
    this.#bar?.increment();
  }

  /** Takes the line away, for text above it; the next change draws it again. */
  clear(): void {
    if (this.#bar) process.stderr.write('\r\u001b[2K');
  }

  stop(): void {
    this.#bar?.stop();
  }
}

function headline(machine: Machine, options: BenchOptions): string {
  return (
    `${machine.cpu}, ${machine.cores} cores, ${machine.isa}, ${machine.memoryGB} GB, ${machine.os}, ` +
    `Node ${machine.node}, commit ${machine.commit ?? 'unknown'}, ${machine.date}\n` +
    `${options.rounds} rounds; floors on ${options.hugePages ? 'huge' : 'ordinary'} pages. ` +
    '"×": our time as a multiple of the floor\'s.\n'
  );
}

async function openPeers(options: BenchOptions): Promise<{ groups: PeerGroup[]; torch: string | null }> {
  const groups: PeerGroup[] = [];
  let version: string | null = null;
  for (const name of options.peers) {
    if (name === 'js') groups.push(javascript);
    else {
      const group = await torch(options.slow);
      version = group.version ?? null;
      groups.push(group);
    }
  }
  return { groups, torch: version };
}

async function measure(
  options: BenchOptions,
  groups: readonly PeerGroup[],
  output: Output,
): Promise<CellResult[]> {
  const { sets, threads, rounds, visitSeconds } = options;
  const native = loadFloor(() => output.note('Building the floor in bench/native …'));
  const floor = new Floor(native, options.hugePages);
  const peers = groups.flatMap((group) => group.peers);
  const cells: CellResult[] = [];
  const total = threads.length * sets.reduce((sum, { rules }) => sum + rules.length, 0);
  const progress = new Progress(total, output.bar && !options.json);
  try {
    for (const { set, rules } of sets) {
      const tensors = makeTensors(set);
      for (const count of threads) {
        const start = cells.length;
        for (const rule of rules) {
          progress.show(`${set.name}, ${count} thread${count > 1 ? 's' : ''}, ${rule.title}`);
          const task = { rule, set, tensors, threads: count };
          cells.push(await measureCell(task, floor, peers, { rounds, visitSeconds }));
          progress.advance();
        }
        for (const group of groups) group.close();
        if (options.json) continue;
        progress.clear();
        output.out(`${block(cells.slice(start))}\n`);
      }
    }
  } finally {
    progress.stop();
    floor.release();
  }
  return cells;
}

/** The exit code: 0, or 2 for a mistake on the command line. */
export async function main(argv: readonly string[], output: Output = console_): Promise<number> {
  const options = commandLine(parseOptions, argv, usage, output);
  if (typeof options === 'number') return options;
  const machine = describeMachine();
  if (!options.json) output.out(headline(machine, options));
  const { groups, torch: version } = await openPeers(options);
  const missing = groups.flatMap((group) => (group.missing === undefined ? [] : [group.missing]));
  for (const reason of missing) output.note(reason);
  try {
    const cells = await measure(options, groups, output);
    const { rounds, visitSeconds, hugePages } = options;
    const settings = { rounds, visitSeconds, hugePages, torch: version };
    const report: Report = { schema: 1, machine, settings, missing, cells };
    const name = machine.date.slice(0, 19).replace(/[:T]/g, '-');
    const files = await writeReport(report, options.out ?? path.join(__dirname, 'out', `${name}.json`));
    if (options.json) output.out(JSON.stringify(report));
    else output.note(`Written: ${files.map((file) => path.relative('', file)).join(', ')}`);
  } finally {
    for (const group of groups) group.close();
  }
  return 0;
}

if (require.main === module) {
  void main(process.argv.slice(2)).then(
    (code) => {
      process.exitCode = code;
    },
    (error: unknown) => {
      console.error(error);
      process.exitCode = 1;
    },
  );
}
