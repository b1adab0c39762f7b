import { Lion } from 'fused-optim';
import { goldenTests } from '../helpers/golden';
import { describeIsas, withIsa } from '../helpers/isas';

goldenTests(Lion, 'lion', 8);

describe('Lion', () => {
  describeIsas((isa) => {
    test('moves by exactly lr, by the sign alone; the sign of 0 is 0 and of NaN is NaN', () => {
      const grads = [1e-30, -1e30, 0, -0, NaN, Infinity, -Infinity, 1e-45, -1e-45];
      const param = { data: new Float32Array(9), grad: Float32Array.from(grads) };
      withIsa(isa, () => new Lion([param], { lr: 0.5, betas: [0, 0.99] })).step();
      expect(param.data).toEqual(Float32Array.of(-0.5, 0.5, 0, 0, NaN, -0.5, 0.5, -0.5, 0.5));
    });

    test('only decays a tensor whose gradients are all zero', () => {
      const param = { data: Float32Array.of(1, -2), grad: new Float32Array(2) };
      withIsa(isa, () => new Lion([param], { lr: 0.5, weightDecay: 0.5 })).step();
      expect(param.data).toEqual(Float32Array.of(0.75, -1.5));
    });
  });

  test('has no eps', () => {
    expect(() => new Lion([{ data: new Float32Array(1) }], { eps: 1e-8 } as object)).toThrow(
      /^Unknown option "eps" for Lion/,
    );
  });
});
