import { GradScaler, type GradScalerOptions } from 'fused-optim';
import { readJson } from './helpers/golden';

interface Case {
  readonly options: GradScalerOptions;
  readonly reports: readonly boolean[];
  readonly scales: readonly number[];
  readonly trackers: readonly number[];
}

const { cases, reference } = readJson('schedules/scaler.json') as {
  readonly reference: string;
  readonly cases: readonly Case[];
};

const seen = (scaler: GradScaler): number[] => [scaler.scale, scaler.growthTracker, scaler.skipped];

describe(`the scales of ${reference}`, () => {
  test('grow, back off and meet their limit', () => {
    expect(cases).toHaveLength(5);
    const all = cases.flatMap(({ scales }) => scales);
    expect(Math.max(...all)).toBeGreaterThan(2 ** 127);
    expect(Math.min(...all)).toBeLessThan(65536);
  });

  test.each(cases.map((entry) => ({ entry, name: JSON.stringify(entry.options) })))('$name', ({ entry }) => {
    const auto = new GradScaler(entry.options);
    const explicit = new GradScaler({ ...entry.options, autoUpdate: false });
    let skipped = 0;
    entry.reports.forEach((bad, i) => {
      auto.report(bad);
      auto.update();
      explicit.report(bad);
      explicit.update();
      if (bad) ++skipped;
      expect(seen(auto)).toEqual([entry.scales[i], entry.trackers[i], skipped]);
      expect(seen(explicit)).toEqual(seen(auto));
    });
    expect(skipped).toBeGreaterThan(2);
  });
});

test('grows after the interval and backs off at once: a table worked by hand', () => {
  const scaler = new GradScaler({ initScale: 8, growthInterval: 3 });
  const table: readonly [bad: boolean, scale: number, tracker: number, skipped: number][] = [
    [false, 8, 1, 0],
    [false, 8, 2, 0],
    [false, 16, 0, 0],
    [false, 16, 1, 0],
    [true, 8, 0, 1],
    [true, 4, 0, 2],
    [false, 4, 1, 2],
    [false, 4, 2, 2],
    [false, 8, 0, 2],
  ];
  for (const [bad, ...expected] of table) {
    scaler.report(bad);
    expect(seen(scaler)).toEqual(expected);
  }
});

test('starts as documented', () => {
  const scaler = new GradScaler();
  expect(scaler.stateDict()).toEqual({
    scale: 65536,
    growthFactor: 2,
    backoffFactor: 0.5,
    growthInterval: 2000,
    growthTracker: 0,
    skipped: 0,
  });
  expect([scaler.scale, scaler.getScale(), scaler.isEnabled()]).toEqual([65536, 65536, true]);
});

test('shared by two optimizers: one update for both, bad when either was', () => {
  const scaler = new GradScaler({ initScale: 8, growthInterval: 2, autoUpdate: false });
  scaler.report(true);
  scaler.report(false);
  expect(seen(scaler)).toEqual([8, 0, 1]);
  scaler.update();
  expect(seen(scaler)).toEqual([4, 0, 1]);
  for (let round = 0; round < 2; ++round) {
    scaler.report(false);
    scaler.report(false);
    scaler.update();
  }
  expect(seen(scaler)).toEqual([8, 0, 1]);
});

test('an update without a report does nothing', () => {
  for (const autoUpdate of [true, false]) {
    const scaler = new GradScaler({ growthInterval: 1, autoUpdate });
    scaler.update();
    expect(seen(scaler)).toEqual([65536, 0, 0]);
  }
});

test('update(newScale) sets the scale, forgets the reports and keeps the count', () => {
  const scaler = new GradScaler({ initScale: 8, growthInterval: 3, autoUpdate: false });
  scaler.report(false);
  scaler.update();
  scaler.report(true);
  scaler.update(1024);
  expect(seen(scaler)).toEqual([1024, 1, 1]);
  scaler.update();
  expect(seen(scaler)).toEqual([1024, 1, 1]);
});

test('disabled, the scale is 1 and nothing changes it', () => {
  const scaler = new GradScaler({ enabled: false, growthInterval: 1 });
  const before = scaler.stateDict();
  scaler.report(true);
  scaler.report(false);
  scaler.update();
  scaler.update(16);
  expect([scaler.scale, scaler.getScale(), scaler.isEnabled()]).toEqual([1, 1, false]);
  expect(scaler.stateDict()).toEqual(before);
});

test('never leaves the normal float32 numbers', () => {
  const down = new GradScaler({ backoffFactor: 1e-30 });
  const up = new GradScaler({ growthFactor: 1e30, growthInterval: 1 });
  for (let i = 0; i < 10; ++i) {
    down.report(true);
    up.report(false);
    for (const scale of [down.scale, up.scale]) {
      expect(scale).toBe(Math.fround(scale));
      expect(Number.isFinite(scale) && scale >= 2 ** -126).toBe(true);
    }
  }
  expect(down.scale).toBe(2 ** -126);
  expect(up.scale).toBe(Math.fround(65536 * 1e30));
  const smallest = new GradScaler({ initScale: 2 ** -126 });
  smallest.report(true);
  expect(smallest.scale).toBe(2 ** -126);
  const largest = new GradScaler({ initScale: 2 ** 127, growthInterval: 1 });
  largest.report(false);
  expect(seen(largest)).toEqual([2 ** 127, 0, 0]);
  largest.report(true);
  expect(largest.scale).toBe(2 ** 126);
});

test('a resumed scaler goes on as one that never stopped', () => {
  for (const { options, reports } of cases) {
    const through = new GradScaler(options);
    let resumed = new GradScaler(options);
    for (const bad of reports) {
      const next = new GradScaler();
      next.loadStateDict(JSON.parse(JSON.stringify(resumed.stateDict())) as never);
      resumed = next;
      through.report(bad);
      resumed.report(bad);
      expect(resumed.stateDict()).toEqual(through.stateDict());
    }
  }
});

test('loading forgets a report of before', () => {
  const scaler = new GradScaler({ autoUpdate: false });
  const state = scaler.stateDict();
  scaler.report(true);
  scaler.loadStateDict(state);
  scaler.update();
  expect(scaler.stateDict()).toEqual(state);
});

describe('refuses', () => {
  const bad: Record<string, readonly unknown[]> = {
    initScale: [0, -1, NaN, Infinity, 3.5e38, 1e-38, '8', null],
    growthFactor: [1, 0.5, Infinity],
    backoffFactor: [0, 1, -1, NaN],
    growthInterval: [0, 1.5, -1],
    enabled: [1, null],
    autoUpdate: ['no'],
  };
  const changes = Object.entries(bad).flatMap(([option, values]) =>
    values.map((value) => ({ option, value })),
  );

  test.each(changes)('$option: $value', ({ option, value }) => {
    expect(() => new GradScaler({ [option]: value })).toThrow(
      new RegExp(`^Expected ${option} of GradScaler to be .+ but received .+\\.$`),
    );
  });

  test('unknown options, reports that are not true or false, scales that are none', () => {
    expect(() => new GradScaler({ init_scale: 1 } as object)).toThrow(/did you mean "initScale"/);
    const scaler = new GradScaler({ growthInterval: 1, autoUpdate: false });
    expect(() => scaler.report(0 as never)).toThrow(TypeError);
    scaler.report(false);
    expect(() => scaler.update(0)).toThrow(
      new RangeError('Expected newScale of GradScaler to be a normal float32 number > 0 but received 0.'),
    );
    expect(scaler.scale).toBe(65536);
    scaler.update();
    expect(scaler.scale).toBe(131072);
  });

  test('state dicts that do not fit, and keeps its own', () => {
    const scaler = new GradScaler({ growthInterval: 5 });
    scaler.report(false);
    const own = scaler.stateDict();
    const changed = { ...own, scale: 4, growthFactor: 3, backoffFactor: 0.25, growthInterval: 9, skipped: 7 };
    const broken = {
      scale: 0,
      growthFactor: 1,
      backoffFactor: 1,
      growthInterval: 0,
      growthTracker: -1,
      skipped: 0.5,
      more: 1,
    };
    for (const [key, value] of Object.entries(broken)) {
      expect(() => scaler.loadStateDict({ ...changed, [key]: value })).toThrow(key);
      expect(() => scaler.loadStateDict({ ...changed, [key]: undefined })).toThrow(key);
      expect(scaler.stateDict()).toEqual(own);
    }
    expect(() => scaler.loadStateDict(null as never)).toThrow(TypeError);
    scaler.loadStateDict(changed);
    expect(scaler.stateDict()).toEqual(changed);
  });
});
