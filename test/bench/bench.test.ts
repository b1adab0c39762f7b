import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as library from 'fused-optim';
import type { CellResult } from '../../bench/cell';
import { interleave } from '../../bench/interleave';
import { main } from '../../bench/main';
import { parseOptions } from '../../bench/options';
import { loops } from '../../bench/peers/plain-js';
import { bytesPerParameter, rules } from '../../bench/rules';
import { median, quantile, ratioByRound } from '../../bench/statistics';
import { align, block, digits } from '../../bench/table';
import { makeTensors, workloads } from '../../bench/workloads';

const tiny = workloads.get('tiny')!;

describe('statistics', () => {
  test('median and quantiles', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(quantile([10, 20, 30, 40, 50], 0.2)).toBe(18);
    expect(quantile([7], 0.8)).toBe(7);
    expect(() => median([])).toThrow(new RangeError('Expected at least one number but received none.'));
  });

  test('a ratio is taken round by round', () => {
    // One slow round slows both sides: the ratio of the medians would be 2.2 / 1.
    expect(ratioByRound([2, 22, 2.2], [1, 11, 1]).median).toBe(2);
    expect(() => ratioByRound([1], [1, 2])).toThrow(
      'Expected as many rounds on both sides but received 1 and 2.',
    );
  });
});

describe('interleave', () => {
  test('visits everybody each round, in rotating order', async () => {
    const visits: string[] = [];
    const contender = (name: string, seconds: number) => ({
      name,
      run: (steps: number) => {
        visits.push(name);
        return steps * seconds;
      },
    });
    const series = await interleave([contender('a', 0.1), contender('b', 0.05)], {
      rounds: 3,
      visitSeconds: 0.1,
    });
    expect(series.map(({ stepsPerRound }) => stepsPerRound)).toEqual([1, 2]);
    expect(series.map(({ seconds }) => seconds)).toEqual([
      [0.1, 0.1, 0.1],
      [0.05, 0.05, 0.05],
    ]);
    // The warm-up is one step and seven.
    expect(visits.join('')).toBe('aabb' + 'ab' + 'ba' + 'ab');
  });

  test('a visit takes a multiple of the period, and slow steps are warmed by one', async () => {
    const visits: number[] = [];
    const run = (seconds: number) => (steps: number) => {
      visits.push(steps);
      return steps * seconds;
    };
    const schedule = { rounds: 1, visitSeconds: 0.1, period: 6 };
    const series = await interleave([{ name: 'a', run: run(0.0125) }], schedule);
    expect(series.map(({ stepsPerRound }) => stepsPerRound)).toEqual([6]);
    visits.length = 0;
    await interleave([{ name: 'slow', run: run(3) }], { rounds: 2, visitSeconds: 0.1 });
    expect(visits).toEqual([1, 1, 1]);
  });
});

describe('options', () => {
  test('the defaults are the whole benchmark', () => {
    const options = parseOptions([], 8);
    if (options === 'help') throw new Error('no help was asked for');
    expect(options.sets.map(({ set }) => set.name)).toEqual(['gpt2', 'resnet50', '1000x1000', '100x100']);
    const [gpt2, resnet50] = options.sets.map((each) => each.rules.map(({ name }) => name));
    const others = [...rules.values()].filter(({ products }) => !products);
    expect(resnet50).toEqual(others.map(({ name }) => name));
    expect(gpt2).toEqual(others.filter(({ plain }) => !plain).map(({ name }) => name));
    expect(options.threads).toEqual([1, 8]);
    expect(parseOptions(['--threads', 'all,1'], 1)).toMatchObject({ threads: [1] });
  });

  test('a quick run has a row of every rule; --muon is Muon beside torch', () => {
    const names = (argv: string[]) => {
      const options = parseOptions(argv, 8);
      if (options === 'help') throw new Error('no help was asked for');
      const sets = options.sets.map(({ set }) => set.name);
      const chosen = new Set(options.sets.flatMap((each) => each.rules.map(({ name }) => name)));
      return { sets, rules: [...chosen], peers: options.peers };
    };
    expect(names(['--quick']).rules.sort()).toEqual([...rules.keys()].sort());
    expect(names(['--muon'])).toEqual({
      sets: ['gpt2-layer'],
      rules: ['muon', 'muon-auto', 'muon-bf16', 'muon-bf16-auto'],
      peers: ['torch'],
    });
    expect(names(['--rules', 'adamw-clip', '--sets', 'gpt2']).rules).toEqual(['adamw-clip']);
  });

  test.each([
    [
      ['--rules', 'adamw', '--sets', 'gpt2-layer'],
      "Expected --rules to name Muon's rules, and no others, for the set gpt2-layer.",
    ],
    [
      ['--rules', 'muon', '--sets', 'resnet50'],
      'Expected --rules to name rules other than Muon for the set resnet50.',
    ],
    [
      ['--rule', 'adam'],
      'Expected one of --rules, --sets, --threads, --rounds, --vs, --pages, --muon, --slow, --quick, --json, --out, --help but received "--rule".',
    ],
    [
      ['adam'],
      'Expected one of --rules, --sets, --threads, --rounds, --vs, --pages, --muon, --slow, --quick, --json, --out, --help but received "adam".',
    ],
    [['--threads', '0'], 'Expected --threads to be a whole number from 1 to 256 or "all" but received "0".'],
    [['--rounds', 'ten'], 'Expected --rounds to be a whole number from 1 to 10000 but received "ten".'],
    [['--vs', 'jax'], 'Expected --vs to name some of torch, js but received "jax".'],
    [['--sets', 'gpt2,'], 'Expected --sets to list names between commas but received "gpt2,".'],
    [['--pages', 'big'], 'Expected --pages to name some of ordinary, huge but received "big".'],
  ])('%j ends with exit code 2 and a sentence', async (argv, message) => {
    const notes: string[] = [];
    const output = { out: () => undefined, note: (text: string) => notes.push(text), bar: false };
    await expect(main(argv, output)).resolves.toBe(2);
    expect(notes).toEqual([message]);
  });

  test('an unknown rule or set is named, with the known ones', () => {
    expect(() => parseOptions(['--rules', 'adamx'])).toThrow(/sgd, .*, lion, .* but received "adamx"\.$/);
    expect(() => parseOptions(['--out'])).toThrow(/^[^.]*--out[^.]*\.$/);
  });
});

describe('table', () => {
  test('columns are as wide as their widest entry', () => {
    expect(
      align([
        ['rule', 'µs'],
        ['SGD', '12.5'],
        ['Momentum', '7'],
      ]),
    ).toEqual(['rule        µs', 'SGD       12.5', 'Momentum     7']);
  });

  test('numbers have three digits', () => {
    expect([0.01234, 0.1234, 1.234, 12.34, 123.4, 12345, 0].map(digits)).toEqual([
      '0.0123',
      '0.123',
      '1.23',
      '12.3',
      '123',
      '12345',
      '0',
    ]);
  });

  test('a block names the set, the peers and what bounds', () => {
    const time = { medianUs: 200, minUs: 190, nsPerParameter: 0.2, gbPerSecond: 100 };
    const ratio = { median: 1.25, low: 1.2, high: 1.3 };
    const cell: CellResult = {
      ...time,
      ...{
        rule: 'adamw',
        set: '1000x1000',
        threads: 2,
        tensors: 1000,
        parameters: 1e6,
        bytesPerParameter: 28,
      },
      ...{ rounds: 7, stepsPerRound: 500, bound: 'divider', ratio, share: 0.5, othersBusy: 0 },
      skipped: ['torch foreach', 'torch for-loop'].map((name) => ({ name, reason: 'No reason.' })),
      floors: { traffic: { ...time, ratio: { ...ratio, median: 2 } }, divider: { ...time, ratio } },
      peers: [{ ...time, medianUs: 9000, name: 'torch fused', ratio: { ...ratio, median: 0.0222 } }],
    };
    expect(block([cell]).split('\n')).toEqual([
      '1000x1000: 1,000 tensors, 1,000,000 parameters, 2 threads',
      '  rule   µs/step  ns/param  GB/s  share of streaming  × traffic  × sqrt+div    bound',
      '  AdamW      200     0.200   100                50 %       2.00        1.25  divider',
      '  rule   torch fused: µs  ours/theirs',
      '  AdamW             9000       0.0222',
      '  not measured: torch foreach, torch for-loop. No reason.',
    ]);
    expect(block([])).toBe('');
  });
});

/** A matrix, with a gradient that Muon can orthogonalize. */
const matrix = () => [
  { data: new Float32Array(6), grad: Float32Array.of(1, 2, 3, 4, 5, 7), shape: [2, 3], name: 'hidden' },
];

test.each([...rules.values()])('the passes of $name move the states it has', (rule) => {
  const params = matrix();
  const optimizer = rule.create(params, 1);
  optimizer.step();
  const states = Object.values(optimizer.state(params[0]!)).filter((value) => typeof value !== 'number');
  optimizer.dispose();
  expect(rule.states).toBe(states.length);
});

test('bytes a parameter, counted by hand', () => {
  const bytes = [...rules.values()].map((rule) => [rule.name, bytesPerParameter(rule)]);
  expect(Object.fromEntries(bytes)).toMatchObject({
    ...{ sgd: 12, momentum: 20, 'rmsprop-centered': 28, adamw: 28, amsgrad: 36 },
    // The first pass reads p and g, the second is that of Momentum.
    lars: 8 + 20,
    // Reads p, g, m, v and writes m, v; reads p, m, v and writes p.
    lamb: 24 + 16,
    // The first does not need p.
    stableadamw: 20 + 16,
    // Means of g, RAdam, and the slow weights read and written in every sixth step.
    ranger: 4 + 28 + 8 / 6,
    'ranger-uncentered': 28 + 8 / 6,
    'lookahead-adamw': 28 + 8 / 6,
    muon: 20,
    ...{ 'sgd-clip': 16, 'sgd-diagnostics': 12, 'lars-clip': 32, 'lamb-diagnostics': 40 },
    ...{ 'adamw-scale': 28, 'adamw-clip': 32, 'adamw-skip': 32, 'adamw-diagnostics': 28 },
  });
});

test('variants do what their names say', () => {
  const step = (name: string, grad?: number) => {
    const params = matrix();
    if (grad !== undefined) params[0]!.grad[0] = grad;
    const optimizer = rules.get(name)!.create(params, 1);
    const result = optimizer.step();
    optimizer.dispose();
    return result;
  };
  expect(step('adamw').gradNorm).toBeUndefined();
  for (const name of ['sgd-clip', 'adamw-clip', 'lars-clip'])
    expect(step(name).gradNorm).toBeCloseTo(10.198, 3);
  expect(step('adamw-scale', NaN)).toMatchObject({ applied: true });
  expect(step('adamw-skip', NaN)).toMatchObject({ applied: false });
  for (const name of ['sgd', 'adamw', 'lamb']) {
    expect(step(name).tensors).toBeUndefined();
    expect(Object.keys(step(`${name}-diagnostics`).tensors ?? {})).toEqual(['hidden']);
  }
});

test('every optimizer of the library is measured, with the states it has', () => {
  const states = Object.fromEntries([...rules.values()].map((rule) => [rule.name, rule.states]));
  expect(states).toMatchObject({
    sgd: 0,
    momentum: 1,
    lion: 1,
    rmsprop: 1,
    'rmsprop-centered': 2,
    adamw: 2,
    amsgrad: 3,
  });
  for (const [name, value] of Object.entries(library)) {
    if (typeof value !== 'function' || !(value.prototype instanceof library.Optimizer)) continue;
    expect(rules.has(name.toLowerCase())).toBe(true);
  }
});

test('the shapes are those of the models', () => {
  expect(workloads.get('gpt2')).toMatchObject({ parameters: 124_439_808 });
  expect(workloads.get('resnet50')).toMatchObject({ parameters: 25_557_032 });
  expect(workloads.get('1000x1000')).toMatchObject({ parameters: 1_000_000 });
});

/** Larger gradients and smaller parameters than the benchmark's: SGD's tiny steps too are far above rounding. */
function steepTensors() {
  return makeTensors(tiny).map(({ name, data, grad }) => ({
    name,
    data: data.map((x) => x / 1000),
    grad: grad.map((x) => x * 1000),
  }));
}

test.each([...rules.values()].filter(({ name }) => loops[name]))(
  'plain JavaScript does the same job as the library: $name',
  (rule) => {
    const [start, ours, theirs] = [steepTensors(), steepTensors(), steepTensors()];
    const states = theirs.map(({ data }) =>
      Array.from({ length: rule.states }, () => new Float32Array(data.length)),
    );
    const optimizer = rule.create(ours, 1);
    const steps = 40;
    for (let t = 1; t <= steps; ++t) {
      // Gradients that nearly vanish tell AMSGrad from Adam.
      if (t === 6) for (const { grad } of [...ours, ...theirs]) grad.forEach((x, i) => (grad[i] = x / 1000));
      optimizer.step();
      theirs.forEach(({ data, grad }, i) => loops[rule.name]?.(data, grad, states[i]!, t));
    }
    optimizer.dispose();
    const all = (tensors: { data: Float32Array }[]) => tensors.flatMap(({ data }) => [...data]);
    const [from, mine] = [all(start), all(ours)];
    const moved = all(theirs).map((value, i) => value - from[i]!);
    expect(Math.max(...moved.map(Math.abs))).toBeGreaterThan(2e-6);
    const wrong = moved.filter(
      (value, i) => Math.abs(mine[i]! - from[i]! - value) > 2e-4 * Math.abs(value) + 1e-10,
    );
    expect(wrong).toEqual([]);
  },
);

/** Runs the benchmark into a folder of its own. */
async function runOf(argv: string[]): Promise<{ lines: string[]; cells: CellResult[] }> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'fused-optim-bench-'));
  try {
    const lines: string[] = [];
    const output = { out: (text: string) => lines.push(text), note: () => undefined, bar: false };
    const file = path.join(folder, 'result.json');
    await expect(main([...argv, '--out', file], output)).resolves.toBe(0);
    const report = JSON.parse(readFileSync(file, 'utf8')) as { cells: CellResult[] };
    return { lines, cells: report.cells };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("Muon's rules have cells of the same kind, bound by products", async () => {
  const argv = ['--quick', '--sets', 'matrices-mini', '--rules', 'muon,muon-bf16-auto', '--threads', '1'];
  const { lines, cells } = await runOf(argv);
  expect(lines.join('\n')).toMatch(/^matrices-mini: 6 tensors, 196,608 parameters, 1 thread$/m);
  expect(cells.map(({ rule, bound }) => `${rule} ${bound}`)).toEqual([
    'muon products',
    'muon-bf16-auto products',
  ]);
  expect(cells[0]!.floors.traffic.ratio.median).toBeGreaterThan(2);
}, 60_000);

test('a quick run prints a table and leaves its JSON and charts', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'fused-optim-bench-'));
  try {
    const lines: string[] = [];
    const output = { out: (text: string) => lines.push(text), note: () => undefined, bar: false };
    const file = path.join(folder, 'result.json');
    const argv = [
      '--quick',
      '--sets',
      'tiny',
      '--rules',
      'sgd,adamw,adamw-clip,ranger',
      '--threads',
      '1,2',
      '--vs',
      'js',
      '--out',
      file,
    ];
    await expect(main(argv, output)).resolves.toBe(0);
    expect(lines.join('\n')).toMatch(/^tiny: 4 tensors, 566 parameters, 1 thread$/m);
    expect(lines.join('\n')).toContain('not measured: plain JavaScript. It has one thread.');

    const report = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    const number = expect.any(Number) as number;
    const spread = { median: number, low: number, high: number };
    const time = { medianUs: number, minUs: number, nsPerParameter: number, gbPerSecond: number };
    expect(report).toMatchObject({
      schema: 1,
      machine: { cpu: expect.any(String) as string, cores: os.availableParallelism(), node: process.version },
      settings: { rounds: 3, visitSeconds: 0.01, hugePages: false, torch: null },
      missing: [],
    });
    const cells = report.cells as CellResult[];
    expect(cells.map(({ rule, threads }) => `${rule} ${threads}`)).toEqual([
      ...['sgd 1', 'adamw 1', 'adamw-clip 1', 'ranger 1'],
      ...['sgd 2', 'adamw 2', 'adamw-clip 2', 'ranger 2'],
    ]);
    expect(cells[2]?.plain).toEqual({ ...time, rule: 'adamw', ratio: spread });
    expect(cells[3]!.stepsPerRound % 6).toBe(0);
    expect(cells[1]).toEqual({
      ...time,
      ...{ rule: 'adamw', set: 'tiny', threads: 1, tensors: 4, parameters: 566, bytesPerParameter: 28 },
      ...{ rounds: 3, stepsPerRound: number, share: number, ratio: spread, skipped: [] },
      bound: expect.stringMatching(/^(traffic|divider)$/) as string,
      othersBusy: process.platform === 'linux' ? number : null,
      floors: { traffic: { ...time, ratio: spread }, divider: { ...time, ratio: spread } },
      peers: [{ ...time, name: 'plain JavaScript', ratio: spread }],
    });
    expect(cells[0]?.floors.divider).toBeUndefined();
    expect(cells[4]?.peers).toEqual([]);
    for (const name of ['result.svg', 'result.png', 'result-peers.svg']) {
      expect(existsSync(path.join(folder, name))).toBe(true);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 120_000);
