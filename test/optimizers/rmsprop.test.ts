import { RMSprop } from 'fused-optim';
import { goldenTests } from '../helpers/golden';
import { random } from '../helpers/random';

goldenTests(RMSprop, 'rmsprop', 10);

describe('RMSprop', () => {
  test('never takes the root of a negative variance when centered', () => {
    const next = random(1);
    const grad = Float32Array.from({ length: 1000 }, () => 10 ** (6 * next() - 3));
    const param = { data: new Float32Array(1000), grad };
    const optimizer = new RMSprop([param], { centered: true, alpha: 0.5 });
    for (let step = 0; step < 60; ++step) optimizer.step();
    const { squareAvg, gradAvg } = optimizer.state(param) as Record<string, Float32Array>;
    const negative = squareAvg!.filter((square, i) => square - gradAvg![i]! ** 2 < 0).length;
    expect(negative).toBeGreaterThan(0);
    expect(param.data.every(Number.isFinite)).toBe(true);
  });

  test('has the states its options need, also when they change', () => {
    const param = { data: Float32Array.of(0), grad: Float32Array.of(1) };
    const optimizer = new RMSprop([param]);
    optimizer.step();
    expect(Object.keys(optimizer.state(param))).toEqual(['step', 'squareAvg']);
    optimizer.paramGroups[0]!.momentum = 0.5;
    optimizer.step();
    expect(Object.keys(optimizer.state(param))).toEqual(['step', 'squareAvg', 'momentumBuffer']);
    optimizer.paramGroups[0]!.centered = true;
    expect(optimizer.step()).toEqual({ applied: true, step: 3 });
    expect(Object.keys(optimizer.state(param))).toEqual(['step', 'squareAvg', 'gradAvg', 'momentumBuffer']);
    expect(optimizer.stateBytes()).toBe(12);
  });

  test('refuses an alpha of 1', () => {
    const message = 'Expected alpha of RMSprop to be a number in [0, 1) but received 1.';
    expect(() => new RMSprop([{ data: new Float32Array(1) }], { alpha: 1 })).toThrow(new RangeError(message));
  });
});
