import { AdamW, Lookahead, RMSprop, type LossScaler, type NonFinite } from 'fused-optim';
import { expectSameBits } from './helpers/bits';
import { expectSameRun, expectUntouched, gradsOf, momentOf, runOf } from './helpers/plain';
import { registered, type Options } from './helpers/registry';

/** The gradients of a step with bad values in two tensors, of which the first is named. */
function bad(value: number, step = 1): (Float32Array | null)[] {
  const grads = gradsOf(step).map((grad) => grad?.slice() ?? null);
  grads[3]![70_001] = value;
  grads[5]![3] = value;
  return grads;
}

describe.each(registered)('$name', (entry) => {
  test.each([
    ['NaN', NaN, {}],
    ['infinity', -Infinity, { threads: 3 }],
    ['overflow when it is unscaled', 1e38, { gradScale: 1e-3, maxGradNorm: 10 }],
  ])('%s in a gradient: the step is skipped and forgotten', async (_, value, options: Options) => {
    const shaken = runOf(entry, { ...options, nonFinite: 'skip' });
    const calm = runOf(entry, options);
    const { optimizer } = shaken;
    const skip = async (async: boolean): Promise<void> => {
      shaken.give(bad(value));
      const before = momentOf(shaken);
      const skipped = optimizer.skippedSteps;
      const { gradNorm, ...result } = async ? await optimizer.stepAsync() : optimizer.step();
      expect(result).toEqual({ applied: false, step: before.dict.step, nonFinite: 'tensor.3' });
      expect(Number.isFinite(gradNorm)).toBe(false);
      expect(optimizer.skippedSteps).toBe(skipped + 1);
      expectUntouched(shaken, before);
    };
    await skip(false);
    expect(optimizer.stateBytes()).toBe(0);
    for (let step = 0; step < 3; ++step) {
      if (step > 0) await skip(step === 2);
      for (const run of [shaken, calm]) run.give(gradsOf(step));
      const result = optimizer.step();
      expect(result).toMatchObject({ applied: true, step: step + 1 });
      expect(result).not.toHaveProperty('nonFinite');
      expect(calm.optimizer.step()).toMatchObject({ applied: true, step: step + 1 });
    }
    expectSameRun(shaken, calm);
    expect([optimizer.skippedSteps, calm.optimizer.skippedSteps]).toEqual([3, 0]);
  });
});

describe('nonFinite: throw', () => {
  const entry = registered.find(({ Class }) => (Class as unknown) === RMSprop)!;
  test.each([
    [NaN, {}, 'NaN at element 70001'],
    [-Infinity, {}, '-Infinity at element 70001'],
    [1e38, { gradScale: 1e-3 }, 'overflow when it is unscaled'],
  ])('%d with %j', async (value, options: Options, received) => {
    const run = runOf(entry, { ...options, nonFinite: 'throw' });
    const { optimizer } = run;
    const message = `Expected grad of "tensor.3" to be finite but received ${received}; nothing was changed.`;
    for (let step = 0; step < 2; ++step) {
      run.give(bad(value));
      const before = momentOf(run);
      expect(() => optimizer.step()).toThrow(new RangeError(message));
      await expect(optimizer.stepAsync()).rejects.toThrow(new RangeError(message));
      expectUntouched(run, before);
      expect(optimizer.skippedSteps).toBe(0);
      run.give(gradsOf(step));
      expect(optimizer.step()).toMatchObject({ applied: true, step: step + 1 });
    }
  });
});

test('by default a bad gradient is a gradient, and nobody looks', () => {
  const data = Float32Array.of(1, 2);
  const optimizer = new AdamW([{ data, grad: Float32Array.of(NaN, 1) }]);
  expect(optimizer.step()).toEqual({ applied: true, step: 1 });
  expect(data[0]).toBeNaN();
  expect(data[1]).toBeLessThan(2);
});

test('where gradients are looked at for another reason, the first bad tensor is named', () => {
  const param = (name: string, value: number) => ({
    name,
    data: Float32Array.of(1),
    grad: Float32Array.of(value),
  });
  const optimizer = new AdamW([param('a', 1), param('b', NaN), param('c', NaN)], { maxGradNorm: 1 });
  expect(optimizer.step()).toEqual({ applied: true, step: 1, gradNorm: NaN, nonFinite: 'b' });
});

class FakeScaler implements LossScaler {
  scale = 1024;
  readonly reports: boolean[] = [];
  report(foundInf: boolean): void {
    this.reports.push(foundInf);
    if (foundInf) this.scale /= 2;
  }
  stateDict(): object {
    return { scale: this.scale };
  }
  loadStateDict({ scale }: { readonly scale: number }): void {
    this.scale = scale;
  }
}

describe('a scaler', () => {
  const param = (grad: number) => ({ data: Float32Array.of(1, 2, 3), grad: new Float32Array(3).fill(grad) });

  test('is asked for its scale and told of bad gradients', async () => {
    const scaler = new FakeScaler();
    const scaled = param(0);
    const plain = param(0);
    const optimizer = new AdamW([scaled], { gradScale: scaler });
    const other = new AdamW([plain]);
    for (const [i, bad] of [true, false, true, false, false].entries()) {
      const grad = 0.1 * (i + 1);
      scaled.grad.fill(bad ? Infinity : Math.fround(grad) * scaler.scale);
      const result = i % 2 ? optimizer.step() : await optimizer.stepAsync();
      expect(result.applied).toBe(!bad);
      if (bad) continue;
      plain.grad.fill(grad);
      other.step();
    }
    expectSameBits(scaled.data, plain.data, 'scaled by powers of two');
    expect(scaler).toMatchObject({ reports: [true, false, true, false, false], scale: 256 });
    expect(optimizer.skippedSteps).toBe(2);
  });

  test('is part of the state dict', () => {
    const scaler = new FakeScaler();
    const optimizer = new AdamW([param(Infinity)], { gradScale: scaler });
    optimizer.step();
    const dict = optimizer.stateDict();
    expect(dict).toMatchObject({ gradScaler: { scale: 512 }, skipped: 1, step: 0 });
    const fresh = new FakeScaler();
    const resumed = new AdamW([param(1)], { gradScale: fresh });
    resumed.loadStateDict(dict);
    expect([fresh.scale, resumed.skippedSteps]).toEqual([512, 1]);
  });
});

test.each<NonFinite>(['skip', 'throw'])(
  'a step of a Lookahead that does not happen (%s) does not count',
  (nonFinite) => {
    const make = (options: object) => {
      const params = [{ name: 'w', data: Float32Array.of(1, 2, 3), grad: Float32Array.of(1, 1, 1) }];
      return { params, ahead: new Lookahead(new AdamW(params, { lr: 0.1, ...options }), { k: 2 }) };
    };
    const shaken = make({ nonFinite, maxGradNorm: 1, diagnostics: true });
    const calm = make({ maxGradNorm: 1 });
    for (let step = 1; step <= 6; ++step) {
      shaken.params[0]!.grad.fill(NaN);
      if (nonFinite === 'throw') expect(() => shaken.ahead.step()).toThrow(RangeError);
      else expect(shaken.ahead.step()).not.toHaveProperty('tensors');
      for (const { params } of [shaken, calm]) params[0]!.grad.fill(step);
      expect(shaken.ahead.step().tensors).toHaveProperty('w');
      calm.ahead.step();
      expectSameBits(shaken.params[0]!.data, calm.params[0]!.data, `step ${step}`);
      expect(shaken.ahead.stateDict().lookahead).toEqual(calm.ahead.stateDict().lookahead);
    }
    expect(shaken.ahead.skippedSteps).toBe(nonFinite === 'skip' ? 6 : 0);
  },
);
