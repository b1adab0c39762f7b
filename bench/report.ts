import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { writeChart, type ChartSpec } from '../scripts/chart';
import type { CellResult } from './cell';
import type { Machine } from './machine';
import { rules } from './rules';

/** What a run leaves on disk; bench/README.md explains each field. */
export interface Report {
  readonly schema: 1;
  readonly machine: Machine;
  readonly settings: {
    readonly rounds: number;
    readonly visitSeconds: number;
    readonly hugePages: boolean;
    readonly torch: string | null;
  };
  /** Peers asked for that were not there at all, and why. */
  readonly missing: readonly string[];
  readonly cells: readonly CellResult[];
}

function threadText(threads: number): string {
  return threads === 1 ? '1 thread' : `${threads} threads`;
}

/** Bars from 0: a step's time as a multiple of the floor that bounds it, with a line at 1. */
export function floorChart({ cells, machine }: Report): ChartSpec {
  const titles = [...rules.values()].map(({ title }) => title);
  const values = cells
    .filter(({ bound }) => bound !== 'products')
    .map((cell) => ({
      rule: rules.get(cell.rule)?.title ?? cell.rule,
      set: cell.set,
      threads: threadText(cell.threads),
      ratio: cell.ratio.median,
    }));
  return {
    title: {
      text: 'Time of a step as a multiple of the machine’s floor (1 = as fast as it can be)',
      subtitle: `${machine.cpu}, ${machine.cores} cores, ${machine.isa}, Node ${machine.node}, ${machine.date.slice(0, 10)}`,
    },
    data: { values },
    facet: { column: { field: 'set', title: null, sort: [...new Set(cells.map(({ set }) => set))] } },
    spec: {
      width: 210,
      height: { step: 12 },
      layer: [
        {
          mark: { type: 'bar' },
          encoding: {
            y: { field: 'rule', type: 'nominal', sort: titles, title: null },
            yOffset: { field: 'threads' },
            x: { field: 'ratio', type: 'quantitative', title: '× floor', scale: { zero: true } },
            color: { field: 'threads', type: 'nominal', title: null },
          },
        },
        { mark: { type: 'rule', color: '#262626', strokeDash: [4, 3] }, encoding: { x: { datum: 1 } } },
      ],
    },
  };
}

/** Bars on a logarithmic scale: how many times as long as ours each peer takes. */
export function peerChart({ cells, machine }: Report): ChartSpec {
  const titles = [...rules.values()].map(({ title }) => title);
  const values = cells.flatMap((cell) =>
    cell.peers.map((peer) => ({
      rule: rules.get(cell.rule)?.title ?? cell.rule,
      cell: `${cell.set}, ${threadText(cell.threads)}`,
      peer: peer.name,
      speedup: 1 / peer.ratio.median,
    })),
  );
  return {
    title: {
      text: 'How many times as long as fused-optim others take for a step',
      subtitle: `${machine.cpu}, ${machine.cores} cores, ${machine.isa}, Node ${machine.node}, ${machine.date.slice(0, 10)}`,
    },
    data: { values },
    facet: { field: 'cell', title: null, sort: [...new Set(values.map(({ cell }) => cell))] },
    columns: 4,
    spec: {
      width: 210,
      height: { step: 9 },
      layer: [
        {
          mark: { type: 'point', filled: true, size: 45 },
          encoding: {
            y: { field: 'rule', type: 'nominal', sort: titles, title: null },
            yOffset: { field: 'peer' },
            x: {
              field: 'speedup',
              type: 'quantitative',
              title: '× our time',
              scale: { type: 'log' },
              axis: { values: [0.01, 0.1, 1, 10, 100, 1000], format: '~g' },
            },
            color: { field: 'peer', type: 'nominal', title: null },
          },
        },
        { mark: { type: 'rule', color: '#262626', strokeDash: [4, 3] }, encoding: { x: { datum: 1 } } },
      ],
    },
  };
}

/** Writes the JSON file and the charts beside it; returns the paths. */
export async function writeReport(report: Report, file: string): Promise<string[]> {
  const target = path.resolve(file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, `${JSON.stringify(report, null, 2)}\n`);
  const stem = target.replace(/\.json$/, '');
  const written = [target];
  const charts: [ChartSpec, string][] = [];
  if (report.cells.some(({ bound }) => bound !== 'products')) charts.push([floorChart(report), stem]);
  if (report.cells.some(({ peers }) => peers.length > 0)) charts.push([peerChart(report), `${stem}-peers`]);
  for (const [spec, chart] of charts) {
    await writeChart(spec, chart);
    written.push(`${chart}.svg`, `${chart}.png`);
  }
  return written;
}
