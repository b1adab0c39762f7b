import { atLeast0, finite, flag, integerFrom, oneOf, positive, read, type Complete } from '../fields';
import { expectedRange, numberWhere } from '../validate';
import { blend, halfCosine, schedule, type Schedule } from './schedule';

interface CycleOptions {
  /** Steps of the cycle; an integer >= 1. The last value holds from step `totalSteps − 1` on. */
  totalSteps: number;
  /** Share of the steps until the peak; in [0, 1], with `threePhase` in [0, 0.5]. @default 0.3 */
  pctStart?: number | undefined;
  /** Half a cosine or a straight line between two values. @default 'cos' */
  annealStrategy?: 'cos' | 'linear' | undefined;
  /** Come back as slowly as it went up, and end with a phase of its own. @default false */
  threePhase?: boolean | undefined;
}

export interface OneCycleOptions extends CycleOptions {
  /** The highest value; > 0. */
  peakValue: number;
  /** The first value is `peakValue / divFactor`; > 0. @default 25 */
  divFactor?: number | undefined;
  /** The last value is the first one divided by this; > 0. @default 1e4 */
  finalDivFactor?: number | undefined;
}

export interface OneCycleMomentumOptions extends CycleOptions {
  /** The lowest value, at the learning rate's peak; finite. @default 0.85 */
  baseMomentum?: number | undefined;
  /** The first and the last value; finite. @default 0.95 */
  maxMomentum?: number | undefined;
}

const cycle = {
  totalSteps: { check: integerFrom(1) },
  pctStart: { check: numberWhere('a number in [0, 1]', (v) => v >= 0 && v <= 1), fallback: 0.3 },
  annealStrategy: { check: oneOf('cos', 'linear'), fallback: 'cos' as const },
  threePhase: { check: flag, fallback: false },
};

/**
 * The 1cycle policy for a learning rate: up from `peakValue / divFactor` to `peakValue`, and down to a small value that
 * it keeps. PyTorch's OneCycleLR has the same values.
 *
 * @see Smith & Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018.
 * https://arxiv.org/abs/1708.07120
 */
export function oneCycle(options: OneCycleOptions): Schedule {
  const where = 'schedules.oneCycle';
  const given = read<OneCycleOptions>(options, where, {
    peakValue: { check: positive },
    ...cycle,
    divFactor: { check: positive, fallback: 25 },
    finalDivFactor: { check: positive, fallback: 1e4 },
  });
  const { peakValue, divFactor, finalDivFactor } = given;
  const first = peakValue / divFactor;
  const last = first / finalDivFactor;
  atLeast0(first, `peakValue / divFactor of ${where}`);
  atLeast0(last, `peakValue / divFactor / finalDivFactor of ${where}`);
  return phases(given, where, given.threePhase ? [first, peakValue, first, last] : [first, peakValue, last]);
}

/** The 1cycle policy for momentum or beta1: down while {@link oneCycle} goes up, and back up while it goes down. */
export function oneCycleMomentum(options: OneCycleMomentumOptions): Schedule {
  const where = 'schedules.oneCycleMomentum';
  const given = read<OneCycleMomentumOptions>(options, where, {
    ...cycle,
    baseMomentum: { check: finite, fallback: 0.85 },
    maxMomentum: { check: finite, fallback: 0.95 },
  });
  const { baseMomentum: low, maxMomentum: high } = given;
  return phases(given, where, given.threePhase ? [high, low, high, high] : [high, low, high]);
}

/** Goes through the values, one a phase. The steps between them are PyTorch's and may be fractions. */
function phases(options: Complete<CycleOptions>, where: string, values: readonly number[]): Schedule {
  const { totalSteps, pctStart, annealStrategy, threePhase } = options;
  if (threePhase && pctStart > 0.5)
    throw expectedRange(`pctStart of ${where}`, 'at most 0.5 with threePhase', pctStart);
  const up = pctStart * totalSteps - 1;
  const last = totalSteps - 1;
  const ends = threePhase ? [up, 2 * up, last] : [up, last];
  return schedule((step) => {
    if (step >= last) return values.at(-1)!;
    const phase = ends.findIndex((end) => step <= end);
    const start = phase === 0 ? 0 : ends[phase - 1]!;
    const length = ends[phase]! - start;
    const part = length > 0 ? (step - start) / length : 1;
    const left = annealStrategy === 'cos' ? halfCosine(part) : 1 - part;
    return blend(values[phase + 1]!, values[phase]!, left);
  });
}
