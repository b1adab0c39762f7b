import { AdaGrad } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(AdaGrad, 'adagrad', 8);

describe('AdaGrad', () => {
  test('starts its sum at initialAccumulatorValue, for a tensor that joins later too', () => {
    const early = { data: Float32Array.of(0), grad: Float32Array.of(2) };
    const late = { data: Float32Array.of(0), grad: null as Float32Array | null };
    const optimizer = new AdaGrad([early, late], { initialAccumulatorValue: 0.5 });
    optimizer.step();
    late.grad = Float32Array.of(1);
    optimizer.step();
    expect(optimizer.state(early).sum).toEqual(Float32Array.of(8.5));
    expect(optimizer.state(late).sum).toEqual(Float32Array.of(1.5));
  });

  test('divides 0 by 0 when eps is 0 and no gradient came', () => {
    const param = { data: Float32Array.of(1, 1), grad: Float32Array.of(0, 1) };
    new AdaGrad([param], { eps: 0, lr: 0.5 }).step();
    expect(param.data).toEqual(Float32Array.of(NaN, 0.5));
  });

  test('slows down with lrDecay by its own step count', () => {
    const param = { data: Float32Array.of(0), grad: Float32Array.of(1) };
    const optimizer = new AdaGrad([param], { lr: 1, lrDecay: 1, eps: 0 });
    optimizer.step();
    expect(param.data[0]).toBe(-1);
    optimizer.step();
    expect(param.data[0]).toBeCloseTo(-1 - 0.5 / Math.SQRT2, 6);
  });
});
