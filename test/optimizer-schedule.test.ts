import { AdamW, GradScaler, Lookahead, ReduceLROnPlateau, schedules, SGD } from 'fused-optim';
import { expectSameBits } from './helpers/bits';
import { values } from './helpers/random';

const one = (length = 5) => ({ data: values(length, 1), grad: values(length, 2) });

describe('optimizer.schedule()', () => {
  test('sets options at the start of each step, from the steps applied so far', () => {
    const seen: number[] = [];
    const optimizer = new AdamW([one()]).schedule({
      lr: (step) => {
        seen.push(step);
        return 0.1 / (step + 1);
      },
      weightDecay: schedules.linear({ initValue: 0, endValue: 1, transitionSteps: 2 }),
      betas: (step) => [0.5, step === 0 ? 0.9 : 0.99],
    });
    expect(optimizer.paramGroups[0]!.lr).toBe(1e-3);
    const after = [1, 2, 3].map(() => {
      optimizer.step();
      const { lr, weightDecay, betas } = optimizer.paramGroups[0]!;
      return [lr, weightDecay, betas[1]];
    });
    expect(seen).toEqual([0, 1, 2]);
    expect(after).toEqual([
      [0.1, 0, 0.9],
      [0.05, 0.5, 0.99],
      [0.1 / 3, 1, 0.99],
    ]);
  });

  test('goes on from a checkpoint with the same bits: its state is the step', () => {
    const lr = schedules.warmup(schedules.cosine({ initValue: 0.1, decaySteps: 8 }), { steps: 3 });
    const whole = one();
    const parts = one();
    const make = (param: ReturnType<typeof one>) => new AdamW([param]).schedule({ lr });
    const a = make(whole);
    let b = make(parts);
    for (let step = 0; step < 7; ++step) {
      if (step === 4) {
        const dict = structuredClone(b.stateDict());
        expect(dict.step).toBe(4);
        b = make(parts);
        b.loadStateDict(dict);
      }
      a.step();
      b.step();
    }
    expectSameBits(parts.data, whole.data, 'data');
  });

  test('is for all groups or for one, and one of its own wins whatever the order', () => {
    const groups = [{ params: [one()] }, { params: [one()] }];
    for (const order of [0, 1]) {
      const optimizer = new SGD(groups);
      const calls = [
        () => optimizer.schedule({ lr: () => 0.1 }),
        () => optimizer.schedule({ lr: () => 0.2 }, { group: 1 }),
      ];
      calls[order]!();
      calls[1 - order]!();
      optimizer.addParamGroup({ params: [one()] });
      optimizer.step();
      expect(optimizer.paramGroups.map(({ lr }) => lr)).toEqual([0.1, 0.2, 0.1]);
    }
  });

  test('is replaced by another, and taken away by null', () => {
    const optimizer = new SGD([one()]).schedule({ lr: () => 0.1 }).schedule({ lr: () => 0.2 });
    optimizer.step();
    expect(optimizer.paramGroups[0]!.lr).toBe(0.2);
    optimizer.schedule({ lr: null });
    optimizer.paramGroups[0]!.lr = 0.3;
    optimizer.step();
    expect(optimizer.paramGroups[0]!.lr).toBe(0.3);
  });

  test('does not move on at a skipped step', () => {
    const param = one();
    const optimizer = new SGD([param], { nonFinite: 'skip' }).schedule({ lr: (step) => step });
    const { grad } = param;
    optimizer.step();
    param.grad = grad.map((g, i) => (i === 3 ? NaN : g));
    expect(optimizer.step()).toMatchObject({ applied: false, step: 1 });
    param.grad = grad;
    optimizer.step();
    expect(optimizer.paramGroups[0]!.lr).toBe(1);
  });

  test('works through Lookahead and inside stepAsync()', async () => {
    const optimizer = new Lookahead(new SGD([one()])).schedule({ lr: (step) => step + 1 });
    await optimizer.stepAsync();
    await optimizer.stepAsync();
    expect(optimizer.paramGroups[0]!.lr).toBe(2);
  });

  test('checks what it is given, and every value, before anything is written', () => {
    const param = one();
    const optimizer = new SGD([param]);
    const before = param.data.slice();
    expect(() => optimizer.schedule({ lrr: () => 1 } as object)).toThrow('Unknown option "lrr"');
    expect(() => optimizer.schedule({ lr: 0.1 } as object)).toThrow(
      new TypeError(
        'Expected the schedule of lr of SGD to be a function of the step but received 0.1 of type number.',
      ),
    );
    expect(() => optimizer.schedule({ lr: () => 1 }, { group: 1 })).toThrow(RangeError);
    optimizer.schedule({ lr: () => NaN });
    expect(() => optimizer.step()).toThrow('Expected lr of SGD to be a finite number >= 0 but received NaN.');
    expectSameBits(param.data, before, 'data');
  });
});

describe('what changes with the training', () => {
  test('ReduceLROnPlateau lowers the rate of every group', () => {
    const optimizer = new SGD([{ params: [one()] }, { params: [one()], lr: 0.4 }], { lr: 0.2 });
    const plateau = new ReduceLROnPlateau(optimizer, { factor: 0.5, patience: 1 });
    for (const loss of [1, 1, 1]) plateau.step(loss);
    expect(optimizer.paramGroups.map(({ lr }) => lr)).toEqual([0.1, 0.2]);
  });

  test('a GradScaler backs off at an overflow, skips, grows again, and is in the checkpoint', () => {
    const make = () => new GradScaler({ initScale: 1024, growthInterval: 2 });
    const param = one();
    const scaler = make();
    const optimizer = new AdamW([param], { gradScale: scaler });
    const grad = param.grad.map((g) => g * 1024);
    const plain = one();
    const reference = new AdamW([plain]);
    param.grad = grad;
    optimizer.step();
    reference.step();
    expectSameBits(param.data, plain.data, 'data');
    param.grad = grad.map((g, i) => (i === 2 ? Infinity : g));
    expect(optimizer.step()).toMatchObject({ applied: false, step: 1, nonFinite: 'param.0' });
    expect([scaler.scale, optimizer.skippedSteps]).toEqual([512, 1]);
    param.grad = grad.map((g) => g / 2);
    optimizer.step();
    reference.step();
    expectSameBits(param.data, plain.data, 'data');
    expect(scaler.scale).toBe(512);
    optimizer.step();
    expect(scaler.scale).toBe(1024);

    const restored = make();
    const other = new AdamW([one()], { gradScale: restored });
    other.loadStateDict(structuredClone(optimizer.stateDict()));
    expect(restored.stateDict()).toEqual(scaler.stateDict());
    expect(other.skippedSteps).toBe(1);

    const fresh = new AdamW([one()], { gradScale: make() });
    const damaged = { ...optimizer.stateDict(), gradScaler: { scale: -1 } };
    expect(() => fresh.loadStateDict(damaged)).toThrow('scale');
    expect([fresh.stateBytes(), fresh.stateDict().step]).toEqual([0, 0]);
  });
});
