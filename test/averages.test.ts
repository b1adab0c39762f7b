import { EMA, SWA, type AverageStateDict } from 'fused-optim';
import { expectSameBits } from './helpers/bits';
import { describeIsas, withIsa } from './helpers/isas';
import { values } from './helpers/random';

const shapes = [[3, 11], [7], [100_003], [0]];
const make = () =>
  shapes.map((shape, i) => ({
    name: `t${i}`,
    shape,
    data: values(
      shape.reduce((product, size) => product * size, 1),
      i + 1,
    ),
  }));
type Params = ReturnType<typeof make>;
const moved = Array.from({ length: 6 }, (_, step) => values(100_003, step + 20));
/** Training, as far as averages are concerned. */
const train = (params: Params, step: number): void =>
  params.forEach(({ data }) => data.set(moved[step]!.subarray(0, data.length)));

type Average = EMA | SWA;
function updateTimes(params: Params, average: Average, times: number): void {
  for (let t = 0; t < times; ++t) {
    train(params, t);
    average.update();
  }
}

const kinds: [string, (params: Params) => Average, (updates: number) => number][] = [
  ['EMA', (params) => new EMA(params), () => 0.001],
  ['EMA of decay 0.6', (params) => new EMA(params, { decay: 0.6, threads: 3 }), () => 0.4],
  [
    'EMA with warm-up',
    (params) => new EMA(params, { decay: 0.3, warmup: true }),
    (t) => 1 - Math.min(0.3, (1 + t) / (10 + t)),
  ],
  ['SWA', (params) => new SWA(params, { threads: 2 }), (t) => 1 / (t + 1)],
];

describe.each(kinds)('%s', (_, create, shareAt) => {
  describeIsas((isa) => {
    test('is its formula', () => {
      const params = make();
      const average = withIsa(isa, () => create(params));
      const expected = params.map(({ data }) => Float64Array.from(data));
      expect(average.updates).toBe(0);
      for (let t = 0; t < 5; ++t) {
        train(params, t);
        average.update();
        expected.forEach((array, i) => {
          const share = t === 0 ? 1 : shareAt(t);
          params[i]!.data.forEach((p, e) => (array[e]! += share * (p - array[e]!)));
        });
        params.forEach(({ data }) => expectSameBits(data, moved[t]!.subarray(0, data.length), 'the weights'));
      }
      expect(average.updates).toBe(5);
      params.forEach((param, i) => {
        const received = average.average(param);
        const worst = received.reduce((most, a, e) => Math.max(most, Math.abs(a - expected[i]![e]!)), 0);
        expect(worst).toBeLessThan(5e-6);
      });
    });
  });

  test('swaps with the weights and back', () => {
    const params = make();
    const average = create(params);
    expect(() => average.swap()).toThrow(/has no averages yet: call update\(\) before swap\(\)\.$/);
    updateTimes(params, average, 2);
    const averages = params.map((param) => average.average(param));
    const weights = params.map(({ data }) => data.slice());
    const dict = average.stateDict();
    const check = (swapped: boolean): void => {
      expect(average.swapped).toBe(swapped);
      params.forEach((param, i) => {
        expectSameBits(param.data, (swapped ? averages : weights)[i]!, param.name);
        expectSameBits(average.average(param), averages[i]!, `average of ${param.name}`);
      });
    };
    check(false);
    average.swap();
    check(true);
    expectSameBits(average.stateDict().averages.t1!.average, averages[1]!, 'the state dict while swapped');
    for (const [method, call] of [
      ['update()', () => average.update()],
      ['loadStateDict()', () => average.loadStateDict(dict)],
      ['whileSwapped()', () => average.whileSwapped(() => 0)],
    ] as const)
      expect(call).toThrow(`is swapped: call swap() once more before ${method}.`);
    check(true);
    average.swap();
    check(false);
  });

  test('whileSwapped() swaps back whatever happens', async () => {
    const params = make();
    const average = create(params);
    updateTimes(params, average, 2);
    const weight = params[1]!.data[0];
    const swappedWeight = average.average(params[1]!)[0];
    const look = (): number => {
      expect(average.swapped).toBe(true);
      expect(params[1]!.data[0]).toBe(swappedWeight);
      return 7;
    };
    const back = (): void => {
      expect(average.swapped).toBe(false);
      expect(params[1]!.data[0]).toBe(weight);
    };
    const boom = (): never => {
      look();
      throw new Error('boom');
    };
    expect(average.whileSwapped(look)).toBe(7);
    back();
    expect(() => average.whileSwapped(boom)).toThrow('boom');
    back();
    const later = average.whileSwapped(() => new Promise((resolve) => setTimeout(resolve, 5)).then(look));
    expect(average.swapped).toBe(true);
    await expect(later).resolves.toBe(7);
    back();
    await expect(average.whileSwapped(() => Promise.resolve().then(boom))).rejects.toThrow('boom');
    back();
    average.whileSwapped(() => average.swap());
    back();
  });

  test('resumes with the same bits', () => {
    const params = make();
    const whole = create(params);
    updateTimes(params, whole, 3);
    const resumed = create(params);
    resumed.loadStateDict(structuredClone(whole.stateDict()));
    for (let t = 3; t < 6; ++t) {
      train(params, t);
      whole.update();
      resumed.update();
    }
    expect(resumed.updates).toBe(6);
    for (const param of params) expectSameBits(resumed.average(param), whole.average(param), param.name);
  });

  test('starts anew from the state dict of one that never began', () => {
    const params = make();
    const average = create(params);
    const { updates, averages } = average.stateDict();
    expect([updates, averages]).toEqual([0, {}]);
    average.update();
    average.loadStateDict(create(params).stateDict());
    expect(average.updates).toBe(0);
    expect(() => average.average(params[0]!)).toThrow('has no averages yet');
  });
});

test('the warm-up says what the next update keeps', () => {
  const params = make();
  const ema = new EMA(params, { warmup: true });
  const decays = [1 / 10, 2 / 11, 3 / 12].map((decay) => {
    expect(ema.decay).toBe(decay);
    ema.update();
    return decay;
  });
  expect(decays).toHaveLength(3);
  expect(new EMA(params).decay).toBe(0.999);
});

describe('nothing is written when a check fails', () => {
  const one = (name: string) => ({ name, data: Float32Array.of(1, 2) as Float32Array });

  test.each([
    ['update()', (ema: EMA) => ema.update()],
    ['swap()', (ema: EMA) => ema.swap()],
  ])('%s', (_, call) => {
    const [a, b] = [one('a'), one('b')];
    const ema = new EMA([a, b], { decay: 0 });
    ema.update();
    a.data.fill(5);
    const { data } = b;
    const check = (wrong: unknown, message: string): void => {
      b.data = wrong as Float32Array;
      expect(() => call(ema)).toThrow(message);
      expect(a.data).toEqual(Float32Array.of(5, 5));
      expect(ema.average(a)).toEqual(Float32Array.of(1, 2));
      expect([ema.updates, ema.swapped]).toEqual([1, false]);
    };
    check(new Float32Array(3), 'Expected data of "b" to have 2 elements but received 3.');
    check(new Float64Array(2), 'Expected data of "b" to be a Float32Array');
    check(a.data, 'Expected data of "a" and "b" to be apart but they share memory');
    const gone = new Float32Array(2);
    structuredClone(gone, { transfer: [gone.buffer] });
    check(
      gone,
      'Expected data of "b" to have 2 elements but received 0 (was its ArrayBuffer detached or resized?).',
    );
    b.data = data;
    call(ema);
  });

  test('loadStateDict()', () => {
    const [a, b] = [one('a'), one('b')];
    const swa = new SWA([a, b]);
    swa.update();
    const dict = swa.stateDict();
    a.data.fill(7);
    swa.update();
    const entry = dict.averages.a!;
    const wrong: [unknown, string][] = [
      [null, 'Expected the state dict of SWA to be an object but received null.'],
      [{ ...dict, version: 2 }, 'Expected version of the state dict of SWA to be 1'],
      [
        { ...dict, algorithm: 'EMA' },
        'Expected algorithm of the state dict of SWA to be "SWA" but received "EMA".',
      ],
      [
        { ...dict, updates: -1 },
        'Expected updates of the state dict of SWA to be an integer >= 0 but received -1.',
      ],
      [
        { ...dict, averages: { a: entry } },
        'Expected "b" in the state dict of SWA to be an object but received undefined.',
      ],
      [
        { ...dict, averages: { ...dict.averages, c: entry } },
        'Expected the state dict of SWA to hold this one\'s parameters but received another, "c".',
      ],
      [
        { ...dict, averages: { a: entry, b: { ...entry, shape: [1, 2] } } },
        'Expected shape of "b" in the state dict of SWA to be [2] but received [1, 2].',
      ],
      [
        { ...dict, averages: { a: entry, b: { ...entry, average: [1, 2] } } },
        'Expected average of "b" in the state dict of SWA to be a Float32Array but received [1, 2].',
      ],
      [
        { ...dict, averages: { a: entry, b: { ...entry, average: new Float32Array(1) } } },
        'Expected average of "b" in the state dict of SWA to have 2 elements but received 1.',
      ],
    ];
    for (const [given, message] of wrong) {
      expect(() => swa.loadStateDict(given as AverageStateDict)).toThrow(message);
      expect([swa.updates, ...swa.average(a)]).toEqual([2, 4, 4.5]);
    }
    swa.loadStateDict(dict);
    expect([swa.updates, ...swa.average(a)]).toEqual([1, 1, 2]);
  });

  test('options and parameters', () => {
    const a = one('a');
    expect(() => new EMA([a], { decay: 1 })).toThrow(
      'Expected decay of EMA to be a number in [0, 1) but received 1.',
    );
    expect(() => new EMA([a], { warmup: 1 as never })).toThrow('Expected warmup of EMA to be true or false');
    expect(() => new SWA([a], { decay: 0.9 } as never)).toThrow('Unknown option "decay" for SWA');
    expect(() => new EMA([a, one('a')])).toThrow('Expected unique parameter names but received "a" twice.');
    expect(() => new EMA([a, { name: 'b', data: a.data }])).toThrow('to be apart but they share memory');
    const ema = new EMA([a]);
    ema.update();
    expect(() => ema.average(one('a'))).toThrow(
      'Expected a parameter of this EMA but received another object.',
    );
  });
});
