/** `fused-optim plan`: what sharding the state of an optimizer would save and cost, before anything is run. */
import type { DType, Rounding, StateDType } from '../../dtypes';
import { forecast, type RankLoad, type Sent, type Forecast } from '../../distributed/forecast';
import { most, sum } from '../../distributed/owners';
import { optimizers } from '../optimizers';
import { align } from '../../align';
import { bytesText, digits, exitCodes, note, paint, plural, print, printJson } from '../output';
import { noPng, writePicture, type PictureFormat } from '../picture/files';
import { planChart } from './chart';
import { allNetworks, type Network } from './networks';
import { shapesOf } from './shapes';

export interface PlanOptions {
  readonly shapes: string;
  readonly ranks: number;
  readonly optimizer: string;
  readonly options?: Readonly<Record<string, unknown>>;
  readonly stage: '1' | '2';
  readonly dtype: DType;
  readonly grads?: DType;
  readonly rounding?: Rounding;
  readonly stateDtype?: StateDType;
  readonly network?: readonly Network[];
  /** 10¹² a second. */
  readonly flops: number;
  readonly chart?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** Seconds of a step's parts, one after the other. */
export interface Seconds extends Sent {
  readonly together: number;
}

export interface Timed extends Network {
  readonly sharded: Seconds;
  readonly replicated: Seconds;
}

/** Seconds of Newton–Schulz iterations on the busiest rank. */
export interface Products {
  readonly sharded: number;
  readonly replicated: number;
}

function seconds({ gradients, parameters, check }: Sent, rate: number): Seconds {
  const [g, p, c] = [gradients / rate, parameters / rate, check / rate];
  return { gradients: g, parameters: p, check: c, together: g + p + c };
}

function timed(plan: Forecast, networks: readonly Network[]): Timed[] {
  return networks.map((network) => ({
    ...network,
    sharded: seconds(plan.passing, network.gbPerSecond * 1e9),
    replicated: seconds(plan.replicated.sent, network.gbPerSecond * 1e9),
  }));
}

export function secondsText(value: number): string {
  if (value === 0) return '–';
  const [scale, unit] = value < 1e-3 ? [1e6, 'µs'] : value < 1 ? [1e3, 'ms'] : [1, 's'];
  return `${digits(value * scale)} ${unit}`;
}

export const flopsText = (flops: number): string =>
  flops === 0 ? '–' : flops < 1e12 ? `${digits(flops / 1e9)} GFLOP` : `${digits(flops / 1e12)} TFLOP`;

const bytes = (count: number): string => (count === 0 ? '–' : bytesText(Math.round(count)));

type Row = readonly [what: string, of: (load: RankLoad) => number, text: (value: number) => string];

const rows = (stage: string): Row[] => [
  ['states', (load) => load.stateBytes, bytes],
  ['master copies', (load) => load.masterBytes, bytes],
  [`gradients, ${stage === '1' ? 'all-reduce' : 'reduce-scatter'}`, ({ sent }) => sent.gradients, bytes],
  ['parameters, all-gather', ({ sent }) => sent.parameters, bytes],
  ['sums, all-gather', ({ sent }) => sent.check, bytes],
  ['Newton–Schulz', (load) => load.flops, flopsText],
];

function tables({ ranks, replicated }: Forecast, stage: string, all: boolean): string[] {
  const shown = rows(stage).filter(([, of]) => of(replicated) > 0 || ranks.some((load) => of(load) > 0));
  const lines = shown.map(([what, of, text]) => {
    const values = ranks.map(of);
    const mean = sum(values) / values.length;
    const least = values.reduce((a, b) => Math.min(a, b));
    const even = mean > 0 ? `${(most(values) / mean).toFixed(3)} ×` : '';
    return [what, ...[of(replicated), least, mean, most(values)].map(text), even];
  });
  const summary = align([['a rank', 'replicated', 'least', 'mean', 'most', 'most/mean'], ...lines]);
  if (!all) return summary;
  const each = ranks.map((load, rank) => [String(rank), ...shown.map(([, of, text]) => text(of(load)))]);
  return [...summary, '', ...align([['rank', ...shown.map(([what]) => what)], ...each])];
}

function timeTable(times: readonly Timed[]): string[] {
  const lines = times.map(({ name, gbPerSecond, sharded, replicated }) => [
    ...[name, digits(gbPerSecond)],
    ...[replicated.together, sharded.together, sharded.gradients, sharded.parameters, sharded.check].map(
      secondsText,
    ),
  ]);
  return align([['network', 'GB/s', 'replicated', 'sharded', 'gradients', 'parameters', 'sums'], ...lines]);
}

const kinds: Readonly<Record<string, string>> = {
  matrix: 'matrices of Muon, by operations',
  whole: 'whole tensors, by elements',
  split: 'tensors that are split, by elements',
};

function report(options: PlanOptions, plan: Forecast, times: readonly Timed[], products: Products): void {
  const { stage, all = false, flops } = options;
  print(`\n${tables(plan, stage, all).join('\n')}`);
  print('\nBalance, the busiest rank over the mean:');
  for (const { kind, ratio, because } of plan.balance)
    print(`  ${ratio.toFixed(3)}  ${kinds[kind]!}${because === undefined ? '' : `: ${because}`}`);
  print(`\nTime of a step, by bandwidth alone:\n${timeTable(times).join('\n')}`);
  if (products.replicated > 0)
    print(
      `Newton–Schulz at ${digits(flops)} TFLOP/s: ${secondsText(products.replicated)} replicated, ` +
        `${secondsText(products.sharded)} sharded.`,
    );
}

export async function plan(options: PlanOptions): Promise<number> {
  const { optimizer, ranks, stage, dtype, grads, rounding, stateDtype, chart, json = false } = options;
  const tensors = await shapesOf(options.shapes);
  const own = { ...options.options, ...(rounding && { rounding }), ...(stateDtype && { stateDtype }) };
  const make = optimizers.get(optimizer)!;
  const found = forecast({
    ...{ tensors, ranks, dtype, gradDtype: grads, stage: stage === '1' ? 1 : 2 },
    make: (params) => make(params, own),
  });
  const times = timed(found, options.network ?? allNetworks());
  const rate = options.flops * 1e12;
  const { replicated } = found;
  const products = {
    sharded: most(found.ranks.map(({ flops }) => flops)) / rate,
    replicated: replicated.flops / rate,
  };
  const title =
    `${optimizer} over ${options.shapes}: ${plural(found.elements, 'parameter')} in ${plural(tensors.length, 'tensor')}, ` +
    `${dtype}${grads && grads !== dtype ? ` with ${grads} gradients` : ''}, ${plural(ranks, 'rank')}, stage ${stage}`;
  const [, stem, format] = /^(.*)\.(svg|png)$/i.exec(chart ?? '') ?? [];
  const wanted = format?.toLowerCase() as PictureFormat;
  const files =
    stem === undefined ? [] : writePicture(planChart(title, found, times, products), stem, [wanted]);
  if (json) {
    const { shapes } = options;
    const about = { shapes, tensors: tensors.length, optimizer, options: own, stage: Number(stage), dtype };
    printJson({ ...about, grads: grads ?? dtype, ...found, times, newtonSchulz: products, files });
  } else {
    print(paint('bold', title));
    report(options, found, times, products);
    if (files.length > 0) print(`Chart: ${files.join(', ')}`);
  }
  if (chart === undefined || files.length > 0) return exitCodes.fine;
  note(noPng);
  return exitCodes.failed;
}
