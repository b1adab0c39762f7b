import { Lookahead, Muon, type MuonOptions, type Parameter } from 'fused-optim';
import { expectSameBits, expectSameState } from './helpers/bits';
import { runnableIsas, widestIsa, withIsa } from './helpers/isas';
import { values } from './helpers/random';
import type { Isa } from 'fused-optim';

interface Matrix extends Parameter {
  data: Float32Array;
  grad: Float32Array | null;
}

const shapes = [[33, 17], [17, 33], [64, 64], [64, 64], [5, 3, 3, 3], [1, 7], [200, 40], [19], [64, 64]];
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

function model(seed = 0): Matrix[] {
  return shapes.map((shape, i) => ({
    name: `layer.${i}.weight`,
    shape,
    data: values(sizeOf(shape), seed + i),
    grad: values(sizeOf(shape), seed + 50 + i),
  }));
}

/** Trains the model some steps, with gradients that change. */
function train(params: Matrix[], options: MuonOptions & { threads?: number }, isa: Isa, steps = 3): Muon {
  const optimizer = withIsa(isa, () => new Muon(params, options));
  for (let step = 0; step < steps; ++step) {
    params.forEach((param, i) => param.grad?.set(values(param.data.length, 1000 + 100 * step + i)));
    optimizer.step();
  }
  return optimizer;
}

const variants: MuonOptions[] = [
  {},
  { nesterov: false, weightDecay: 0.1, adjustLr: 'matchRmsAdamw', maximize: true },
  { nsDtype: 'bfloat16', nsCoefficients: 'polarExpress' },
  { nsForm: 'gram', nsSteps: 7, nsCoefficients: 'quintic', adjustLr: 'rmsToRms' },
  { nsForm: 'auto', nsCoefficients: [2, -1.5, 0.5], adjustLr: 'none', momentum: 0 },
];

describe('Muon', () => {
  test.each(variants.map((options) => [JSON.stringify(options), options] as const))(
    'gives the same bits with every instruction set and thread count, with %s',
    (_, options) => {
      const expected = model();
      train(expected, { ...options, threads: 1 }, 'scalar');
      for (const { data } of expected) expect(data.every(Number.isFinite)).toBe(true);
      for (const isa of runnableIsas) {
        for (const threads of [1, 2, 3]) {
          const received = model();
          const before = received.map(({ grad }) => grad);
          train(received, { ...options, threads }, isa);
          received.forEach(({ data, grad, name }, i) => {
            expectSameBits(data, expected[i]!.data, `${name} with ${isa}, ${threads} threads`);
            expect(grad).toBe(before[i]);
          });
        }
      }
    },
  );

  test('does the same to a matrix among others as to it alone', () => {
    const all = model();
    train(all, {}, widestIsa);
    for (const i of [0, 2, 6]) {
      const [alone] = model().slice(i, i + 1) as [Matrix];
      const optimizer = withIsa(widestIsa, () => new Muon([alone]));
      for (let step = 0; step < 3; ++step) {
        alone.grad!.set(values(alone.data.length, 1000 + 100 * step + i));
        optimizer.step();
      }
      expectSameBits(alone.data, all[i]!.data, alone.name!);
    }
  });

  test('treats a transposed matrix of layout in-out as the matrix itself', () => {
    const [rows, cols] = [24, 10];
    const plain: Matrix = { shape: [rows, cols], data: values(240, 1), grad: values(240, 2) };
    const flip = (a: Float32Array) => a.map((_, i) => a[(i % rows) * cols + Math.floor(i / rows)]!);
    const turned: Matrix = {
      shape: [cols, rows],
      layout: 'in-out',
      data: flip(plain.data),
      grad: flip(plain.grad!),
    };
    for (const param of [plain, turned]) new Muon([param], { adjustLr: 'rmsToRms' }).step();
    const expected = flip(plain.data);
    turned.data.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5));
  });

  test.each(['out-in', 'in-out'] as const)(
    'splits fused outputs into matrices of their own, %s',
    (layout) => {
      const [out, inputs, parts] = [12, 8, 3];
      const each = out / parts;
      const at = (o: number, i: number): number => (layout === 'out-in' ? o * inputs + i : i * out + o);
      const fused: Matrix = {
        shape: layout === 'out-in' ? [out, inputs] : [inputs, out],
        layout,
        data: values(96, 1),
        grad: values(96, 2),
      };
      const pick = (from: Float32Array, part: number) =>
        Float32Array.from({ length: each * inputs }, (_, k) => {
          return from[at(part * each + Math.floor(k / inputs), k % inputs)]!;
        });
      const apart = Array.from({ length: parts }, (_, part): Matrix => {
        return {
          name: `part${part}`,
          shape: [each, inputs],
          data: pick(fused.data, part),
          grad: pick(fused.grad!, part),
        };
      });
      new Muon([fused], { split: parts, adjustLr: 'matchRmsAdamw' }).step();
      new Muon(apart, { adjustLr: 'matchRmsAdamw' }).step();
      apart.forEach(({ data }, part) => {
        pick(fused.data, part).forEach((value, i) => expect(value).toBeCloseTo(data[i]!, 5));
      });
    },
  );

  test('gives finite updates for zero, tiny and huge gradients and for matrices of one element', () => {
    const grads = [0, 1e-30, 1e-12, 1e15].map((size) => values(12, 3).map((value) => value * size));
    const params = grads.map((grad, i): Matrix => {
      return { name: `w${i}`, shape: [3, 4], data: values(12, i), grad };
    });
    const dot: Matrix = {
      shape: [1, 1],
      role: 'hidden',
      data: Float32Array.of(1),
      grad: Float32Array.of(-2),
    };
    const still = params[0]!.data.slice();
    const optimizer = new Muon([...params, dot]);
    for (let step = 0; step < 3; ++step) optimizer.step();
    expectSameBits(params[0]!.data, still, 'the matrix without a gradient');
    for (const { data } of params) expect(data.every(Number.isFinite)).toBe(true);
    expect(dot.data[0]).toBeGreaterThan(1);
  });

  test('keeps a bad gradient in its own tensor', () => {
    const clean = model();
    const dirty = model();
    train(clean, {}, widestIsa, 1);
    const optimizer = withIsa(widestIsa, () => new Muon(dirty));
    dirty.forEach((param, i) => param.grad!.set(values(param.data.length, 1000 + i)));
    dirty[2]!.grad![5] = NaN;
    optimizer.step();
    expect(dirty[2]!.data.every(Number.isNaN)).toBe(true);
    dirty.forEach(({ data }, i) => i !== 2 && expectSameBits(data, clean[i]!.data, `tensor ${i}`));
  });

  test('resumes with the same bits, alone and in a Lookahead', () => {
    for (const wrap of [(o: Muon) => o, (o: Muon) => new Lookahead(o, { k: 2 })]) {
      const whole = model();
      const parts = model();
      const a = wrap(new Muon(whole));
      let b = wrap(new Muon(parts));
      for (let step = 0; step < 5; ++step) {
        if (step === 3) {
          const dict = structuredClone(b.stateDict());
          expect(dict.routing).toHaveLength(shapes.length);
          expect(dict.paramGroups.map(({ algorithm }) => algorithm)).toEqual(['muon', 'adamw']);
          b = wrap(new Muon(parts));
          b.loadStateDict(dict);
        }
        a.step();
        b.step();
      }
      whole.forEach((param, i) => {
        expectSameBits(parts[i]!.data, param.data, param.name!);
        expectSameState(b.state(parts[i]!), a.state(param), param.name!);
      });
    }
  });

  test('clips, and skips what is not finite, over matrices and vectors together', () => {
    const scaled = model();
    const plain = model();
    const norm = Math.sqrt(scaled.flatMap(({ grad }) => [...grad!]).reduce((sum, g) => sum + g * g, 0));
    const factor = Math.fround(1 / (norm + 1e-6));
    for (const { grad } of plain) grad!.forEach((g, i) => (grad![i] = g * factor));
    const result = new Muon(scaled, { maxGradNorm: 1, nonFinite: 'skip' }).step();
    new Muon(plain).step();
    expect(result.gradNorm).toBeCloseTo(norm, 6);
    scaled.forEach(({ data, name }, i) => expectSameBits(data, plain[i]!.data, name!));

    const bad = model();
    const before = bad.map(({ data }) => data.slice());
    bad[6]!.grad![0] = Infinity;
    const optimizer = new Muon(bad, { nonFinite: 'skip' });
    expect(optimizer.step()).toMatchObject({ applied: false, step: 0, nonFinite: 'layer.6.weight' });
    bad.forEach(({ data }, i) => expectSameBits(data, before[i]!, `tensor ${i}`));
    expect(optimizer.stateBytes()).toBe(0);
  });

  test('measures orthogonality and changes nothing by it', () => {
    const plain = model();
    const watched = model();
    train(plain, {}, widestIsa, 1);
    watched.forEach((param, i) => param.grad!.set(values(param.data.length, 1000 + i)));
    const before = watched.map(({ data }) => data.slice());
    const { tensors } = withIsa(widestIsa, () => new Muon(watched, { diagnostics: true })).step();
    watched.forEach(({ data, grad, name }, i) => {
      expectSameBits(data, plain[i]!.data, name!);
      const report = tensors![name!]!;
      const norm = (a: Iterable<number>) => Math.sqrt([...a].reduce((sum, x) => sum + x * x, 0));
      expect(report.gradNorm / norm(grad!)).toBeCloseTo(1, 6);
      expect(report.paramNorm / norm(before[i]!)).toBeCloseTo(1, 6);
      expect(report.updateNorm / norm(data.map((x, e) => x - before[i]![e]!))).toBeCloseTo(1, 4);
      expect('orthogonalityError' in report).toBe(![5, 7].includes(i));
      if (report.orthogonalityError !== undefined) expect(report.orthogonalityError).toBeLessThan(0.7);
    });
  });
});
