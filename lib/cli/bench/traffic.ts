/** What a step of each optimizer reads and writes in float32. */

/** One way over the arrays: a letter a stream, p, g and the states m, v, x. */
export interface Pass {
  readonly reads: string;
  /** Read and written. */
  readonly updates: string;
  /** Whether each element takes a square root and a division. */
  readonly divides: boolean;
  /** Made in every step, or in every n-th. */
  readonly every: number;
}

export const streams = 'pgmvx';

export function pass(reads: string, updates: string, divides = false, every = 1): Pass {
  return { reads, updates, divides, every };
}

/** The one pass of most rules: reads the gradient, updates the parameter and the states. */
export function plainPass(states: number, divides = false): Pass {
  return pass('g', streams.replace('g', '').slice(0, 1 + states), divides);
}

/** Steps between two meetings of Lookahead. */
export const meeting = 6;

/** Classes whose rules make other passes than the plain one. */
export const otherPasses: ReadonlyMap<string, readonly Pass[]> = new Map([
  ['LARS', [pass('pg', ''), pass('g', 'pm')]],
  ['LAMB', [pass('pg', 'mv', true), pass('mv', 'p', true)]],
  ['StableAdamW', [pass('g', 'mv', true), pass('mv', 'p', true)]],
  ['Ranger', [pass('g', ''), pass('g', 'pmv', true), pass('', 'x', false, meeting)]],
  ['Lookahead', [pass('g', 'pmv', true), pass('', 'x', false, meeting)]],
]);

/** Bytes one parameter's step must move, on average over the steps. */
export function bytesOf(passes: readonly Pass[]): number {
  return passes.reduce(
    (sum, { reads, updates, every }) => sum + (4 * (reads.length + 2 * updates.length)) / every,
    0,
  );
}
