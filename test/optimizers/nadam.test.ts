import { NAdam } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(NAdam, 'nadam', 8);

describe('NAdam', () => {
  test('keeps the product of its momentum schedule in double, for each tensor', () => {
    const early = { data: Float32Array.of(0), grad: Float32Array.of(1) };
    const late = { data: Float32Array.of(0), grad: null as Float32Array | null };
    const optimizer = new NAdam([early, late]);
    const mu = (step: number): number => 0.9 * (1 - 0.5 * 0.96 ** (step * 4e-3));
    optimizer.step();
    expect(optimizer.state(early).muProduct).toBeCloseTo(mu(1), 15);
    expect(optimizer.state(late)).toEqual({ step: 0 });
    late.grad = Float32Array.of(1);
    optimizer.step();
    expect(optimizer.state(early).muProduct).toBeCloseTo(mu(1) * mu(2), 15);
    expect(optimizer.state(late).muProduct).toBeCloseTo(mu(1), 15);
    expect(optimizer.stateDict().state['param.1']!.muProduct).toBe(optimizer.state(late).muProduct);
  });

  test('refuses a negative momentumDecay', () => {
    const params = [{ data: new Float32Array(1) }];
    expect(() => new NAdam(params, { momentumDecay: -1 })).toThrow(
      new RangeError('Expected momentumDecay of NAdam to be a finite number >= 0 but received -1.'),
    );
  });
});
