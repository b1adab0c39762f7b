/** Times a step of each optimizer and, in turn with it, a plain loop over the same memory. */
import { arrayOps } from '../../array-ops';
import { optimizers } from '../optimizers';
import { interleave, type Contender, type Schedule } from './interleave';
import { median, ratioByRound, type Spread } from './statistics';
import { bytesOf, otherPasses, plainPass } from './traffic';

export interface Timed {
  readonly optimizer: string;
  readonly msPerStep: number;
  readonly nsPerParameter: number;
  /** What a step must read and write, of each parameter. */
  readonly bytesPerParameter: number;
  readonly gbPerSecond: number;
  /** That rate over the streaming rate of the same moments, round by round. */
  readonly share: Spread;
  /** Products of matrices take longer than the memory. */
  readonly products: boolean;
}

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly grad: Float32Array;
}

/** Matrices, so that Muon has something to do. */
const shape = [1000, 250] as const;
export const elementsOfTensor = shape[0] * shape[1];

/** Ordinary sizes of parameters and gradients; no two vectors of a page are equal. */
function makeTensors(count: number): Tensor[] {
  const numbers = (scale: number): Float32Array =>
    Float32Array.from({ length: elementsOfTensor }, (_, i) => scale * ((i % 509) / 512 - 0.49));
  const [data, grad] = [numbers(0.04), numbers(0.002)];
  return Array.from({ length: count }, (_, i) => ({
    name: `tensor.${i}`,
    shape,
    data: data.slice(),
    grad: grad.slice(),
  }));
}

const timed = (name: string, step: () => void): Contender => ({
  name,
  run(steps) {
    const start = performance.now();
    for (let i = 0; i < steps; ++i) step();
    return (performance.now() - start) / 1000;
  },
});

/** Reads an array and writes it back: as an optimizer treats a state, with next to no arithmetic. */
export const streamingBytes = 8;

function streaming(tensors: readonly Tensor[], threads: number): Contender {
  const ops = arrayOps(threads);
  const arrays = tensors.flatMap(({ data, grad }) => [data, grad]);
  const ones = arrays.map(() => 1);
  return timed('streaming', () => ops.transform('scale', arrays, ones));
}

function bytesPerParameter(optimizer: string): number {
  const other = otherPasses.get(optimizer);
  if (other) return bytesOf(other);
  const parameter = { shape: [2, 2], data: new Float32Array(4), grad: new Float32Array(4) };
  const made = optimizers.get(optimizer)!([parameter], { threads: 1 });
  made.step();
  const states = Object.values(made.state(parameter)).filter((value) => typeof value !== 'number').length;
  made.dispose();
  return bytesOf([plainPass(states)]);
}

export interface Plan extends Schedule {
  readonly optimizers: readonly string[];
  readonly tensors: number;
  readonly threads: number;
}

/** So small that no parameter moves far, however many steps are taken. */
const lr = 1e-6;

/** `onOptimizer` is called before each. */
export async function measure(
  plan: Plan,
  onOptimizer: (name: string) => Promise<void>,
): Promise<{ streamingGbPerSecond: number; optimizers: Timed[] }> {
  const { threads } = plan;
  const tensors = makeTensors(plan.tensors);
  const stream = streaming(makeTensors(plan.tensors), threads);
  const parameters = plan.tensors * elementsOfTensor;
  const rounds: number[] = [];
  const results: Timed[] = [];
  for (const name of plan.optimizers) {
    await onOptimizer(name);
    const bytes = bytesPerParameter(name);
    const made = optimizers.get(name)!(tensors, { lr, threads });
    try {
      const [ours, floor] = await interleave([timed(name, () => made.step()), stream], plan);
      const seconds = median(ours!.seconds);
      const { median: middle, low, high } = ratioByRound(floor!.seconds, ours!.seconds);
      const scale = bytes / (2 * streamingBytes); // it goes over data and grad
      rounds.push(...floor!.seconds);
      results.push({
        optimizer: name,
        msPerStep: seconds * 1e3,
        nsPerParameter: (seconds * 1e9) / parameters,
        bytesPerParameter: bytes,
        gbPerSecond: (parameters * bytes) / seconds / 1e9,
        share: { median: middle * scale, low: low * scale, high: high * scale },
        products: name === 'Muon',
      });
    } finally {
      made.dispose();
    }
  }
  const streamingGbPerSecond = (2 * parameters * streamingBytes) / median(rounds) / 1e9;
  return { streamingGbPerSecond, optimizers: results };
}
