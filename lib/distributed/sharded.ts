import { keyOf } from '../formats';
import { listOf } from '../group';
import type { Lookahead } from '../lookahead';
import { symbolDispose, type Optimizer } from '../optimizer';
import type { Parameter } from '../parameter';
import type { GroupSchedules } from '../plan';
import type { Slot } from '../slot';
import type { ParameterState } from '../state';
import type { StepInParts } from '../step-in-parts';
import type { StepResult } from '../step-result';
import { choice, integer } from '../options';
import { expectedType, onlyKnown } from '../validate';
import { readStateDict, writeStateDict } from '../checkpoint/checkpoint';
import { checkPath } from '../checkpoint/files';
import type { StateDict } from '../state-dict';
import { agree, hashOf } from './agreement';
import type { Communicator } from './communicator';
import { Gathering } from './gathering';
import { checkCommunicator, checkStreams, innerOf } from './inner';
import { defaultBucketBytes } from './partition';
import { cutDict, isIndex, readShards, together, writeShards } from './shard-files';
import { ShardPlan } from './shard-plan';
import { gatherDict } from './shard-state';
import { explain, runStep } from './shard-step';
import { Shares, type Active } from './shares';

export interface ShardedOptions {
  /** The model's parameters: the same names, shapes and dtypes on every rank, in the same order. */
  readonly params: Iterable<Parameter>;
  /**
   * 1: gradients are all-reduced, so every rank sees all of them; 2: they are reduce-scattered, and every rank gets what it
   * updates. The numbers are the same where the sum is exact. @default 1
   */
  readonly stage?: 1 | 2 | undefined;
  /**
   * What becomes of the ranks' gradients: their `mean`, their `sum`, or `none` where they are the same already and nothing
   * is sent. @default 'mean'
   */
  readonly reduce?: 'mean' | 'sum' | 'none' | undefined;
  /** About as many bytes of parameters travel at a time; an integer >= 1. @default 26214400 (25 MiB) */
  readonly bucketBytes?: number | undefined;
}

const reductions = choice(['mean', 'sum', 'none'], 'mean');
const names = ['params', 'stage', 'reduce', 'bucketBytes'];

/**
 * An optimizer whose state is divided among ranks, as in ZeRO (Rajbhandari et al., 2020, arXiv:1910.02054): every rank has
 * all parameters, updates its share of them, with the state and the float32 masters of that share alone, and gets the
 * others' updates. Given the same reduced gradients its weights have the bits of one process.
 *
 *     const optimizer = new Sharded(mpi(), (params) => new AdamW(params, { lr: 3e-4 }), { params: model.parameters() });
 *     await optimizer.step();
 *
 * Tensors are split at multiples of 4096 elements where the update of an element depends on no other; those of LAMB, LARS,
 * StableAdamW, Ranger and the matrices of Muon go to one rank each, the matrices by the work of their products.
 */
export class Sharded {
  readonly #comm: Communicator;
  readonly #shares: Shares;
  readonly #inner: Optimizer;
  readonly #gathering: Gathering;
  readonly #made: Optimizer | Lookahead;
  readonly #twins: ReadonlyMap<Parameter, Parameter>;
  readonly #stage: 1 | 2;
  readonly #reduce: 'mean' | 'sum' | 'none';
  readonly #structure: number;
  /** The division of tensors among ranks; prints as a table. */
  readonly plan: ShardPlan;
  #busy: string | undefined;
  #broken: string | undefined;
  /** What states were last made for. */
  #reserved = '';

  /**
   * @param make makes the optimizer, or a Lookahead around one, of all the parameters it is given, in groups as it likes. It
   *   is called twice: with the parameters themselves, to learn what their updates depend on, and with this rank's parts of
   *   them, which have their names and shapes
   */
  constructor(
    comm: Communicator,
    make: (params: readonly Parameter[]) => Optimizer | Lookahead,
    options: ShardedOptions,
  ) {
    checkCommunicator(comm, 'Sharded');
    if (typeof make !== 'function')
      throw expectedType('the second argument of Sharded', 'a function that makes an optimizer', make);
    if (typeof options !== 'object' || options === null)
      throw expectedType('options of Sharded', 'an object', options);
    onlyKnown(options, names, 'Sharded');
    const { params, stage = 1, reduce = 'mean', bucketBytes = defaultBucketBytes } = options;
    if (stage !== 1 && stage !== 2) throw expectedType('stage of Sharded', '1 or 2', stage);
    this.#stage = stage;
    this.#reduce = reductions.check(reduce, 'reduce', 'Sharded');
    integer(1, Infinity, defaultBucketBytes).check(bucketBytes, 'bucketBytes', 'Sharded');
    const list = listOf<Parameter>(params, 'params of Sharded');
    this.#comm = comm;

    const probe = make(list);
    const whole = innerOf(probe, list, 'the parameters');
    this.#shares = new Shares(comm, whole, bucketBytes);
    this.plan = new ShardPlan(this.#shares, comm.rank);
    probe.dispose();
    const twins = new Map(this.#shares.list.map(({ parameter, twin }) => [parameter, twin as Parameter]));
    const parts = list.map((parameter) => twins.get(parameter)!);
    this.#twins = twins;
    this.#made = make(parts);
    this.#inner = innerOf(this.#made, parts, 'the parts');
    const groupsOf = (list: readonly { readonly slot: Slot }[]): string =>
      list.map(({ slot: { group, name } }) => `${group} ${name}`).join();
    if (groupsOf(this.#inner.order) !== groupsOf(this.#shares.list))
      throw new RangeError(
        'Expected the function of Sharded to make the same groups both times it is called.',
      );
    const { settings } = this.#inner;
    if (settings.graph)
      throw new TypeError('Expected cudaGraph of an optimizer in Sharded to be false but received true.');
    checkStreams(comm, this.#inner);
    settings.isJudged = true;
    this.#structure = keyOf(this.#shares.description + JSON.stringify(this.#inner.attached));
    this.#gathering = new Gathering(this.#shares, this.#inner);
  }

  get rank(): number {
    return this.#comm.rank;
  }
  /** The inner optimizer's live groups; options of all ranks must be assigned alike. Their `params` are parts. */
  get paramGroups(): Optimizer['paramGroups'] {
    return this.#inner.paramGroups;
  }
  /** As of an optimizer; every rank has to assign the same. */
  get maxGradNorm(): number | null {
    return this.#inner.maxGradNorm;
  }
  set maxGradNorm(value: number | null) {
    this.#inner.maxGradNorm = value;
  }
  /** Steps that were skipped, on all ranks, for a gradient that was not finite on one. */
  get skippedSteps(): number {
    return this.#inner.skippedSteps;
  }

  /** As of an optimizer; every rank has to give the same. */
  schedule(schedules: GroupSchedules<object>, options?: { readonly group?: number }): this {
    this.#inner.schedule(schedules, options);
    return this;
  }

  /**
   * Reduces the gradients of all ranks, updates this rank's share and gathers everybody's. Every rank calls it. What one
   * rank refuses is an error on all of them, before anything is written; parameters and gradients are borrowed until it
   * resolves, and gradients are not written.
   */
  step(): Promise<StepResult> {
    return this.#alone('step()', () => this.#step());
  }

  async #step(): Promise<StepResult> {
    const shares = this.#shares;
    const inner = this.#inner;
    const { settings } = inner;
    let mask: Uint8Array = new Uint8Array(shares.list.length);
    let active: readonly Active[] = [];
    let step: StepInParts | undefined;
    let failed: unknown;
    try {
      if (settings.diagnostics)
        throw new TypeError('Expected diagnostics of an optimizer in Sharded to be false but received true.');
      mask = shares.read(inner);
      active = shares.active(mask);
      shares.arrange(active, this.#reduce !== 'none');
      step = inner.inParts(inner.attached);
      step.keep(this.#gathering.places(active));
      const key = `${hashOf(mask)} ${hashOf(step.hyper)}`;
      if (key !== this.#reserved) step.reserve();
      this.#reserved = key;
    } catch (error) {
      failed = error ?? new Error('unknown');
    }
    const scale = settings.gradScale;
    const facts = {
      parameters: this.#structure,
      stage: this.#stage,
      reduce: keyOf(this.#reduce),
      'number of steps': inner.stepsTaken,
      gradScale: typeof scale === 'number' ? scale : scale.scale,
      maxGradNorm: settings.maxGradNorm ?? 0,
      nonFinite: keyOf(settings.nonFinite),
      'options of groups': step ? hashOf(step.hyper) : 0,
      gradients: hashOf(mask),
    };
    await agree(this.#comm, 'a step of Sharded', facts, failed, (name) => explain(name, shares, mask));
    const how = { stage: this.#stage, reduce: this.#reduce };
    return runStep(step!, inner, shares, how, { active, mask, gathering: this.#gathering }, (isWriting) => {
      this.#broken = isWriting ? 'a step ended before all ranks had its updates' : undefined;
    });
  }

  /** Sends the parameters of a rank to all others, which is how ranks begin alike. @param root default 0 */
  broadcast(root = 0): Promise<void> {
    return this.#alone('broadcast()', () => this.#shares.broadcast(root));
  }

  /** Everything all ranks know, as the optimizer of one process has it; every rank calls it, and gets it. */
  stateDict(): Promise<StateDict> {
    return this.#alone('stateDict()', () => gatherDict(this.#shares, this.#inner.stateDict()));
  }

  /**
   * Continues from a state dict of any number of ranks, or of the optimizer without Sharded; every rank calls it with the
   * same. Nothing is changed unless all of it fits on all ranks.
   */
  loadStateDict(dict: StateDict): Promise<void> {
    return this.#alone('loadStateDict()', () => this.#load(() => Promise.resolve(dict), cutDict));
  }

  /**
   * Saves the state; every rank calls it. A name that ends in `.index.json` is that of an index, beside which every rank
   * writes a file of its own part; any other is one safetensors file, which the first rank writes and which the optimizer
   * without Sharded can load. Files are replaced whole or not at all; what fails on one rank is an error on all.
   */
  save(path: string): Promise<void> {
    return this.#alone('save()', async () => {
      checkPath(path);
      const shares = this.#shares;
      const own = this.#inner.stateDict();
      if (isIndex(path)) return writeShards(path, shares, own);
      const dict = await gatherDict(shares, own);
      await together(shares, 'Saving', async () => {
        if (this.rank === 0) await writeStateDict(path, dict);
      });
    });
  }

  /** Continues from what `save()` wrote on any number of ranks, or the optimizer without Sharded; every rank calls it. */
  load(path: string): Promise<void> {
    return this.#alone('load()', async () => {
      checkPath(path);
      if (isIndex(path))
        return this.#load(
          () => readShards(path, this.#shares),
          (dict) => dict,
        );
      return this.#load(() => readStateDict(path), cutDict);
    });
  }

  async #load(
    read: () => Promise<StateDict>,
    cut: (dict: StateDict, shares: Shares) => StateDict,
  ): Promise<void> {
    const shares = this.#shares;
    const dict = await together(shares, 'Loading', async () => cut(await read(), shares));
    const before = this.#inner.stateDict();
    try {
      await together(shares, 'Loading', async () => {
        this.#inner.loadStateDict(dict);
        await Promise.resolve();
      });
    } catch (error) {
      this.#inner.loadStateDict(before);
      throw error;
    }
  }

  /** Sets every `grad` to null; gradient memory is never written. */
  zeroGrad(): void {
    for (const { parameter } of this.#shares.list) parameter.grad = null;
    this.#inner.zeroGrad();
  }

  /** A parameter's step count and live views of this rank's part of its state; empty where it has none. */
  state(parameter: Parameter): ParameterState {
    const twin = this.#twins.get(parameter);
    if (!twin) throw new RangeError('Expected a parameter of this Sharded but received another object.');
    return this.#inner.state(twin);
  }

  /** Bytes of state that this rank keeps. */
  stateBytes(): number {
    return this.#inner.stateBytes();
  }

  /** Frees the states; the communicator stays. */
  dispose(): void {
    this.#made.dispose();
  }
  [symbolDispose](): void {
    this.dispose();
  }

  /** Does one thing at a time. */
  async #alone<T>(method: string, work: () => Promise<T>): Promise<T> {
    if (this.#broken !== undefined)
      throw new Error(`Sharded cannot go on, for ${this.#broken}: load a checkpoint in a new one.`);
    if (this.#busy !== undefined)
      throw new Error(`${this.#busy} of Sharded is in flight: await it before ${method}.`);
    this.#busy = method;
    try {
      return await work();
    } finally {
      this.#busy = undefined;
    }
  }
}
