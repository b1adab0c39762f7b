import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';

// Else the CPU backend recommends another one, on the console.
tf.enableProdMode();

/** The backends whose memory is written in place. */
export const backends = ['cpu', 'wasm'] as const;

export async function useBackend(name: string): Promise<void> {
  if (!(await tf.setBackend(name))) throw new Error(`The backend ${name} cannot be had.`);
  await tf.ready();
}

/** A variable that shares its memory with no other tensor. */
export function variable(values: tf.TensorLike, name: string, shape?: number[]): tf.Variable {
  return tf.tidy(() => tf.variable(tf.tensor(values, shape, 'float32'), true, name));
}

/** A copy of a tensor's numbers; those of the CPU backend are its memory. */
export const numbers = (tensor: tf.Tensor): number[] => [...tensor.dataSync()];

/** The address of a tensor's memory: where a step in place leaves it. */
export function placeOf(tensor: tf.Tensor): unknown {
  const backend = tf.backend() as unknown as {
    data?: { get(id: object): { values: Float32Array } };
    getMemoryOffset?(id: object): number;
  };
  return backend.getMemoryOffset?.(tensor.dataId) ?? backend.data!.get(tensor.dataId).values;
}

/** Disposes the variables that a test left. */
export function clean(): void {
  tf.disposeVariables();
}
