/** The learning rate as a pure function of the step, so that a resumed run goes on exactly where it would have been. */
export interface Schedule {
  /** Steps of linear warm-up. */
  warmup: number;
  /** The step at which the decay ends. */
  horizon: number;
  /** What is left of the rate from then on. */
  floor: number;
}

/**
 * What a group's own rate is multiplied by: linear warm-up to 1, half a cosine down to the floor at the horizon, then
 * constant. How many steps a run takes does not matter: 400 steps, and 200 steps resumed up to 400, see the same rates.
 */
export function rateFactor(step: number, { warmup, horizon, floor }: Schedule): number {
  if (step < warmup) return (step + 1) / warmup;
  const progress = Math.min(1, (step - warmup) / Math.max(1, horizon - warmup));
  return floor + ((1 - floor) * (1 + Math.cos(Math.PI * progress))) / 2;
}
