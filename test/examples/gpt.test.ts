/** The parts of the GPT example; gpt-run.test.ts runs the whole. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Parameter } from 'fused-optim';
import { comparisonChart, lossChart, thin } from '../../examples/gpt/chart';
import {
  CHECKPOINT_FILE,
  checkpointPath,
  readCheckpoint,
  restoreWeights,
  saveCheckpoint,
  type Checkpoint,
} from '../../examples/gpt/checkpoint';
import { reach } from '../../examples/gpt/compare';
import * as data from '../../examples/gpt/data';
import type { Weight } from '../../examples/gpt/model';
import {
  createOptimizer,
  followSchedule,
  optimizerName,
  optimizerNames,
  SETTINGS,
} from '../../examples/gpt/optimizers';
import { Random } from '../../examples/gpt/random';
import { draw } from '../../examples/gpt/sample';
import { learningRate } from '../../examples/gpt/schedule';
import { readSweep } from '../../examples/gpt/tune';
import { renderSvg } from '../../scripts/chart';

const folder = mkdtempSync(path.join(tmpdir(), 'fused-optim-gpt-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('schedule', () => {
  const rate = learningRate(2, 1000);

  test('warms up, decays and stays at the floor', () => {
    expect(rate(0)).toBeCloseTo(0.02);
    expect(rate(100)).toBe(2);
    expect(rate(550)).toBeCloseTo(1.1);
    expect(rate(1000)).toBeCloseTo(0.2);
    expect(rate(5000)).toBeCloseTo(0.2);
  });

  test('never rises after the warm-up', () => {
    const rates = Array.from({ length: 2000 }, (_, step) => rate(step + 100));
    expect(rates.every((value, i) => i === 0 || value <= (rates[i - 1] ?? 0))).toBe(true);
  });

  test('warms up for a tenth of a short run', () => {
    expect(learningRate(1, 20)(2)).toBe(1);
    expect(learningRate(1, 1)(5)).toBeCloseTo(0.1);
  });
});

describe('optimizers', () => {
  const weight = (name: string, role: Weight['role'], ...shape: number[]): Weight => {
    const elements = shape.reduce((product, size) => product * size, 1);
    const values = (): Float32Array => Float32Array.from({ length: elements }, (_, i) => Math.sin(i + 1));
    return { name, role, shape, data: values(), grad: values() };
  };
  const network = (): Weight[] => [
    weight('wte.weight', 'embedding', 6, 4),
    weight('h.0.mlp.up.weight', 'hidden', 8, 4),
    weight('h.0.mlp.up.bias', 'vector', 8),
  ];

  test('are all that the library has, and Lookahead', () => {
    expect(optimizerNames()).toEqual(expect.arrayContaining(['SGD', 'LARS', 'Muon', 'Lookahead']));
    expect(Object.keys(SETTINGS).sort()).toEqual(optimizerNames().sort());
    expect(optimizerName('stableadamw')).toBe('StableAdamW');
    expect(optimizerName('adam2')).toBeUndefined();
  });

  test.each(optimizerNames())('%s decays the matrices only', (name) => {
    const groups = createOptimizer(name, network()).paramGroups as readonly {
      params: readonly Parameter[];
    }[];
    const decay = (part: string): unknown => {
      const group = groups.find(({ params }) => params.some((parameter) => parameter.name?.includes(part)));
      return (group as { weightDecay?: number } | undefined)?.weightDecay;
    };
    expect([decay('wte'), decay('up.weight'), decay('bias')]).toEqual([0, SETTINGS[name]?.weightDecay, 0]);
  });

  test('every group of Muon follows the schedule from a peak of its own', () => {
    const optimizer = createOptimizer('Muon', network(), { lr: 1, options: { adamw: { lr: 0.5 } } });
    followSchedule(optimizer, 20);
    const rates = [0, 1, 2, 3].map(() => {
      optimizer.step();
      return optimizer.paramGroups.map(({ lr }) => lr);
    });
    const expected = [0, 1, 2, 3].map((step) => learningRate(1, 20)(step));
    expect(rates).toEqual(expected.map((rate) => [rate, 0.5 * rate]));
    expect(expected[0]).toBe(0.5);
  });

  test('the settings of the comparison are the best of the sweep', () => {
    const found = readSweep();
    const { AdamW, Muon } = SETTINGS;
    expect({ lr: AdamW?.lr }).toEqual(found.AdamW?.best);
    expect({ lr: Muon?.lr, adamwLr: (Muon?.options?.adamw as { lr: number }).lr }).toEqual(found.Muon?.best);
    for (const { trials, best, steps } of [found.AdamW!, found.Muon!]) {
      const whole = trials.filter((trial) => trial.steps === steps);
      const losses = whole.map(({ loss }) => loss ?? Infinity);
      expect(whole[losses.indexOf(Math.min(...losses))]).toEqual(expect.objectContaining(best));
    }
    expect(found.AdamW?.trials).toHaveLength(found.Muon!.trials.length);
  });
});

describe('comparison', () => {
  const curve = [
    { step: 0, seconds: 0, loss: 4 },
    { step: 50, seconds: 8, loss: 2 },
    { step: 100, seconds: 20, loss: 1 },
  ];

  test('finds the target between two validations', () => {
    expect(reach(curve, 1.5)).toEqual({ steps: 75, seconds: 14 });
    expect(reach(curve, 2)).toEqual({ steps: 50, seconds: 8 });
    expect(reach(curve, 4)).toEqual({ steps: 0, seconds: 0 });
    expect(reach(curve, 0.9)).toEqual({ steps: null, seconds: null });
  });

  test('takes the first time that a curve is there', () => {
    const back = [...curve, { step: 150, seconds: 30, loss: 3 }, { step: 200, seconds: 40, loss: 1 }];
    expect(reach(back, 1)).toEqual({ steps: 100, seconds: 20 });
  });

  test('draws steps and seconds', async () => {
    const other = curve.map((point) => ({ ...point, loss: point.loss / 2 }));
    const contestants = [
      { name: 'AdamW', curve },
      { name: 'Muon', curve: other },
    ];
    const svg = await renderSvg(comparisonChart(contestants, 1));
    for (const text of ['AdamW', 'Muon', 'seconds of training', 'step']) expect(svg).toContain(text);
  });
});

describe('random numbers', () => {
  test('depend on the seed and the stream alone', () => {
    const draws = (seed: number, stream: number): number[] => {
      const random = new Random(seed, stream);
      return Array.from({ length: 5 }, () => random.uniform());
    };
    expect(draws(1, 2)).toEqual(draws(1, 2));
    expect(draws(1, 2)).not.toEqual(draws(1, 3));
    expect(draws(1, 2)).not.toEqual(draws(2, 2));
  });

  test('have the moments they should', () => {
    const random = new Random(7);
    const normals = Array.from({ length: 20_000 }, () => random.normal());
    const mean = normals.reduce((sum, x) => sum + x, 0) / normals.length;
    const variance = normals.reduce((sum, x) => sum + (x - mean) ** 2, 0) / normals.length;
    expect(Math.abs(mean)).toBeLessThan(0.03);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
    const counts = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) counts[random.below(10)]!++;
    expect(Math.min(...counts)).toBeGreaterThan(850);
  });
});

describe('data', () => {
  test('encodes and decodes, one sign for what is outside the alphabet', () => {
    expect(data.ALPHABET).toHaveLength(96);
    expect(new Set(data.ALPHABET).size).toBe(96);
    const code = 'interface A {\n  x: string[] | `}`;\n}';
    expect(data.decode(data.encode(code))).toBe(code);
    expect(data.decode(data.encode('a\u{1f600}~b'))).toBe(`a${data.UNKNOWN_SIGN}${data.UNKNOWN_SIGN}b`);
  });

  test('splits off every tenth piece, and loses nothing', () => {
    const tokens = Uint8Array.from({ length: 105 }, (_, i) => i % 96);
    const { train, validation } = data.split(tokens, 5);
    expect(train).toHaveLength(95);
    expect([...validation]).toEqual([...tokens.subarray(45, 50), ...tokens.subarray(95, 100)]);
  });

  test('knows the entropy of simple texts', () => {
    expect(data.unigramEntropy(Uint8Array.from([1, 1, 1]))).toBeCloseTo(0);
    expect(data.unigramEntropy(Uint8Array.from([1, 2, 3, 4]))).toBeCloseTo(Math.log(4));
  });

  test('batches: targets follow tokens; the same step gives the same batch', () => {
    const text = Uint8Array.from({ length: 96 }, (_, i) => i);
    const { tokens, targets } = data.trainingBatch(text, 4, 8, 1, 5);
    expect(tokens).toHaveLength(32);
    expect([...targets]).toEqual([...tokens].map((token) => token + 1n));
    expect(data.trainingBatch(text, 4, 8, 1, 5)).toEqual({ tokens, targets });
    expect(data.trainingBatch(text, 4, 8, 1, 6)).not.toEqual({ tokens, targets });
    expect(data.trainingBatch(text, 4, 8, 1, 5, 0)).toEqual({ tokens, targets });
    expect(data.trainingBatch(text, 4, 8, 1, 5, 1)).not.toEqual({ tokens, targets });
    expect(data.trainingBatch(text, 4, 8, 1, 5, 1)).toEqual(data.trainingBatch(text, 4, 8, 1, 5, 1));
    const held = [...data.validationBatches(text, 3, 2, 8)];
    expect(held).toHaveLength(3);
    expect(held[0]?.tokens[0]).toBe(0n);
    expect(held.every(({ targets: next }) => next.every((token) => token < 96n))).toBe(true);
  });

  test('the corpus is over a million characters of code, almost all of them in the alphabet', () => {
    const corpus = data.readCorpus();
    const all = corpus.train.length + corpus.validation.length;
    expect(all).toBeGreaterThan(1_000_000);
    expect(corpus.validation.length / all).toBeCloseTo(0.1, 1);
    expect(corpus.train.filter((token) => token === data.UNKNOWN).length / all).toBeLessThan(1e-4);
    expect(corpus.unigramEntropy).toBeGreaterThan(2.5);
    expect(corpus.unigramEntropy).toBeLessThan(Math.log(96));
  });
});

test('draws tokens by their probability, and never the unknown one', () => {
  const logits = new Float32Array(96).fill(-30);
  logits[data.UNKNOWN] = 50;
  logits[3] = 1;
  logits[5] = 1 + Math.log(3);
  const random = new Random(1);
  const draws = Array.from({ length: 4000 }, () => draw(logits, random, 1));
  expect(new Set(draws)).toEqual(new Set([3, 5]));
  expect(draws.filter((token) => token === 5).length / draws.length).toBeCloseTo(0.75, 1);
});

test('thins a curve to means, and draws it', () => {
  expect(thin([1, 3, 5], 2)).toEqual([
    { step: 2, loss: 2 },
    { step: 3, loss: 5 },
  ]);
  const curves = { optimizer: 'Lion', trainLoss: [4, 3], validation: [{ step: 2, loss: 3.1 }] };
  expect(JSON.stringify(lossChart(curves, 3.25))).toContain('validation loss 3.100 after 2 steps');
});

describe('checkpoint', () => {
  const file = path.join(folder, 'unit', CHECKPOINT_FILE);
  const weights = [
    {
      name: 'w',
      role: 'hidden' as const,
      shape: [2, 2],
      data: Float32Array.of(1, 2, 3, 4),
      grad: new Float32Array(4),
    },
  ];
  const checkpoint = {
    optimizer: 'SGD',
    lr: undefined,
    seed: 1,
    horizon: 10,
    step: 2,
    weights: { w: { shape: [2, 2], data: Float32Array.of(5, 6, 7, 8) } },
    optimizerState: { algorithm: 'SGD' } as unknown as Checkpoint['optimizerState'],
    trainLoss: [4.5, 4.25],
    validation: [{ step: 2, loss: 4.5 }],
  };

  test('comes back as it was, and leaves no temporary file', () => {
    saveCheckpoint(file, checkpoint);
    saveCheckpoint(file, checkpoint);
    expect(readdirSync(path.dirname(file))).toEqual([CHECKPOINT_FILE]);
    const back = readCheckpoint(checkpointPath(path.dirname(file)));
    expect(back.trainLoss).toEqual([4.5, 4.25]);
    restoreWeights(weights, back.weights, file);
    expect([...(weights[0]?.data ?? [])]).toEqual([5, 6, 7, 8]);
  });

  test('of another model is refused', () => {
    const other = { w: { shape: [4], data: new Float32Array(4) } };
    expect(() => restoreWeights(weights, other, 'x.bin')).toThrow(
      /Expected "x.bin" to hold this model's weights/,
    );
  });

  test('cut short, damaged, foreign or missing is one sentence', () => {
    saveCheckpoint(file, checkpoint);
    const whole = readFileSync(file);
    truncateSync(file, whole.length - 7);
    expect(() => readCheckpoint(file)).toThrow(/to be a whole checkpoint but it is cut short or damaged\.$/);
    truncateSync(file, 40);
    expect(() => readCheckpoint(file)).toThrow(/cut short or damaged\.$/);
    whole[whole.length - 1]! ^= 1;
    writeFileSync(file, whole);
    expect(() => readCheckpoint(file)).toThrow(/cut short or damaged\.$/);
    writeFileSync(file, 'hello');
    expect(() => readCheckpoint(file)).toThrow(
      /to be a checkpoint of this example but it is another kind of file\.$/,
    );
    expect(() => readCheckpoint(`${file}.none`)).toThrow(/There is no checkpoint to resume from at .*ENOENT/);
  });

  test('a failed save keeps the old one', () => {
    saveCheckpoint(file, checkpoint);
    const before = readFileSync(file);
    const unclonable = {
      ...checkpoint,
      optimizerState: (() => 0) as unknown as Checkpoint['optimizerState'],
    };
    expect(() => saveCheckpoint(file, unclonable)).toThrow();
    expect(readFileSync(file)).toEqual(before);
  });
});
