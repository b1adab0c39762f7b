import { arrayOps, type ArrayOps } from './array-ops';
import { listOf } from './group';
import { flag, nonNegative } from './options';
import { checkFloat32 } from './dtypes';
import { identify, type Identity, type Parameter } from './parameter';
import { expectedRange, numberWhere, readOptions } from './validate';

export interface ClipOptions {
  /**
   * Threads to use, the calling one included; an integer in [1, 1024].
   * @default FUSED_OPTIM_THREADS, else the cores this process may use
   */
  threads?: number | undefined;
}

export interface ClipGradNormOptions extends ClipOptions {
  /** Which p-norm: 2, `Infinity` for the largest magnitude, or another number > 0. Only 2 is native code. @default 2 */
  normType?: number | undefined;
  /** Throw a RangeError when the norm is NaN or infinite, with gradients as they were. @default false */
  errorIfNonfinite?: boolean | undefined;
}

export interface ClipGradAdaptiveOptions extends ClipOptions {
  /** The largest norm of a gradient beside that of its weights; >= 0. @default 0.01 */
  clipFactor?: number | undefined;
  /** The least norm of weights that counts, so that weights of 0 can begin to move; >= 0. @default 1e-3 */
  eps?: number | undefined;
}

/**
 * Scales all gradients by `maxNorm / (norm + 1e-6)` where that is below 1, in place, as torch's `clip_grad_norm_`.
 * `maxGradNorm` of an optimizer gives the same bits and writes no gradient.
 *
 * A gradient array that several parameters share counts for each of them and is scaled once; `grad: null` is left out.
 * A NaN norm makes all gradients NaN, an infinite one makes finite gradients 0.
 *
 * @param maxNorm >= 0; `Infinity` only measures
 * @returns the norm of all gradients together, before clipping
 */
export function clipGradNorm(
  params: Iterable<Parameter>,
  maxNorm: number,
  options: ClipGradNormOptions = {},
): number {
  const where = 'clipGradNorm()';
  readOptions(options, ['normType', 'errorIfNonfinite', 'threads'], where);
  const { normType = 2, errorIfNonfinite = false, threads } = options;
  atLeast0(maxNorm, `maxNorm of ${where}`);
  above0(normType, `normType of ${where}`);
  flag(false).check(errorIfNonfinite, 'errorIfNonfinite', where);
  const given = gradients(params, where);
  const ops = arrayOps(threads);
  const norm = normOf(given, normType, ops);
  if (errorIfNonfinite && !Number.isFinite(norm))
    throw expectedRange(`the norm of gradients in ${where}`, 'finite', norm);
  const factor = maxNorm / (norm + 1e-6);
  if (maxNorm === Infinity || factor >= 1) return norm;
  const arrays = apart(given).map(({ grad }) => grad);
  ops.transform('scale', arrays, new Array<number>(arrays.length).fill(factor));
  return norm;
}

/**
 * Limits every element of every gradient to [-clipValue, clipValue], in place, as torch's `clip_grad_value_`. NaN stays.
 *
 * @param clipValue a finite number >= 0
 */
export function clipGradValue(
  params: Iterable<Parameter>,
  clipValue: number,
  options: ClipOptions = {},
): void {
  const where = 'clipGradValue()';
  readOptions(options, ['threads'], where);
  nonNegative(0).check(clipValue, 'clipValue', where);
  const arrays = apart(gradients(params, where)).map(({ grad }) => grad);
  arrayOps(options.threads).transform('clamp', arrays, new Array<number>(arrays.length).fill(clipValue));
}

/**
 * Adaptive gradient clipping (AGC), in place: the norm of a unit's gradient is limited to `clipFactor` times the norm of
 * its weights. A unit is one output of a layer: all axes but the first, or but the last with `layout: 'in-out'`;
 * a tensor of one axis or none is one unit.
 *
 *     limit = clipFactor · max(‖p‖, eps);   where ‖g‖ ≥ limit:  g ← g · limit / max(‖g‖, 1e-6)
 *
 * A gradient array that several parameters share is clipped once, for the first of them.
 *
 * @see Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization", 2021.
 * https://arxiv.org/abs/2102.06171
 */
export function clipGradAdaptive(params: Iterable<Parameter>, options: ClipGradAdaptiveOptions = {}): void {
  const where = 'clipGradAdaptive()';
  readOptions(options, ['clipFactor', 'eps', 'threads'], where);
  const { clipFactor = 0.01, eps = 1e-3 } = options;
  nonNegative(0).check(clipFactor, 'clipFactor', where);
  nonNegative(0).check(eps, 'eps', where);
  const ops = arrayOps(options.threads);
  const factorOf = (weightSquares: number, gradSquares: number): number => {
    const limit = clipFactor * Math.max(Math.sqrt(weightSquares), eps);
    const norm = Math.sqrt(gradSquares);
    return norm < limit ? 1 : limit / Math.max(norm, 1e-6);
  };
  const given = apart(gradients(params, where));
  for (const { data, length, name } of given)
    checkFloat32(data, length, `data of "${name}"`, `${where} works on`);
  const byColumn = ({ shape, parameter: { layout } }: Gradient): boolean =>
    layout === 'in-out' && shape.length > 1;

  const units = given.filter((entry) => !byColumn(entry)).flatMap(rowsOf);
  const weightSquares = ops.sumSquares(units.map(({ data }) => data));
  const gradSquares = ops.sumSquares(units.map(({ grad }) => grad));
  const factors = units.map((_, i) => factorOf(weightSquares[i]!, gradSquares[i]!));
  const clipped = units.filter((_, i) => factors[i] !== 1);
  ops.transform(
    'scale',
    clipped.map(({ grad }) => grad),
    factors.filter((factor) => factor !== 1),
  );
  for (const { data, grad, shape } of given.filter(byColumn)) {
    const columns = shape[shape.length - 1]!;
    const weights = columnSquares(data, columns);
    const scales = columnSquares(grad, columns).map((squares, i) =>
      Math.fround(factorOf(weights[i]!, squares)),
    );
    for (let i = 0; i < grad.length; ++i) grad[i] = grad[i]! * scales[i % columns]!;
  }
}

interface Gradient extends Identity {
  readonly parameter: Parameter;
  readonly data: Float32Array;
  readonly grad: Float32Array;
}

const atLeast0 = notNaN('a number >= 0', (value) => value >= 0);
const above0 = notNaN('a number > 0', (value) => value > 0);

/** A number in a range that may be infinite. */
function notNaN(expected: string, inRange: (value: number) => boolean) {
  const finite = numberWhere(expected, inRange);
  return (value: unknown, what: string): void => {
    if (value !== Infinity) finite(value, what);
  };
}

/** The gradients there are, all checked before any is written. */
function gradients(params: Iterable<Parameter>, where: string): readonly Gradient[] {
  return listOf<Parameter>(params, `params of ${where}`).flatMap((parameter, index) => {
    const identity = identify(parameter, index);
    const { data, grad } = parameter;
    if (grad === null || grad === undefined) return [];
    checkFloat32(grad, identity.length, `grad of "${identity.name}"`, `${where} works on`);
    return [{ ...identity, parameter, data: data as Float32Array, grad }];
  });
}

/** Each gradient array once. Arrays that overlap otherwise would be clipped twice where they do. */
function apart(given: readonly Gradient[]): readonly Gradient[] {
  const byBuffer = new Map<unknown, Gradient[]>();
  for (const entry of given) {
    if (entry.length === 0) continue;
    const same = byBuffer.get(entry.grad.buffer);
    if (same) same.push(entry);
    else byBuffer.set(entry.grad.buffer, [entry]);
  }
  return [...byBuffer.values()].flatMap((entries) => {
    const sorted = [...entries].sort((a, b) => a.grad.byteOffset - b.grad.byteOffset);
    return sorted.filter((entry, i) => {
      const before = sorted[i - 1];
      if (!before || before.grad.byteOffset + before.grad.byteLength <= entry.grad.byteOffset) return true;
      if (before.grad.byteOffset === entry.grad.byteOffset && before.length === entry.length) return false;
      throw new RangeError(
        `Expected grad of "${before.name}" and "${entry.name}" to be apart or the same memory but they overlap in part.`,
      );
    });
  });
}

function normOf(given: readonly Gradient[], normType: number, ops: ArrayOps): number {
  const arrays = given.map(({ grad }) => grad);
  if (normType === 2) return Math.sqrt(ops.sumSquares(arrays).reduce((sum, one) => sum + one, 0));
  let result = 0;
  for (const array of arrays) {
    for (const value of array) {
      const size = Math.abs(value);
      if (normType !== Infinity) result += size ** normType;
      else if (!(size <= result)) result = size; // NaN is larger than anything
      if (Number.isNaN(result)) return NaN;
    }
  }
  return normType === Infinity ? result : result ** (1 / normType);
}

/** A tensor's units, as views. */
function rowsOf({ data, grad, shape }: Gradient): readonly { data: Float32Array; grad: Float32Array }[] {
  const rows = shape.length > 1 ? shape[0]! : 1;
  const columns = data.length / rows;
  return Array.from({ length: rows }, (_, row) => ({
    data: data.subarray(row * columns, (row + 1) * columns),
    grad: grad.subarray(row * columns, (row + 1) * columns),
  }));
}

function columnSquares(array: Float32Array, columns: number): Float64Array {
  const squares = new Float64Array(columns);
  for (let i = 0; i < array.length; ++i) squares[i % columns]! += array[i]! * array[i]!;
  return squares;
}
