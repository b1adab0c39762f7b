/**
 * What a parameter is, as far as its name tells. Names are read as paths with parts between '.' and '/', and parts as
 * words between '_', '-', digits and changes of case: 'mlp.c_fc' has no part 'fc', and 'overhead' no word 'head'.
 */

interface Name {
  /** Parts, first the outermost module. */
  readonly parts: readonly string[];
  /** The parameter's own part, such as 'weight', in words. */
  readonly own: readonly string[];
  /** The innermost part that says more than 'weight' or a number, in words. */
  readonly last: readonly string[];
  /** The same part as it is written, in small letters. */
  readonly lastPart: string;
  /** Parts before `last`. */
  readonly outer: readonly string[];
}

/** Parts that every kind of parameter has. */
const generic = new Set([
  'weight',
  'weights',
  'kernel',
  'w',
  'scale',
  'offset',
  'bias',
  'b',
  'param',
  'default',
]);
const isNumber = (part: string): boolean => /^\d+$/.test(part);

function wordsOf(part: string): string[] {
  const separated = part.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/([A-Z])([A-Z][a-z])/g, '$1 $2');
  return separated
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter(Boolean);
}

function parse(name: string): Name {
  const parts = name.split(/[./:]+/).filter(Boolean);
  let end = parts.length - 1;
  while (end > 0 && (isNumber(parts[end]!) || generic.has(parts[end]!.toLowerCase()))) --end;
  return {
    parts,
    own: wordsOf(parts.at(-1) ?? ''),
    last: wordsOf(parts[end] ?? ''),
    lastPart: (parts[end] ?? '').toLowerCase(),
    outer: parts.slice(0, Math.max(end, 0)),
  };
}

const anyOf = (words: readonly string[], known: ReadonlySet<string>): boolean =>
  words.some((word) => known.has(word));

const norms = new Set([
  'norm',
  'norms',
  'layernorm',
  'rmsnorm',
  'batchnorm',
  'groupnorm',
  'instancenorm',
  'normalization',
  'ln',
  'bn',
  'gn',
]);
const gains = new Set(['gamma', 'beta']);
const biases = new Set(['bias', 'biases']);

/** Of a table of learned vectors that are looked up, or one such vector. */
const embeddings = new Set(['embed', 'embeds', 'embedding', 'embeddings', 'embedder', 'emb', 'wte', 'wpe']);
/** Words that make an 'embedding' a linear map of its input instead of a table. */
const maps = new Set(['patch', 'time', 'timestep', 'proj', 'projection', 'conv', 'mapping', 'out']);
const tokens = new Set(['token', 'tokens']);
/** Tables of relative positions: of T5, of Swin, of SAM. */
const relative = /^relative (?:attention|position) bias(?: table)?$|^rel pos(?: [hw])?$/;

/** Wrappers around a network, which do not make a part an inner one. */
const wrappers = new Set(['module', 'model', 'net', 'network', 'backbone', 'transformer', '_orig_mod']);
/** Parts that are heads wherever they are outside the numbered layers, with all that is in them. */
const heads = new Set([
  'classifier',
  'embed out',
  'output projection',
  'predictions',
  'qa outputs',
  'to logits',
  'unembed',
  'unembedding',
  'vocab projector',
]);
/** Of attention, whose heads are others. */
const attention = new Set(['attention', 'attn', 'query', 'key', 'value', 'qkv']);
/** Parts that are heads only at the top of a network: inside, they are ordinary layers. */
const topHeads = new Set(['fc', 'output', 'proj_out', 'score']);

/**
 * Gains and biases: 'ln_1.weight', 'bn1.bias', 'batch_normalization/gamma', 'attn.in_proj_bias'. A batch norm that is
 * only numbered, as 'downsample.1.weight' of a ResNet, is known by its shape alone.
 */
export function isNormOrBiasName(name: string): boolean {
  const { own, last } = parse(name);
  if (relative.test(own.join(' '))) return false;
  return own.join(' ') === 'b' || anyOf(own, biases) || anyOf(own, gains) || anyOf(last, norms);
}

/**
 * Embedding tables and learned tokens or positions: 'transformer.wte.weight', 'pos_embed', 'cls_token', 'shared.weight'
 * (T5). Not the patch embedding of a vision transformer nor a time embedding, which are linear maps of their input:
 * give them the role 'embedding' where they should count as one.
 */
export function isEmbeddingName(name: string): boolean {
  if (isNormOrBiasName(name) || isHeadName(name)) return false;
  const { last, outer } = parse(name);
  const text = last.join(' ');
  if (relative.test(text)) return true;
  if (text === 'shared') return wrapped(outer);
  if (anyOf(last, maps)) return false;
  return anyOf(last, embeddings) || tokens.has(last.at(-1) ?? '');
}

/**
 * The layer that makes the outputs: 'lm_head.weight', 'head.weight', 'classifier.weight', 'fc.weight' (ResNet),
 * 'output.weight' (Llama). Parts inside numbered layers are not heads, as 'h.0.mlp.fc'. The name of a Keras model's
 * last dense layer, 'dense_Dense3/kernel', does not say what it is: give it the role 'head'.
 */
export function isHeadName(name: string): boolean {
  const { parts, lastPart, outer } = parse(name);
  if (parts.some((part) => anyOf(wordsOf(part), attention))) return false;
  const layer = parts.findIndex(isNumber);
  const outside = parts.slice(0, layer < 0 ? parts.length : layer).map((part) => wordsOf(part));
  if (outside.some((words) => words.at(-1) === 'head' || words.at(-1) === 'logits')) return true;
  if (outside.some((words) => heads.has(words.join(' ')))) return true;
  return topHeads.has(lastPart) && wrapped(outer);
}

const wrapped = (outer: readonly string[]): boolean =>
  outer.every((part) => wrappers.has(part.toLowerCase()));
