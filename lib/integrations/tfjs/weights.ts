/** State dicts as named tensors, which is what tfjs saves of an optimizer beside a model. */
import type { TensorArray } from '../../checkpoint/dtypes';
import { fromPlain, toPlain } from '../../checkpoint/json';
import type { StateDict } from '../../state-dict';
import { describe, expectedType } from '../../validate';
import type { Tf, TfNamedTensor } from './framework';

const stepsName = 'iter';
const metadataName = 'fused-optim/state';

const kinds = { Float32Array, Float64Array, Uint16Array, Uint8Array } as const;
type Kind = keyof typeof kinds;

/** The dict as tensors, the first of them tfjs's own count of steps. The caller disposes them. */
export function toWeights(tf: Tf, dict: StateDict): TfNamedTensor[] {
  const weights: TfNamedTensor[] = [];
  const add = (name: string, values: Float32Array | Int32Array, shape: number[]): void => {
    const dtype = values instanceof Int32Array ? 'int32' : 'float32';
    weights.push({ name, tensor: tf.tensor(values, shape, dtype) });
  };
  add(stepsName, Int32Array.of(dict.step), []);
  const plain = toPlain(dict, [], (array, path) => {
    const name = path.slice(1).join('/');
    const kind = Object.prototype.toString.call(array).slice(8, -1);
    const { length } = array as TensorArray;
    const { shape } = dict.state[path[1]!]!;
    const sizes = shape.reduce((all, size) => all * size, 1) === length ? [...shape] : [length];
    const values = kind === 'Float32Array' ? Float32Array.from(array as Float32Array) : undefined;
    add(name, values ?? Int32Array.from(array as Uint16Array), sizes);
    return `${kind}:${name}`;
  });
  const metadata = Int32Array.from(new TextEncoder().encode(JSON.stringify(plain)));
  add(metadataName, metadata, [metadata.length]);
  return weights;
}

/** The dict that `toWeights` was given. */
export async function fromWeights(weights: unknown): Promise<StateDict> {
  if (!Array.isArray(weights))
    throw expectedType('weights of the optimizer', 'an array of named tensors', weights);
  const tensors = new Map((weights as TfNamedTensor[]).map(({ name, tensor }) => [name, tensor]));
  const refuse = (reason: string): never => {
    throw new TypeError(`Expected weights that getWeights() of this library returned but ${reason}.`);
  };
  const metadata = tensors.get(metadataName) ?? refuse(`${describe(metadataName)} is not among them`);
  const read = new Map<string, ArrayLike<number>>();
  for (const [name, tensor] of tensors) read.set(name, await tensor.data());
  let plain: unknown;
  try {
    plain = JSON.parse(new TextDecoder().decode(Uint8Array.from(read.get(metadataName)!)));
  } catch {
    return refuse(`${describe(metadataName)} of ${metadata.size} numbers is not JSON`);
  }
  const load = (key: string): TensorArray => {
    const [, kind = '', name = ''] = /^(\w+):(.*)$/s.exec(key) ?? [];
    const values = read.get(name);
    if (!values || !Object.hasOwn(kinds, kind)) return refuse(`${describe(name)} is not among them`);
    return kinds[kind as Kind].from(values);
  };
  return fromPlain(plain, load, refuse) as StateDict;
}
