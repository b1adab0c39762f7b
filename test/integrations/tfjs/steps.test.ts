/** Steps on variables of tfjs, on both backends, compared with the same steps on arrays. */
import * as tf from '@tensorflow/tfjs';
import { AdamW, Lookahead, Muon, SGD, tfOptimizer, type AdamWOptions, type Parameter } from 'fused-optim';
import { backends, clean, numbers, placeOf, useBackend, variable } from './backends';

const target = [3, -2, 0.5, 1];

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(clean);

  /** Σ (w − target)², whose gradient is 2 (w − target). */
  const loss = (w: tf.Tensor) => (): tf.Scalar => tf.sum(tf.square(tf.sub(w, target)));

  /** The same steps on an array. */
  function twin(steps: number, options: AdamWOptions): number[] {
    const data = new Float32Array(4).fill(1);
    const w: Parameter = { name: 'w', data, grad: new Float32Array(4) };
    const optimizer = new AdamW([w], options);
    for (let i = 0; i < steps; ++i) {
      w.grad = data.map((x, k) => Math.fround(2 * Math.fround(x - target[k]!)));
      optimizer.step();
    }
    return [...data];
  }

  test('minimize() has the numbers of the same steps on an array, in place and without a tensor more', () => {
    const w = variable([1, 1, 1, 1], 'w');
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    const place = placeOf(w);
    const { dataId } = w;
    const before = tf.memory().numTensors;
    for (let i = 0; i < 10; ++i) {
      expect(optimizer.minimize(loss(w))).toBeNull();
      expect(tf.memory().numTensors).toBe(before);
    }
    expect(numbers(w)).toEqual(twin(10, { lr: 0.1 }));
    expect(placeOf(w)).toBe(place);
    expect(w.dataId).toBe(dataId);
    expect(optimizer.iterations).toBe(10);
    expect(optimizer.lastStep).toEqual({ applied: true, step: 10 });
  });

  test('minimize(f, true) returns the cost, alive, also inside tidy', () => {
    const w = variable([1, 1, 1, 1], 'w');
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    const cost = optimizer.minimize(loss(w), true)!;
    expect(numbers(cost)).toEqual([4 + 9 + 0.25]);
    cost.dispose();
    const before = tf.memory().numTensors;
    const kept = tf.tidy(() => optimizer.minimize(loss(w), true)!);
    expect(kept.dataSync()[0]).toBeLessThan(13.25);
    expect(tf.memory().numTensors).toBe(before + 1);
    kept.dispose();
    expect(numbers(w)).toEqual(twin(2, { lr: 0.1 }));
  });

  test('variableGrads() with applyGradients() by name and by list does the same, and disposes nothing', () => {
    const [byName, byList] = [{}, {}].map(() => {
      const w = variable([1, 1, 1, 1], 'w');
      const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
      const step = (apply: (grads: tf.NamedTensorMap) => void): void => {
        const { value, grads } = tf.variableGrads(loss(w), [w]);
        apply(grads);
        expect(grads.w!.isDisposed).toBe(false);
        tf.dispose([value, grads]);
      };
      return { w, optimizer, step };
    }).map(({ w, optimizer, step }, i) => {
      const apply = i === 0
        ? (grads: tf.NamedTensorMap) => optimizer.applyGradients(grads)
        : (grads: tf.NamedTensorMap) => optimizer.applyGradients([{ name: 'w', tensor: grads.w! }]);
      step(apply);
      const result = numbers(w);
      w.dispose();
      return result;
    });
    expect(byName).toEqual(twin(1, { lr: 0.1 }));
    expect(byList).toEqual(byName);
  });
});
