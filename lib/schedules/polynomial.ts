import { finite, integerFrom, positive, read, type Complete } from '../fields';
import { blend, schedule, type Schedule } from './schedule';

export interface LinearOptions {
  /** Value up to step `transitionBegin`; finite. */
  initValue: number;
  /** Value from step `transitionBegin + transitionSteps` on; finite. */
  endValue: number;
  /** Steps from one to the other; an integer >= 1. */
  transitionSteps: number;
  /** Steps before the change begins; an integer >= 0. @default 0 */
  transitionBegin?: number | undefined;
}

export interface PolynomialOptions extends LinearOptions {
  /** Exponent of the share of steps that are left; > 0. 1 is linear. @default 1 */
  power?: number | undefined;
}

const fields = {
  initValue: { check: finite },
  endValue: { check: finite },
  transitionSteps: { check: integerFrom(1) },
  transitionBegin: { check: integerFrom(0), fallback: 0 },
};

/**
 * From `initValue` to `endValue` by a power of the steps that are left, then constant:
 *
 *     endValue + (initValue − endValue) · (1 − t / transitionSteps)^power      with t = step − transitionBegin
 */
export function polynomial(options: PolynomialOptions): Schedule {
  return transition(
    read<PolynomialOptions>(options, 'schedules.polynomial', {
      ...fields,
      power: { check: positive, fallback: 1 },
    }),
  );
}

/** From `initValue` to `endValue` in a straight line, then constant. */
export function linear(options: LinearOptions): Schedule {
  return transition({ ...read<LinearOptions>(options, 'schedules.linear', fields), power: 1 });
}

function transition(options: Complete<PolynomialOptions>): Schedule {
  const { initValue, endValue, transitionSteps, transitionBegin, power } = options;
  return schedule((step) => {
    const t = Math.min(Math.max(step - transitionBegin, 0), transitionSteps);
    return blend(endValue, initValue, (1 - t / transitionSteps) ** power);
  });
}
