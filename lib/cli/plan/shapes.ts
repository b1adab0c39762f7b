/** What `plan` is about: tensors of known models, by the formulas that their configurations fill in, or those of a file. */
import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { readSafetensorsHeader } from '../../checkpoint/safetensors';
import type { PlanTensor } from '../../distributed/forecast';
import { describe, suggestion } from '../../validate';

type Sizes = Readonly<Record<string, readonly number[]>>;

const tensors = (prefix: string, sizes: Sizes): PlanTensor[] =>
  Object.entries(sizes).map(([name, shape]) => ({ name: prefix + name, shape }));

const layers = (count: number, prefix: string, sizes: Sizes): PlanTensor[] =>
  Array.from({ length: count }, (_, i) => tensors(`${prefix}${i}.`, sizes)).flat();

/** A layer's weight, and a bias as long as its last axis. */
const biased = (name: string, ...shape: number[]): Sizes => ({
  [`${name}.weight`]: shape,
  [`${name}.bias`]: shape.slice(-1),
});

/** As released: matrices are [in, out]. https://github.com/openai/gpt-2 */
function gpt2(count: number, d: number): PlanTensor[] {
  const layer = {
    ...biased('ln_1', d),
    ...biased('attn.c_attn', d, 3 * d),
    ...biased('attn.c_proj', d, d),
    ...biased('ln_2', d),
    ...biased('mlp.c_fc', d, 4 * d),
    ...biased('mlp.c_proj', 4 * d, d),
  };
  return [
    ...tensors('', { wte: [50257, d], wpe: [1024, d] }),
    ...layers(count, 'h.', layer).map((tensor) => ({ ...tensor, layout: 'in-out' as const })),
    ...tensors('', biased('ln_f', d)),
  ];
}

/** Llama 3's. https://arxiv.org/abs/2407.21783 */
function llama(count: number, d: number, inner: number, kv: number, head: Sizes): PlanTensor[] {
  const layer = {
    'self_attn.q_proj': [d, d],
    'self_attn.k_proj': [kv, d],
    'self_attn.v_proj': [kv, d],
    'self_attn.o_proj': [d, d],
    'mlp.gate_proj': [inner, d],
    'mlp.up_proj': [inner, d],
    'mlp.down_proj': [d, inner],
    input_layernorm: [d],
    post_attention_layernorm: [d],
  };
  const all = [
    ...tensors('', { embed_tokens: [128256, d] }),
    ...layers(count, 'layers.', layer),
    ...tensors('', { norm: [d], ...head }),
  ];
  return all.map(({ name, shape }) => ({ name: `${name}.weight`, shape }));
}

/** He et al., 2015, as torchvision names it. https://arxiv.org/abs/1512.03385 */
function resnet50(): PlanTensor[] {
  const normed = (conv: string, bn: string, ...shape: number[]): Sizes => ({
    [`${conv}.weight`]: shape,
    ...biased(bn, shape[0]!),
  });
  const all = tensors('', normed('conv1', 'bn1', 64, 3, 7, 7));
  let inputs = 64;
  [3, 4, 6, 3].forEach((blocks, stage) => {
    const [width, outputs] = [64 << stage, 256 << stage];
    for (let block = 0; block < blocks; ++block, inputs = outputs) {
      const sizes = {
        ...normed('conv1', 'bn1', width, inputs, 1, 1),
        ...normed('conv2', 'bn2', width, width, 3, 3),
        ...normed('conv3', 'bn3', outputs, width, 1, 1),
        ...(block === 0 && normed('downsample.0', 'downsample.1', outputs, inputs, 1, 1)),
      };
      all.push(...tensors(`layer${stage + 1}.${block}.`, sizes));
    }
  });
  return [...all, ...tensors('', { 'fc.weight': [1000, 2048], 'fc.bias': [1000] })];
}

const made: Readonly<Record<string, () => PlanTensor[]>> = {
  'gpt2-124m': () => gpt2(12, 768),
  'gpt2-350m': () => gpt2(24, 1024),
  'gpt2-1.5b': () => gpt2(48, 1600),
  'resnet-50': resnet50,
  'llama-1b': () => llama(16, 2048, 8192, 512, {}),
  'llama-8b': () => llama(32, 4096, 14336, 1024, { lm_head: [128256, 4096] }),
};

/** Models known by name. */
export const presets = Object.keys(made);

const isFile = (text: string): boolean => /\.(json|safetensors)$/i.test(text);

/** What `--shapes` may be. */
export function shapesOption(text: string): string {
  const name = presets.find((each) => each === text.toLowerCase());
  if (name !== undefined || isFile(text)) return name ?? text;
  const meant = suggestion(text, presets);
  throw new InvalidArgumentError(
    meant ? `Did you mean ${meant}?` : `Expected ${presets.join(', ')}, or a file .json or .safetensors.`,
  );
}

const isShape = (value: unknown): boolean =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);

function parsed(file: string): PlanTensor[] {
  const refuse = (reason: string): never => {
    throw new RangeError(`Expected "${file}" to be a list of tensors with name and shape but ${reason}.`);
  };
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return refuse(code === 'ENOENT' ? 'there is no such file' : code ? message : 'it is not JSON');
  }
  const list = Array.isArray(json) ? (json as unknown[]) : (json as { tensors?: unknown } | null)?.tensors;
  if (!Array.isArray(list) || list.length === 0) return refuse('it has none');
  return list.map((entry: Partial<PlanTensor> | null, index) => {
    const { name, shape, role, layout } = entry ?? {};
    if (typeof name !== 'string' || !isShape(shape))
      return refuse(`entry ${index} has the name ${describe(name)} and the shape ${describe(shape)}`);
    return { name, shape: shape!, role, layout };
  });
}

/** The tensors of a model known by name, of a list in JSON, or of a safetensors file, of which the header is read. */
export async function shapesOf(what: string): Promise<readonly PlanTensor[]> {
  const preset = made[what];
  if (preset) return preset();
  return /\.json$/i.test(what) ? parsed(what) : (await readSafetensorsHeader(what)).tensors;
}
