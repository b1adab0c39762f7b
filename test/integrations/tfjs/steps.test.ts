/** Steps on variables of tfjs, on both backends, compared with the same steps on arrays. */
import * as tf from '@tensorflow/tfjs';
import {
  AdamW,
  Lookahead,
  noDecay,
  SGD,
  tfOptimizer,
  type AdamWOptions,
  type Parameter,
  type Params,
  type SGDOptions,
} from 'fused-optim';
import { backends, clean, numbers, placeOf, useBackend, variable } from './backends';

const target = [3, -2, 0.5, 1];

/** Σ (w − target)², whose gradient is 2 (w − target). */
const loss = (w: tf.Tensor) => (): tf.Scalar => tf.sum(tf.square(tf.sub(w, target)));

/** The same steps on an array. */
function twin(steps: number, options: AdamWOptions): number[] {
  const data = new Float32Array(4).fill(1);
  const w: Parameter = { name: 'w', data, grad: null };
  const optimizer = new AdamW([w], options);
  for (let i = 0; i < steps; ++i) {
    w.grad = data.map((x, k) => 2 * Math.fround(x - target[k]!));
    optimizer.step();
  }
  optimizer.dispose();
  return [...data];
}

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(clean);

  test('minimize() has the numbers of the same steps on an array, in place and without a tensor more', () => {
    const w = variable([1, 1, 1, 1], 'w');
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    const place = placeOf(w);
    const { dataId } = w;
    const before = tf.memory();
    for (let i = 0; i < 10; ++i) expect(optimizer.minimize(loss(w))).toBeNull();
    expect(tf.memory()).toMatchObject({ numTensors: before.numTensors, numBytes: before.numBytes });
    expect(numbers(w)).toEqual(twin(10, { lr: 0.1 }));
    expect(placeOf(w)).toBe(place);
    expect(w.dataId).toBe(dataId);
    expect(optimizer.iterations).toBe(10);
    expect(optimizer.lastStep).toEqual({ applied: true, step: 10 });
  });

  test('minimize(f, true) returns the cost, alive, also inside tidy()', () => {
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

  test.each(['by name', 'as a list'])('applyGradients() takes what variableGrads() gives, %s', (form) => {
    const w = variable([1, 1, 1, 1], 'w');
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    const { value, grads } = tf.variableGrads(loss(w));
    const given = numbers(grads.w!);
    optimizer.applyGradients(form === 'by name' ? grads : [{ name: 'w', tensor: grads.w! }]);
    expect(numbers(grads.w!)).toEqual(given);
    tf.dispose([value, grads]);
    expect(numbers(w)).toEqual(twin(1, { lr: 0.1 }));
  });

  test('a list of variables limits what is updated', () => {
    const [w, u] = [variable([1, 1, 1, 1], 'w'), variable([1, 1, 1, 1], 'u')];
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    const f = (): tf.Scalar => tf.add(loss(w)(), loss(u)());
    optimizer.minimize(f, false, [u]);
    expect(numbers(w)).toEqual([1, 1, 1, 1]);
    expect(numbers(u)).toEqual(twin(1, { lr: 0.1 }));
    optimizer.minimize(f);
    expect(numbers(w)).toEqual(twin(1, { lr: 0.1 }));
    expect(numbers(u)).toEqual(twin(2, { lr: 0.1 }));
    expect([w, u].map((v) => optimizer.state(v).step)).toEqual([1, 2]);
  });

  test.each<[string, (w: tf.Variable) => tf.Tensor]>([
    ['a clone', (w) => tf.clone(w)],
    ['a reshaped tensor', (w) => tf.reshape(w, [2, 2])],
    ['another variable', (w) => tf.variable(w, false, 'copy')],
  ])('%s of a variable keeps its numbers, and the variable is in place from then on', (_name, share) => {
    const w = variable([1, 1, 1, 1], 'w');
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    optimizer.minimize(loss(w));
    const shared = share(w);
    const before = numbers(w);
    const { numTensors } = tf.memory();
    optimizer.minimize(loss(w));
    expect(numbers(shared)).toEqual(before);
    expect(numbers(w)).toEqual(twin(2, { lr: 0.1 }));
    const place = placeOf(w);
    optimizer.minimize(loss(w));
    expect(placeOf(w)).toBe(place);
    expect(tf.memory().numTensors).toBe(numTensors);
    shared.dispose();
  });

  test('a variable made of an array that lives on leaves the array alone', () => {
    const mine = Float32Array.of(1, 1, 1, 1);
    const tensor = tf.tensor1d(mine);
    const w = tf.variable(tensor, true, 'w');
    tfOptimizer(tf, AdamW, { lr: 0.1 }).minimize(loss(w));
    expect([...mine]).toEqual([1, 1, 1, 1]);
    expect(numbers(tensor)).toEqual([1, 1, 1, 1]);
    expect(numbers(w)).toEqual(twin(1, { lr: 0.1 }));
    tensor.dispose();
  });

  test('gradients may be one buffer twice, and are left as they are by clipping and scaling', () => {
    const [v, u] = [variable([1, 2], 'v'), variable([3, 4], 'u')];
    const optimizer = tfOptimizer(tf, SGD, { lr: 1, maxGradNorm: 1, gradScale: 2 });
    const { value, grads } = tf.variableGrads(() => tf.sum(tf.mul(tf.add(v, u), [4, 0])));
    expect(placeOf(grads.v!)).toBe(placeOf(grads.u!));
    optimizer.applyGradients(grads);
    expect(numbers(grads.v!)).toEqual([4, 0]);
    tf.dispose([value, grads]);
    // Unscaled, both are [2, 0]; their norm is √8.
    const moved = 2 / Math.sqrt(8);
    expect(numbers(v)[0]).toBeCloseTo(1 - moved, 5);
    expect(numbers(u)[0]).toBeCloseTo(3 - moved, 5);
    expect([numbers(v)[1], numbers(u)[1]]).toEqual([2, 4]);
  });

  test('a gradient may be a clone of a variable', () => {
    const [v, u] = [variable([1, 2], 'v'), variable([3, 4], 'u')];
    const optimizer = tfOptimizer(tf, SGD, { lr: 0.5 });
    optimizer.applyGradients({ v: tf.clone(u), u: tf.clone(u) });
    expect([numbers(v), numbers(u)]).toEqual([
      [-0.5, 0],
      [1.5, 2],
    ]);
  });

  test('new memory of a variable is found: assigned values are what the next step changes', () => {
    const w = variable([9, 9, 9, 9], 'w');
    const optimizer = tfOptimizer(tf, SGD, { lr: 0.5 });
    optimizer.minimize(loss(w));
    const ones = tf.ones([4]);
    w.assign(ones);
    optimizer.minimize(loss(w));
    expect(numbers(w)).toEqual(target);
    expect(numbers(ones)).toEqual([1, 1, 1, 1]);
    ones.dispose();
  });

  test('what tfjs computes after a step is of the new weights', () => {
    const w = variable([1, 2, 3, 4], 'w', [2, 2]);
    const b = variable([0, 0], 'b');
    const filter = variable([1, 2, 3, 4], 'filter', [1, 1, 2, 2]);
    const optimizer = tfOptimizer(tf, SGD, { lr: 1 });
    const x = tf.tensor2d([[1, 1]]);
    const image = tf.reshape<tf.Rank.R4>(x, [1, 1, 1, 2]);
    const results = (): number[][] =>
      tf.tidy(() =>
        [
          tf.matMul(x, w),
          tf.fused.matMul({ a: x, b: w, bias: b, activation: 'relu' }),
          tf.conv2d(image, tf.reshape<tf.Rank.R4>(filter, [1, 1, 2, 2]), 1, 'valid'),
        ].map(numbers),
      );
    expect(results()).toEqual([
      [4, 6],
      [4, 6],
      [4, 6],
    ]);
    optimizer.applyGradients({ w: tf.ones([2, 2]), filter: tf.ones([1, 1, 2, 2]) });
    expect(results()).toEqual([
      [2, 4],
      [2, 4],
      [2, 4],
    ]);
    optimizer.applyGradients({ b: tf.ones([2]) });
    expect(results()[1]).toEqual([1, 3]);
  });

  test('groups divides variables, and its options stay live', () => {
    const [kernel, bias] = [variable([1, 1, 1, 1], 'd/kernel', [2, 2]), variable([1, 1], 'd/bias')];
    const optimizer = tfOptimizer(tf, SGD, {
      lr: 0.5,
      decoupledWeightDecay: true,
      groups: (params) => noDecay(params, { weightDecay: 1 }),
    });
    const step = (): void =>
      optimizer.applyGradients({ 'd/kernel': tf.zeros([2, 2]), 'd/bias': tf.zeros([2]) });
    step();
    expect([numbers(kernel), numbers(bias)]).toEqual([
      [0.5, 0.5, 0.5, 0.5],
      [1, 1],
    ]);
    optimizer.paramGroups[0]!.weightDecay = 0;
    step();
    expect(numbers(kernel)).toEqual([0.5, 0.5, 0.5, 0.5]);
  });

  test('schedule() counts from the first step, though it is called before', () => {
    const w = variable([1, 1, 1, 1], 'w');
    const optimizer = tfOptimizer(tf, SGD).schedule({ lr: (step) => (step === 0 ? 0 : 0.5) });
    optimizer.minimize(loss(w));
    expect(numbers(w)).toEqual([1, 1, 1, 1]);
    optimizer.minimize(loss(w));
    expect(numbers(w)).toEqual(target);
  });

  test('a wrapper around an optimizer can be the class', () => {
    class LookaheadSGD extends Lookahead<SGDOptions> {
      constructor(params: Params<SGDOptions>, options: SGDOptions) {
        super(new SGD(params, options), { k: 2, alpha: 0.5 });
      }
    }
    const w = variable([1, 1, 1, 1], 'w');
    const optimizer = tfOptimizer(tf, LookaheadSGD, { lr: 0.25 });
    optimizer.minimize(loss(w));
    optimizer.minimize(loss(w));
    // 1 → half way to the target, and again; then half way back.
    expect(numbers(w)).toEqual(target.map((t) => 1 + (0.75 * (t - 1)) / 2));
  });

  test('a step that is refused changes nothing and leaves no tensor', () => {
    const w = variable([1, 1, 1, 1], 'w');
    const optimizer = tfOptimizer(tf, AdamW, { nonFinite: 'throw' });
    optimizer.minimize(loss(w));
    const before = { weights: numbers(w), ...optimizer.stateDict() };
    const { numTensors } = tf.memory();
    expect(() => optimizer.minimize(() => tf.sum(tf.mul(w, NaN)))).toThrow(/"w"/);
    expect({ weights: numbers(w), ...optimizer.stateDict() }).toEqual(before);
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  test('a skipped step is told', () => {
    const w = variable([1, 1, 1, 1], 'w');
    const optimizer = tfOptimizer(tf, AdamW, { nonFinite: 'skip' });
    optimizer.minimize(() => tf.sum(tf.mul(w, NaN)));
    expect(optimizer.lastStep).toMatchObject({ applied: false, nonFinite: 'w' });
    expect(optimizer.iterations).toBe(0);
    expect(numbers(w)).toEqual([1, 1, 1, 1]);
  });
});

describe('WebAssembly memory', () => {
  beforeAll(() => useBackend('wasm'));
  afterEach(clean);

  test('may grow between steps, and in a step', () => {
    const w = variable([1, 1, 1, 1], 'w');
    const idle = variable([1, 1, 1, 1], 'idle');
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    optimizer.minimize(() => tf.add(loss(w)(), loss(idle)()));
    const backend = tf.backend() as unknown as { wasm: { HEAPU8: Uint8Array } };
    const old = backend.wasm.HEAPU8;
    const large: tf.Tensor[] = [];
    while (backend.wasm.HEAPU8 === old) large.push(tf.zeros([1024, 1024]));
    expect(old.length).toBe(0);
    optimizer.minimize(loss(w));
    // The copy that the clone asks for makes memory grow once more, in the step.
    const big = tf.tidy(() => tf.variable(tf.zeros([4 * 1024, 1024]), true, 'big'));
    const clone = tf.clone(big);
    optimizer.minimize(() => tf.add(loss(w)(), tf.sum(big)));
    expect(numbers(w)).toEqual(twin(3, { lr: 0.1 }));
    expect(numbers(idle)).toEqual(twin(1, { lr: 0.1 }));
    expect(big.dataSync()[12345]).toBeCloseTo(-0.1, 6);
    expect(clone.dataSync()[12345]).toBe(0);
    tf.dispose([large, clone]);
  });
});
