import { listOf } from '../group';
import { integer } from '../options';
import { Optimizer, symbolDispose } from '../optimizer';
import { identify, type Parameter } from '../parameter';
import type { ParameterState } from '../state';
import type { StateDict } from '../state-dict';
import type { StepResult } from '../step-result';
import { expectedType, readOptions } from '../validate';
import { usable } from './device';
import { OffloadBuckets, type HostTwin, type OffloadEntry } from './offload-buckets';
import { defaultStream, liveStream, type CudaStream } from './stream';
import { isCudaTensor, type CudaTensor } from './tensor';

export interface OffloadOptions {
  /**
   * About as many bytes of gradients are copied at a time, while the CPU updates what came before and its weights travel
   * back; an integer >= 1. @default 33554432 (32 MiB)
   */
  readonly bucketBytes?: number | undefined;
  /** The stream that gradients are computed in and weights used in. @default the one `cuda` uses for the device */
  readonly stream?: CudaStream | undefined;
}

/**
 * An optimizer on the host for parameters on a GPU: master weights and states take no device memory, as in ZeRO-Offload
 * (Ren et al., 2021, arXiv:2101.06840). A step copies gradients to the host, updates there, and copies the weights back;
 * copies and arithmetic overlap, bucket by bucket. With `maxGradNorm`, or `nonFinite` other than 'propagate', all
 * gradients arrive before the first update, and Muon's matrices are updated last.
 *
 *     const optimizer = new Offload(model.parameters(), (params) => new AdamW(params, { lr: 3e-4 }));
 *     optimizer.step();
 *
 * Weights that something else changes on the device are seen after `refresh()`.
 */
export class Offload {
  readonly #inner: Optimizer;
  readonly #buckets: OffloadBuckets;
  readonly #twins = new Map<Parameter, HostTwin>();
  readonly #stream: CudaStream;

  /**
   * @param params all on one device
   * @param make makes the optimizer for their twins on the host, all of them, in groups as it likes
   */
  constructor(
    params: Iterable<Parameter>,
    make: (params: readonly HostTwin[]) => Optimizer,
    options?: OffloadOptions,
  ) {
    const list = listOf<Parameter>(params, 'params of Offload');
    const { bucketBytes = 2 ** 25, stream } = readOptions(options, ['bucketBytes', 'stream'], 'Offload');
    integer(1, Infinity, 2 ** 25).check(bucketBytes, 'bucketBytes', 'Offload');
    if (typeof make !== 'function')
      throw expectedType('the second argument of Offload', 'a function that makes an optimizer', make);
    usable('Offload');
    const entries = list.map((parameter, i) => entryOf(parameter, i, list[0]!));
    const { device } = entries[0]!.data();
    this.#stream = stream ?? defaultStream(device);
    liveStream(this.#stream, 'Offload');
    if (this.#stream.device !== device)
      throw new RangeError(
        `Expected stream of Offload to be on device ${device}, as its parameters are, but it is on device ${this.#stream.device}.`,
      );
    this.#buckets = new OffloadBuckets(device, entries, bucketBytes);
    const twins = entries.map(({ twin }) => twin);
    entries.forEach(({ parameter, twin }) => this.#twins.set(parameter, twin));
    this.#buckets.refresh(this.#stream);
    this.#inner = make(twins);
    checkInner(this.#inner, twins);
    this.#buckets.arrange(this.#inner.order);
  }

  /** The optimizer on the host. */
  get inner(): Optimizer {
    return this.#inner;
  }
  /** The inner optimizer's live groups; their `params` are the twins. */
  get paramGroups(): Optimizer['paramGroups'] {
    return this.#inner.paramGroups;
  }

  /** Updates every parameter that has a gradient. Weights arrive before what is queued on the stream afterwards. */
  step(): StepResult {
    const buckets = this.#buckets;
    buckets.begin(this.#stream);
    try {
      return this.#inner.stepInParts(
        buckets.ends,
        (part) => buckets.arrive(part),
        (part) => buckets.leave(part),
      );
    } finally {
      buckets.end(this.#stream);
    }
  }

  /** Sets every `grad` to null; gradient memory is never written. */
  zeroGrad(): void {
    for (const parameter of this.#twins.keys()) parameter.grad = null;
    this.#inner.zeroGrad();
  }

  /**
   * Copies the weights from the device again. States stay; a float32 master that the optimizer keeps is not replaced:
   * load weights before the first step.
   */
  refresh(): void {
    this.#buckets.refresh(this.#stream);
  }

  /** A parameter's step count and live views of its states, in host memory. */
  state(parameter: Parameter): ParameterState {
    const twin = this.#twins.get(parameter);
    if (!twin) throw new RangeError('Expected a parameter of this Offload but received another object.');
    return this.#inner.state(twin);
  }
  /** The inner optimizer's: it can be loaded by that class on either backend. */
  stateDict(): StateDict {
    return this.#inner.stateDict();
  }
  loadStateDict(dict: StateDict): void {
    this.#inner.loadStateDict(dict);
  }
  save(path: string): Promise<void> {
    return this.#inner.save(path);
  }
  load(path: string): Promise<void> {
    return this.#inner.load(path);
  }
  /** Bytes of state on the host; none are on the device. */
  stateBytes(): number {
    return this.#inner.stateBytes();
  }

  /** Waits for copies, and frees the states and the pinned memory. */
  dispose(): void {
    this.#buckets.finish();
    this.#inner.dispose();
  }
  [symbolDispose](): void {
    this.dispose();
  }
}

function entryOf(parameter: Parameter, index: number, first: Parameter): OffloadEntry {
  const { name, shape, dtype } = identify(parameter, index);
  const { data, role, layout } = parameter;
  if (!isCudaTensor(data)) throw expectedType(`data of "${name}"`, 'a CudaTensor for Offload', data);
  const { device } = first.data as CudaTensor;
  if (data.device !== device)
    throw new RangeError(
      `Expected data of "${name}" to be on device ${device}, as the first is, but it is on device ${data.device}.`,
    );
  const { length } = data;
  const checked = (what: 'data' | 'grad'): CudaTensor => {
    const tensor = parameter[what];
    if (!isCudaTensor(tensor)) throw expectedType(`${what} of "${name}"`, 'a CudaTensor', tensor);
    if (tensor.freed) throw new Error(`Expected ${what} of "${name}" to have memory but it was freed.`);
    if (tensor.device !== device || tensor.length !== length)
      throw new RangeError(
        `Expected ${what} of "${name}" to have ${length} elements on device ${device} but received ` +
          `${tensor.length} on device ${tensor.device}.`,
      );
    return tensor;
  };
  const twin: HostTwin = {
    name,
    shape,
    dtype,
    role,
    layout,
    data: new Float32Array(0),
    grad: null,
  };
  return {
    parameter,
    twin,
    dtype,
    length,
    data: () => checked('data'),
    grad: () => ((parameter.grad ?? null) === null ? null : checked('grad')),
  };
}

function checkInner(inner: unknown, twins: readonly HostTwin[]): asserts inner is Optimizer {
  if (!(inner instanceof Optimizer))
    throw expectedType('what the second argument of Offload makes', 'an optimizer of this package', inner);
  const known = new Set<Parameter>(inner.order.map(({ parameter }) => parameter));
  const missing = twins.find((twin) => !known.has(twin));
  if (inner.isOnHost && !missing && known.size === twins.length) return;
  const why = missing ? `"${missing.name}" is missing` : 'it has others';
  inner.dispose();
  throw new RangeError(
    `Expected the optimizer of Offload to be made of all the parameters it was given, and no others, but ${why}.`,
  );
}
