/** The GPT: two graphs that compute, and the weights, which are plain Float32Arrays that the optimizer writes to. */
import path from 'node:path';
import { backends, ortParameters, type OrtParameters, type Role } from 'fused-optim';
import { ALPHABET, type Batch } from './data';
import { Random } from './random';
import { loadRuntime, type Ort, type OrtSession, type OrtTensor } from './runtime';

/** What the optimizer is given. `data` is the memory behind a graph's input, `grad` the memory behind an output. */
export interface Weight {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  grad: Float32Array;
  /** What it is in the network: Muon takes the hidden matrices, and they are what decays. */
  readonly role: Role;
}

const INIT_DEVIATION = 0.02;

/** The token embedding is the output layer too: both read one matrix. */
function roleOf(name: string, shape: readonly number[]): Role {
  if (shape.length < 2) return 'vector';
  return /^w[tp]e\./.test(name) ? 'embedding' : 'hidden';
}

export class Model {
  readonly batch: number;
  readonly context: number;
  readonly weights: readonly Weight[];
  readonly parameters: number;
  readonly #ort: Ort;
  readonly #step: OrtSession;
  readonly #forward: OrtSession;
  readonly #training: OrtParameters<OrtTensor>;

  /** Loads both graphs and gives the weights their first values, which depend on the seed alone. */
  static async load(seed: number, threads = backends().cpu.threads): Promise<Model> {
    const ort = loadRuntime();
    const options = {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      // Idle threads of the runtime would otherwise keep the cores busy while the optimizer steps.
      extra: { session: { intra_op: { allow_spinning: '0' } } },
      logSeverityLevel: 3,
    };
    const open = (name: string): Promise<OrtSession> =>
      ort.InferenceSession.create(path.join(__dirname, `${name}.onnx`), options);
    const model = new Model(ort, await open('gpt-step'), await open('gpt-forward'));
    model.#initialize(seed);
    return model;
  }

  private constructor(ort: Ort, step: OrtSession, forward: OrtSession) {
    this.#ort = ort;
    this.#step = step;
    this.#forward = forward;
    // No copy is made of a weight or a gradient, at any step: both are memory behind the runtime's tensors.
    this.#training = ortParameters(step, { ort, role: roleOf });
    this.weights = this.#training.parameters as readonly Weight[];
    const tokens = step.inputMetadata.find(({ name }) => name === 'tokens');
    if (!tokens) throw new Error('The graph gpt-step.onnx has no input "tokens".');
    [this.batch = 0, this.context = 0] = tokens.shape.map(Number);
    this.parameters = this.weights.reduce((sum, weight) => sum + weight.data.length, 0);

    const symbols = this.weights.find(({ name }) => name === 'wte.weight')?.shape[0];
    if (symbols !== ALPHABET.length) {
      throw new Error(`Expected a graph for ${ALPHABET.length} symbols but received one for ${symbols}.`);
    }
  }

  /** Normal numbers; ones for the norms; zeros for biases; smaller where a block adds to the residual stream. */
  #initialize(seed: number): void {
    const layers = new Set(this.weights.map(({ name }) => /^h\.(\d+)\./.exec(name)?.[1])).size - 1;
    for (const [index, { name, shape, data }] of this.weights.entries()) {
      if (shape.length === 1) {
        data.fill(name.endsWith('.bias') ? 0 : 1);
        continue;
      }
      const random = new Random(seed, -2 - index);
      const deviation = /\.(proj|down)\./.test(name)
        ? INIT_DEVIATION / Math.sqrt(2 * layers)
        : INIT_DEVIATION;
      for (let i = 0; i < data.length; i++) data[i] = deviation * random.normal();
    }
  }

  /** Forward and backward: fills every weight's `grad` and gives the mean loss in nats a token. */
  async step({ tokens, targets }: Batch): Promise<number> {
    const { loss } = await this.#training.run({ tokens, targets });
    return loss;
  }

  /** The unscaled log-probabilities of the next token at every place: [rows, context, symbols], flat. */
  async logits(tokens: BigInt64Array): Promise<Float32Array> {
    const dims = [tokens.length / this.context, this.context];
    const feeds = { ...this.#training.feeds, tokens: new this.#ort.Tensor('int64', tokens, dims) };
    const { logits } = await this.#forward.run(feeds);
    return logits?.data as Float32Array;
  }

  async release(): Promise<void> {
    await this.#step.release();
    await this.#forward.release();
  }
}
