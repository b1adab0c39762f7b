/** How long steps on a GPU take: samples of several steps in a row, between two events of the device. */
import { quantile, spread, type Spread } from '../statistics';

/** Somebody whose steps are timed. */
export interface Timed {
  /** Milliseconds of one step, a number for each sample of so many steps in a row. */
  visit(samples: number, steps: number): Promise<number[]>;
  /** Microseconds of the call of a step alone, one a step. */
  host(steps: number): Promise<number[]>;
  close(): Promise<void>;
}

export interface Effort {
  /** Samples of each contender. */
  readonly samples: number;
  /** Milliseconds a sample should take, so that starting and ending it are nothing beside it. */
  readonly sampleMs: number;
  /** Milliseconds all samples of one contender may take, as long as there are enough to take a median of. */
  readonly mostMs: number;
  readonly hostSteps: number;
  /** Steps of ours before those: V8 optimizes what a step calls over thousands, which training has behind it in a second. */
  readonly hostWarmUp: number;
}

export const usual: Effort = { samples: 50, sampleMs: 4, mostMs: 2000, hostSteps: 400, hostWarmUp: 5000 };
export const quick: Effort = { ...usual, samples: 20, sampleMs: 2, mostMs: 500, hostSteps: 200 };
export const tiny: Effort = { samples: 3, sampleMs: 0, mostMs: 100, hostSteps: 10, hostWarmUp: 10 };

const fewestSamples = 5;
const mostSteps = 1000;

/** Copies of a workload to rotate over, so that no step finds what it needs in a cache of this size. */
export function rotating(workloadBytes: number, cacheBytes: number): number {
  if (workloadBytes > 4 * cacheBytes) return 1;
  return Math.max(3, Math.ceil((4 * cacheBytes) / Math.max(workloadBytes, 1)));
}

/** How a contender is visited: steps a sample, and samples. */
export interface Plan {
  readonly steps: number;
  readonly samples: number;
}

/** From how long a step takes now; `multiple`: steps come in whole turns of rotating sets, or of a period. */
export async function planFor(timed: Timed, effort: Effort, multiple: number): Promise<Plan> {
  const first = quantile(await timed.visit(1, multiple), 0.5);
  // The first steps make states and graphs, so that short ones are worth a second look.
  const step = first > 100 ? first : quantile(await timed.visit(3, multiple), 0.5);
  const turns = Math.ceil(effort.sampleMs / Math.max(step, 1e-4) / multiple);
  const steps = Math.min(Math.max(turns, 1), Math.max(1, Math.floor(mostSteps / multiple))) * multiple;
  const affordable = Math.floor(effort.mostMs / Math.max(step * steps, 1e-3));
  return {
    steps,
    samples: Math.max(Math.min(effort.samples, affordable), Math.min(effort.samples, fewestSamples)),
  };
}

export interface TimeResult {
  /** Milliseconds of a step, the median of all samples and the middle three fifths of them. */
  readonly ms: Spread;
  readonly samples: number;
  readonly stepsPerSample: number;
}

const rounds = 3;

/** Both in turn, so that a change of the clocks meets both: the times of each, and how many times as fast `a` is. */
export async function compare(
  a: Timed,
  planA: Plan,
  b: Timed,
  planB: Plan,
): Promise<{ readonly a: TimeResult; readonly b: TimeResult; readonly ratio: number }> {
  const times: [number[], number[]] = [[], []];
  const ratios: number[] = [];
  for (let round = 0; round < rounds; ++round) {
    const mine = await a.visit(Math.ceil(planA.samples / rounds), planA.steps);
    const theirs = await b.visit(Math.ceil(planB.samples / rounds), planB.steps);
    times[0].push(...mine);
    times[1].push(...theirs);
    ratios.push(quantile(theirs, 0.5) / quantile(mine, 0.5));
  }
  return { a: resultOf(times[0], planA), b: resultOf(times[1], planB), ratio: quantile(ratios, 0.5) };
}

export function resultOf(times: readonly number[], { steps }: Plan): TimeResult {
  return { ms: spread(times), samples: times.length, stepsPerSample: steps };
}

export async function time(timed: Timed, plan: Plan): Promise<TimeResult> {
  return resultOf(await timed.visit(plan.samples, plan.steps), plan);
}
