import * as tf from '@tensorflow/tfjs';
import type { TfVariable } from 'fused-optim';
import { random } from '../../helpers/random';

let built = 0;

/** Two classes of points, one inside a ring of the other; an MLP can tell them apart and a line cannot. */
export function rings(count: number): { x: tf.Tensor2D; y: tf.Tensor2D } {
  const next = random(7);
  const noise = (): number => 0.3 * (next() - 0.5);
  const points = Array.from({ length: count }, (_, i) => {
    const angle = (i * 2.399963) % (2 * Math.PI);
    const radius = i % 2 === 0 ? 0.6 : 2;
    return [radius * Math.cos(angle) + noise(), radius * Math.sin(angle) + noise()];
  });
  return { x: tf.tensor2d(points), y: tf.tensor2d(points.map((_, i) => [i % 2])) };
}

/** A small MLP whose weights depend on the seed alone. */
export function mlp(seed = 1): tf.Sequential {
  const name = `m${built++}`;
  const init = (offset: number) => tf.initializers.glorotUniform({ seed: seed + offset });
  return tf.sequential({
    layers: [
      tf.layers.dense({
        units: 16,
        inputShape: [2],
        activation: 'tanh',
        kernelInitializer: init(0),
        name: `${name}_a`,
      }),
      tf.layers.dense({ units: 8, activation: 'tanh', kernelInitializer: init(10), name: `${name}_b` }),
      tf.layers.dense({ units: 1, activation: 'sigmoid', kernelInitializer: init(20), name: `${name}_head` }),
    ],
  });
}

/** The name of a variable without the name of its model. */
export const nameInModel = ({ name }: Pick<TfVariable, 'name'>): string => name.replace(/^m\d+_/, '');

export const weightsOf = (model: tf.LayersModel): number[][] =>
  model.getWeights().map((weight) => [...weight.dataSync()]);

/** The variables of a model that are trained, kernels and biases in turn. */
export const variablesOf = (model: tf.LayersModel): tf.Variable[] =>
  model.trainableWeights.map(({ name }) => tf.engine().registeredVariables[name]!);
