import { schedules, type Schedule } from 'fused-optim';
import { readJson } from '../helpers/golden';

interface Case {
  readonly family: string;
  readonly options: never;
  readonly values: readonly number[];
  readonly inner?: never;
}

const { cases, reference } = readJson('schedules/schedules.json') as {
  readonly reference: string;
  readonly cases: readonly Case[];
};

/** The schedule that a case of PyTorch's is. */
function make({ family, options, inner }: Case): Schedule {
  if (family === 'constant') return schedules.constant((options as { value: number }).value);
  if (family === 'warmup') return schedules.warmup(schedules.cosine(inner!), options);
  if (family === 'join') {
    const parts = [
      schedules.constant(0.1),
      schedules.exponential({ initValue: 0.1, decayRate: 0.5 }),
      schedules.step({ initValue: 0.1, stepSize: 3, gamma: 0.1 }),
    ];
    return schedules.join(parts, (options as { boundaries: number[] }).boundaries);
  }
  return (schedules as unknown as Record<string, (given: never) => Schedule>)[family]!(options);
}

describe(`the values of ${reference}`, () => {
  test('are there for every family it has', () => {
    const families = [...new Set(cases.map(({ family }) => family))].sort();
    const own = ['scaled', 'inverseSqrt', 'warmupStableDecay'];
    const all = Object.keys(schedules).filter((name) => !own.includes(name));
    expect(families).toEqual(all.sort());
    expect(cases).toHaveLength(86);
  });

  test.each(
    cases.map((entry, i) => ({ entry, name: `${i}: ${entry.family} ${JSON.stringify(entry.options)}` })),
  )('$name', ({ entry }) => {
    const schedule = make(entry);
    const top = Math.max(...entry.values);
    entry.values.forEach((value, step) => {
      // PyTorch computes some families from the value before, so its own rounding adds up over the steps.
      const error = Math.abs(schedule(step) - value);
      if (!(error <= 1e-13 * top)) {
        throw new Error(`step ${step} is ${schedule(step)}, expected ${value}: off by ${error}`);
      }
    });
    expect(entry.values.length).toBeGreaterThan(1);
  });
});
