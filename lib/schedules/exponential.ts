import { atLeast0, flag, integerFrom, positive, read } from '../fields';
import { expectedRange } from '../validate';
import { schedule, type Schedule } from './schedule';

export interface ExponentialOptions {
  /** Value up to step `transitionBegin`; > 0. */
  initValue: number;
  /** Factor of each `transitionSteps` steps; > 0. Above 1 the value grows, and needs an `endValue`. */
  decayRate: number;
  /** Steps of one factor; an integer >= 1. @default 1 */
  transitionSteps?: number | undefined;
  /** Steps before the change begins; an integer >= 0. @default 0 */
  transitionBegin?: number | undefined;
  /** Change once every `transitionSteps` steps instead of a little at each. @default false */
  staircase?: boolean | undefined;
  /** Where the change stops: at most `initValue` when it falls, at least `initValue` when it grows. @default 0 */
  endValue?: number | undefined;
}

/**
 * Exponential decay, and growth up to `endValue`:
 *
 *     initValue · decayRate^(t / transitionSteps)      with t = step − transitionBegin, the quotient rounded down with `staircase`
 */
export function exponential(options: ExponentialOptions): Schedule {
  const where = 'schedules.exponential';
  const { initValue, decayRate, transitionSteps, transitionBegin, staircase, endValue } =
    read<ExponentialOptions>(options, where, {
      initValue: { check: positive },
      decayRate: { check: positive },
      transitionSteps: { check: integerFrom(1), fallback: 1 },
      transitionBegin: { check: integerFrom(0), fallback: 0 },
      staircase: { check: flag, fallback: false },
      endValue: { check: atLeast0, fallback: 0 },
    });
  const grows = decayRate > 1;
  if (grows ? endValue < initValue : endValue > initValue) {
    const side = grows ? 'at least initValue where decayRate is above 1' : 'at most initValue';
    throw expectedRange(`endValue of ${where}`, side, endValue);
  }
  return schedule((step) => {
    const periods = Math.max(step - transitionBegin, 0) / transitionSteps;
    const value = initValue * decayRate ** (staircase ? Math.floor(periods) : periods);
    return grows ? Math.min(value, endValue) : Math.max(value, endValue);
  });
}
