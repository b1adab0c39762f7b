import { Momentum } from 'fused-optim';
import { goldenTests } from '../helpers/golden';

goldenTests(Momentum, 'momentum', 9);

describe('Momentum', () => {
  const one = () => [{ data: Float32Array.of(0), grad: Float32Array.of(1) }];

  test('starts with the whole gradient; dampening counts from the second step', () => {
    const params = one();
    const optimizer = new Momentum(params, { lr: 1, momentum: 0.5, dampening: 0.75 });
    optimizer.step();
    expect(optimizer.state(params[0]!).momentumBuffer).toEqual(Float32Array.of(1));
    optimizer.step();
    expect(optimizer.state(params[0]!).momentumBuffer).toEqual(Float32Array.of(0.75));
    expect(params[0]!.data).toEqual(Float32Array.of(-1.75));
  });

  test('takes a momentum of 1 and more, and a negative dampening', () => {
    expect(() => new Momentum(one(), { momentum: 1.5, dampening: -1 })).not.toThrow();
  });

  test('refuses dampening inside the velocity', () => {
    const message = 'Expected dampening of Momentum to be 0 with lrInMomentum but received 0.1.';
    expect(() => new Momentum(one(), { lrInMomentum: true, dampening: 0.1 })).toThrow(
      new RangeError(message),
    );
    const params = one();
    const live = new Momentum(params, { dampening: 0.1 });
    live.paramGroups[0]!.lrInMomentum = true;
    expect(() => live.step()).toThrow(new RangeError(message));
    expect(params[0]!.data).toEqual(Float32Array.of(0));
  });

  test('says where Nesterov momentum is', () => {
    expect(() => new Momentum(one(), { nesterov: true } as object)).toThrow(
      new TypeError('Unknown option "nesterov" for Momentum: use NAG.'),
    );
  });
});
