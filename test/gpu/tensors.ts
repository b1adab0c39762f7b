/** The tensors of every-kernel: the same numbers on the CPU and on the GPU, in every format. */
import { cuda, type CudaTensor, type Parameter, type ParameterState } from '../../lib';
import { values } from '../helpers/random';
import type { Snapshot } from './snapshots';

export type DType = 'float32' | 'float64' | 'bfloat16' | 'float16';

export interface Kind {
  readonly param: DType;
  readonly grad: DType;
  readonly options: Readonly<Record<string, unknown>>;
  /** Numbers of every size, zeros and subnormal ones among them, where quick ways to divide do not hold. */
  readonly wild?: boolean;
}

/** `gpu`: step by step; `graph`: each step is one launch of a CUDA graph. */
export type Place = 'cpu' | 'gpu' | 'graph';

/** Tails of vectors and of chunks, more than one chunk, and a matrix with rows; nothing is a multiple of anything. */
const shapes = [[1], [7], [255], [3, 17], [16384], [16385], [5, 2, 3, 3], [40_003]];
const matrices = [
  [24, 40],
  [40, 24],
  [16, 16],
];

type Host = Float32Array | Float64Array | Uint16Array;

/** Rounded towards zero: any number will do, as long as it is the same everywhere. */
function bitsIn16(value: number, dtype: DType): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  if (dtype === 'bfloat16') return bits >>> 16;
  const exponent = ((bits >>> 23) & 255) - 112;
  const sign = (bits >>> 16) & 0x8000;
  return exponent <= 0 ? sign : sign | Math.min((exponent << 10) | ((bits >>> 13) & 1023), 0x7bff);
}

const known = new Map<string, Host>();

/** The same numbers every time, in an array of their own. */
function numbers(length: number, seed: number, dtype: DType, wild: boolean): Host {
  const key = `${length} ${seed} ${dtype} ${wild}`;
  const made = known.get(key) ?? make(length, seed, dtype, wild);
  known.set(key, made);
  return made.slice();
}

/** The same digits with another exponent, from the smallest there is to one whose square is far from the largest. */
const strewn = (value: number, i: number): number =>
  i % 11 === 0 ? value * 0 : value * 2 ** (((i * 7919) % 189) - 149);

function make(length: number, seed: number, dtype: DType, wild: boolean): Host {
  const list = wild ? values(length, seed).map(strewn) : values(length, seed);
  if (dtype === 'float32') return list;
  return dtype === 'float64' ? Float64Array.from(list) : Uint16Array.from(list, (x) => bitsIn16(x, dtype));
}

export interface Tensors {
  readonly parameters: Parameter[];
  /** Gives every tensor its gradient of a step: the same memory with other numbers, as training does. */
  give(step: number): void;
  /** Parameters and states as they are now. */
  snapshot(stateOf: (parameter: Parameter) => ParameterState): Snapshot;
  free(): void;
}

const isOnGpu = (value: object): value is CudaTensor => 'download' in value;

export function tensorsFor({ param, grad, wild = false }: Kind, place: Place, multiplied: boolean): Tensors {
  const list = multiplied ? matrices : shapes;
  const made: CudaTensor[] = [];
  const put = (array: Host, shape: readonly number[], dtype: DType): Host | CudaTensor => {
    if (place === 'cpu') return array;
    const tensor = cuda.tensor(shape, dtype).upload(array);
    made.push(tensor);
    return tensor;
  };
  const lengths = list.map((shape) => shape.reduce((product, size) => product * size, 1));
  const parameters = list.map((shape, i): Parameter => {
    const data = put(numbers(lengths[i]!, i + 1, param, wild), shape, param);
    const gradient = put(numbers(lengths[i]!, i + 100, grad, wild), shape, grad);
    // What a Uint16Array holds is said of data and gradients alike.
    const half = place === 'cpu' && data instanceof Uint16Array ? { dtype: param } : {};
    const halfGrad = place === 'cpu' && gradient instanceof Uint16Array ? { dtype: grad } : {};
    return {
      name: `tensor.${i}`,
      shape,
      data,
      grad: gradient,
      role: multiplied ? 'hidden' : 'vector',
      ...halfGrad,
      ...half,
    };
  });
  return {
    parameters,
    give(step) {
      parameters.forEach(({ grad: target }, i) => {
        const source = numbers(lengths[i]!, 1000 * (step + 1) + i, grad, wild);
        if (isOnGpu(target as object)) (target as unknown as CudaTensor).upload(source);
        else (target as Host).set(source);
      });
    },
    snapshot(stateOf) {
      const result: [string, Host | Uint8Array | number][] = [];
      const add = (what: string, value: unknown): void => {
        const host = typeof value === 'object' && isOnGpu(value!) ? value.download() : value;
        result.push([what, typeof host === 'number' ? host : (host as Host).slice()]);
      };
      for (const parameter of parameters) {
        add(`data of "${parameter.name}"`, parameter.data);
        for (const [name, value] of Object.entries(stateOf(parameter))) {
          add(`${name} of "${parameter.name}"`, value);
        }
      }
      return new Map(result);
    },
    free() {
      for (const tensor of made) tensor.free();
    },
  };
}
