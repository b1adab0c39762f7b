/** The few statistics of the benchmark. Times of one machine wander; ratios of neighbours in time do not. */

/** The value below which `share` of the numbers lie, between two of them when it falls there. */
export function quantile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new RangeError('Expected at least one number but received none.');
  const sorted = [...values].sort((a, b) => a - b);
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (high - low) * (position - below);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** A middle value and how far the middle three fifths of the rounds lie around it. */
export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), low: quantile(values, 0.2), high: quantile(values, 0.8) };
}

/** `a / b` round by round: both were measured within one round, so a slow moment of the machine slows both. */
export function ratioByRound(a: readonly number[], b: readonly number[]): Spread {
  if (a.length !== b.length) {
    throw new RangeError(`Expected as many rounds on both sides but received ${a.length} and ${b.length}.`);
  }
  return spread(a.map((value, round) => value / (b[round] as number)));
}
