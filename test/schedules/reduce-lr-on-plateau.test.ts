import { ReduceLROnPlateau, SGD, type ReduceLROnPlateauOptions } from 'fused-optim';
import { readJson } from '../helpers/golden';

interface Case {
  readonly metrics: string;
  readonly options: ReduceLROnPlateauOptions;
  readonly lrs: readonly (readonly number[])[];
}

const golden = readJson('schedules/plateau.json') as {
  readonly reference: string;
  readonly initial: readonly number[];
  readonly metrics: Readonly<Record<string, readonly (number | null)[]>>;
  readonly cases: readonly Case[];
};

const groups = (lrs: readonly number[]) => ({ paramGroups: lrs.map((lr) => ({ lr })) });
const lrsOf = (optimizer: { paramGroups: readonly { lr: number }[] }) =>
  optimizer.paramGroups.map(({ lr }) => lr);

/** Metrics of a case in its mode; null stands for NaN. */
const metricsOf = ({ metrics, options }: Case): number[] =>
  golden.metrics[metrics]!.map((m) => (m === null ? NaN : options.mode === 'max' ? -m : m));

const named = golden.cases.map((entry) => ({
  entry,
  name: `${entry.metrics} ${JSON.stringify(entry.options)}`,
}));

describe(`the learning rates of ${golden.reference}`, () => {
  test('change in most cases', () => {
    const moving = golden.cases.filter(({ lrs }) => lrs.at(-1)![0] !== golden.initial[0]);
    expect(golden.cases).toHaveLength(60);
    expect(moving.length).toBeGreaterThan(40);
  });

  test.each(named)('$name', ({ entry }) => {
    const optimizer = groups(golden.initial);
    const plateau = new ReduceLROnPlateau(optimizer, entry.options);
    const received = metricsOf(entry).map((metric) => {
      plateau.step(metric);
      return lrsOf(optimizer);
    });
    expect(received).toEqual(entry.lrs);
  });

  test.each(named)('$name, stopped and resumed at every call', ({ entry }) => {
    const optimizer = groups(golden.initial);
    let state = new ReduceLROnPlateau(optimizer, entry.options).stateDict();
    const received = metricsOf(entry).map((metric) => {
      const plateau = new ReduceLROnPlateau(optimizer, entry.options);
      plateau.loadStateDict(JSON.parse(JSON.stringify(state)) as typeof state);
      plateau.step(metric);
      state = plateau.stateDict();
      return lrsOf(optimizer);
    });
    expect(received).toEqual(entry.lrs);
  });
});

test('reduces the learning rates of an optimizer', () => {
  const optimizer = new SGD([{ data: new Float32Array(2) }], { lr: 0.5 });
  const plateau = new ReduceLROnPlateau(optimizer, { patience: 1, factor: 0.5 });
  for (const loss of [1, 1]) plateau.step(loss);
  expect(lrsOf(optimizer)).toEqual([0.5]);
  plateau.step(1);
  expect(lrsOf(optimizer)).toEqual([0.25]);
  optimizer.dispose();
});

test('an infinite metric is no improvement, even as the first', () => {
  const plateau = new ReduceLROnPlateau(groups([1]), {});
  for (const metric of [-Infinity, Infinity, NaN]) plateau.step(metric);
  expect(plateau.stateDict()).toEqual({ best: null, numBadEpochs: 3, cooldownCounter: 0 });
  plateau.step(5);
  expect(plateau.stateDict()).toEqual({ best: 5, numBadEpochs: 0, cooldownCounter: 0 });
});

describe('refuses', () => {
  const bad: Record<string, readonly unknown[]> = {
    mode: ['low', 1],
    factor: [1, -0.1, NaN],
    patience: [-1, 0.5],
    threshold: [-1, NaN],
    thresholdMode: ['relative'],
    cooldown: [-1],
    minLr: [-1, [0, -1], [0], 'x'],
    eps: [-1],
  };
  const cases = Object.entries(bad).flatMap(([option, values]) => values.map((value) => ({ option, value })));

  test.each(cases)('$option: $value', ({ option, value }) => {
    const build = () => new ReduceLROnPlateau(groups([1, 2]), { [option]: value });
    expect(build).toThrow(
      new RegExp(`^Expected ${option}.* of ReduceLROnPlateau to be .+ but received .+\\.$`),
    );
  });

  test('unknown options, and what has no learning rates', () => {
    expect(() => new ReduceLROnPlateau(groups([1]), { min_lr: 0 } as object)).toThrow(/did you mean "minLr"/);
    for (const given of [null, {}, { paramGroups: [{}] }, { paramGroups: [null] }]) {
      expect(() => new ReduceLROnPlateau(given as never)).toThrow(TypeError);
    }
  });

  test('a metric that is no number, and a group too many for minLr; nothing changes', () => {
    const optimizer = groups([1]);
    const plateau = new ReduceLROnPlateau(optimizer, { minLr: [0], patience: 0 });
    plateau.step(1);
    const before = plateau.stateDict();
    expect(() => plateau.step('1' as never)).toThrow(TypeError);
    optimizer.paramGroups.push({ lr: 2 });
    expect(() => plateau.step(2)).toThrow(
      new RangeError(
        'Expected minLr of ReduceLROnPlateau to be one number or one for each of 2 groups but received [0].',
      ),
    );
    expect(plateau.stateDict()).toEqual(before);
    expect(lrsOf(optimizer)).toEqual([1, 2]);
  });

  test('state dicts that do not fit, and keeps its own', () => {
    const plateau = new ReduceLROnPlateau(groups([1]));
    plateau.step(3);
    plateau.step(4);
    const own = plateau.stateDict();
    const dicts = [
      null,
      {},
      { ...own, best: 'x' },
      { ...own, best: NaN },
      { ...own, numBadEpochs: -1 },
      { ...own, cooldownCounter: 0.5 },
      { ...own, more: 1 },
    ];
    for (const dict of dicts) {
      expect(() => plateau.loadStateDict({ best: 9, ...dict } as never)).toThrow(/the state dict of/);
      expect(plateau.stateDict()).toEqual(own);
    }
  });
});
