import { SGD } from 'fused-optim';
import { goldenTests } from '../helpers/golden';
import { describeIsas, withIsa } from '../helpers/isas';

goldenTests(SGD, 'sgd', 8);

describe('SGD', () => {
  const one = () => [{ data: Float32Array.of(1, 2), grad: Float32Array.of(0.5, -1) }];

  test('keeps no state', () => {
    const params = one();
    const sgd = new SGD(params, { lr: 0.5 });
    sgd.step();
    expect(params[0]!.data).toEqual(Float32Array.of(0.75, 2.5));
    expect(sgd.state(params[0]!)).toEqual({ step: 1 });
    expect(sgd.stateBytes()).toBe(0);
  });

  describeIsas((isa) => {
    test('computes subnormal numbers, it does not flush them to zero', () => {
      const tiny = Math.fround(2 ** -140);
      const params = [{ data: new Float32Array(9).fill(3 * tiny), grad: new Float32Array(9).fill(tiny) }];
      withIsa(isa, () => new SGD(params, { lr: 1 })).step();
      expect(params[0]!.data).toEqual(new Float32Array(9).fill(2 * tiny));
    });
  });

  test.each([
    [{ momentum: 0.9 }, 'Unknown option "momentum" for SGD: use Momentum, or NAG for Nesterov momentum.'],
    [{ nesterov: true }, 'Unknown option "nesterov" for SGD: use NAG.'],
    [{ dampening: 0.1 }, 'Unknown option "dampening" for SGD: use Momentum.'],
  ])('says where to find %p', (options, message) => {
    expect(() => new SGD(one(), options as object)).toThrow(new TypeError(message));
  });
});
