// An inner file: names are no part of the public interface, but two features rely on them.
import { isEmbeddingName, isHeadName, isNormOrBiasName } from '../lib/names';

/** Parameter names as the models' usual implementations have them. */
const models: Readonly<
  Record<string, Partial<Record<'embedding' | 'head' | 'normOrBias' | 'none', string>>>
> = {
  'GPT-2 and nanoGPT': {
    embedding: 'transformer.wte.weight transformer.wpe.weight wte.weight',
    head: 'lm_head.weight',
    normOrBias:
      'transformer.h.0.ln_1.weight transformer.h.11.ln_2.bias transformer.ln_f.weight h.3.attn.c_attn.bias h.0.ln_1.w',
    none: 'transformer.h.0.attn.c_attn.weight h.0.mlp.c_fc.weight h.0.mlp.c_proj.weight h.0.attn h.0.mlp.fc',
  },
  'GPT-NeoX': { embedding: 'gpt_neox.embed_in.weight', head: 'embed_out.weight' },
  Llama: {
    embedding: 'model.embed_tokens.weight tok_embeddings.weight',
    head: 'lm_head.weight output.weight',
    normOrBias:
      'model.layers.0.input_layernorm.weight model.layers.31.post_attention_layernorm.weight model.norm.weight layers.2.attention_norm.weight layers.0.self_attn.q_norm.weight',
    none: 'model.layers.0.self_attn.q_proj.weight model.layers.0.mlp.gate_proj.weight layers.0.feed_forward.w1.weight layers.0.attention.wo.weight',
  },
  BERT: {
    embedding:
      'bert.embeddings.word_embeddings.weight bert.embeddings.position_embeddings.weight bert.embeddings.token_type_embeddings.weight',
    head: 'classifier.weight cls.predictions.decoder.weight qa_outputs.weight classifier.dense.weight',
    normOrBias:
      'bert.embeddings.LayerNorm.weight bert.encoder.layer.0.attention.output.LayerNorm.weight bert.encoder.layer.0.output.dense.bias',
    none: 'bert.encoder.layer.0.output.dense.weight bert.encoder.layer.0.attention.self.query.weight bert.pooler.dense.weight encoder.embedding_hidden_mapping_in.weight',
  },
  'BART and Bloom': {
    embedding: 'model.shared.weight model.encoder.embed_positions.weight',
    normOrBias: 'model.encoder.layernorm_embedding.weight transformer.word_embeddings_layernorm.weight',
  },
  'vision transformers': {
    embedding:
      'pos_embed cls_token dist_token encoder.pos_embedding vit.embeddings.cls_token vit.embeddings.position_embeddings class_token vision_model.embeddings.class_embedding',
    head: 'head.weight heads.head.weight head.fc.weight',
    normOrBias:
      'blocks.0.norm1.weight norm.bias blocks.3.attn.qkv.bias encoder.layers.0.self_attention.in_proj_bias',
    none: 'patch_embed.proj.weight vit.embeddings.patch_embeddings.projection.weight vision_model.embeddings.patch_embedding.weight blocks.0.mlp.fc1.weight blocks.0.attn.qkv.weight conv_proj.weight',
  },
  Swin: {
    embedding: 'layers.0.blocks.0.attn.relative_position_bias_table absolute_pos_embed',
    none: 'layers.0.downsample.reduction.weight',
  },
  'ResNet and VGG': {
    head: 'fc.weight module.fc.weight classifier.6.weight',
    normOrBias: 'bn1.weight layer1.0.bn2.bias layer1.0.downsample.1.bias',
    // A numbered batch norm is known by its shape alone.
    none: 'conv1.weight layer1.0.conv1.weight layer1.0.downsample.0.weight layer1.0.downsample.1.weight features.0.weight fc1.weight',
  },
  T5: {
    embedding:
      'shared.weight encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight encoder.embed_tokens.weight',
    head: 'lm_head.weight',
    normOrBias: 'encoder.block.0.layer.0.layer_norm.weight decoder.final_layer_norm.weight',
    none: 'encoder.block.0.layer.0.SelfAttention.q.weight encoder.block.0.layer.1.DenseReluDense.wi.weight',
  },
  Whisper: {
    embedding:
      'model.decoder.embed_tokens.weight decoder.token_embedding.weight encoder.positional_embedding model.encoder.embed_positions.weight',
    head: 'proj_out.weight',
    normOrBias:
      'model.encoder.layers.0.self_attn_layer_norm.weight encoder.blocks.0.attn_ln.weight encoder.ln_post.weight',
    none: 'model.encoder.conv1.weight encoder.blocks.0.attn.query.weight blocks.0.attn.proj_out.weight',
  },
  'TensorFlow.js and Keras': {
    embedding: 'embedding_Embedding1/embeddings token_embedding/embeddings',
    head: 'predictions/kernel lm_head/kernel',
    normOrBias:
      'batch_normalization/gamma batch_normalization_BatchNormalization1/beta layer_normalization_2/gamma dense_Dense3/bias',
    none: 'dense_Dense3/kernel conv2d_Conv2D1/kernel multi_head_attention/query/kernel lstm/recurrent_kernel',
  },
  'Flax and Haiku': {
    embedding: 'params/Embed_0/embedding wte/embedding',
    normOrBias: 'params/LayerNorm_0/scale params/Dense_0/bias linear/b layer_norm/offset',
    none: 'params/Dense_0/kernel linear/w',
  },
  'diffusion models': {
    none: 'time_embed.0.weight time_embedding.linear_1.weight t_embedder.mlp.0.weight transformer_blocks.0.norm1.linear.weight',
  },
  'whole words only': {
    none: 'header.weight overhead.weight subheading.weight embedded.weight members.weight normal.weight abnormal.weight unbiased.weight tokenizer.weight sharedness.weight talking_heads.weight head_dim.weight lora_b q.lora_B.weight sa_head.key.weight blocks.0.sa.heads.0.value.weight fcs.weight linear.weight weight 0.weight param.0',
    head: 'lmHead.weight LMHead.kernel bbox_head.weight',
    normOrBias: 'RMSNorm.weight preLayerNorm.weight BatchNorm2d.weight',
    embedding: 'tokenEmbedding.weight embed_tokens.0.weight',
  },
};

const kinds = ['embedding', 'head', 'normOrBias', 'none'] as const;
const cases = Object.entries(models).flatMap(([model, lists]) =>
  kinds.flatMap((kind) => (lists[kind]?.split(' ') ?? []).map((name) => ({ model, kind, name }))),
);

test.each(cases)('$model: $name is $kind', ({ kind, name }) => {
  expect({
    embedding: isEmbeddingName(name),
    head: isHeadName(name),
    normOrBias: isNormOrBiasName(name),
  }).toEqual({ embedding: kind === 'embedding', head: kind === 'head', normOrBias: kind === 'normOrBias' });
});

test('a bias of a head is both', () => {
  for (const name of ['lm_head.bias', 'fc.bias', 'classifier.0.bias']) {
    expect([isHeadName(name), isNormOrBiasName(name), isEmbeddingName(name)]).toEqual([true, true, false]);
  }
});

test.each(['', '.', '/', '0', 'ß.weight', 'a..c', '__proto__', 'constructor'])(
  'takes any string: %p',
  (name) => {
    expect([isEmbeddingName(name), isHeadName(name), isNormOrBiasName(name)]).toEqual([false, false, false]);
  },
);
