import { Adam, AMSGrad } from 'fused-optim';
import { expectSameBits, expectSameState } from '../helpers/bits';
import { goldenTests } from '../helpers/golden';
import { values } from '../helpers/random';

goldenTests(AMSGrad, 'adam', 3, ({ amsgrad, ...options }) => (amsgrad === true ? options : undefined));

describe('AMSGrad', () => {
  test('is Adam with amsgrad, bit for bit', () => {
    const [a, b] = [1, 1].map((seed) => ({ data: values(100, seed), grad: values(100, 0) })) as [
      Param,
      Param,
    ];
    const [amsgrad, adam] = [
      new AMSGrad([a], { weightDecay: 0.1 }),
      new Adam([b], { weightDecay: 0.1, amsgrad: true }),
    ];
    for (let step = 1; step <= 5; ++step) {
      a.grad = b.grad = values(100, 10 * step).map((value) => value / step);
      amsgrad.step();
      adam.step();
    }
    expectSameBits(a.data, b.data, 'data');
    expectSameState(amsgrad.state(a), adam.state(b), 'the states');
  });

  test('has no switch for what it is', () => {
    const params = [{ data: new Float32Array(1) }];
    expect(() => new AMSGrad(params, { amsgrad: true } as object)).toThrow(
      'Unknown option "amsgrad" for AMSGrad: its options are lr, betas, eps, weightDecay, maximize, threads, maxGradNorm, gradScale, nonFinite, diagnostics, ' +
        'rounding, stateDtype, seed, stream, cudaGraph.',
    );
  });
});

interface Param {
  data: Float32Array;
  grad: Float32Array;
}
