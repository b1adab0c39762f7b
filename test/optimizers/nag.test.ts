import { NAG } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(NAG, 'nag', 7);

describe('NAG', () => {
  const one = () => [{ data: Float32Array.of(0), grad: Float32Array.of(1) }];

  test('looks ahead on its first step already', () => {
    const params = one();
    new NAG(params, { lr: 1, momentum: 0.5 }).step();
    expect(params[0]!.data).toEqual(Float32Array.of(-1.5));
  });

  test('needs momentum', () => {
    const message = 'Expected momentum of NAG to be a finite number > 0 but received 0.';
    expect(() => new NAG(one(), { momentum: 0 })).toThrow(new RangeError(message));
  });

  test.each([
    [{ nesterov: false }, 'Unknown option "nesterov" for NAG: NAG always is; use Momentum without it.'],
    [{ dampening: 0 }, 'Unknown option "dampening" for NAG: Nesterov momentum has none; use Momentum.'],
  ])('says where to find %p', (options, message) => {
    expect(() => new NAG(one(), options as object)).toThrow(new TypeError(message));
  });
});
