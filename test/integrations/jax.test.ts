/** jaxOptimizer() with jax-js itself, on its CPU backend. */
import * as jax from '@jax-js/jax';
import { AdamW, jaxOptimizer, Muon } from 'fused-optim';

const { numpy: np, tree } = jax;
beforeAll(() => {
  jax.defaultDevice('cpu');
});

type Params = { w: jax.Array; b: jax.Array };
const x = [-1, -0.5, 0, 0.5, 1];
const start = (): Params => ({ w: np.array([0]), b: np.array([0]) });
/** The mean squared error of w x + b against 2 x + 1. */
const loss = ({ w, b }: Params): jax.Array => {
  const errors = w
    .mul(np.array(x))
    .add(b)
    .sub(np.array(x.map((one) => 2 * one + 1)));
  return np.mean(errors.ref.mul(errors));
};
const numbers = (array: jax.Array): number[] => [...(array.ref.dataSync() as Float32Array)];

test('fits a line by updates that are added', () => {
  const solver = jaxOptimizer(jax, (params) => new AdamW(params, { lr: 0.05, weightDecay: 0 }));
  let params = start();
  let state = solver.init(tree.ref(params));
  for (let i = 0; i < 200; ++i) {
    const grads = jax.grad(loss)(tree.ref(params));
    const [updates, next] = solver.update(grads, state, tree.ref(params));
    params = { w: params.w.add(updates.w), b: params.b.add(updates.b) };
    state = next;
  }
  expect(numbers(params.w)[0]).toBeCloseTo(2, 2);
  expect(numbers(params.b)[0]).toBeCloseTo(1, 2);
  expect(state.optimizer.stateBytes()).toBe(16);
});

test('apply() has the bits of the optimizer', () => {
  const solver = jaxOptimizer(jax, (params) => new AdamW(params, { lr: 0.1 }));
  const parameter = { data: Float32Array.of(1, 2), grad: Float32Array.of(0.3, -0.7) };
  const optimizer = new AdamW([parameter], { lr: 0.1 });
  let state = solver.init([np.array([1, 2])]);
  for (let i = 0; i < 3; ++i) {
    optimizer.step();
    const [params, next] = solver.apply([np.array([0.3, -0.7])], state);
    expect(numbers(params[0]!)).toEqual([...parameter.data]);
    state = next;
  }
  optimizer.dispose();
});

test('names parameters by their places, and keeps shapes', () => {
  const names: string[] = [];
  const solver = jaxOptimizer(jax, (params) => {
    names.push(...params.map(({ name, shape }) => `${name} [${shape?.join()}]`));
    return new Muon(params);
  });
  const params = { layers: [{ weight: np.zeros([4, 3]), bias: np.zeros([3]) }], scale: np.zeros([]) };
  const state = solver.init(params);
  expect(names).toEqual(['layers.0.weight [4,3]', 'layers.0.bias [3]', 'scale []']);
  const grads = { layers: [{ weight: np.ones([4, 3]), bias: np.ones([3]) }], scale: np.ones([]) };
  const [updates] = solver.update(grads, state);
  expect(updates.layers[0]!.weight.shape).toEqual([4, 3]);
  expect(numbers(updates.layers[0]!.weight).every((update) => update < 0)).toBe(true);
});

test('refuses what does not go together', () => {
  const solver = jaxOptimizer(jax, (params) => new AdamW(params));
  const state = solver.init({ w: np.zeros([2]) });
  expect(() => solver.update({ v: np.zeros([2]) } as never, state)).toThrow(
    'Expected grads to have the leaves w but received v.',
  );
  expect(() => solver.update({ w: np.zeros([3]) }, state)).toThrow(
    'Expected grads "w" to have shape [2] but received [3].',
  );
  expect(() => solver.init({ w: np.zeros([2], { dtype: np.int32 }) })).toThrow(
    'Expected params "w" to be float32 but received int32.',
  );
  solver.update({ w: np.ones([2]) }, state);
  expect(() => solver.update({ w: np.ones([2]) }, state)).toThrow(
    'Expected the state of update() to be what init() or the last update gave: the optimizer has gone on from others.',
  );
  expect(() => jaxOptimizer({} as never, (params) => new AdamW(params))).toThrow(
    'Expected jax of jaxOptimizer() to be the package @jax-js/jax but received an object.',
  );
});
