import { LAMB, LARS, SGD } from 'fused-optim';
import { expectSameRun, gradsOf, runOf } from './helpers/plain';
import { values } from './helpers/random';
import { registered } from './helpers/registry';

const norm = (array: Iterable<number>): number => Math.sqrt([...array].reduce((sum, x) => sum + x * x, 0));
const expectClose = (received: number, expected: number, rtol = 1e-6): void => {
  if (!(Math.abs(received - expected) <= rtol * Math.abs(expected)))
    throw new Error(`Expected ${expected} within ${rtol} but received ${received}`);
};

describe.each(registered)('$name', (entry) => {
  test('diagnostics are the norms of loops in double, and change nothing', () => {
    const scale = 8;
    const watched = runOf(entry, { diagnostics: true, gradScale: scale, maxGradNorm: 1, threads: 2 });
    const plain = runOf(entry, { gradScale: scale, maxGradNorm: 1 });
    for (let step = 0; step < 3; ++step) {
      const grads = gradsOf(step);
      const before = watched.params.map(({ data }) => Float64Array.from(data as Float32Array));
      watched.give(grads);
      plain.give(grads);
      const { tensors, gradNorm } = watched.optimizer.step();
      plain.optimizer.step();
      const names = watched.params.filter((_, i) => grads[i]).map(({ name }) => name);
      expect(Object.keys(tensors!)).toEqual(names);
      watched.params.forEach(({ name, data }, i) => {
        if (!grads[i]) return;
        const report = tensors![name!]!;
        expectClose(report.gradNorm, norm(grads[i].map((g) => g / scale)));
        expectClose(report.paramNorm, norm(before[i]!));
        expectClose(report.updateNorm, norm(before[i]!.map((p, e) => (data as Float32Array)[e]! - p)), 1e-5);
        if (data.length > 0) expectClose(report.updateRatio, report.updateNorm / report.paramNorm);
        if (!['LARS', 'LAMB'].includes(entry.name)) expect(report).not.toHaveProperty('trustRatio');
        else expect(report.trustRatio).toBeGreaterThan(0);
        if (entry.name !== 'Muon') expect(report).not.toHaveProperty('orthogonalityError');
      });
      expectClose(gradNorm!, norm(Object.values(tensors!).map((report) => report.gradNorm)));
    }
    expectSameRun(watched, plain);
  });
});

test('the norm of all gradients comes with diagnostics alone too', () => {
  const params = [3, 4].map((g) => ({ data: Float32Array.of(1), grad: Float32Array.of(g) }));
  expect(new SGD(params, { diagnostics: true }).step().gradNorm).toBe(5);
});

describe('the trust ratio', () => {
  const shape = [5, 7];
  const param = () => ({ name: 'w', shape, data: values(35, 1), grad: values(35, 2) });

  test('of LARS', () => {
    const w = param();
    const options = { weightDecay: 0.01, trustCoefficient: 0.02, eps: 1e-3 };
    const optimizer = new LARS([w], { lr: 0.1, ...options, diagnostics: true });
    const [weight, grad] = [norm(w.data), norm(w.grad)];
    const ratio = (0.02 * weight) / (grad + 0.01 * weight + 1e-3);
    expectClose(optimizer.step().tensors!.w!.trustRatio!, ratio, 1e-9);
  });

  test('of LAMB', () => {
    const w = param();
    const optimizer = new LAMB([w], { lr: 0.1, weightDecay: 0.01, eps: 1e-6, diagnostics: true });
    // At the first step the debiased means are the gradient and its square.
    const update = Array.from(w.data, (p, i) => w.grad[i]! / (Math.abs(w.grad[i]!) + 1e-6) + 0.01 * p);
    const ratio = norm(w.data) / norm(update);
    const { trustRatio, updateNorm } = optimizer.step().tensors!.w!;
    expectClose(trustRatio!, ratio, 1e-5);
    expectClose(updateNorm, 0.1 * ratio * norm(update), 1e-5);
  });
});
