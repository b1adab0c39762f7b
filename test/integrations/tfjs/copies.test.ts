/** Backends that let nobody into their memory: weights and gradients go in and out by copies. */
import * as tf from '@tensorflow/tfjs';
import { AdamW, tfOptimizer } from 'fused-optim';
import { clean, numbers, useBackend, variable } from './backends';

const loss = (w: tf.Tensor) => (): tf.Scalar => tf.sum(tf.square(tf.sub(w, [3, -2])));

/** The CPU backend under another name, behind which nothing is known of its memory. */
function registerOpaque(): void {
  tf.registerBackend('opaque', () => {
    const cpu = tf.findBackendFactory('cpu')() as unknown as { data: object };
    return cpu as unknown as tf.KernelBackend;
  });
  for (const kernel of tf.getKernelsForBackend('cpu'))
    tf.registerKernel({ ...kernel, backendName: 'opaque' });
}

/** Five steps, with values assigned before the fourth; what came of it. */
async function run(backend: string, inPlace = true): Promise<number[]> {
  await useBackend(backend);
  const w = variable([1, 1], 'w');
  const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1, inPlace });
  const before = tf.memory().numTensors;
  for (let i = 0; i < 5; ++i) {
    if (i === 3) tf.tidy(() => w.assign(tf.tensor1d([5, 5])));
    optimizer.minimize(loss(w));
  }
  expect(tf.memory().numTensors).toBe(before);
  const result = numbers(w);
  w.dispose();
  optimizer.dispose();
  return result;
}

beforeAll(registerOpaque);
afterEach(clean);

test('another backend gets the numbers of steps in place', async () => {
  expect(await run('opaque')).toEqual(await run('cpu'));
});

test.each(['cpu', 'wasm'])('inPlace: false on %s too', async (backend) => {
  expect(await run(backend, false)).toEqual(await run('cpu'));
});

test('inPlace: false leaves arrays alone that tfjs took for its own or gave away', async () => {
  await useBackend('cpu');
  const mine = Float32Array.of(1, 1);
  const w = tf.tidy(() => tf.variable(tf.tensor1d(mine), true, 'w'));
  const optimizer = tfOptimizer(tf, AdamW, { inPlace: false });
  optimizer.minimize(loss(w));
  const given = w.dataSync();
  const copy = [...given];
  optimizer.minimize(loss(w));
  expect([...mine]).toEqual([1, 1]);
  expect([...given]).toEqual(copy);
  expect(numbers(w)).not.toEqual(copy);
});

test('a variable may move to another backend between steps, with its state', async () => {
  const expected = await run('cpu').then(async () => {
    await useBackend('cpu');
    const w = variable([1, 1], 'w');
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    for (let i = 0; i < 4; ++i) optimizer.minimize(loss(w));
    return numbers(w);
  });
  clean();
  await useBackend('cpu');
  const w = variable([1, 1], 'w');
  const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
  for (const backend of ['cpu', 'wasm', 'opaque', 'wasm']) {
    await useBackend(backend);
    optimizer.minimize(loss(w));
  }
  expect(numbers(w)).toEqual(expected);
});

test('a step that is skipped writes nothing', async () => {
  await useBackend('opaque');
  const w = variable([1, 1], 'w');
  const optimizer = tfOptimizer(tf, AdamW, { nonFinite: 'skip' });
  const { dataId } = w;
  optimizer.minimize(() => tf.sum(tf.mul(w, Infinity)));
  expect(w.dataId).toBe(dataId);
  expect(numbers(w)).toEqual([1, 1]);
});
