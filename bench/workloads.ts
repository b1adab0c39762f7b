import { readFileSync } from 'node:fs';
import path from 'node:path';

/** Tensor shapes of one model or pattern. */
export interface Workload {
  readonly name: string;
  readonly description: string;
  readonly shapes: readonly (readonly number[])[];
  readonly parameters: number;
  /** Hidden matrices, for the rules that multiply matrices and for no others. */
  readonly matrices?: boolean;
}

type Entry = Omit<Workload, 'name' | 'parameters'>;

export function elements(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

function workload(name: string, entry: Entry): Workload {
  const parameters = entry.shapes.reduce((sum, shape) => sum + elements(shape), 0);
  return { name, ...entry, parameters };
}

function repeated(count: number, size: number, description: string): Entry {
  return { description, shapes: Array.from({ length: count }, () => [size]) };
}

const models = JSON.parse(readFileSync(path.join(__dirname, 'shapes.json'), 'utf8')) as Record<
  'gpt2' | 'resnet50' | 'gpt2-mini',
  Entry
>;

/** What a layer of a transformer multiplies with: queries, keys and values apart, the projection, the two of the MLP. */
function hiddenMatrices(width: number, layers: number, description: string): Entry {
  const square = [width, width];
  const layer = [square, square, square, square, [4 * width, width], [width, 4 * width]];
  return { description, shapes: Array.from({ length: layers }, () => layer).flat(), matrices: true };
}

/** Every set of tensors the benchmark knows, by name. */
export const workloads: ReadonlyMap<string, Workload> = new Map(
  Object.entries({
    gpt2: models.gpt2,
    resnet50: models.resnet50,
    '1000x1000': repeated(1000, 1000, '1,000 tensors of 1,000 elements: many small tensors'),
    '100x100': repeated(100, 100, '100 tensors of 100 elements: the cost of a call'),
    '1x1000000': repeated(1, 1_000_000, 'one tensor of a million elements: the kernel alone, from the cache'),
    'gpt2-mini': models['gpt2-mini'],
    'gpt2-layer': hiddenMatrices(768, 1, 'the hidden matrices of a layer of GPT-2 small'),
    'gpt2-hidden': hiddenMatrices(768, 12, 'the hidden matrices of all 12 layers of GPT-2 small'),
    'matrices-mini': hiddenMatrices(128, 1, 'hidden matrices of a small layer'),
    tiny: {
      description: 'Four tensors, to try the benchmark itself',
      shapes: [[16, 32], [32], [7, 3], [1]],
    },
  }).map(([name, entry]) => [name, workload(name, entry)]),
);

/** A tensor as the library takes it. */
export interface BenchTensor {
  readonly name: string;
  readonly data: Float32Array;
  readonly grad: Float32Array;
  readonly shape: readonly number[];
}

let block: Float32Array | undefined;

/** Standard normal numbers, the same in every run; made once. */
function normals(): Float32Array {
  let seed = 0x9e3779b9;
  const uniform = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed + 0.5) / 2 ** 32;
  };
  const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  return (block ??= new Float32Array(1 << 16).map(normal));
}

/** Copies a block of numbers over and over: 124 million calls of a random generator would take longer than the bench. */
function fill(target: Float32Array, block: Float32Array, start: number): void {
  for (let at = 0, from = start % block.length; at < target.length; from = 0) {
    const count = Math.min(block.length - from, target.length - at);
    target.set(block.subarray(from, from + count), at);
    at += count;
  }
}

/** Parameters (sigma 0.02) and gradients (sigma 0.001), each in an array of its own, as a framework holds them. */
export function makeTensors(set: Workload): BenchTensor[] {
  const params = normals().map((x) => 0.02 * x);
  const grads = normals().map((x) => 1e-3 * x);
  let offset = 0;
  return set.shapes.map((shape, index) => {
    const data = new Float32Array(elements(shape));
    const grad = new Float32Array(data.length);
    fill(data, params, offset);
    fill(grad, grads, offset + 7919);
    offset += data.length;
    return { name: `tensor.${index}`, data, grad, shape };
  });
}
