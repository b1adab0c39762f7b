import { RAdam } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(RAdam, 'radam', 10);

describe('RAdam', () => {
  const one = () => ({ data: Float32Array.of(1), grad: Float32Array.of(1) });

  test('leaves the weights alone until the variance is known when it may not take momentum steps', () => {
    const param = one();
    const optimizer = new RAdam([param], {
      degenerateToSgd: false,
      decoupledWeightDecay: true,
      weightDecay: 0.1,
    });
    const changed: boolean[] = [];
    for (let step = 1; step <= 7; ++step) {
      const before = param.data[0];
      optimizer.step();
      changed.push(param.data[0] !== before);
    }
    // With beta2 = 0.999, rho exceeds 5 at the sixth step.
    expect(changed).toEqual([false, false, false, false, false, true, true]);
    expect(optimizer.state(param).expAvg).not.toEqual(Float32Array.of(0));
  });

  test('takes momentum steps by default', () => {
    const param = one();
    new RAdam([param], { lr: 0.25 }).step();
    expect(param.data[0]).toBeCloseTo(0.75, 6);
  });

  test('refuses a threshold at which the rectification has no root', () => {
    const message = 'Expected rhoThreshold of RAdam to be a finite number >= 4 but received 3.9.';
    expect(() => new RAdam([one()], { rhoThreshold: 3.9 })).toThrow(new RangeError(message));
  });
});
