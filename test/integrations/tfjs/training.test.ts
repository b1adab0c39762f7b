/** Networks trained for real, on both backends. */
import * as tf from '@tensorflow/tfjs';
import { Adam, AdamW, Lion, Muon, tfOptimizer } from 'fused-optim';
import { backends, clean, placeOf, useBackend } from './backends';
import { mlp, rings, weightsOf } from './models';

const last = (history: tf.History, key: string): number => history.history[key]!.at(-1) as number;

describe.each(backends)('an MLP by model.fit() on %s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(clean);

  test.each([
    ['AdamW', () => tfOptimizer(tf, AdamW, { lr: 0.02 })],
    ['Lion', () => tfOptimizer(tf, Lion, { lr: 0.01 })],
    ['Muon', () => tfOptimizer(tf, Muon, { lr: 0.02, adamw: { lr: 0.02 } })],
  ])('%s learns what a line cannot', async (_name, make) => {
    const model = mlp();
    const { x, y } = rings(128);
    model.compile({ optimizer: make(), loss: 'binaryCrossentropy', metrics: ['accuracy'] });
    const places = model.trainableWeights.map((weight) => placeOf(weight.read()));
    const { numTensors } = tf.memory();
    const history = await model.fit(x, y, { epochs: 30, batchSize: 32, shuffle: false });
    expect(history.history.loss![0]).toBeGreaterThan(0.3);
    expect(last(history, 'loss')).toBeLessThan(0.1);
    expect(last(history, 'acc')).toBe(1);
    // In place from the first batch to the last, and nothing was left behind.
    model.trainableWeights.forEach((weight, i) => expect(placeOf(weight.read())).toBe(places[i]));
    expect(tf.memory().numTensors).toBe(numTensors);
    tf.dispose([x, y]);
  });

  test('Adam goes the way of the Adam of tfjs', async () => {
    const { x, y } = rings(64);
    const runs: number[][][] = [];
    for (const optimizer of [tf.train.adam(0.01), tfOptimizer(tf, Adam, { lr: 0.01, eps: 1e-7 })]) {
      const model = mlp();
      model.compile({ optimizer, loss: 'binaryCrossentropy' });
      await model.fit(x, y, { epochs: 5, batchSize: 16, shuffle: false });
      runs.push(weightsOf(model));
    }
    const [theirs, ours] = runs.map((weights) => weights.flat());
    theirs!.forEach((weight, i) => expect(Math.abs(weight - ours![i]!)).toBeLessThan(1e-3));
    expect(
      Math.max(...theirs!.map((weight, i) => Math.abs(weight - weightsOf(mlp()).flat()[i]!))),
    ).toBeGreaterThan(0.05);
    tf.dispose([x, y]);
  });
});

describe('a transformer by minimize() on wasm', () => {
  const [length, tokens, width] = [6, 4, 16];

  beforeAll(() => useBackend('wasm'));
  afterEach(clean);

  /** One block of attention and an MLP, over one-hot tokens: tfjs has no gradient of a look-up on this backend. */
  function transformer() {
    const weight = (name: string, rows: number, columns: number, seed: number): tf.Variable<tf.Rank.R2> =>
      tf.tidy(() =>
        tf.variable(tf.randomNormal([rows, columns], 0, rows ** -0.5, 'float32', seed), true, name),
      );
    const w = {
      tokens: weight('wte/kernel', tokens, width, 1),
      places: weight('wpe/kernel', length, width, 2),
      query: weight('h/0/query/kernel', width, width, 3),
      key: weight('h/0/key/kernel', width, width, 4),
      value: weight('h/0/value/kernel', width, width, 5),
      up: weight('h/0/mlp/up/kernel', width, 2 * width, 6),
      down: weight('h/0/mlp/down/kernel', 2 * width, width, 7),
      head: weight('lm_head/kernel', width, tokens, 8),
    };
    const times = (x: tf.Tensor, matrix: tf.Tensor2D): tf.Tensor3D => {
      const [batch, rows, columns] = x.shape as [number, number, number];
      return tf.reshape(tf.matMul(tf.reshape(x, [batch * rows, columns]), matrix), [batch, rows, -1]);
    };
    const logits = (oneHot: tf.Tensor3D): tf.Tensor3D => {
      let x = tf.add<tf.Tensor3D>(times(oneHot, w.tokens), w.places);
      const [q, k, v] = [w.query, w.key, w.value].map((matrix) => times(x, matrix));
      const scores = tf.softmax(tf.mul(tf.matMul(q!, k!, false, true), width ** -0.5));
      x = tf.add<tf.Tensor3D>(x, tf.matMul(scores, v!));
      x = tf.add<tf.Tensor3D>(x, times(tf.relu(times(x, w.up)), w.down));
      return times(x, w.head);
    };
    return { logits };
  }

  test('learns to reverse a sequence', () => {
    const { logits } = transformer();
    const sequences = Array.from({ length: 64 }, (_, i) =>
      Array.from({ length }, (_, k) => (i * 7 + k * (1 + (i % 5)) + ((i * k) >> 2)) % tokens),
    );
    const oneHot = (rows: number[][]): tf.Tensor3D =>
      tf.tidy(() =>
        tf.cast(tf.oneHot(tf.tensor2d(rows, undefined, 'int32'), tokens) as tf.Tensor3D, 'float32'),
      );
    const [x, y] = [oneHot(sequences), oneHot(sequences.map((sequence) => [...sequence].reverse()))];
    const loss = (): tf.Scalar => tf.losses.softmaxCrossEntropy<tf.Tensor3D, tf.Scalar>(y, logits(x));
    const optimizer = tfOptimizer(tf, Muon, { lr: 0.02, adamw: { lr: 0.01 } });
    const losses = Array.from({ length: 60 }, () => {
      const cost = optimizer.minimize(loss, true)!;
      const [value] = cost.dataSync();
      cost.dispose();
      return value!;
    });
    expect(losses[0]).toBeGreaterThan(1);
    expect(losses.at(-1)).toBeLessThan(0.1);
    const routes = optimizer.inner!.routing().map(({ name, optimizer: to }) => [name, to]);
    expect(Object.fromEntries(routes)).toMatchObject({
      'wte/kernel': 'adamw',
      'h/0/query/kernel': 'muon',
      'h/0/mlp/up/kernel': 'muon',
      'lm_head/kernel': 'adamw',
    });
    tf.dispose([x, y]);
  });
});

describe('what docs/tfjs.md says that tfjs cannot do on wasm', () => {
  beforeAll(() => useBackend('wasm'));
  afterEach(clean);

  test('gradients of convolutions and look-ups', () => {
    const filter = tf.variable(tf.ones<tf.Rank.R4>([1, 1, 1, 1]), true, 'filter');
    expect(() =>
      tf.variableGrads(() => tf.sum(tf.conv2d(tf.ones<tf.Rank.R4>([1, 2, 2, 1]), filter, 1, 'valid'))),
    ).toThrow("Conv2DBackpropFilter' not registered");
    const table = tf.variable(tf.ones<tf.Rank.R2>([2, 2]), true, 'table');
    expect(() => tf.variableGrads(() => tf.sum(tf.gather(table, [0, 1])), [table])).toThrow(
      "UnsortedSegmentSum' not registered",
    );
  });
});
