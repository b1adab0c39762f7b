/** What a run leaves: a JSON file, and a table in Markdown beside it. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { digits, percent } from '../table';
import { productShare, shareOf, type Verdict } from './aims';
import { inPieces, type Ceilings } from './ceilings';
import type { Cell, Skipped } from './measure';
import type { Gpu } from './ours';

/** docs/gpu.md explains each field. */
export interface GpuReport {
  readonly schema: 1;
  /** False where a stand-in played the GPU: the times say nothing then. */
  readonly measurement: boolean;
  readonly device: Gpu;
  readonly commit: string | null;
  readonly date: string;
  readonly node: string;
  readonly torch: string | null;
  readonly ceilings: Ceilings;
  readonly cells: readonly Cell[];
  readonly aims: readonly Verdict[];
  readonly skipped: readonly Skipped[];
  readonly seconds: number;
}

type Row = readonly string[];

function table(head: Row, rows: readonly Row[]): string {
  const line = (cells: Row) => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, i) => (i < 2 ? '---' : '---:'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

const milliseconds = (ms: number): string => (ms < 1 ? `${digits(ms * 1000)} µs` : `${digits(ms)} ms`);
const orDash = (value: number | null, show: (value: number) => string): string =>
  value === null ? '–' : show(value);

function elementwise(cells: readonly Cell[], ceilings: Ceilings): string {
  const names = [...new Set(cells.flatMap(({ peers }) => peers.map(({ name }) => name)))];
  const rows = cells.map((cell) => {
    const share = shareOf(cell, ceilings);
    const ratios = names.map((name) => {
      const peer = cell.peers.find((each) => each.name === name);
      return peer ? `${digits(peer.ratio)}×` : '–';
    });
    return [
      cell.title,
      cell.set,
      milliseconds(cell.time.ms.median),
      digits(cell.bytesPerParameter),
      orDash(share, percent),
      orDash(share, (value) => digits(1 / value)),
      ...ratios,
    ];
  });
  const head = ['step', 'tensors', 'time', 'bytes a parameter', 'of the copy rate', '× floor'];
  return table([...head, ...names.map((name) => `as fast as ${name}`)], rows);
}

function matrices(cells: readonly Cell[], ceilings: Ceilings): string {
  const rows = cells.map((cell) => [
    cell.title,
    cell.set,
    milliseconds(cell.time.ms.median),
    digits(cell.flops! / cell.time.ms.median / 1e9),
    orDash(productShare(cell, ceilings), percent),
    cell.peers[0] ? `${digits(cell.peers[0].ratio)}×` : '–',
  ]);
  const head = ['step', 'matrices', 'time', 'TFLOP/s of the whole step', 'products, of the bf16 rate'];
  return table([...head, 'as fast as torch.optim.Muon'], rows);
}

function host(cells: readonly Cell[]): string {
  const rows = cells.map(({ title, set, hostUs, peers }) => [
    title,
    set,
    digits(hostUs!.graph),
    digits(hostUs!.eager),
    peers.map(({ name, hostUs }) => `${name} ${orDash(hostUs, digits)}`).join(', ') || '–',
  ]);
  return table(['step', 'tensors', 'graph, µs', 'no graph, µs', 'others, µs'], rows);
}

function ceilingLines({ bytesPerSecond, source, adamwBytesPerSecond, products, ...rest }: Ceilings): string {
  const rate = (value: number) => `${digits(value / 1e12)} TB/s`;
  const launches = rest.torchGrids?.length;
  const pieces = inPieces({ bytesPerSecond, source, adamwBytesPerSecond, products, ...rest });
  return [
    `- ${source === 'AdamW' ? 'AdamW on one tensor, instead of a copy' : 'Copy rate'}: ${orDash(bytesPerSecond, rate)}`,
    `- AdamW on one tensor of 256 million: ${orDash(adamwBytesPerSecond, rate)}`,
    ...products.map(
      ({ batch, size, flops }) => `- bf16 products, ${batch} × ${size}³: ${digits(flops / 1e12)} TFLOP/s`,
    ),
    launches === undefined
      ? "- torch's launches of a fused AdamW step of GPT-2: not known"
      : `- torch takes ${launches} launches for a fused AdamW step of GPT-2` +
        (pieces === true ? ', in pieces of at most 320 blocks' : ''),
  ].join('\n');
}

const verdictOf = ({ met }: Verdict): string => (met === null ? 'not measured' : met ? 'met' : 'NOT MET');

/** The table of a run, as it can stand in a README. */
export function markdown(report: GpuReport): string {
  const { device, ceilings, cells, aims, skipped, torch } = report;
  const where = `${device.name}, driver ${device.driver ?? 'unknown'}, cuBLAS ${device.cublas ?? 'not found'}`;
  const what = `commit ${report.commit ?? 'unknown'}, Node ${report.node}, torch ${torch ?? 'not there'}`;
  const head = report.measurement
    ? `Measured on ${report.date.slice(0, 10)} on ${where}; ${what}.`
    : `NOT A MEASUREMENT: a stand-in played the GPU (${device.name}), to try the benchmark itself; ${what}.`;
  const flat = cells.filter(({ flops }) => flops === null);
  const products = cells.filter(({ flops }) => flops !== null);
  const timed = cells.filter(({ hostUs }) => hostUs !== null);
  const sections = [
    head,
    ceilingLines(ceilings),
    ...(flat.length > 0 ? [elementwise(flat, ceilings)] : []),
    ...(products.length > 0 ? [matrices(products, ceilings)] : []),
    ...(timed.length > 0 ? [host(timed)] : []),
    ...(report.measurement && aims.length > 0
      ? [
          table(
            ['case', 'aim', 'measured', ''],
            aims.map((each) => [each.id, each.aim, orDash(each.measured, digits), verdictOf(each)]),
          ),
        ]
      : []),
    ...skipped.map(({ what, reason }) => `- not measured: ${what} (${reason.split('\n')[0]!})`),
  ];
  // Reasons are a list; everything else is a block of its own.
  return `${sections.join('\n\n').replaceAll(/(- not measured: .*)\n\n(?=- not measured)/g, '$1\n')}\n`;
}

/** Writes `<stem>.json` and `<stem>.md`; returns the paths. */
export function writeGpuReport(report: GpuReport, file: string): string[] {
  const target = path.resolve(file);
  mkdirSync(path.dirname(target), { recursive: true });
  const text = target.replace(/(\.json)?$/, '.md');
  writeFileSync(target, `${JSON.stringify(report, null, 1)}\n`);
  writeFileSync(text, markdown(report));
  return [target, text];
}
