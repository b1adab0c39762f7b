import { AdamW, SGD, type LossScaler } from 'fused-optim';
import { expectSameBits } from './helpers/bits';
import { describeIsas } from './helpers/isas';
import { expectSameRun, gradsOf, runOf, unscaledAndClipped } from './helpers/plain';
import { registered } from './helpers/registry';

const steps = 3;

describe.each([
  ['maxGradNorm', { maxGradNorm: 0.7 }],
  ['maxGradNorm of a small norm', { maxGradNorm: 1e6 }],
  ['gradScale', { gradScale: 3 }],
  ['gradScale and maxGradNorm', { gradScale: 1000, maxGradNorm: 0.3 }],
  ['maxGradNorm of a norm beside 1e-6', { gradScale: 1e8, maxGradNorm: 1e-6 }],
])(
  '%s is what it is before a plain step, bit for bit',
  (_, options: { maxGradNorm?: number; gradScale?: number }) => {
    const { maxGradNorm: maxNorm, gradScale: scale } = options;
    // Every optimizer gets the same ones.
    const before = Array.from({ length: steps }, (_, step) =>
      unscaledAndClipped(gradsOf(step), { ...(scale && { scale }), ...(maxNorm && { maxNorm }) }),
    );
    const copies = Array.from({ length: steps }, (_, step) => gradsOf(step).map((grad) => grad?.slice()));
    describeIsas((isa) => {
      test.each(registered)('$name', (entry) => {
        for (const threads of [1, 3]) {
          const inside = runOf(entry, { ...options, threads }, isa);
          const plain = runOf(entry, { threads }, isa);
          for (let step = 0; step < steps; ++step) {
            const grads = gradsOf(step);
            inside.give(grads);
            plain.give(before[step]!.grads);
            const result = inside.optimizer.step();
            plain.optimizer.step();
            if (maxNorm) expect(result.gradNorm! / before[step]!.norm).toBeCloseTo(1, 12);
            else expect(result).not.toHaveProperty('gradNorm');
            grads.forEach((grad, i) => grad && expectSameBits(grad, copies[step]![i]!, `gradient ${i}`));
          }
          expectSameRun(inside, plain);
        }
      });
    });
  },
);

test('both can be changed between steps', () => {
  const entry = registered.find(({ Class }) => (Class as unknown) === AdamW)!;
  const inside = runOf(entry);
  const plain = runOf(entry);
  const { optimizer } = inside;
  expect([optimizer.maxGradNorm, optimizer.gradScale]).toEqual([null, 1]);
  const settings = [{}, { maxNorm: 0.5 }, { maxNorm: 0.5, scale: 64 }, { scale: 64 }];
  settings.forEach(({ maxNorm, scale }: { maxNorm?: number; scale?: number }, step) => {
    optimizer.maxGradNorm = maxNorm ?? null;
    optimizer.gradScale = scale ?? 1;
    inside.give(gradsOf(step));
    plain.give(
      unscaledAndClipped(gradsOf(step), { ...(maxNorm && { maxNorm }), ...(scale && { scale }) }).grads,
    );
    optimizer.step();
    plain.optimizer.step();
  });
  expectSameRun(inside, plain);
});

describe('a norm that is not finite, where bad gradients propagate, as in torch', () => {
  const after = (bad: number): Float32Array => {
    const data = Float32Array.of(1, 2, 3);
    new SGD([{ data, grad: Float32Array.of(4, bad, 5) }], { lr: 1, maxGradNorm: 1 }).step();
    return data;
  };
  test('NaN makes all weights NaN', () => expect(after(NaN)).toEqual(Float32Array.of(NaN, NaN, NaN)));
  test('infinity clips to 0', () => expect(after(Infinity)).toEqual(Float32Array.of(1, NaN, 3)));
});

describe('options', () => {
  const params = () => [{ data: new Float32Array(2), grad: new Float32Array(2) }];
  const scaler: LossScaler = {
    scale: 2,
    report: () => undefined,
    stateDict: () => ({}),
    loadStateDict: () => undefined,
  };
  test.each([
    [
      { maxGradNorm: 0 },
      RangeError,
      'Expected maxGradNorm of AdamW to be a finite number > 0 but received 0.',
    ],
    [
      { maxGradNorm: NaN },
      RangeError,
      'Expected maxGradNorm of AdamW to be a finite number > 0 but received NaN.',
    ],
    [
      { maxGradNorm: '1' },
      TypeError,
      'Expected maxGradNorm of AdamW to be a number > 0 or null but received "1".',
    ],
    [{ gradScale: 0 }, RangeError, 'Expected gradScale of AdamW to be a finite number > 0 but received 0.'],
    [{ gradScale: -1 }, RangeError, 'Expected gradScale of AdamW to be a finite number > 0 but received -1.'],
    [
      { gradScale: {} },
      TypeError,
      'Expected gradScale of AdamW to be a number > 0 or a GradScaler but received an object.',
    ],
    [
      { nonFinite: 'ignore' },
      TypeError,
      'Expected nonFinite of AdamW to be "propagate" or "skip" or "throw" but received "ignore".',
    ],
    [
      { nonFinite: 'propagate', gradScale: scaler },
      TypeError,
      'Expected nonFinite of AdamW to be "skip" or "throw" with a GradScaler but received "propagate".',
    ],
    [
      { diagnostics: 1 },
      TypeError,
      'Expected diagnostics of AdamW to be true or false but received 1 of type number.',
    ],
  ])('%j are refused', (options, kind, message) => {
    const make = (): unknown => new AdamW(params(), options as object);
    expect(make).toThrow(kind);
    expect(make).toThrow(message);
  });
  test.each(['maxGradNorm', 'gradScale'] as const)('%s is refused when it is assigned', (name) => {
    const optimizer = new AdamW(params());
    expect(() => (optimizer[name] = -1)).toThrow(
      `Expected ${name} of AdamW to be a finite number > 0 but received -1.`,
    );
    expect([optimizer.maxGradNorm, optimizer.gradScale]).toEqual([null, 1]);
  });
  test('a scaler whose scale is no number > 0 stops the step', () => {
    const optimizer = new AdamW(params(), { gradScale: { ...scaler, scale: NaN } });
    expect(() => optimizer.step()).toThrow(
      new RangeError('Expected scale of the GradScaler of AdamW to be a finite number > 0 but received NaN.'),
    );
  });
  test.each(['maxGradNorm', 'gradScale', 'nonFinite', 'diagnostics', 'threads'])(
    '%s of a group is refused in words',
    (name) => {
      expect(() => new AdamW([{ params: params(), [name]: 1 }])).toThrow(
        new TypeError(
          `Unknown option "${name}" for AdamW: it is an option of the whole optimizer, not of a group.`,
        ),
      );
    },
  );
});
