/** What cannot be is refused in one sentence that names the variable or option. */
import * as tf from '@tensorflow/tfjs';
import { AdamW, Muon, tfOptimizer } from 'fused-optim';
import { clean, numbers, useBackend, variable } from './backends';

beforeAll(() => useBackend('wasm'));
afterEach(clean);

test.each<[string, () => unknown, string]>([
  [
    'no tfjs',
    () => tfOptimizer({} as never, AdamW),
    'Expected the first argument of tfOptimizer to be the package',
  ],
  [
    'null',
    () => tfOptimizer(null as never, AdamW),
    'Expected the first argument of tfOptimizer to be the package',
  ],
  [
    'no class',
    () => tfOptimizer(tf, 'AdamW' as never),
    'Expected the second argument of tfOptimizer to be a class',
  ],
  [
    'a misspelled option',
    () => tfOptimizer(tf, AdamW, { learningRate: 1 } as never),
    'Unknown option "learningRate" for AdamW',
  ],
  ['a bad option', () => tfOptimizer(tf, Muon, { nsSteps: 0 }), 'Expected nsSteps of Muon'],
  [
    'options that are none',
    () => tfOptimizer(tf, AdamW, null as never),
    'Expected options of AdamW to be an object',
  ],
  [
    'groups that are none',
    () => tfOptimizer(tf, AdamW, { groups: [] as never }),
    'Expected groups of AdamW for tfjs to be a function but received []',
  ],
  [
    'inPlace',
    () => tfOptimizer(tf, AdamW, { inPlace: 1 as never }),
    'Expected inPlace of AdamW for tfjs to be',
  ],
])('%s', (_name, act, message) => {
  expect(act).toThrow(message);
});

describe('gradients', () => {
  const optimizer = tfOptimizer(tf, AdamW);
  const grad = () => tf.ones([2]);
  const w = () => variable([1, 1], 'w');

  test.each<[string, () => unknown, string]>([
    [
      'of no variable',
      () => ({ nobody: grad() }),
      'Expected a variable "nobody" for the gradient of that name but there is none (was it disposed?).',
    ],
    [
      'of a disposed variable',
      () => (w().dispose(), { w: grad() }),
      'Expected a variable "w" for the gradient of that name but there is none',
    ],
    [
      'twice',
      () => (
        w(),
        [
          { name: 'w', tensor: grad() },
          { name: 'w', tensor: grad() },
        ]
      ),
      'Expected one gradient for "w" but received two.',
    ],
    [
      'of another shape',
      () => (w(), { w: tf.ones([2, 1]) }),
      'Expected the gradient of "w" to have shape [2] but received [2, 1].',
    ],
    [
      'of another dtype',
      () => (w(), { w: tf.ones([2], 'int32') }),
      'Expected the gradient of "w" to be float32 but received int32.',
    ],
    [
      'that is disposed',
      () => {
        w();
        const g = grad();
        g.dispose();
        return { w: g };
      },
      'Expected the gradient of "w" to be there but it was disposed.',
    ],
    [
      'of a variable of another dtype',
      () => (tf.variable(tf.ones([2], 'int32'), true, 'i'), { i: grad() }),
      'Expected variable "i" to be float32 for a step but it is int32.',
    ],
    [
      'that are none',
      () => 5,
      'Expected gradients to be a list of { name, tensor }, or tensors by name but received 5',
    ],
  ])('%s', (_name, make, message) => {
    const gradients = make();
    expect(() => optimizer.applyGradients(gradients as never)).toThrow(message);
  });

  test('none at all is no step', () => {
    w();
    optimizer.applyGradients({});
    optimizer.applyGradients([{ name: 'w', tensor: null }]);
    expect(optimizer.iterations).toBe(0);
    expect(optimizer.paramGroups).toEqual([]);
  });
});

test('disposed variables are named', () => {
  const [w, u] = [variable([1, 1], 'w'), variable([1, 1], 'u')];
  const optimizer = tfOptimizer(tf, AdamW);
  optimizer.minimize(() => tf.add(tf.sum(w), tf.sum(u)));
  w.dispose();
  const message = 'Expected variable "w" to be there but it was disposed.';
  expect(() => optimizer.minimize(() => tf.sum(u), false, [w, u])).toThrow(message);
  expect(() => optimizer.addVariables([w])).toThrow(message);
  expect(() => optimizer.state(w)).toThrow(message);
  expect(() => optimizer.addVariables([5 as never])).toThrow(
    'Expected a variable of AdamW to be a tf.Variable',
  );
  variable([1, 1, 1], 'w');
  expect(() => optimizer.applyGradients({ w: tf.ones([3]) })).toThrow(
    'Expected variable "w" to have shape [2], as the disposed one of its name had, but received [3].',
  );
});

test('two variables of one name are refused, and nothing is stepped', () => {
  const [v, u] = [variable([1, 1], 'v'), variable([1, 1], 'u')];
  const f = () => tf.add(tf.sum(v), tf.sum(u));
  expect(() => tfOptimizer(tf, AdamW, { nameOf: () => 'x' }).minimize(f)).toThrow(
    'Expected every variable of AdamW to have a name of its own but "v" and "u" both have "x".',
  );
  expect(() => tfOptimizer(tf, AdamW, { nameOf: () => 5 as never }).minimize(f)).toThrow(
    'Expected nameOf("v") of AdamW to be a name but received 5',
  );
  expect([numbers(v), numbers(u)]).toEqual([
    [1, 1],
    [1, 1],
  ]);
});

test('groups must return what it was given', () => {
  const [v, u] = [variable([1, 1], 'v'), variable([1, 1], 'u')];
  const f = () => tf.add(tf.sum(v), tf.sum(u));
  expect(() => tfOptimizer(tf, AdamW, { groups: (params) => params.slice(1) }).minimize(f)).toThrow(
    'Expected groups of AdamW for tfjs to return every parameter but "v" is missing.',
  );
  expect(() => tfOptimizer(tf, AdamW, { groups: (params) => [...params, params[0]!] }).minimize(f)).toThrow(
    'Expected groups of AdamW for tfjs to return the 2 parameters that it was given but received 3.',
  );
});

test('after dispose() every call is refused', () => {
  const w = variable([1, 1], 'w');
  const optimizer = tfOptimizer(tf, AdamW);
  optimizer.minimize(() => tf.sum(w));
  optimizer.dispose();
  optimizer.dispose();
  expect(() => optimizer.minimize(() => tf.sum(w))).toThrow(
    'AdamW was disposed: minimize() is no longer possible.',
  );
  expect(() => optimizer.stateDict()).toThrow('AdamW was disposed: stateDict() is no longer possible.');
});

test('Muon without a matrix says so at the first step, and the step can be tried again', () => {
  const [b, w] = [variable([1, 1], 'b'), variable([1, 2, 3, 4], 'w', [2, 2])];
  const optimizer = tfOptimizer(tf, Muon);
  expect(() => optimizer.minimize(() => tf.sum(b))).toThrow('Expected Muon to have a hidden matrix');
  expect(numbers(b)).toEqual([1, 1]);
  optimizer.minimize(() => tf.add(tf.sum(b), tf.sum(w)));
  expect(optimizer.iterations).toBe(1);
});
