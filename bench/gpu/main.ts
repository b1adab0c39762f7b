/** `npm run bench:gpu`: see docs/gpu.md. */
import path from 'node:path';
import { commit } from '../../scripts/commit';
import type { Output } from '../main';
import { commandLine } from '../options';
import { verdicts } from './aims';
import { cases } from './cases';
import { measureCeilings } from './ceilings';
import { measureCase, type Cell, type Context, type Skipped } from './measure';
import { parseGpuOptions, usage, type GpuOptions } from './options';
import { findGpu, type Gpu } from './ours';
import { markdown, writeGpuReport, type GpuReport } from './report';
import { gpuSets } from './sets';
import { quick, tiny, usual } from './timing';
import { Torch } from './torch';

const console_: Output = {
  out: (text) => process.stdout.write(`${text}\n`),
  note: (text) => process.stderr.write(`${text}\n`),
  bar: false,
};

/** Above this, `--quick` leaves sets out. */
const mostWhenQuick = 500_000_000;

async function measure(gpu: Gpu, options: GpuOptions, output: Output): Promise<GpuReport> {
  const started = Date.now();
  const skipped: Skipped[] = [];
  const torch = options.torch
    ? await Torch.start(gpu.standIn ? 'cpu' : 'cuda')
    : Torch.none('torch was not asked for');
  const sets = gpuSets(gpu.standIn);
  const context: Context = {
    memory: gpu.memory,
    l2Bytes: gpu.l2Bytes,
    standIn: gpu.standIn,
    effort: gpu.standIn ? tiny : options.quick ? quick : usual,
    torch,
    deadline: started + options.budget * 1000,
    skip(what, reason) {
      skipped.push({ what, reason });
      output.note(`not measured: ${what} (${reason.split('\n')[0]!})`);
      return undefined;
    },
  };
  try {
    const wanted = cases.filter(({ part, sets: [first] }) => {
      const small = !options.quick || sets.get(first!)!.parameters <= mostWhenQuick;
      return options.parts.includes(part) && small;
    });
    const ceilings = await measureCeilings(context, (name) => sets.get(name)!);
    const cells: Cell[] = [];
    for (const given of wanted) {
      const cell = await measureCase(given, context);
      if (!cell) continue;
      cells.push(cell);
      output.note(`${cell.title}, ${cell.set}: ${cell.time.ms.median.toFixed(4)} ms`);
    }
    return {
      schema: 1,
      measurement: !gpu.standIn,
      device: gpu,
      commit: commit(),
      date: new Date(started).toISOString(),
      node: process.version,
      torch: torch.version,
      ceilings,
      cells,
      // What a stand-in takes is held against nothing.
      aims: gpu.standIn ? [] : verdicts(wanted, cells, ceilings),
      skipped,
      seconds: (Date.now() - started) / 1000,
    };
  } finally {
    torch.close();
  }
}

function defaultFile({ device, date, measurement }: GpuReport): string {
  const name = device.name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^nvidia-/, '');
  const directory = path.join(__dirname, '..', measurement ? 'results' : 'out');
  return path.join(directory, `${date.slice(0, 10)}-${name}-gpu.json`);
}

/** The exit code: 0, also where there is no GPU, or 2 for a mistake on the command line. */
export async function main(argv: readonly string[], output: Output = console_): Promise<number> {
  const options = commandLine(parseGpuOptions, argv, usage, output);
  if (typeof options === 'number') return options;
  const gpu = findGpu();
  if (typeof gpu === 'string' || gpu.standIn !== options.standIn) {
    const reason =
      typeof gpu === 'string'
        ? gpu
        : gpu.standIn
          ? 'the CUDA addon is the stand-in, which --stand-in is for'
          : '--stand-in was asked for, but the CUDA addon drives a GPU';
    output.out(`bench:gpu: skipped, ${reason.replaceAll(/\s*\n\s*/g, ' ')}`);
    return 0;
  }
  output.note(`${gpu.name}, driver ${gpu.driver ?? 'unknown'}, commit ${commit() ?? 'unknown'}`);
  const report = await measure(gpu, options, output);
  const files = writeGpuReport(report, options.out ?? defaultFile(report));
  output.out(options.json ? JSON.stringify(report) : markdown(report));
  output.note(`Written: ${files.map((file) => path.relative('', file)).join(', ')}`);
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
