/**
 * One file that holds everything a run needs to go on: weights, optimizer state, step and the curves so far.
 * It is written beside its final place and renamed, so that the last good checkpoint survives a crash or a full disk.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { StateDict } from 'fused-optim';
import type { Weight } from './model';
import type { StateDType } from './optimizers';

export const CHECKPOINT_FILE = 'checkpoint.bin';

/** File: these bytes, the SHA-256 of the rest, the rest (structured clone format). */
const MAGIC = Buffer.from('fused-optim gpt checkpoint 1\n');
const HASH_BYTES = 32;

export interface Checkpoint {
  optimizer: string;
  /** Undefined: the default of that optimizer. */
  lr: number | undefined;
  seed: number;
  horizon: number;
  /** Undefined: float32. */
  stateDtype?: StateDType | undefined;
  /** Steps done. */
  step: number;
  weights: Record<string, { shape: readonly number[]; data: Float32Array }>;
  optimizerState: StateDict;
  /** Training loss of every step. */
  trainLoss: number[];
  validation: { step: number; loss: number }[];
}

function digest(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

export function saveCheckpoint(file: string, checkpoint: Checkpoint): void {
  const body = serialize(checkpoint);
  const temporary = `${file}.${process.pid}.tmp`;
  mkdirSync(path.dirname(path.resolve(file)), { recursive: true });
  try {
    const descriptor = openSync(temporary, 'w');
    try {
      for (const bytes of [MAGIC, digest(body), body]) {
        for (let done = 0; done < bytes.length;) done += writeSync(descriptor, bytes, done);
      }
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** A folder stands for the checkpoint that a run left in it. */
export function checkpointPath(given: string): string {
  const isFolder = statSync(given, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return isFolder ? path.join(given, CHECKPOINT_FILE) : given;
}

export function readCheckpoint(file: string): Checkpoint {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Error(`There is no checkpoint to resume from at "${file}" (${code}).`, { cause });
  }
  const start = MAGIC.length + HASH_BYTES;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new Error(`Expected "${file}" to be a checkpoint of this example but it is another kind of file.`);
  }
  const body = bytes.subarray(start);
  if (!digest(body).equals(bytes.subarray(MAGIC.length, start))) {
    throw new Error(`Expected "${file}" to be a whole checkpoint but it is cut short or damaged.`);
  }
  return deserialize(body) as Checkpoint;
}

/** Copies the saved weights into the model's, which must have the same names and shapes. */
export function restoreWeights(weights: readonly Weight[], saved: Checkpoint['weights'], file: string): void {
  const sizes = (shapes: Record<string, { shape: readonly number[] }>): string =>
    JSON.stringify(Object.entries(shapes).map(([name, { shape }]) => [name, ...shape]));
  if (sizes(saved) !== sizes(Object.fromEntries(weights.map((weight) => [weight.name, weight])))) {
    throw new Error(`Expected "${file}" to hold this model's weights but it holds those of another model.`);
  }
  for (const { name, data } of weights) data.set(saved[name]?.data ?? []);
}
