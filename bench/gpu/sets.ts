/** Sets of tensors that a GPU is measured on: whole models, many small tensors, and matrices for Muon. */
import { elements, workloads, type Workload } from '../workloads';

/** Above this many parameters gradients are shared by tensors of a shape; torch_worker.py does the same. */
export const sharedAbove = 2_000_000_000;

type Shape = readonly number[];

function workload(name: string, description: string, shapes: readonly Shape[], matrices = false): Workload {
  const parameters = shapes.reduce((sum, shape) => sum + elements(shape), 0);
  return { name, description, shapes, parameters, ...(matrices && { matrices }) };
}

const vocabulary = 50257;
const context = 1024;

/** All tensors of a GPT-2 in the order of its modules. */
export function gpt2(width: number, layers: number, words = vocabulary): Shape[] {
  const vector = [width];
  const layer: Shape[] = [
    vector,
    vector,
    [width, 3 * width],
    [3 * width],
    [width, width],
    vector,
    vector,
    vector,
    [width, 4 * width],
    [4 * width],
    [4 * width, width],
    vector,
  ];
  const layersOf = Array.from({ length: layers }, () => layer).flat();
  return [[words, width], [context, width], ...layersOf, vector, vector];
}

/** What a layer of GPT-2 multiplies with: queries, keys, values and the projection apart, and the two of the MLP. */
function gpt2Matrices(width: number, layers: number): Shape[] {
  const square = [width, width];
  const layer = [square, square, square, square, [4 * width, width], [width, 4 * width]];
  return Array.from({ length: layers }, () => layer).flat();
}

/** The same of Llama 3 8B, whose queries share keys and values four by four. */
function llamaMatrices(width: number, layers: number): Shape[] {
  const inner = 3.5 * width;
  const square = [width, width];
  const shared = [width / 4, width];
  const layer = [square, shared, shared, square, [inner, width], [inner, width], [width, inner]];
  return Array.from({ length: layers }, () => layer).flat();
}

const list: readonly Workload[] = [
  workload('gpt2-124m', 'GPT-2 small, 124 million parameters', gpt2(768, 12)),
  workload('gpt2-350m', 'GPT-2 medium, 355 million parameters', gpt2(1024, 24)),
  workload('gpt2-1.5b', 'GPT-2 XL, 1.56 billion parameters', gpt2(1600, 48)),
  workload('resnet50', 'ResNet-50: all 161 tensors', workloads.get('resnet50')!.shapes),
  workload('1000x1000', '1,000 tensors of 1,000 elements', workloads.get('1000x1000')!.shapes),
  workload('one', 'one tensor of 256 million elements: the kernel alone', [[1 << 28]]),
  workload('muon-124m', 'the matrices of GPT-2 small', gpt2Matrices(768, 12), true),
  workload('muon-350m', 'the matrices of GPT-2 medium', gpt2Matrices(1024, 24), true),
  workload('muon-1.5b', 'the matrices of GPT-2 XL', gpt2Matrices(1600, 48), true),
  workload('muon-llama-8b', 'the matrices of Llama 3 8B', llamaMatrices(4096, 32), true),
  workload(
    'muon-llama-8b/4',
    'the matrices of 8 of the 32 layers of Llama 3 8B',
    llamaMatrices(4096, 8),
    true,
  ),
];

/** Sets with the same kinds of tensors, small enough for a processor that plays the GPU. */
const standIns: readonly Workload[] = list.map(({ name, description, matrices }) => {
  if (matrices) return workload(name, description, gpt2Matrices(16, 1), true);
  if (name.startsWith('gpt2')) return workload(name, description, gpt2(16, 2, 64));
  if (name === '1000x1000')
    return workload(
      name,
      description,
      Array.from({ length: 100 }, () => [10]),
    );
  return workload(name, description, name === 'one' ? [[1 << 15]] : [[4, 3, 3, 3], [4], [10, 16], [10]]);
});

const byName = (sets: readonly Workload[]) => new Map(sets.map((set) => [set.name, set]));

/** The sets by name; tiny ones under the same names where nothing is measured. */
export const gpuSets = (standIn: boolean): ReadonlyMap<string, Workload> => byName(standIn ? standIns : list);
