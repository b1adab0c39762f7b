/** Training with a graph of onnxruntime-node, which is passed in and never imported. */
import type { HostArray } from '../dtypes';
import type { Layout, Parameter, Role } from '../parameter';
import { expectedType, onlyKnown, suggestion } from '../validate';
import {
  asBits,
  checkArray,
  checkGradient,
  checkType,
  dtypes,
  elements,
  fixedShape,
  list,
  listOf,
  numberOf,
  type Kind,
} from './onnxruntime-checks';

/** A tensor of onnxruntime, as far as it is used here. */
export interface OrtTensor {
  readonly data: unknown;
  readonly dims: readonly number[];
}

/** What a graph says of an input or output; a size may be a name that is left open. */
export interface OrtMetadata {
  readonly name: string;
  readonly type?: string;
  readonly shape?: readonly (number | string)[];
}

/** An `ort.InferenceSession`. */
export interface OrtSession<T extends OrtTensor = OrtTensor> {
  readonly inputMetadata: readonly OrtMetadata[];
  readonly outputMetadata: readonly OrtMetadata[];
  run(feeds: Record<string, T>, fetches: Record<string, T>): Promise<unknown>;
}

/** `onnxruntime-node` itself. */
export interface Ort<T extends OrtTensor = OrtTensor> {
  readonly Tensor: new (type: never, data: never, dims: readonly number[]) => T;
}

export interface OrtParametersOptions<T extends OrtTensor = OrtTensor> {
  /** The package onnxruntime-node that the session is of. */
  readonly ort: Ort<T>;
  /** The output with the loss, one number. @default 'loss' */
  readonly loss?: string | undefined;
  /** The output with the gradient of an input. @default (name) => `grad.${name}` */
  readonly gradient?: ((name: string) => string) | undefined;
  /** Memory of weights that have some, by name; the others begin as zeros. */
  readonly weights?: Readonly<Record<string, HostArray>> | undefined;
  /** What a weight is in the network, for Muon. @default by name and shape */
  readonly role?: ((name: string, shape: readonly number[]) => Role | undefined) | undefined;
  /** @default 'out-in' */
  readonly layout?: ((name: string, shape: readonly number[]) => Layout | undefined) | undefined;
}

/** A weight of the graph: `data` is the memory of its input, `grad` that of the output with its gradient. */
export interface OrtParameter extends Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: HostArray;
  /** `null` until the first run, after `zeroGrad()`, and after a run that failed. */
  grad: HostArray | null;
}

/** Feeds of a run: tensors, or arrays for inputs whose shape the graph fixes. */
export type OrtFeeds<T extends OrtTensor = OrtTensor> = Readonly<Record<string, T | ArrayBufferView>>;

class Weight<T extends OrtTensor> implements OrtParameter {
  #grad: HostArray | null = null;
  readonly #data: HostArray;

  constructor(
    private readonly owner: OrtParameters<T>,
    readonly name: string,
    readonly shape: readonly number[],
    readonly dtype: Kind,
    readonly role: Role | undefined,
    readonly layout: Layout | undefined,
    data: HostArray,
  ) {
    this.#data = data;
  }
  get data(): HostArray {
    this.owner.refuseWhileRunning(`data of "${this.name}"`);
    return this.#data;
  }
  get grad(): HostArray | null {
    this.owner.refuseWhileRunning(`grad of "${this.name}"`);
    return this.#grad;
  }
  set grad(value: HostArray | null) {
    this.#grad = value;
  }
}

/** The weights of a graph that computes a training step, and its runs; made by `ortParameters()`. */
export class OrtParameters<T extends OrtTensor = OrtTensor> {
  /** What an optimizer is given. */
  readonly parameters: readonly OrtParameter[];
  /** The weights as the runtime's tensors, by name, to feed other sessions with; over the same memory. */
  readonly feeds: Readonly<Record<string, T>>;
  readonly #session: OrtSession<T>;
  readonly #ort: Ort<T>;
  readonly #loss: string;
  readonly #batch: ReadonlyMap<string, OrtMetadata>;
  readonly #fetches: Record<string, T> = {};
  readonly #grads: readonly (readonly [parameter: OrtParameter, output: string, array: HostArray])[];
  #isRunning = false;

  /** @internal */
  constructor(session: OrtSession<T>, options: OrtParametersOptions<T>) {
    const { ort, loss = 'loss', gradient = (name) => `grad.${name}`, weights = {}, role, layout } = options;
    this.#session = session;
    this.#ort = ort;
    this.#loss = loss;
    const inputs = listOf(session, 'inputMetadata');
    const outputs = new Map(listOf(session, 'outputMetadata').map((output) => [output.name, output]));
    this.#bindLoss(outputs);
    const found = inputs.filter(({ name }) => outputs.has(gradient(name)));
    if (found.length === 0) {
      const first = inputs[0]?.name ?? 'w';
      throw new RangeError(
        `Expected the graph to have the gradient of an input among its outputs, as "${gradient(first)}" for ` +
          `"${first}", but they are ${list([...outputs.keys()])}.`,
      );
    }
    const isWeight = new Set(found.map(({ name }) => name));
    this.#batch = new Map(
      inputs.filter(({ name }) => !isWeight.has(name)).map((input) => [input.name, input]),
    );
    onlyKnown(weights, [...isWeight], 'weights of ortParameters()');
    const feeds: Record<string, T> = {};
    const grads: (readonly [OrtParameter, string, HostArray])[] = [];
    for (const input of found) {
      const { name } = input;
      const dtype = checkType(input, 'input');
      const shape = fixedShape(input, 'input');
      const output = outputs.get(gradient(name))!;
      checkGradient(output, name, dtype, shape);
      const data = weights[name] ?? dtypes[dtype].create(elements(shape));
      checkArray(data, name, dtype, shape);
      const grad = dtypes[dtype].create(elements(shape));
      // The tensors keep these very arrays: nothing is copied at any step.
      feeds[name] = this.#tensor(dtype, data, shape);
      this.#fetches[output.name] = this.#tensor(dtype, grad, shape);
      const parameter = new Weight(
        this,
        name,
        shape,
        dtype,
        role?.(name, shape),
        layout?.(name, shape),
        data,
      );
      grads.push([parameter, output.name, grad]);
    }
    this.feeds = Object.freeze(feeds);
    this.#grads = grads;
    this.parameters = Object.freeze(grads.map(([parameter]) => parameter));
  }

  #tensor(type: string, data: unknown, dims: readonly number[]): T {
    return new this.#ort.Tensor(type as never, data as never, dims);
  }

  #bindLoss(outputs: ReadonlyMap<string, OrtMetadata>): void {
    const name = this.#loss;
    const output = outputs.get(name);
    if (!output) {
      const meant = suggestion(name, [...outputs.keys()]);
      throw new RangeError(
        `Expected the graph to have an output "${name}" with the loss but its outputs are ` +
          `${list([...outputs.keys()])}${meant === undefined ? '.' : `; did you mean "${meant}"?`}`,
      );
    }
    const type = checkType(output, 'output');
    const shape = fixedShape(output, 'output');
    if (elements(shape) !== 1)
      throw new RangeError(
        `Expected output "${name}" to be one number but its shape is [${shape.join(', ')}].`,
      );
    if (type !== 'float16') this.#fetches[name] = this.#tensor(type, dtypes[type].create(1), shape);
  }

  /** @internal The runtime reads weights and writes gradients on another thread. */
  refuseWhileRunning(what: string): void {
    if (this.#isRunning) throw new Error(`Expected run() to be awaited before ${what} is used.`);
  }

  /**
   * Forward and backward: fills every parameter's `grad`. Until the promise resolves, parameters may not be used.
   *
   * @param batch every input of the graph that is no weight
   * @returns the loss, and all other outputs that are no gradients
   * @throws TypeError or RangeError in one sentence when an input is missing or is none; what the runtime throws as it is
   */
  async run(
    batch: OrtFeeds<T>,
  ): Promise<{ readonly loss: number; readonly outputs: Readonly<Record<string, T>> }> {
    this.refuseWhileRunning('run()');
    const feeds = { ...this.feeds, ...this.#read(batch) };
    for (const [parameter] of this.#grads) parameter.grad = null;
    this.#isRunning = true;
    let results: Record<string, T>;
    try {
      results = (await this.#session.run(feeds, this.#allFetches())) as Record<string, T>;
    } finally {
      this.#isRunning = false;
    }
    for (const [parameter, output, array] of this.#grads) {
      // Some runtimes (Electron's) do not write into what they are given.
      const { data } = results[output] as { readonly data: HostArray };
      if (data.buffer !== array.buffer) array.set(asBits(data));
      parameter.grad = array;
    }
    const { [this.#loss]: loss, ...others } = results;
    const gradients = new Set(this.#grads.map(([, output]) => output));
    const outputs = Object.fromEntries(Object.entries(others).filter(([name]) => !gradients.has(name)));
    return { loss: numberOf(loss!.data), outputs };
  }

  /** Asking for some outputs into memory means asking for all of them. */
  #allFetches(): Record<string, T> {
    const names = listOf(this.#session, 'outputMetadata').map(({ name }) => name);
    return Object.fromEntries(names.map((name) => [name, this.#fetches[name] ?? (null as unknown as T)]));
  }

  #read(batch: OrtFeeds<T>): Record<string, T> {
    if (typeof batch !== 'object' || (batch as unknown) === null)
      throw expectedType('the batch of run()', 'an object of tensors by name', batch);
    const known = [...this.#batch.keys()];
    for (const name of Object.keys(batch)) {
      if (this.#batch.has(name)) continue;
      const why = Object.hasOwn(this.feeds, name)
        ? 'it is a weight, whose memory is bound already.'
        : `its inputs are ${list(known)}.`;
      throw new TypeError(`Unknown input "${name}" for run(): ${why}`);
    }
    const missing = known.filter((name) => batch[name] === undefined);
    if (missing.length > 0)
      throw new TypeError(`Expected inputs ${list(known)} for run() but ${list(missing)} is missing.`);
    return Object.fromEntries(
      [...this.#batch].map(([name, input]) => {
        const value = batch[name]!;
        return [name, ArrayBuffer.isView(value) ? this.#fromArray(input, value) : value];
      }),
    );
  }

  #fromArray(input: OrtMetadata, value: ArrayBufferView): T {
    const shape = fixedShape(input, 'input');
    const { length } = value as ArrayBufferView & { readonly length: number };
    if (length !== elements(shape))
      throw new RangeError(
        `Expected "${input.name}" of run() to have ${elements(shape)} elements for shape [${shape.join(', ')}] ` +
          `but received ${length}.`,
      );
    return this.#tensor(input.type ?? 'float32', value, shape);
  }
}

/**
 * Parameters from an ONNX graph of a whole training step: its inputs are a batch and the weights, its outputs the loss
 * and a gradient for every weight. An input is a weight when there is an output for its gradient. Weights and gradients
 * are the memory behind the runtime's tensors, so a step of an optimizer changes in place what the next run reads.
 *
 * @throws TypeError or RangeError in one sentence, when names, shapes or dtypes of the graph do not go together
 */
export function ortParameters<T extends OrtTensor>(
  session: OrtSession<T>,
  options: OrtParametersOptions<T>,
): OrtParameters<T> {
  const what = 'ortParameters()';
  if (typeof session !== 'object' || (session as unknown) === null || typeof session.run !== 'function')
    throw expectedType(`the session of ${what}`, 'an InferenceSession', session);
  if (typeof options !== 'object' || (options as unknown) === null)
    throw expectedType(`options of ${what}`, 'an object with ort', options);
  onlyKnown(options, ['ort', 'loss', 'gradient', 'weights', 'role', 'layout'], what);
  if (typeof options.ort?.Tensor !== 'function')
    throw expectedType(`ort of ${what}`, 'the package onnxruntime-node', options.ort);
  return new OrtParameters(session, options);
}
