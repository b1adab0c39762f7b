/** Somebody who takes steps and is timed. */
export interface Contender {
  readonly name: string;
  /** Takes the steps and returns the seconds all of them took. */
  run(steps: number): number | Promise<number>;
}

export interface Series {
  readonly name: string;
  readonly stepsPerRound: number;
  /** Seconds of one step, a number a round. */
  readonly seconds: readonly number[];
}

export interface Schedule {
  readonly rounds: number;
  /** Seconds of timed steps in one visit; at least one step is taken, however long it lasts. */
  readonly visitSeconds: number;
  /** Every so many steps do what the others do not: a visit takes a multiple. Default 1. */
  readonly period?: number;
}

/** RAdam is in its lasting form from step 6 on; the first steps also make states and compile JavaScript. */
const WARM_UP_STEPS = 8;
/** Products of large matrices need no more warming than this. */
const WARM_UP_SECONDS = 2;
/** Steps shorter than this may work from caches, which the contender before has filled with its own data. */
const CACHED_STEP_SECONDS = 0.02;
const MOST_STEPS = 50_000;

async function warmUp(contender: Contender, visitSeconds: number): Promise<number> {
  const first = await contender.run(1);
  if (first > WARM_UP_SECONDS) return first;
  let steps = WARM_UP_STEPS - 1;
  let spent = await contender.run(steps);
  let total = spent;
  // Short steps go on for about a visit: the number of steps of a visit follows from the last of them.
  while (total < visitSeconds) {
    steps = Math.min(steps * 2, MOST_STEPS);
    spent = await contender.run(steps);
    total += spent;
  }
  return spent / steps;
}

/**
 * Times all contenders in turn, round by round, so that a ratio of two of them is taken from the same moments. The
 * order rotates: nobody always follows the same neighbour.
 */
export async function interleave(
  contenders: readonly Contender[],
  schedule: Schedule,
  onVisit?: () => void,
): Promise<Series[]> {
  const entries = [];
  for (const contender of contenders) {
    const step = await warmUp(contender, schedule.visitSeconds);
    const { period = 1 } = schedule;
    const steps = Math.min(Math.round(schedule.visitSeconds / Math.max(step, 1e-9)), MOST_STEPS);
    entries.push({
      contender,
      cached: step < CACHED_STEP_SECONDS,
      stepsPerRound: Math.max(Math.round(steps / period), 1) * period,
      seconds: [] as number[],
    });
    onVisit?.();
  }
  for (let round = 0; round < schedule.rounds; ++round) {
    const first = round % entries.length;
    for (const entry of [...entries.slice(first), ...entries.slice(0, first)]) {
      if (entry.cached) await entry.contender.run(1);
      entry.seconds.push((await entry.contender.run(entry.stepsPerRound)) / entry.stepsPerRound);
      onVisit?.();
    }
  }
  return entries.map(({ contender, stepsPerRound, seconds }) => ({
    name: contender.name,
    stepsPerRound,
    seconds,
  }));
}
