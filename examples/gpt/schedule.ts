/** The learning rate as a function of the step, so that a resumed run goes on exactly where it would have been. */
import { schedules, type Schedule } from 'fused-optim';

/** What is left of the rate from the horizon on. */
const FLOOR = 0.1;

/** Steps of warm-up: a tenth of the way to the horizon, and no more than these. */
const WARMUP = 100;

/**
 * Linear warm-up to the peak, half a cosine down to a tenth of it at the horizon, then constant. How many steps a run
 * takes does not matter: 400 steps, and 200 steps resumed up to 400, see the same rates.
 */
export function learningRate(peak: number, horizon: number): Schedule {
  const steps = Math.min(WARMUP, Math.ceil(horizon / 10));
  const decay = { initValue: peak, decaySteps: Math.max(1, horizon - steps), endValue: FLOOR * peak };
  return schedules.warmup(schedules.cosine(decay), { steps, from: peak / steps });
}
