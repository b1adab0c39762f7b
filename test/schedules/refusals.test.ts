import { schedules } from 'fused-optim';

type Make = (options: Readonly<Record<string, unknown>>) => unknown;
const make = schedules as unknown as Readonly<Record<string, Make>>;

/** Options of each family that are accepted, and single changes that are not. */
const families: Readonly<
  Record<string, { good: Record<string, unknown>; bad: Readonly<Record<string, readonly unknown[]>> }>
> = {
  linear: {
    good: { initValue: 1, endValue: 0, transitionSteps: 2, transitionBegin: 1 },
    bad: {
      initValue: [undefined, '1', NaN],
      endValue: [undefined, null, Infinity],
      transitionSteps: [undefined, 0, 1.5, -1],
      transitionBegin: [-1, 0.5, null],
    },
  },
  polynomial: {
    good: { initValue: 1, endValue: 0, transitionSteps: 2, power: 2 },
    bad: { power: [0, -1, NaN, null], transitionSteps: [0] },
  },
  exponential: {
    good: {
      initValue: 1,
      decayRate: 0.5,
      transitionSteps: 2,
      transitionBegin: 1,
      staircase: true,
      endValue: 0.5,
    },
    bad: {
      initValue: [undefined, 0, -1],
      decayRate: [undefined, 0, -1, 2],
      transitionSteps: [0],
      transitionBegin: [-1],
      staircase: [1, null],
      endValue: [-1, 2],
    },
  },
  cosine: {
    good: { initValue: 1, decaySteps: 2, endValue: 0.1 },
    bad: { initValue: [undefined], decaySteps: [undefined, 0, Infinity], endValue: [NaN] },
  },
  cosineRestarts: {
    good: { initValue: 1, period: 2, tMult: 2, endValue: 0 },
    bad: { initValue: ['x'], period: [0, undefined], tMult: [0, 1.5], endValue: [NaN] },
  },
  step: {
    good: { initValue: 1, stepSize: 2, gamma: 0.1 },
    bad: { initValue: [undefined], stepSize: [0, undefined], gamma: [-0.1, 1.1, NaN] },
  },
  multiStep: {
    good: { initValue: 1, milestones: [1, 2], gamma: 2 },
    bad: {
      initValue: [undefined],
      milestones: [undefined, 3, [2, 1], [0.5], [-1], ['1']],
      gamma: [-1, 1e300],
    },
  },
  oneCycle: {
    good: {
      peakValue: 1,
      totalSteps: 9,
      pctStart: 0.5,
      divFactor: 2,
      finalDivFactor: 2,
      annealStrategy: 'linear',
      threePhase: true,
    },
    bad: {
      peakValue: [undefined, 0],
      totalSteps: [undefined, 0],
      pctStart: [-0.1, 1.1, 0.6],
      divFactor: [0, 1e-309],
      finalDivFactor: [0, 1e-309],
      annealStrategy: ['cosine', 1],
      threePhase: ['yes'],
    },
  },
  oneCycleMomentum: {
    good: { totalSteps: 9, baseMomentum: 0.8, maxMomentum: 0.9 },
    bad: { totalSteps: [undefined], baseMomentum: [NaN], maxMomentum: ['x'] },
  },
  warmupStableDecay: {
    good: { peakValue: 1, warmupSteps: 0, stableSteps: 0, decaySteps: 1, initValue: 0, endValue: 0 },
    bad: {
      peakValue: [undefined],
      warmupSteps: [undefined, -1],
      stableSteps: [undefined, -1],
      decaySteps: [undefined, 0],
      initValue: [NaN],
      endValue: [NaN],
      decayShape: ['sqrt'],
    },
  },
  inverseSqrt: {
    good: { peakValue: 1, warmupSteps: 1 },
    bad: { peakValue: [0, undefined], warmupSteps: [0, undefined] },
  },
};

describe.each(Object.entries(families))('%s', (name, { good, bad }) => {
  test('takes good options', () => {
    expect(make[name]!(good)).toBeInstanceOf(Function);
  });

  const changes = Object.entries(bad).flatMap(([option, values]) =>
    values.map((value) => ({ option, value })),
  );
  test.each(changes)('refuses $option: $value and names it', ({ option, value }) => {
    const build = (): unknown => make[name]!({ ...good, [option]: value });
    expect(build).toThrow(/^Expected .+ but received .+\.$/);
    expect(build).toThrow(`of schedules.${name} to be`);
  });

  test('refuses an unknown option and a missing object', () => {
    expect(() => make[name]!({ ...good, gama: 1 })).toThrow(`Unknown option "gama" for schedules.${name}`);
    expect(() => make[name]!(undefined as never)).toThrow(
      new TypeError(`Expected options of schedules.${name} to be an object but received undefined.`),
    );
  });
});

test('the messages are sentences', () => {
  expect(() => make.cosine!({ initValue: 1 })).toThrow(
    new TypeError('Expected decaySteps of schedules.cosine to be an integer >= 1 but received undefined.'),
  );
  expect(() => make.multiStep!({ initValue: 1, milestones: [1, -1] })).toThrow(
    new RangeError('Expected milestones[1] of schedules.multiStep to be an integer >= 0 but received -1.'),
  );
  expect(() => make.cosine!({ initvalue: 1 })).toThrow(
    new TypeError('Unknown option "initvalue" for schedules.cosine: did you mean "initValue"?'),
  );
});

test('the functions with arguments check them', () => {
  const { constant, join, scaled, warmup } = schedules;
  const one = constant(1);
  expect(() => constant('1' as never)).toThrow(TypeError);
  expect(() => constant(NaN)).toThrow(RangeError);
  expect(() => scaled(one, Infinity)).toThrow(RangeError);
  expect(() => scaled(0.1 as never, 1)).toThrow(TypeError);
  expect(() => warmup(0.1 as never, { steps: 1 })).toThrow(TypeError);
  expect(() => warmup(one, { steps: -1 })).toThrow(RangeError);
  expect(() => warmup(one, { steps: 1, from: NaN })).toThrow(RangeError);
  expect(() => warmup(one, { step: 1 } as never)).toThrow(/did you mean "steps"/);
  expect(() => join([], [])).toThrow(TypeError);
  expect(() => join([one, 2 as never], [1])).toThrow(/schedules\[1\] of schedules\.join/);
  expect(() => join([one, one], [])).toThrow(
    /the number of boundaries of schedules\.join to be 1 for 2 schedules but received 0/,
  );
  expect(() => join([one, one, one], [3, 2])).toThrow(/in ascending order/);
  expect(() => join([one, one], [1.5])).toThrow(/boundaries\[0\] of schedules\.join/);
});
