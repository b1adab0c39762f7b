/** Saving and resuming: what goes on after a file has the bits of what did not stop. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {
  AdamW,
  Muon,
  NAdam,
  readCheckpointInfo,
  tfOptimizer,
  type AdamWOptions,
  type TfOptions,
} from 'fused-optim';
import { rejection } from '../../helpers/files';
import { backends, clean, useBackend, variable } from './backends';
import { mlp, nameInModel, rings, weightsOf } from './models';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fused-optim-tfjs-'));
const file = path.join(folder, 'optimizer.safetensors');
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

type Options = TfOptions<AdamWOptions>;
const make = (options: Options = {}) => tfOptimizer(tf, AdamW, { lr: 0.05, nameOf: nameInModel, ...options });

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(clean);

  async function train(model: tf.LayersModel, optimizer: ReturnType<typeof make>): Promise<void> {
    const { x, y } = rings(48);
    model.compile({ optimizer, loss: 'binaryCrossentropy' });
    await model.fit(x, y, { epochs: 2, batchSize: 16, shuffle: false });
    tf.dispose([x, y]);
  }

  test('another model with the same weights goes on with the same bits', async () => {
    const first = mlp();
    const optimizer = make();
    await train(first, optimizer);
    await optimizer.save(file);
    const saved = weightsOf(first);
    await train(first, optimizer);

    const second = mlp(99);
    second.setWeights(first.getWeights().map((weight, i) => tf.tensor(saved[i]!, weight.shape)));
    const resumed = make();
    await resumed.load(file);
    expect(resumed.iterations).toBe(6);
    await train(second, resumed);
    expect(weightsOf(second)).toEqual(weightsOf(first));
    expect(resumed.iterations).toBe(12);

    // Without the state it would have gone another way.
    const forgetful = mlp(99);
    forgetful.setWeights(first.getWeights().map((weight, i) => tf.tensor(saved[i]!, weight.shape)));
    await train(forgetful, make());
    expect(weightsOf(forgetful)).not.toEqual(weightsOf(first));
  });

  test('the file is a checkpoint of the optimizer behind, with the names of variables', async () => {
    const model = mlp();
    const optimizer = make();
    await train(model, optimizer);
    await optimizer.save(file);
    const { algorithm, step, paramGroups } = await readCheckpointInfo(file);
    expect({ algorithm, step }).toEqual({ algorithm: 'AdamW', step: 6 });
    expect(paramGroups[0]!.params).toEqual([
      'a/kernel',
      'a/bias',
      'b/kernel',
      'b/bias',
      'head/kernel',
      'head/bias',
    ]);
  });
});

describe('by variable', () => {
  beforeAll(() => useBackend('cpu'));
  afterEach(clean);

  const pair = () => ({ a: variable([1, 1, 1, 1], 'a', [2, 2]), b: variable([1, 1], 'b') });
  type Pair = ReturnType<typeof pair>;
  const loss =
    ({ a, b }: Pair) =>
    (): tf.Scalar =>
      tf.add(tf.sum(tf.square(a)), tf.sum(tf.square(b)));
  const states = (optimizer: { state(v: tf.Variable): object }, { a, b }: Pair) =>
    structuredClone([optimizer.state(a), optimizer.state(b)]);

  test('order does not matter, nor what is frozen when it is loaded', () => {
    const before = pair();
    const optimizer = tfOptimizer(tf, AdamW);
    optimizer.minimize(loss(before));
    const dict = optimizer.stateDict();
    const expected = states(optimizer, before);
    clean();
    const b = variable([1, 1], 'b');
    const after = { a: variable([1, 1, 1, 1], 'a', [2, 2]), b };
    after.a.trainable = false;
    const other = tfOptimizer(tf, AdamW);
    other.loadStateDict(dict);
    expect(other.stateDict()).toEqual(dict);
    other.minimize(loss(after));
    const [a, stateOfB] = states(other, after);
    expect(a).toEqual(expected[0]);
    expect(stateOfB).toMatchObject({ step: 2 });
  });

  test('a state loaded over another replaces it, groups included', () => {
    const both = pair();
    both.a.trainable = false;
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.1 });
    optimizer.minimize(loss(both));
    both.a.trainable = true;
    optimizer.minimize(loss(both));
    const dict = optimizer.stateDict();
    expect(dict.paramGroups).toHaveLength(2);
    const other = tfOptimizer(tf, AdamW, { lr: 0.2 });
    other.minimize(loss(both));
    other.loadStateDict(dict);
    expect(other.stateDict()).toEqual(dict);
    const { inner } = other;
    other.loadStateDict(dict);
    expect(other.inner).toBe(inner);
  });

  test('schedules go on over a load', () => {
    const both = pair();
    const optimizer = tfOptimizer(tf, AdamW);
    optimizer.minimize(loss(both));
    const dict = optimizer.stateDict();
    const other = tfOptimizer(tf, AdamW).schedule({ lr: (step) => step / 100 });
    other.loadStateDict(dict);
    other.minimize(loss(both));
    expect(other.paramGroups[0]!.lr).toBe(0.01);
  });

  test.each(['at the first step', 'at once when variables are known'])('differences are told %s', (when) => {
    const both = pair();
    const optimizer = tfOptimizer(tf, AdamW);
    optimizer.minimize(loss(both));
    const dict = optimizer.stateDict();
    clean();
    const load = (make: () => { a: tf.Variable; b: tf.Variable }): void => {
      clean();
      const { a, b } = make();
      const other = tfOptimizer(tf, AdamW);
      if (when !== 'at the first step') other.addVariables([a, b]);
      other.loadStateDict(dict);
      other.minimize(() => tf.add(tf.sum(a), tf.sum(b)));
    };
    const b = () => variable([1, 1], 'b');
    expect(() => load(() => ({ a: variable([1, 1, 1, 1], 'c', [2, 2]), b: b() }))).toThrow(
      'Expected a variable for every tensor of the state of AdamW that was loaded but there is none for "a".',
    );
    expect(() => load(() => ({ a: variable([1, 1, 1, 1], 'a'), b: b() }))).toThrow(
      'but it differs: "a" has shape [2, 2], expected [4].',
    );
    expect(() => load(() => ({ a: variable([1], 'x'), b: variable([1], 'y') }))).toThrow(
      'Expected the state of AdamW that was loaded to be of "x", "y" but it is of "a", "b"; give nameOf where a model ' +
        'was built twice in one process.',
    );
    const muon = tfOptimizer(tf, Muon);
    const { a } = (clean(), pair());
    if (when !== 'at the first step') muon.addVariables([a]);
    expect(() => {
      muon.loadStateDict(dict);
      muon.minimize(() => tf.sum(a));
    }).toThrow('Expected a state dict of Muon but received one of "AdamW".');
  });

  test('a state that is refused changes nothing', () => {
    const both = pair();
    const optimizer = tfOptimizer(tf, AdamW);
    optimizer.minimize(loss(both));
    const before = optimizer.stateDict();
    const { inner } = optimizer;
    const { b: _, ...state } = before.state;
    expect(() => optimizer.loadStateDict({ ...before, step: 99, state })).toThrow('missing "b"');
    expect(optimizer.stateDict()).toEqual(before);
    expect(optimizer.inner).toBe(inner);
    expect(optimizer.iterations).toBe(1);
    for (const garbage of [null, 5, {}, { paramGroups: [] }, { paramGroups: [5] }])
      expect(() => optimizer.loadStateDict(garbage as never)).toThrow(/^Expected (?:the|a) state dict/);
  });

  test('there is nothing to save before the first step', async () => {
    expect(await rejection(tfOptimizer(tf, AdamW).save(file))).toBe(
      'AdamW knows no variables before its first step: there is no state yet.',
    );
  });

  test.each([
    ['AdamW', () => tfOptimizer(tf, AdamW)],
    ['NAdam, which has a float64 beside its states', () => tfOptimizer(tf, NAdam)],
    ['Muon', () => tfOptimizer(tf, Muon)],
    ['AdamW with bfloat16 states', () => tfOptimizer(tf, AdamW, { stateDtype: 'bfloat16' })],
  ])('getWeights() and setWeights() keep everything of %s', async (_name, create) => {
    const both = pair();
    const optimizer = create();
    optimizer.minimize(loss(both));
    optimizer.minimize(loss(both));
    const weights = await optimizer.getWeights();
    expect(weights[0]!.name).toBe('iter');
    expect(Array.from(weights[0]!.tensor.dataSync())).toEqual([2]);
    const other = create();
    await other.setWeights(weights);
    other.addVariables([both.b, both.a]);
    expect(other.stateDict()).toEqual(optimizer.stateDict());
    for (const { tensor } of weights) tensor.dispose();
    expect(await rejection(other.setWeights([]))).toMatch(/^Expected weights that getWeights\(\)/);
  });
});

describe('a model saved with its optimizer', () => {
  beforeAll(() => useBackend('cpu'));
  afterEach(clean);

  async function saved(model: tf.LayersModel): Promise<tf.io.ModelArtifacts> {
    let artifacts: tf.io.ModelArtifacts | undefined;
    const handler = tf.io.withSaveHandler((given) => {
      artifacts = given;
      return Promise.resolve({} as tf.io.SaveResult);
    });
    await model.save(handler, { includeOptimizer: true });
    return artifacts!;
  }

  test('comes back with it, and goes on with the same bits', async () => {
    const { x, y } = rings(32);
    const fit = (model: tf.LayersModel) => model.fit(x, y, { epochs: 2, batchSize: 16, shuffle: false });
    const model = mlp();
    const optimizer = tfOptimizer(tf, AdamW, { lr: 0.05, betas: [0.8, 0.9] });
    model.compile({ optimizer, loss: 'binaryCrossentropy' });
    await fit(model);
    const artifacts = await saved(model);
    await fit(model);
    const expected = weightsOf(model);
    const names = model.weights.map(({ name }) => name);
    model.dispose();
    const loaded = await tf.loadLayersModel(tf.io.fromMemory(artifacts));
    // In a process of its own the variables would have their old names.
    const { registeredVariables } = tf.engine();
    loaded.weights.forEach((weight, i) => {
      const variable = registeredVariables[weight.name]!;
      Reflect.deleteProperty(registeredVariables, weight.name);
      Object.assign(variable, { name: names[i] });
      registeredVariables[variable.name] = variable;
    });
    await fit(loaded);
    expect(weightsOf(loaded)).toEqual(expected);
    expect(loaded.optimizer.getConfig()).toEqual({ lr: 0.05, betas: [0.8, 0.9] });
    expect(loaded.optimizer.getClassName()).toBe('FusedAdamW');
    tf.dispose([x, y]);
  });

  test('is refused when an option is code', async () => {
    const model = mlp();
    model.compile({ optimizer: make(), loss: 'binaryCrossentropy' });
    expect(await rejection(saved(model))).toBe(
      'Expected options of AdamW to be plain data for saving with the model but nameOf is a function: save the model ' +
        'without its optimizer, and the optimizer by its save().',
    );
  });
});
