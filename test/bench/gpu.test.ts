import { productShare, shareOf, verdicts } from '../../bench/gpu/aims';
import { cases } from '../../bench/gpu/cases';
import { inPieces, type Ceilings } from '../../bench/gpu/ceilings';
import { float32, floorBytes, newtonSchulzFlops, residentBytes } from '../../bench/gpu/floors';
import { main } from '../../bench/gpu/main';
import { bytesOf, type Cell } from '../../bench/gpu/measure';
import { parseGpuOptions } from '../../bench/gpu/options';
import { markdown, type GpuReport } from '../../bench/gpu/report';
import { gpuSets } from '../../bench/gpu/sets';
import { compare, planFor, quick, rotating, type Timed } from '../../bench/gpu/timing';
import { bytesPerParameter, rules } from '../../bench/rules';
import { workloads } from '../../bench/workloads';

describe('floors', () => {
  test.each([
    ['lamb', 40],
    ['stableadamw', 36],
    ['lars', 28],
    ['adamw-clip', 32],
    ['adamw', 28],
  ])('%s moves %i bytes a parameter in float32', (name, bytes) => {
    expect(floorBytes(rules.get(name)!, float32)).toBe(bytes);
  });

  test('in float32 are those of the other benchmark', () => {
    for (const rule of rules.values()) {
      expect(floorBytes(rule, float32)).toBeCloseTo(bytesPerParameter(rule), 10);
    }
  });

  test.each([
    // A 16-bit gradient, and master, mean and square read and written; the parameter is written.
    [{ param: 'bfloat16', grad: 'bfloat16', rounding: 'master' }, 2 + 2 * 12 + 2],
    [{ param: 'bfloat16', grad: 'bfloat16', state: 'bfloat16', rounding: 'stochastic' }, 2 + 2 * 6],
    [{ param: 'bfloat16', grad: 'bfloat16', state: 'bfloat16', rounding: 'kahan' }, 2 + 2 * 8],
    [{ param: 'bfloat16', grad: 'bfloat16', rounding: 'split' }, 2 + 2 * 12],
    [{ grad: 'bfloat16' }, 2 + 2 * 12],
    [{ state: '8bit' }, 4 + 2 * (4 + 2 * (1 + 1 / 64))],
  ] as const)('%j', (format, bytes) => {
    expect(floorBytes(rules.get('adamw')!, { ...float32, ...format })).toBe(bytes);
  });

  test('memory and operations', () => {
    expect(residentBytes(rules.get('adamw')!, float32)).toBe(16);
    expect(newtonSchulzFlops([[2, 3]])).toBe(20 * 4 * 3 + 10 * 8);
    expect(newtonSchulzFlops([[3, 2]])).toBe(newtonSchulzFlops([[2, 3]]));
  });
});

describe('sets', () => {
  const sets = gpuSets(false);

  test('GPT-2 small is the one of the other benchmark; the others have as many parameters as they say', () => {
    expect(sets.get('gpt2-124m')!.shapes).toEqual(workloads.get('gpt2')!.shapes);
    expect(sets.get('muon-124m')!.shapes).toHaveLength(72);
    const millions = ['gpt2-350m', 'gpt2-1.5b', 'muon-llama-8b'].map((name) =>
      Math.round(sets.get(name)!.parameters / 1e6),
    );
    expect(millions).toEqual([355, 1558, 6979]);
  });

  test('every case has its sets, tiny ones for a stand-in', () => {
    for (const { sets: names, rule } of cases) {
      expect(rules.has(rule)).toBe(true);
      for (const name of names) {
        expect(sets.has(name)).toBe(true);
        expect(gpuSets(true).get(name)!.parameters).toBeLessThan(50_000);
      }
    }
    expect(new Set(cases.map(({ id }) => id)).size).toBe(cases.length);
  });

  test('large sets share gradients, and their memory is counted so', () => {
    const muon = cases.find(({ id }) => id === 'muon/muon-llama-8b/standard')!;
    const llama = sets.get('muon-llama-8b')!;
    const distinct = 4096 * 4096 + 1024 * 4096 + 2 * 4096 * 14336;
    expect(bytesOf(muon, llama)).toBe(8 * llama.parameters + 4 * distinct);
    expect(bytesOf(muon, sets.get('muon-124m')!)).toBe(12 * sets.get('muon-124m')!.parameters);
  });
});

describe('timing', () => {
  /** Whose steps take so many milliseconds. */
  const taking = (...ms: readonly number[]): Timed & { visits: [number, number][] } => {
    const visits: [number, number][] = [];
    return {
      visits,
      visit: (samples, steps) => {
        visits.push([samples, steps]);
        return Promise.resolve(Array.from({ length: samples }, (_, i) => ms[i % ms.length]!));
      },
      host: () => Promise.resolve([]),
      close: () => Promise.resolve(),
    };
  };

  test('small sets are rotated over, so that no cache holds them all', () => {
    const cache = 60e6;
    expect(rotating(16e6, cache)).toBe(15);
    expect(rotating(100e6, cache)).toBe(3);
    expect(rotating(1e9, cache)).toBe(1);
  });

  test('samples hold whole turns, and as many as there is time for', async () => {
    await expect(planFor(taking(0.01), quick, 15)).resolves.toEqual({ steps: 210, samples: 20 });
    await expect(planFor(taking(900), quick, 1)).resolves.toEqual({ steps: 1, samples: 5 });
  });

  test('two are visited in turn, and compared round by round', async () => {
    const [a, b] = [taking(1), taking(3)];
    const plan = { steps: 4, samples: 20 };
    await expect(compare(a, plan, b, plan)).resolves.toMatchObject({ ratio: 3 });
    expect(a.visits).toEqual([
      [7, 4],
      [7, 4],
      [7, 4],
    ]);
  });
});

describe('aims', () => {
  const ceilings: Ceilings = {
    bytesPerSecond: 4e12,
    source: 'copy',
    adamwBytesPerSecond: 3.9e12,
    products: [{ batch: 1, size: 8192, flops: 8e14 }],
    torchGrids: [320, 320, 64],
  };
  const [adamw] = cases as [(typeof cases)[number]];
  const time = (ms: number) => ({
    ms: { median: ms, low: ms, high: ms },
    samples: 20,
    stepsPerSample: 4,
  });
  const cell: Cell = {
    id: adamw.id,
    title: adamw.title,
    set: 'gpt2-124m',
    tensors: 148,
    parameters: 124e6,
    format: float32,
    rotated: 1,
    graph: true,
    time: time(1),
    bytesPerParameter: 28,
    gbPerSecond: 28 * 124,
    flops: null,
    hostUs: null,
    peers: [
      { mode: 'fused', name: 'torch fused', time: time(1.1), ratio: 1.1, hostUs: null },
      { mode: 'foreach', name: 'torch foreach', time: time(3), ratio: 3, hostUs: null },
    ],
  };

  test('are held against the copy rate and the others', () => {
    expect(shareOf(cell, ceilings)).toBeCloseTo(0.868);
    const met = (grids: readonly number[] | null) =>
      verdicts([adamw], [cell], { ...ceilings, torchGrids: grids }).map(({ met: each }) => each);
    // torch is easier to beat while it launches in pieces, so more is asked for then.
    expect(met([320, 320, 64])).toEqual([false, false, true]);
    expect(met([2240])).toEqual([false, true, true]);
    expect(met(null)).toEqual([false, true, true]);
    expect(inPieces(ceilings)).toBe(true);
    expect(verdicts([adamw], [], ceilings).map((each) => each.met)).toEqual([null, null, null]);
  });

  test("Muon's products are timed without the elementwise passes", () => {
    const muon = { ...cell, flops: 8e11, bytesPerParameter: 24, parameters: 1e9, time: time(8) };
    // 6 of the 8 ms are the passes'.
    expect(productShare(muon, ceilings)).toBeCloseTo(0.5);
    expect(productShare(cell, ceilings)).toBeNull();
  });

  const report: GpuReport = {
    schema: 1,
    measurement: true,
    device: {
      name: 'NVIDIA X',
      computeCapability: '9.0',
      multiprocessors: 132,
      memory: 1e11,
      l2Bytes: 5e7,
      driver: '580',
      cublas: null,
      standIn: false,
    },
    commit: 'abc1234',
    date: '2026-01-02T03:04:05.000Z',
    node: 'v22',
    torch: '2.11',
    ceilings,
    cells: [cell],
    aims: verdicts([adamw], [cell], ceilings),
    skipped: [{ what: 'a', reason: 'b\nc' }],
    seconds: 1,
  };

  test('a table names date and device, and what was not measured', () => {
    const text = markdown(report);
    expect(text).toMatch(/^Measured on 2026-01-02 on NVIDIA X, driver 580, cuBLAS not found; commit abc1234/);
    expect(text).toContain('| AdamW, fp32 | gpt2-124m | 1.00 ms | 28.0 | 87 % | 1.15 | 1.10× | 3.00× |');
    expect(text).toContain('in pieces of at most 320 blocks');
    expect(text).toMatch(/at least 0.9 of the copy rate \| 0.868 \| NOT MET/);
    expect(text).toContain('- not measured: a (b)\n');
  });

  test('the table of a stand-in is called no measurement and held against no aim', () => {
    const text = markdown({ ...report, measurement: false });
    expect(text).toMatch(/^NOT A MEASUREMENT/);
    expect(text).not.toContain('Measured on');
    expect(text).not.toContain('NOT MET');
  });
});

describe('the command line', () => {
  test.each([
    [['--only', 'adam'], /^Expected --only to name some of adamw, two-pass, .* but received "adam"\.$/],
    [['--budget', 'x'], /^Expected --budget to be seconds above 0 but received "x"\.$/],
    [['--nope'], /--nope/],
  ])('%j ends with exit code 2 and a sentence', async (argv, message) => {
    const notes: string[] = [];
    const output = { out: () => undefined, note: (text: string) => notes.push(text), bar: false };
    await expect(main(argv, output)).resolves.toBe(2);
    expect(notes.join()).toMatch(message);
  });

  test('parts', () => {
    expect(parseGpuOptions(['--only', 'muon,small'])).toMatchObject({
      parts: ['muon', 'small'],
      budget: 540,
    });
    expect(parseGpuOptions(['--help'])).toBe('help');
  });

  test('without a GPU it says why, and ends well', async () => {
    process.env.FUSED_OPTIM_CUDA_ADDON = '/nowhere.node'; // read once, at first use
    const lines: string[] = [];
    const output = { out: (text: string) => lines.push(text), note: () => undefined, bar: false };
    await expect(main([], output)).resolves.toBe(0);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^bench:gpu: skipped, /);
  });
});
