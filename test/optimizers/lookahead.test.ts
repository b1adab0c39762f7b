import { Adam, AdamW, Lookahead, Momentum, Ranger, RAdam, SGD } from 'fused-optim';
import { expectSameBits, expectSameState } from '../helpers/bits';
import { goldenCases } from '../helpers/golden';
import { values } from '../helpers/random';
import { registered, type Options } from '../helpers/registry';

interface Inner {
  readonly algorithm: string;
  readonly hyperparameters: Options;
}

const classOf = (algorithm: string) => registered.find(({ name }) => name.toLowerCase() === algorithm)!.Class;

goldenCases(
  'Lookahead',
  'lookahead',
  9,
  (hyperparameters) => hyperparameters,
  (params, { inner, ...options }) => {
    const { algorithm, hyperparameters } = inner as Inner;
    return new Lookahead(new (classOf(algorithm))(params, hyperparameters), options);
  },
);

const one = (seed: number, length = 33) => ({ data: values(length, seed), grad: values(length, seed + 50) });
const two = () => [one(1), one(2)];

/** Lookahead as its paper writes it, in float32 around a plain optimizer. */
function byHand(params: ReturnType<typeof two>, steps: number, k: number, alpha: number): void {
  const inner = new Momentum(params, { lr: 0.1 });
  const slow = params.map(({ data }) => data.slice());
  for (let step = 1; step <= steps; ++step) {
    inner.step();
    if (step % k !== 0) continue;
    params.forEach(({ data }, i) => {
      // slow + alpha * (p - slow), the product and the sum rounded once
      data.forEach((p, e) => {
        const old = slow[i]![e]!;
        data[e] = old + alpha * Math.fround(p - old);
      });
      slow[i]!.set(data);
    });
  }
}

describe('Lookahead', () => {
  test('is its paper, bit for bit', () => {
    const received = two();
    const expected = two();
    const optimizer = new Lookahead(new Momentum(received, { lr: 0.1 }), { k: 3, alpha: 0.5 });
    for (let step = 1; step <= 7; ++step) expect(optimizer.step()).toEqual({ applied: true, step });
    byHand(expected, 7, 3, 0.5);
    received.forEach(({ data }, i) => expectSameBits(data, expected[i]!.data, `parameter ${i}`));
  });

  test.each(registered.filter(({ name }) => name !== 'Ranger' && name !== 'Muon'))(
    'wraps $name, and resumes with the same bits',
    ({ Class }) => {
      const run = (interrupt: boolean) => {
        const params = two();
        const make = () => new Lookahead(new Class(params), { k: 3 });
        let optimizer = make();
        for (let step = 0; step < 8; ++step) {
          if (interrupt && step === 4) {
            const dict = structuredClone(optimizer.stateDict());
            expect(dict.lookahead).toEqual({ k: 3, alpha: 0.5, innerStateOnSync: 'keep', step: 4 });
            optimizer = make();
            optimizer.loadStateDict(dict);
          }
          optimizer.step();
        }
        return { params, states: params.map((param) => optimizer.state(param)) };
      };
      const whole = run(false);
      const resumed = run(true);
      whole.params.forEach(({ data }, i) => {
        expectSameBits(resumed.params[i]!.data, data, `parameter ${i}`);
        expect(whole.states[i]!.slow).toHaveLength(33);
        expectSameState(resumed.states[i]!, whole.states[i]!, `parameter ${i}`);
      });
    },
  );

  test('is Ranger around RAdam', () => {
    const received = two();
    const expected = two();
    const ranger = new Ranger(expected, { lr: 0.05, weightDecay: 0.1, k: 2 });
    const inner = new RAdam(received, {
      lr: 0.05,
      betas: [0.95, 0.999],
      eps: 1e-5,
      weightDecay: 0.1,
      decoupledWeightDecay: true,
    });
    const optimizer = new Lookahead(inner, { k: 2 });
    for (let step = 0; step < 9; ++step) {
      ranger.step();
      optimizer.step();
    }
    received.forEach((param, i) => {
      expectSameBits(param.data, expected[i]!.data, `parameter ${i}`);
      expectSameState(optimizer.state(param), ranger.state(expected[i]!), `parameter ${i}`);
    });
  });

  test('keeps slow weights of the first step, whatever the inner optimizer does alone', () => {
    const param = one(1);
    const start = param.data.slice();
    const inner = new SGD([param], { lr: 0.1 });
    const optimizer = new Lookahead(inner, { k: 2 });
    inner.step();
    expectSameBits(optimizer.state(param).slow as Float32Array, start, 'slow');
    optimizer.step();
    expect(optimizer.stateDict().lookahead).toMatchObject({ step: 1 });
  });

  test('leaves a tensor without a gradient alone, meetings included', () => {
    const params = two() as { data: Float32Array; grad: Float32Array | null }[];
    const optimizer = new Lookahead(new SGD(params, { lr: 0.1 }), { k: 2 });
    optimizer.step();
    params[1]!.grad = null;
    const before = params[1]!.data.slice();
    optimizer.step();
    expectSameBits(params[1]!.data, before, 'data');
  });

  test('works in stepAsync()', async () => {
    const params = two();
    const others = two();
    const a = new Lookahead(new Adam(params), { k: 2 });
    const b = new Lookahead(new Adam(others), { k: 2 });
    for (let step = 1; step <= 5; ++step) {
      a.step();
      expect(await b.stepAsync()).toEqual({ applied: true, step });
    }
    params.forEach(({ data }, i) => expectSameBits(others[i]!.data, data, `parameter ${i}`));
  });

  test.each([
    ['k 0', { k: 0 }, RangeError, 'Expected k of Lookahead to be an integer >= 1 but received 0.'],
    ['k 1.5', { k: 1.5 }, RangeError, 'Expected k of Lookahead to be an integer >= 1 but received 1.5.'],
    [
      'alpha 2',
      { alpha: 2 },
      RangeError,
      'Expected alpha of Lookahead to be a number in [0, 1] but received 2.',
    ],
    ['an unknown option', { kay: 2 }, TypeError, 'Unknown option "kay" for Lookahead: did you mean "k"?'],
    [
      'a reset of what is not there',
      { innerStateOnSync: 'resetMomentum' },
      RangeError,
      'Expected innerStateOnSync of Lookahead to be "keep" or "resetAll" for AdamW, which has no momentumBuffer, but received "resetMomentum".',
    ],
  ])('refuses %s', (_, options, type, message) => {
    expect(() => new Lookahead(new AdamW(two()), options as object)).toThrow(new type(message));
  });

  test('refuses what is no optimizer, one that is taken, and one with slow weights of its own', () => {
    expect(() => new Lookahead(7 as never)).toThrow('Expected inner of Lookahead to be an optimizer');
    const inner = new AdamW(two());
    new Lookahead(inner);
    expect(() => new Lookahead(inner)).toThrow('Expected AdamW to be in one Lookahead');
    expect(() => new Lookahead(new Ranger(two()))).toThrow('Ranger, which has its own');
  });

  test('does not mix its checkpoints with those of the inner optimizer alone', () => {
    const wrapped = new Lookahead(new AdamW(two()));
    const plain = new AdamW(two());
    expect(() => plain.loadStateDict(wrapped.stateDict())).toThrow('with no Lookahead around it');
    expect(() => wrapped.loadStateDict(plain.stateDict())).toThrow('with a Lookahead around it');
  });
});
