/** Variables that come and go: state is kept by name, where tfjs counts positions. */
import * as tf from '@tensorflow/tfjs';
import { Adam, AdamW, tfOptimizer } from 'fused-optim';
import { backends, clean, numbers, useBackend, variable } from './backends';
import { mlp, rings, variablesOf } from './models';

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(clean);

  const make = () => ({ a: variable([1, 1], 'a'), b: variable([1, 1], 'b') });
  type Pair = ReturnType<typeof make>;
  /** Gradients of a: [1, 2]; of b: [10, 20]. */
  const loss =
    ({ a, b }: Pair) =>
    (): tf.Scalar =>
      tf.add(tf.sum(tf.mul(a, [1, 2])), tf.sum(tf.mul(b, [10, 20])));

  /** Two steps with both, one with a frozen; returns the first moments by name. */
  function freeze(optimizer: { minimize(f: () => tf.Scalar): unknown }, pair: Pair): void {
    optimizer.minimize(loss(pair));
    optimizer.minimize(loss(pair));
    pair.a.trainable = false;
    optimizer.minimize(loss(pair));
  }

  test('the Adam of tfjs puts the gradient of b into the state of a when a is frozen', async () => {
    const optimizer = tf.train.adam(0.1);
    freeze(optimizer, make());
    const moments = await optimizer.getWeights();
    const [a, b] = ['a/m', 'b/m'].map((name) => numbers(moments.find((m) => m.name === name)!.tensor));
    // Two steps of [1, 2] are 0.19 and 0.38; the third should have gone to b.
    expect(a![0]).toBeCloseTo(0.9 * 0.19 + 0.1 * 10, 4);
    expect(b![0]).toBeCloseTo(1.9, 4);
    optimizer.dispose();
  });

  test('ours goes to b, and leaves a and its state alone', () => {
    const pair = make();
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1, weightDecay: 0.5 });
    freeze(optimizer, pair);
    const moments = (v: tf.Variable): number => (optimizer.state(v).expAvg as Float32Array)[0]!;
    expect(moments(pair.a)).toBeCloseTo(0.19, 4);
    expect(moments(pair.b)).toBeCloseTo(2.71, 4);
    expect([pair.a, pair.b].map((v) => optimizer.state(v).step)).toEqual([2, 3]);
    const frozen = numbers(pair.a);
    optimizer.minimize(loss(pair));
    expect(numbers(pair.a)).toEqual(frozen);
    pair.a.trainable = true;
    optimizer.minimize(loss(pair));
    expect([pair.a, pair.b].map((v) => optimizer.state(v).step)).toEqual([3, 5]);
    expect(numbers(pair.a)).not.toEqual(frozen);
  });

  test('each variable goes the way it goes alone, whatever is frozen beside it', () => {
    const pair = make();
    const optimizer = tfOptimizer(tf, Adam, { lr: 0.1 });
    freeze(optimizer, pair);
    const together = numbers(pair.b);
    clean();
    const alone = variable([1, 1], 'b');
    const other = tfOptimizer(tf, Adam, { lr: 0.1 });
    for (let i = 0; i < 3; ++i) other.minimize(() => tf.sum(tf.mul(alone, [10, 20])));
    expect(together).toEqual(numbers(alone));
  });

  test('a variable that is unfrozen later starts with a state of its own, in a group of its own', () => {
    const pair = make();
    pair.a.trainable = false;
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    optimizer.minimize(loss(pair));
    expect(() => optimizer.state(pair.a)).toThrow(
      'Expected AdamW to have had a gradient of "a" but it has not.',
    );
    pair.a.trainable = true;
    optimizer.minimize(loss(pair));
    expect([pair.a, pair.b].map((v) => optimizer.state(v).step)).toEqual([1, 2]);
    expect(optimizer.paramGroups.map(({ params }) => params.map(({ name }) => name))).toEqual([['b'], ['a']]);
  });

  test('layers of a model are frozen and unfrozen with one optimizer', async () => {
    const model = mlp();
    const { x, y } = rings(32);
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.01 });
    const fit = async (): Promise<void> => {
      model.compile({ optimizer, loss: 'binaryCrossentropy' });
      await model.fit(x, y, { epochs: 1, batchSize: 16 });
    };
    const kernels = [0, 2, 4].map((i) => variablesOf(model)[i]!);
    const steps = () => kernels.map((kernel) => optimizer.state(kernel).step);
    await fit();
    expect(steps()).toEqual([2, 2, 2]);
    model.layers[0]!.trainable = false;
    const frozen = numbers(kernels[0]!);
    await fit();
    expect(steps()).toEqual([2, 4, 4]);
    expect(numbers(kernels[0]!)).toEqual(frozen);
    model.layers[0]!.trainable = true;
    await fit();
    expect(steps()).toEqual([4, 6, 6]);
    tf.dispose([x, y]);
  });

  test('a disposed variable is out of the way, and one of its name and shape goes on with its state', () => {
    const pair = make();
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    optimizer.minimize(loss(pair));
    pair.a.dispose();
    // Its memory may be somebody else's by now.
    const others = Array.from({ length: 8 }, (_, i) => variable([1, 1], `other${i}`));
    const f = (): tf.Scalar => tf.addN([pair.b, ...others].map((v): tf.Scalar => tf.sum(v)));
    optimizer.minimize(f);
    const a = variable([1, 1], 'a');
    optimizer.minimize(loss({ ...pair, a }));
    expect(optimizer.state(a).step).toBe(2);
  });
});
