/** What a trained model is for: scoring text it has not seen, and writing some. */
import { ALPHABET, decode, encode, UNKNOWN, validationBatches, type Corpus } from './data';
import type { Model } from './model';
import { Random } from './random';

/** Batches of held-out text that the model is scored on: always the same windows, spread over all of it. */
const VALIDATION_BATCHES = 32;

/** Mean loss on held-out text, in nats a token. */
export async function validate(model: Model, corpus: Corpus): Promise<number> {
  const { batch, context } = model;
  const symbols = ALPHABET.length;
  let sum = 0;
  let places = 0;
  for (const { tokens, targets } of validationBatches(
    corpus.validation,
    VALIDATION_BATCHES,
    batch,
    context,
  )) {
    const logits = await model.logits(tokens);
    for (let i = 0; i < targets.length; i++) {
      const row = logits.subarray(i * symbols, (i + 1) * symbols);
      sum += logSumExp(row) - (row[Number(targets[i])] ?? NaN);
    }
    places += targets.length;
  }
  return sum / places;
}

/** Lets the model write on from a prompt, `length` characters, one draw at a time. */
export async function sample(
  model: Model,
  prompt: string,
  length: number,
  { seed, temperature }: { seed: number; temperature: number },
): Promise<string> {
  const random = new Random(seed, -1);
  const text = [...encode(prompt)];
  const symbols = ALPHABET.length;
  for (let written = 0; written < length; written++) {
    const seen = text.slice(-model.context);
    const tokens = new BigInt64Array(model.context);
    seen.forEach((token, place) => (tokens[place] = BigInt(token)));
    const last = seen.length - 1; // The places after it hold padding, which no earlier place looks at.
    const logits = (await model.logits(tokens)).subarray(last * symbols, (last + 1) * symbols);
    text.push(draw(logits, random, temperature));
  }
  return decode(text);
}

/** One token at random, by the model's probabilities at a temperature; never the unknown one. */
export function draw(logits: Float32Array, random: Random, temperature: number): number {
  const scaled = logits.map((logit, token) => (token === UNKNOWN ? -Infinity : logit / temperature));
  const total = logSumExp(scaled);
  let left = random.uniform();
  for (const [token, logit] of scaled.entries()) {
    left -= Math.exp(logit - total);
    if (left < 0) return token;
  }
  return scaled.indexOf(Math.max(...scaled));
}

function logSumExp(row: Float32Array): number {
  let top = -Infinity;
  for (const value of row) top = Math.max(top, value);
  let sum = 0;
  for (const value of row) sum += Math.exp(value - top);
  return top + Math.log(sum);
}
