/** Muon on weights of tfjs, whose outputs are the last axis. */
import * as tf from '@tensorflow/tfjs';
import { Muon, tfOptimizer, type Parameter } from 'fused-optim';
import { values } from '../../helpers/random';
import { backends, clean, numbers, useBackend, variable } from './backends';
import { mlp, nameInModel, variablesOf } from './models';

describe.each(backends)('%s', (backend) => {
  beforeAll(() => useBackend(backend));
  afterEach(clean);

  test.each([
    ['dense', [3, 8]],
    ['convolution', [3, 3, 2, 8]],
  ])('the kernel of a %s steps as an in-out parameter does', (_name, shape) => {
    const size = shape.reduce((a, b) => a * b);
    const [data, grad] = [values(size, 1), values(size, 2)];
    const w = variable(data.slice(), 'w', shape);
    const b = variable([0, 0], 'b');
    const optimizer = tfOptimizer(tf, Muon, { lr: 0.1, adjustLr: 'matchRmsAdamw' });
    for (let i = 0; i < 3; ++i) optimizer.applyGradients({ w: tf.tensor(grad, shape), b: tf.ones([2]) });
    const run = (layout: 'in-out' | 'out-in'): number[] => {
      const parameter: Parameter = { name: 'w', data: data.slice(), grad, shape, layout };
      const other = new Muon([parameter], { lr: 0.1, adjustLr: 'matchRmsAdamw' });
      for (let i = 0; i < 3; ++i) other.step();
      return [...(parameter.data as Float32Array)];
    };
    expect(numbers(w)).toEqual(run('in-out'));
    if (shape.length > 2) expect(numbers(w)).not.toEqual(run('out-in'));
    expect(numbers(b)[0]).toBeLessThan(0);
  });

  test('routing() is there once variables are known, and role says what a name does not', () => {
    const model = mlp();
    const variables = variablesOf(model);
    const first = variables[0]!.name;
    const optimizer = tfOptimizer(tf, Muon, {
      role: ({ name, shape }) => (name === first && shape.length === 2 ? 'embedding' : undefined),
    }).addVariables(variables);
    const routes = optimizer
      .inner!.routing()
      .map(({ name, optimizer: to, why }) => [nameInModel({ name }), to, why]);
    expect(routes).toEqual([
      ['b/kernel', 'muon', 'a 8 × 16 matrix'],
      ['a/kernel', 'adamw', 'role embedding'],
      ['a/bias', 'adamw', 'it has 1 axis'],
      ['b/bias', 'adamw', 'it has 1 axis'],
      ['head/kernel', 'adamw', 'named as an output head'],
      ['head/bias', 'adamw', 'named as an output head'],
    ]);
  });

  test('filters of a depthwise convolution go to AdamW', () => {
    const [a, b] = [
      variable(values(18, 1), 'c/depthwise_kernel', [3, 3, 2, 1]),
      variable(values(4, 1), 'd/kernel', [2, 2]),
    ];
    const routes = tfOptimizer(tf, Muon).addVariables([a, b]).inner!.routing();
    expect(routes.find(({ name }) => name === 'c/depthwise_kernel')).toMatchObject({
      optimizer: 'adamw',
      why: 'it is a depthwise convolution',
    });
  });
});
