// Logistic regression on typed arrays: which points lie inside a circle? README.md here says how to run it.
import { AdamW } from 'fused-optim';

const count = 500;
let seed = 1;
const random = (): number => ((seed = (seed * 16807) % 2147483647) / 2147483647) * 4 - 2;
const points = Array.from({ length: count }, () => [random(), random()] as const);
const inputs = points.map(([x, y]) => Float32Array.of(x, y, x * x + y * y));
const labels = points.map(([x, y]) => (x * x + y * y < 2 ? 1 : 0));

const w = { name: 'w', data: new Float32Array(3), grad: new Float32Array(3) };
const b = { name: 'b', data: new Float32Array(1), grad: new Float32Array(1) };
const optimizer = new AdamW([{ params: [w] }, { params: [b], weightDecay: 0 }], { lr: 0.1 });

const chance = (x: Float32Array): number =>
  1 / (1 + Math.exp(-x.reduce((sum, xk, k) => sum + xk * w.data[k]!, b.data[0]!)));
for (let step = 1; step <= 200; ++step) {
  for (const { grad } of [w, b]) grad.fill(0);
  let loss = 0;
  inputs.forEach((x, i) => {
    const [p, label] = [chance(x), labels[i]!];
    loss -= Math.log(label ? p : 1 - p) / count;
    for (let k = 0; k < 3; ++k) w.grad[k]! += ((p - label) * x[k]!) / count;
    b.grad[0]! += (p - label) / count;
  });
  optimizer.step();
  if (step % 50 === 0) console.log(`step ${step}: loss ${loss.toFixed(3)}`);
}
const right = inputs.filter((x, i) => chance(x) > 0.5 === (labels[i] === 1)).length;
console.log(`${((100 * right) / count).toFixed(1)} % of ${count} points are right`);
