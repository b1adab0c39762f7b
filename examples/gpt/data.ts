/** The text the model learns: the declaration files that come with the TypeScript compiler, character by character. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { Random } from './random';

/** Token 0 stands for every character outside the alphabet; there are about a hundred of them in 3.6 million. */
export const UNKNOWN = 0;
export const UNKNOWN_SIGN = '\u00bf';

/** Fixed, because the graphs are made for this many symbols: the unknown one, a line break and ' ' to '}'. */
export const ALPHABET = [
  UNKNOWN_SIGN,
  '\n',
  ...Array.from({ length: 94 }, (_, i) => String.fromCharCode(32 + i)),
];

const TOKEN_OF = new Map(ALPHABET.map((character, token) => [character, token]));

/** The text is cut into pieces of this many characters; every tenth piece is held out. */
const PIECE = 16_384;
const HELD_OUT = 10;

export interface Corpus {
  files: number;
  train: Uint8Array;
  validation: Uint8Array;
  /** Entropy of the single characters: what guessing from their frequencies alone would lose, in nats a token. */
  unigramEntropy: number;
}

export interface Batch {
  tokens: BigInt64Array;
  /** The token that follows each one. */
  targets: BigInt64Array;
}

export function encode(text: string): Uint8Array {
  return Uint8Array.from(Array.from(text), (character) => TOKEN_OF.get(character) ?? UNKNOWN);
}

export function decode(tokens: Iterable<number>): string {
  return Array.from(tokens, (token) => ALPHABET[token] ?? UNKNOWN_SIGN).join('');
}

/** Every tenth piece goes to validation, so that both parts have the same mixture of files. */
export function split(tokens: Uint8Array, piece = PIECE): { train: Uint8Array; validation: Uint8Array } {
  const train: Uint8Array[] = [];
  const validation: Uint8Array[] = [];
  for (let start = 0, index = 0; start < tokens.length; start += piece, index++) {
    const part = index % HELD_OUT === HELD_OUT - 1 ? validation : train;
    part.push(tokens.subarray(start, start + piece));
  }
  return { train: Buffer.concat(train), validation: Buffer.concat(validation) };
}

/** Nats a token; 0 for an empty or constant text. */
export function unigramEntropy(tokens: Uint8Array): number {
  const counts = new Float64Array(ALPHABET.length);
  for (const token of tokens) counts[token] = (counts[token] ?? 0) + 1;
  let entropy = 0;
  for (const count of counts) {
    if (count > 0) entropy -= (count / tokens.length) * Math.log(count / tokens.length);
  }
  return entropy;
}

/** Reads the text. The web worker's declarations are left out: they repeat those of the DOM. */
export function readCorpus(): Corpus {
  const folder = path.join(path.dirname(require.resolve('typescript/package.json')), 'lib');
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.d.ts') && !name.includes('webworker'))
    .sort();
  const text = names
    .map((name) => readFileSync(path.join(folder, name), 'utf8').replaceAll('\r\n', '\n'))
    .join('\n');
  const tokens = encode(text);
  return { files: names.length, ...split(tokens), unigramEntropy: unigramEntropy(tokens) };
}

/** Steps of a rank before the next rank's random numbers begin. */
const STEPS_OF_A_RANK = 2 ** 22;

/** The batch of one training step: random windows that depend on the seed, the step and the rank alone. */
export function trainingBatch(
  text: Uint8Array,
  rows: number,
  context: number,
  seed: number,
  step: number,
  rank = 0,
): Batch {
  const random = new Random(seed, step + rank * STEPS_OF_A_RANK);
  const starts = Array.from({ length: rows }, () => random.below(text.length - context));
  return windows(text, starts, context);
}

/** `count` batches spread evenly over a text, the same ones every time. */
export function* validationBatches(
  text: Uint8Array,
  count: number,
  rows: number,
  context: number,
): Generator<Batch> {
  const stride = (text.length - context - 1) / (count * rows);
  for (let batch = 0; batch < count; batch++) {
    const starts = Array.from({ length: rows }, (_, row) => Math.floor((batch * rows + row) * stride));
    yield windows(text, starts, context);
  }
}

function windows(text: Uint8Array, starts: readonly number[], context: number): Batch {
  const tokens = new BigInt64Array(starts.length * context);
  const targets = new BigInt64Array(starts.length * context);
  starts.forEach((start, row) => {
    for (let i = 0; i < context; i++) {
      tokens[row * context + i] = BigInt(text[start + i] ?? UNKNOWN);
      targets[row * context + i] = BigInt(text[start + i + 1] ?? UNKNOWN);
    }
  });
  return { tokens, targets };
}
