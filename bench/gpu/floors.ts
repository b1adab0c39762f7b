/** The bytes a step must move through the GPU's memory, and the operations of Muon's products. */
import type { BenchRule } from '../rules';

/** What parameters, gradients and states are stored as; the options of the same names. */
export interface Format {
  readonly param: 'float32' | 'bfloat16' | 'float16';
  readonly grad: 'float32' | 'bfloat16' | 'float16';
  readonly state: 'float32' | 'bfloat16' | '8bit';
  /** Of parameters in 16 bits. */
  readonly rounding: 'master' | 'stochastic' | 'kahan' | 'split' | 'nearest' | null;
}

export const float32: Format = { param: 'float32', grad: 'float32', state: 'float32', rounding: null };

const widths = { float32: 4, bfloat16: 2, float16: 2, '8bit': 1 + 4 / 256 } as const;

/** Bytes beside a parameter in 16 bits: its float32 master, a compensation or the lower half. */
const besides = { master: 4, kahan: 2, split: 2, stochastic: 0, nearest: 0 } as const;

/** Bytes of one element of a stream when a pass reads it, and when it reads and writes it. */
function traffic(stream: string, format: Format): { readonly read: number; readonly update: number } {
  if (stream === 'g') return { read: widths[format.grad], update: 2 * widths[format.grad] };
  if (stream !== 'p') return { read: widths[format.state], update: 2 * widths[format.state] };
  const width = widths[format.param];
  if (format.rounding === null) return { read: width, update: 2 * width };
  const more = besides[format.rounding];
  // With a master the parameter itself is never read, only written.
  if (format.rounding === 'master') return { read: more, update: 2 * more + width };
  return { read: width + more, update: 2 * (width + more) };
}

/** Bytes one parameter's step must move, on average over the steps. */
export function floorBytes({ passes }: BenchRule, format: Format): number {
  const sum = (streams: string, way: 'read' | 'update') =>
    streams.split('').reduce((total, stream) => total + traffic(stream, format)[way], 0);
  return passes.reduce(
    (total, { reads, updates, every }) => total + (sum(reads, 'read') + sum(updates, 'update')) / every,
    0,
  );
}

/** Bytes one parameter takes while its optimizer lives: itself, its gradient and all that is kept beside it. */
export function residentBytes({ states }: BenchRule, format: Format): number {
  const beside = format.rounding === null ? 0 : besides[format.rounding];
  return widths[format.param] + widths[format.grad] + beside + states * widths[format.state];
}

/** Bytes of a gradient alone. */
export const gradientBytes = ({ grad }: Format): number => widths[grad];

/** Of Muon: reads g and m, writes m and the packed matrix in 16 bits; reads that and p, writes p. */
export const muonElementwiseBytes = 24;

/** Floating-point operations of five steps of Newton-Schulz in its plain form, on the short side of each matrix. */
export function newtonSchulzFlops(shapes: readonly (readonly number[])[], steps = 5): number {
  return shapes.reduce((sum, [rows = 1, columns = 1]) => {
    const short = Math.min(rows, columns);
    const long = Math.max(rows, columns);
    return sum + steps * (4 * short * short * long + 2 * short ** 3);
  }, 0);
}
