import path from 'node:path';
import { Adam } from 'fused-optim';
import { rejection } from './files';
import { values } from './random';
import { expectUnchanged, snapshot } from './unchanged';

export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  data: Float32Array;
  grad: Float32Array | null;
}

export const tensors = (names: readonly string[] = ['w', 'b'], shape: readonly number[] = [2, 3]): Tensor[] =>
  names.map((name, i) => ({ name, shape, data: values(6, i), grad: values(6, 10 + i) }));

/** Loads the file into an optimizer with a past and checks that it changed nothing. Returns the error's message. */
export async function refused(file: string): Promise<string> {
  const params = tensors();
  const optimizer = new Adam(params, { lr: 0.5 });
  optimizer.step();
  const before = snapshot(optimizer, params);
  const message = await rejection(optimizer.load(file));
  expectUnchanged(optimizer, before);
  optimizer.dispose();
  return message.replace(path.dirname(file), '');
}
