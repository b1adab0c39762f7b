import { schedules, type Schedule } from 'fused-optim';

const first = (schedule: Schedule, count: number): number[] =>
  Array.from({ length: count }, (_, i) => schedule(i));

function expectValues(schedule: Schedule, expected: Readonly<Record<number, number>>): void {
  for (const [step, value] of Object.entries(expected)) expect(schedule(Number(step))).toBeCloseTo(value, 12);
}

/** One of each family that ends, with where it ends. */
const ending: readonly [name: string, schedule: Schedule, lastStep: number, lastValue: number][] = [
  ['linear', schedules.linear({ initValue: 0.3, endValue: 0.1, transitionSteps: 7 }), 7, 0.1],
  [
    'polynomial',
    schedules.polynomial({ initValue: 0.3, endValue: 0.1, transitionSteps: 9, power: 0.7 }),
    9,
    0.1,
  ],
  ['exponential', schedules.exponential({ initValue: 1, decayRate: 0.5, endValue: 0.1 }), 4, 0.1],
  ['growing exponential', schedules.exponential({ initValue: 1, decayRate: 3, endValue: 7 }), 2, 7],
  ['cosine', schedules.cosine({ initValue: 0.3, decaySteps: 11, endValue: 0.1 }), 11, 0.1],
  ['oneCycle', schedules.oneCycle({ peakValue: 1, totalSteps: 20 }), 19, 1 / 25 / 1e4],
  ['three phases', schedules.oneCycle({ peakValue: 1, totalSteps: 20, threePhase: true }), 19, 1 / 25 / 1e4],
  ['oneCycleMomentum', schedules.oneCycleMomentum({ totalSteps: 20 }), 19, 0.95],
  ['warmup', schedules.warmup(schedules.cosine({ initValue: 0.3, decaySteps: 5 }), { steps: 3 }), 8, 0],
  ...(['linear', 'cosine', '1-sqrt'] as const).map((decayShape): [string, Schedule, number, number] => [
    `warmupStableDecay ${decayShape}`,
    schedules.warmupStableDecay({
      peakValue: 0.3,
      warmupSteps: 3,
      stableSteps: 4,
      decaySteps: 6,
      endValue: 0.1,
      decayShape,
    }),
    13,
    0.1,
  ]),
];

/** One of each family, for what holds of all. */
const all: readonly [name: string, schedule: Schedule][] = [
  ...ending.map(([name, schedule]): [string, Schedule] => [name, schedule]),
  ['constant', schedules.constant(0.1)],
  ['cosineRestarts', schedules.cosineRestarts({ initValue: 1, period: 3, tMult: 2 })],
  ['cosineRestarts of equal cycles', schedules.cosineRestarts({ initValue: 1, period: 3 })],
  ['step', schedules.step({ initValue: 1, stepSize: 3 })],
  ['step to 0', schedules.step({ initValue: 1, stepSize: 3, gamma: 0 })],
  ['multiStep', schedules.multiStep({ initValue: 1, milestones: [2, 5] })],
  ['endless exponential', schedules.exponential({ initValue: 1, decayRate: 0.1 })],
  ['inverseSqrt', schedules.inverseSqrt({ peakValue: 1, warmupSteps: 4 })],
  ['join', schedules.join([schedules.constant(1), schedules.constant(2)], [3])],
  ['scaled', schedules.scaled(schedules.constant(1), -2)],
  ['oneCycle of one step', schedules.oneCycle({ peakValue: 1, totalSteps: 1 })],
  ...[0, 0.01, 0.02, 0.03, 0.5].flatMap((pctStart) =>
    [false, true].map((threePhase): [string, Schedule] => [
      `oneCycle with pctStart ${pctStart}, ${threePhase ? 3 : 2} phases`,
      schedules.oneCycle({ peakValue: 1, totalSteps: 50, pctStart, threePhase }),
    ]),
  ),
  ['oneCycle that only rises', schedules.oneCycle({ peakValue: 1, totalSteps: 50, pctStart: 1 })],
];

describe('values worked by hand', () => {
  test('constant', () => {
    expect(first(schedules.constant(-0.5), 3)).toEqual([-0.5, -0.5, -0.5]);
  });

  test('linear waits for transitionBegin', () => {
    const schedule = schedules.linear({ initValue: 4, endValue: 0, transitionSteps: 4, transitionBegin: 2 });
    expect(first(schedule, 8)).toEqual([4, 4, 4, 3, 2, 1, 0, 0]);
  });

  test('polynomial: the square of the steps left', () => {
    const schedule = schedules.polynomial({ initValue: 17, endValue: 1, transitionSteps: 4, power: 2 });
    expect(first(schedule, 6)).toEqual([17, 10, 5, 2, 1, 1]);
  });

  test('exponential, smooth, in stairs, growing and with a floor', () => {
    const smooth = schedules.exponential({ initValue: 8, decayRate: 0.25, transitionSteps: 2 });
    expect(first(smooth, 5)).toEqual([8, 4, 2, 1, 0.5]);
    const stairs = schedules.exponential({
      initValue: 8,
      decayRate: 0.25,
      transitionSteps: 2,
      staircase: true,
    });
    expect(first(stairs, 5)).toEqual([8, 8, 2, 2, 0.5]);
    const growing = schedules.exponential({ initValue: 1, decayRate: 2, endValue: 5 });
    expect(first(growing, 5)).toEqual([1, 2, 4, 5, 5]);
    const late = schedules.exponential({ initValue: 8, decayRate: 0.5, transitionBegin: 2, endValue: 3 });
    expect(first(late, 6)).toEqual([8, 8, 8, 4, 3, 3]);
  });

  test('cosine', () => {
    expectValues(schedules.cosine({ initValue: 3, decaySteps: 6, endValue: 1 }), {
      0: 3,
      2: 2.5,
      3: 2,
      4: 1.5,
      6: 1,
    });
  });

  test('cosineRestarts doubles its cycles: restarts at 2, 6 and 14', () => {
    const schedule = schedules.cosineRestarts({ initValue: 2, period: 2, tMult: 2 });
    expectValues(schedule, { 0: 2, 1: 1, 2: 2, 4: 1, 6: 2, 10: 1, 13: 1 - Math.cos(Math.PI / 8), 14: 2 });
  });

  test('step and multiStep', () => {
    expect(first(schedules.step({ initValue: 8, stepSize: 2, gamma: 0.5 }), 5)).toEqual([8, 8, 4, 4, 2]);
    const multi = schedules.multiStep({ initValue: 8, milestones: [1, 3, 3], gamma: 0.5 });
    expect(first(multi, 5)).toEqual([8, 4, 4, 1, 1]);
    expect(first(schedules.multiStep({ initValue: 8, milestones: [], gamma: 0.5 }), 2)).toEqual([8, 8]);
  });

  test('oneCycle: peak at step pctStart · totalSteps − 1', () => {
    const lr = schedules.oneCycle({
      peakValue: 1,
      totalSteps: 11,
      pctStart: 6 / 11,
      annealStrategy: 'linear',
    });
    expectValues(lr, { 0: 0.04, 5: 1, 10: 4e-6 });
    expectValues(lr, { 1: 0.04 + 0.96 / 5, 6: 1 - (1 - 4e-6) / 5 });
    const beta = schedules.oneCycleMomentum({ totalSteps: 11, pctStart: 6 / 11 });
    expectValues(beta, { 0: 0.95, 5: 0.85, 10: 0.95 });
  });

  test('inverseSqrt is the formula of the paper', () => {
    const [dModel, warmupSteps] = [512, 4000];
    const schedule = schedules.inverseSqrt({ peakValue: (dModel * warmupSteps) ** -0.5, warmupSteps });
    for (const stepNum of [1, 2, 1000, 3999, 4000, 4001, 100000]) {
      const paper = dModel ** -0.5 * Math.min(stepNum ** -0.5, stepNum * warmupSteps ** -1.5);
      expect(schedule(stepNum - 1) / paper).toBeCloseTo(1, 12);
    }
  });

  test('warmup: a line to the first value of what follows, which begins with its step 0', () => {
    const then = schedules.linear({ initValue: 4, endValue: 0, transitionSteps: 4 });
    expect(first(schedules.warmup(then, { steps: 2 }), 8)).toEqual([0, 2, 4, 3, 2, 1, 0, 0]);
    expect(first(schedules.warmup(then, { steps: 2, from: 2 }), 3)).toEqual([2, 3, 4]);
    expect(first(schedules.warmup(then, { steps: 0 }), 3)).toEqual([4, 3, 2]);
  });

  test('warmupStableDecay in its three shapes', () => {
    const common = { peakValue: 4, warmupSteps: 2, stableSteps: 2, decaySteps: 4 };
    const wsd = schedules.warmupStableDecay;
    expect(first(wsd(common), 10)).toEqual([0, 2, 4, 4, 4, 3, 2, 1, 0, 0]);
    expectValues(wsd({ ...common, decayShape: '1-sqrt' }), { 4: 4, 5: 2, 6: 4 * (1 - Math.SQRT1_2), 8: 0 });
    expectValues(wsd({ ...common, decayShape: 'cosine', endValue: 1 }), { 4: 4, 6: 2.5, 8: 1, 9: 1 });
    expect(wsd({ ...common, initValue: 1 })(1)).toBe(2.5);
  });

  test('join and scaled', () => {
    const down = schedules.linear({ initValue: 2, endValue: 0, transitionSteps: 2 });
    expect(first(schedules.join([down, down, schedules.constant(7)], [2, 4]), 6)).toEqual([2, 1, 2, 1, 7, 7]);
    expect(first(schedules.join([down, schedules.constant(7), down], [1, 1]), 4)).toEqual([2, 2, 1, 0]);
    expect(first(schedules.join([down], []), 3)).toEqual([2, 1, 0]);
    expect(first(schedules.scaled(down, 0.25), 3)).toEqual([0.5, 0.25, 0]);
    expect(
      first(
        schedules.scaled((step) => step ** 2, 2),
        3,
      ),
    ).toEqual([0, 2, 8]);
  });
});

describe('every schedule', () => {
  const far = [1e3, 1e6, 1e9, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER];

  test.each(all)('is finite and pure, %s', (_, schedule) => {
    const steps = [...Array.from({ length: 200 }, (_, i) => i), ...far];
    const forwards = steps.map((step) => schedule(step));
    expect(forwards.filter((value) => !Number.isFinite(value))).toEqual([]);
    const backwards = [...steps].reverse().map((step) => schedule(step));
    expect(backwards.reverse()).toEqual(forwards);
  });

  test.each(all)('refuses what is not a step, %s', (_, schedule) => {
    for (const step of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      expect(() => schedule(step)).toThrow(
        new RangeError(`Expected step of a schedule to be an integer >= 0 but received ${step}.`),
      );
    }
    expect(() => schedule('1' as never)).toThrow(TypeError);
  });

  test.each(ending)('ends with its last value, exactly, %s', (_, schedule, lastStep, lastValue) => {
    for (const step of [lastStep, lastStep + 1, ...far]) expect(schedule(step)).toBe(lastValue);
    expect(schedule(lastStep - 1)).not.toBe(lastValue);
  });

  test('has no jump where parts meet', () => {
    const steps = 1e6;
    const smooth: readonly Schedule[] = [
      schedules.warmup(schedules.cosine({ initValue: 1, decaySteps: steps }), { steps }),
      schedules.warmupStableDecay({
        peakValue: 1,
        warmupSteps: steps,
        stableSteps: steps,
        decaySteps: steps,
      }),
      schedules.oneCycle({ peakValue: 1, totalSteps: 4 * steps, pctStart: 0.25 }),
      schedules.oneCycle({ peakValue: 1, totalSteps: 4 * steps, pctStart: 0.25, threePhase: true }),
      schedules.inverseSqrt({ peakValue: 1, warmupSteps: steps }),
    ];
    const joints = [steps, 2 * steps, 3 * steps].flatMap((joint) =>
      [-3, -2, -1, 0, 1, 2].map((d) => joint + d),
    );
    for (const schedule of smooth) {
      for (const step of joints) expect(Math.abs(schedule(step + 1) - schedule(step))).toBeLessThan(3e-6);
    }
  });

  test('stays between its ends', () => {
    for (const [, schedule, lastStep, lastValue] of ending) {
      const values = first(schedule, lastStep + 1);
      expect(Math.min(...values)).toBeGreaterThanOrEqual(Math.min(values[0]!, lastValue, 0));
      expect(Math.max(...values)).toBeLessThanOrEqual(7);
    }
    const same = schedules.cosine({ initValue: 0.1, decaySteps: 77, endValue: 0.1 });
    expect(new Set(first(same, 100))).toEqual(new Set([0.1]));
  });
});
