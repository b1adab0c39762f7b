/** The network, its optimizer, and what is kept of both. */
import fs from 'node:fs/promises';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {
  Adam,
  AdamW,
  Lion,
  Muon,
  RAdam,
  readSafetensors,
  SGD,
  tfOptimizer,
  writeSafetensors,
  type SafeTensor,
} from 'fused-optim';
import { CLASSES, PIXELS } from './digits';
import type { Options } from './options';

/** 784 – 256 – 128 – 10: 235,146 parameters. No convolutions: tfjs has no gradients of them on wasm. */
export function createModel(seed: number): tf.Sequential {
  const dense = (name: string, units: number, index: number, rest: object): tf.layers.Layer =>
    tf.layers.dense({
      name,
      units,
      kernelInitializer: tf.initializers.heNormal({ seed: seed * 100 + index }),
      ...rest,
    });
  return tf.sequential({
    layers: [
      dense('hidden_1', 256, 1, { inputShape: [PIXELS], activation: 'relu' }),
      dense('hidden_2', 128, 2, { activation: 'relu' }),
      // Its name sends it to AdamW in Muon.
      dense('head', CLASSES, 3, { activation: 'softmax' }),
    ],
  });
}

const create = {
  AdamW: (lr: number) => tfOptimizer(tf, AdamW, { lr }),
  Adam: (lr: number) => tfOptimizer(tf, Adam, { lr }),
  Lion: (lr: number) => tfOptimizer(tf, Lion, { lr }),
  Muon: (lr: number) => tfOptimizer(tf, Muon, { lr, adamw: { lr: 2e-3 } }),
  SGD: (lr: number) => tfOptimizer(tf, SGD, { lr }),
  RAdam: (lr: number) => tfOptimizer(tf, RAdam, { lr }),
};
export type AnyOptimizer = ReturnType<(typeof create)[keyof typeof create]>;

export const createOptimizer = ({ optimizer, lr }: Options): AnyOptimizer => create[optimizer](lr);

const files = (folder: string) => ({
  weights: path.join(folder, 'weights.safetensors'),
  optimizer: path.join(folder, 'optimizer.safetensors'),
});

/** Writes the weights and the optimizer's state, each to a safetensors file. */
export async function save(folder: string, model: tf.LayersModel, optimizer: AnyOptimizer): Promise<void> {
  await fs.mkdir(folder, { recursive: true });
  const tensors = new Map<string, SafeTensor>();
  for (const weight of model.weights) {
    const tensor = weight.read();
    const data = Float32Array.from(tensor.dataSync());
    tensors.set(weight.originalName, { dtype: 'F32', shape: tensor.shape, data });
  }
  await writeSafetensors(files(folder).weights, tensors);
  await optimizer.save(files(folder).optimizer);
}

/** Goes on from what `save` wrote. */
export async function load(folder: string, model: tf.LayersModel, optimizer: AnyOptimizer): Promise<void> {
  const { tensors } = await readSafetensors(files(folder).weights);
  for (const weight of model.weights) {
    const tensor = tensors.get(weight.originalName);
    if (!tensor) throw new Error(`Expected "${weight.originalName}" in ${folder} but it is missing.`);
    const values = tf.tensor(tensor.data as Float32Array, [...tensor.shape]);
    weight.write(values);
    values.dispose();
  }
  await optimizer.load(files(folder).optimizer);
}
