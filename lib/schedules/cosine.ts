import { finite, integerFrom, read } from '../fields';
import { blend, halfCosine, schedule, type Schedule } from './schedule';

export interface CosineOptions {
  /** Value at step 0; finite. */
  initValue: number;
  /** Steps to the end value; an integer >= 1. */
  decaySteps: number;
  /** The floor: the value from step `decaySteps` on; finite. @default 0 */
  endValue?: number | undefined;
}

export interface CosineRestartsOptions {
  /** Value at step 0 and at every restart; finite. */
  initValue: number;
  /** Steps of the first cycle; an integer >= 1. */
  period: number;
  /** How many times longer each cycle is than the one before; an integer >= 1. @default 1 */
  tMult?: number | undefined;
  /** The floor, which the end of a cycle approaches; finite. @default 0 */
  endValue?: number | undefined;
}

/**
 * From `initValue` to `endValue` along half a cosine, then constant:
 *
 *     endValue + (initValue − endValue) · (1 + cos(π · step / decaySteps)) / 2
 */
export function cosine(options: CosineOptions): Schedule {
  const { initValue, decaySteps, endValue } = read<CosineOptions>(options, 'schedules.cosine', {
    initValue: { check: finite },
    decaySteps: { check: integerFrom(1) },
    endValue: { check: finite, fallback: 0 },
  });
  return schedule((step) => blend(endValue, initValue, halfCosine(Math.min(step / decaySteps, 1))));
}

/**
 * SGDR: cosine decay that starts again at the end of each cycle. A cycle's first step has `initValue`; the floor itself
 * would be the step at which the next cycle starts.
 *
 * @see Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017. https://arxiv.org/abs/1608.03983
 */
export function cosineRestarts(options: CosineRestartsOptions): Schedule {
  const { initValue, period, tMult, endValue } = read<CosineRestartsOptions>(
    options,
    'schedules.cosineRestarts',
    {
      initValue: { check: finite },
      period: { check: integerFrom(1) },
      tMult: { check: integerFrom(1), fallback: 1 },
      endValue: { check: finite, fallback: 0 },
    },
  );
  return schedule((step) => {
    let length = period;
    let within = tMult === 1 ? step % period : step;
    while (within >= length) {
      within -= length;
      length *= tMult;
    }
    return blend(endValue, initValue, halfCosine(within / length));
  });
}
