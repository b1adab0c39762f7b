// Logistic regression on several processes: each has points of its own and a share of the optimizer's state. README.md
// here says how to run it.
import { AdamW, mpi, Sharded } from 'fused-optim';

const comm = mpi();
const { rank, size } = comm;
const count = 600;
const inside = (x: number, y: number): number => (x * x + y * y < 2 ? 1 : 0);
// Every rank draws all points and keeps each size-th: together they have what one process would have.
let seed = 1;
const random = (): number => ((seed = (seed * 16807) % 2147483647) / 2147483647) * 4 - 2;
const all = Array.from({ length: count }, () => [random(), random()] as const);
const mine = all.filter((_, i) => i % size === rank);

const w = { name: 'w', data: new Float32Array(3), grad: new Float32Array(3) };
const b = { name: 'b', data: new Float32Array(1), grad: new Float32Array(1) };
const chance = (x: readonly number[]): number =>
  1 / (1 + Math.exp(-x.reduce((sum, xk, k) => sum + xk * w.data[k]!, b.data[0]!)));
const inputs = mine.map(([x, y]) => [x, y, x * x + y * y]);

async function train(): Promise<void> {
  const options = { params: [w, b], stage: 2 } as const;
  const optimizer = new Sharded(comm, (params) => new AdamW(params, { lr: 0.1 }), options);
  await optimizer.broadcast();
  const sums = new Float64Array(2);
  for (let step = 1; step <= 200; ++step) {
    for (const { grad } of [w, b]) grad.fill(0);
    sums.fill(0);
    inputs.forEach((x, i) => {
      const [p, label] = [chance(x), inside(...mine[i]!)];
      sums[0]! -= Math.log(label ? p : 1 - p);
      sums[1]! += Number(p > 0.5 === (label === 1));
      for (let k = 0; k < 3; ++k) w.grad[k]! += ((p - label) * x[k]!) / mine.length;
      b.grad[0]! += (p - label) / mine.length;
    });
    await optimizer.step(); // the mean of all ranks' gradients
    await comm.allReduce(sums);
    if (rank === 0 && step % 50 === 0) console.log(`step ${step}: loss ${(sums[0]! / count).toFixed(3)}`);
  }
  if (rank === 0) console.log(`${((100 * sums[1]!) / count).toFixed(1)} % of ${count} points are right`);
  console.log(`rank ${rank} of ${size}: ${w.data.join(' ')}; ${optimizer.stateBytes()} bytes of state`);
  await comm.close();
}

void train();
