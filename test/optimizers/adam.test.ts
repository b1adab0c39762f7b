import { Adam } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(Adam, 'adam', 10);

describe('Adam', () => {
  const one = () => ({ data: Float32Array.of(0, 0, 0), grad: Float32Array.of(1e-6, -3, 0) });

  test('moves every element by lr on its first step, whatever the gradient', () => {
    const param = one();
    new Adam([param], { lr: 0.5, eps: 0 }).step();
    expect(param.data[0]).toBeCloseTo(-0.5, 6);
    expect(param.data[1]).toBeCloseTo(0.5, 6);
    expect(param.data[2]).toBeNaN(); // 0 / 0, as documented for eps 0
  });

  test('leaves an element alone that never had a gradient', () => {
    const param = one();
    new Adam([param]).step();
    expect(param.data[2]).toBe(0);
  });

  test('starts the maximum of amsgrad when it is switched on', () => {
    const param = one();
    const optimizer = new Adam([param]);
    optimizer.step();
    optimizer.paramGroups[0]!.amsgrad = true;
    optimizer.step();
    const { maxExpAvgSq, expAvgSq } = optimizer.state(param);
    expect(maxExpAvgSq).toEqual(expAvgSq);
  });

  test('says that its decay rates come in a pair', () => {
    expect(() => new Adam([one()], { beta1: 0.9 } as object)).toThrow(
      new TypeError('Unknown option "beta1" for Adam: did you mean "betas"?'),
    );
  });
});
