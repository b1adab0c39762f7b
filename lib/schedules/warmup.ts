import { finite, integerFrom, oneOf, positive, read } from '../fields';
import { blend, checkSchedule, halfCosine, schedule, type Schedule } from './schedule';

export interface WarmupOptions {
  /** Steps of warm-up; an integer >= 0. */
  steps: number;
  /** Value at step 0; finite. @default 0 */
  from?: number | undefined;
}

export interface WarmupStableDecayOptions {
  /** Value between warm-up and decay; finite. */
  peakValue: number;
  /** Steps of linear warm-up; an integer >= 0. */
  warmupSteps: number;
  /** Steps at `peakValue`; an integer >= 0. */
  stableSteps: number;
  /** Steps of decay; an integer >= 1. */
  decaySteps: number;
  /** Value at step 0; finite. @default 0 */
  initValue?: number | undefined;
  /** Value after the decay; finite. @default 0 */
  endValue?: number | undefined;
  /** How the decay goes. @default 'linear' */
  decayShape?: '1-sqrt' | 'cosine' | 'linear' | undefined;
}

export interface InverseSqrtOptions {
  /** The highest value, that of step `warmupSteps − 1`; > 0. The paper's is `(dModel · warmupSteps)^−0.5`. */
  peakValue: number;
  /** Steps of linear warm-up; an integer >= 1. */
  warmupSteps: number;
}

/**
 * A straight line from `from` at step 0 to the schedule's own first value at step `steps`, then the schedule, which
 * begins there with its step 0.
 */
export function warmup(then: Schedule, options: WarmupOptions): Schedule {
  const where = 'schedules.warmup';
  const next = checkSchedule(then, `schedule of ${where}`);
  const { steps, from } = read<WarmupOptions>(options, where, {
    steps: { check: integerFrom(0) },
    from: { check: finite, fallback: 0 },
  });
  return schedule((step) => (step < steps ? blend(from, next(0), step / steps) : next(step - steps)));
}

/** The share of the way down that is left, from 1 to 0, when `part` of the decay is over. */
const shapes = {
  linear: (part: number) => 1 - part,
  cosine: halfCosine,
  '1-sqrt': (part: number) => 1 - Math.sqrt(part),
};

/**
 * Warmup-stable-decay (WSD), also called trapezoidal: linear warm-up, a long constant part, and a short decay to
 * `endValue`, which it keeps. Training can go on from a checkpoint of the constant part.
 *
 * @see Hu et al., "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies", 2024.
 * https://arxiv.org/abs/2404.06395
 * @see Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024, for the decay
 * `1-sqrt`. https://arxiv.org/abs/2405.18392
 */
export function warmupStableDecay(options: WarmupStableDecayOptions): Schedule {
  const { peakValue, warmupSteps, stableSteps, decaySteps, initValue, endValue, decayShape } =
    read<WarmupStableDecayOptions>(options, 'schedules.warmupStableDecay', {
      peakValue: { check: finite },
      warmupSteps: { check: integerFrom(0) },
      stableSteps: { check: integerFrom(0) },
      decaySteps: { check: integerFrom(1) },
      initValue: { check: finite, fallback: 0 },
      endValue: { check: finite, fallback: 0 },
      decayShape: { check: oneOf('linear', 'cosine', '1-sqrt'), fallback: 'linear' },
    });
  const left = shapes[decayShape];
  return schedule((step) => {
    if (step < warmupSteps) return blend(initValue, peakValue, step / warmupSteps);
    const decayed = Math.max(step - warmupSteps - stableSteps, 0);
    return blend(endValue, peakValue, left(Math.min(decayed / decaySteps, 1)));
  });
}

/**
 * The Transformer's schedule: linear warm-up, then the inverse square root of the step. With t = step + 1, the paper's count:
 *
 *     peakValue · min(t / warmupSteps, √(warmupSteps / t))
 *
 * @see Vaswani et al., "Attention Is All You Need", 2017, section 5.3. https://arxiv.org/abs/1706.03762
 */
export function inverseSqrt(options: InverseSqrtOptions): Schedule {
  const { peakValue, warmupSteps } = read<InverseSqrtOptions>(options, 'schedules.inverseSqrt', {
    peakValue: { check: positive },
    warmupSteps: { check: integerFrom(1) },
  });
  return schedule(
    (step) => peakValue * Math.min((step + 1) / warmupSteps, Math.sqrt(warmupSteps / (step + 1))),
  );
}
