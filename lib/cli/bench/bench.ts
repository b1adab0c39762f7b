/** `fused-optim bench`: this machine's numbers. `npm run bench` of the repository measures more, against others too. */
import os from 'node:os';
import { backends } from '../../backends';
import { native } from '../../native';
import { optimizers } from '../optimizers';
import { align } from '../../align';
import { digits, exitCodes, note, paint, percent, plural, print, printJson } from '../output';
import { formats, noPng, writePicture, type PictureFormat } from '../picture/files';
import { breathe, progress } from '../progress';
import { benchChart } from './chart';
import { elementsOfTensor, measure, streamingBytes } from './measure';

export interface BenchOptions {
  readonly optimizers?: readonly string[];
  readonly parameters: number;
  readonly threads?: number;
  readonly rounds: number;
  readonly quick?: boolean;
  readonly format?: readonly PictureFormat[];
  readonly out: string;
  readonly json?: boolean;
}

/** Characters of the longest bar of the table. */
const BAR = 24;

type Measured = Awaited<ReturnType<typeof measure>>;

function table({ optimizers: results, streamingGbPerSecond }: Measured): string[] {
  const most = Math.max(1, ...results.map(({ share }) => share.median));
  const bar = (share: number): string => '█'.repeat(Math.round((share / most) * BAR));
  const rows = results.map((each) => [
    each.optimizer,
    digits(each.msPerStep),
    digits(each.nsPerParameter),
    digits(each.bytesPerParameter),
    digits(each.gbPerSecond),
    percent(each.share.median),
    bar(each.share.median),
  ]);
  const stream = [
    '(streaming)',
    '',
    '',
    String(streamingBytes),
    digits(streamingGbPerSecond),
    '100 %',
    bar(1),
  ];
  const head = ['optimizer', 'ms/step', 'ns/param', 'bytes/param', 'GB/s', 'of streaming', ''];
  return align([head, ...rows, stream], [0, 6]);
}

export async function bench(options: BenchOptions): Promise<number> {
  native(); // says what is missing, before anything else is done
  const { cpu } = backends();
  if (cpu.isa === null) throw new Error(cpu.reason);
  const { quick = false, json = false } = options;
  const threads = options.threads ?? cpu.threads;
  const tensors = Math.max(1, Math.round((quick ? 4e6 : options.parameters) / elementsOfTensor));
  const names = options.optimizers ?? [...optimizers.keys()];
  const rounds = quick ? 3 : options.rounds;
  const machine = {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    isa: cpu.isa,
    threads,
    os: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    date: new Date().toISOString(),
  };
  const parameters = tensors * elementsOfTensor;
  const what = `${plural(parameters, 'parameter')} in ${plural(tensors, 'tensor')}, ${plural(threads, 'thread')}`;
  if (!json) print(`${paint('bold', `${machine.cpu}, ${cpu.isa}`)}, ${what}, ${plural(rounds, 'round')}\n`);
  const bar = progress(names.length);
  let measured: Measured;
  let begun = 0;
  try {
    const plan = { optimizers: names, tensors, threads, rounds, visitSeconds: quick ? 0.01 : 0.1, period: 6 };
    measured = await measure(plan, async (name) => {
      if (begun++ > 0) bar.advance();
      bar.show(name);
      await breathe();
    });
  } finally {
    bar.stop();
  }
  const subtitle = `${machine.cpu}, ${cpu.isa}, ${what}, Node ${machine.node}, ${machine.date.slice(0, 10)}`;
  const wanted = options.format ?? formats;
  const files = writePicture(await benchChart(measured, subtitle), options.out, wanted);
  if (json) {
    const streaming = { gbPerSecond: measured.streamingGbPerSecond, bytesPerParameter: streamingBytes };
    printJson({ machine, parameters, tensors, rounds, streaming, optimizers: measured.optimizers, files });
  } else {
    print(table(measured).join('\n'));
    print(
      `\n(streaming) reads arrays and writes them back, with the same threads, in turn with each optimizer.`,
    );
    if (names.includes('Muon')) print('Muon multiplies matrices, which takes longer than its memory.');
    print(`Chart: ${files.join(', ') || 'none'}`);
  }
  const missing = wanted.includes('png') && !files.some((file) => file.endsWith('.png'));
  if (missing) note(noPng);
  return missing && options.format ? exitCodes.failed : exitCodes.fine;
}
