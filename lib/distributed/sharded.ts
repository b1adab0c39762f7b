import { listOf } from '../group';
import { Lookahead } from '../lookahead';
import { Optimizer, symbolDispose, type StepInParts } from '../optimizer';
import type { Parameter } from '../parameter';
import type { GroupSchedules } from '../plan';
import type { ParameterState } from '../state';
import type { StepResult } from '../step-result';
import { choice, integer } from '../options';
import { expectedType, onlyKnown } from '../validate';
import { agree, gatherAll, hashOf, hashOfText } from './agreement';
import type { Communicator } from './communicator';
import { cutElements, defaultBucketBytes } from './partition';
import { ShardPlan } from './shard-plan';
import { Shares, type Active } from './shares';

/** How many buckets are under way at once: one is reduced while another is updated and a third is gathered. */
const depth = 2;

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

const stages = choice(['1', '2'], '1');
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
  readonly #made: Optimizer | Lookahead;
  readonly #twins: ReadonlyMap<Parameter, Parameter>;
  readonly #stage: 1 | 2;
  readonly #reduce: 'mean' | 'sum' | 'none';
  readonly #structure: number;
  /** The division of tensors among ranks; prints as a table. */
  readonly plan: ShardPlan;
  #busy: string | undefined;
  #broken: string | undefined;

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
    if (typeof comm !== 'object' || comm === null || typeof comm.allReduce !== 'function')
      throw expectedType('the first argument of Sharded', 'a communicator, as mpi() makes one,', comm);
    if (typeof make !== 'function')
      throw expectedType('the second argument of Sharded', 'a function that makes an optimizer', make);
    if (typeof options !== 'object' || options === null)
      throw expectedType('options of Sharded', 'an object', options);
    onlyKnown(options, names, 'Sharded');
    const { params, stage = 1, reduce = 'mean', bucketBytes = defaultBucketBytes } = options;
    if (stage !== 1 && stage !== 2) throw expectedType('stage of Sharded', '1 or 2', stage);
    this.#stage = Number(stages.check(String(stage), 'stage', 'Sharded')) as 1 | 2;
    this.#reduce = reductions.check(reduce, 'reduce', 'Sharded') as 'mean' | 'sum' | 'none';
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
    const order = this.#inner.order.map(({ slot: { name } }) => name).join();
    if (order !== this.#shares.list.map(({ slot: { name } }) => name).join())
      throw new RangeError(
        'Expected the function of Sharded to make the same groups both times it is called.',
      );
    this.#structure = hashOfText(this.#shares.description);
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
  async step(): Promise<StepResult> {
    this.#begin('step()');
    try {
      return await this.#step();
    } finally {
      this.#busy = undefined;
    }
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
      mask = shares.read();
      active = shares.active(mask);
      shares.arrange(active, this.#reduce !== 'none');
      step = inner.inParts(inner.attached);
    } catch (error) {
      failed = error ?? new Error('unknown');
    }
    const scale = settings.gradScale;
    const facts = {
      parameters: this.#structure,
      stage: this.#stage,
      reduce: hashOfText(this.#reduce),
      'number of steps': inner.stepsTaken,
      gradScale: typeof scale === 'number' ? scale : scale.scale,
      maxGradNorm: settings.maxGradNorm ?? 0,
      nonFinite: hashOfText(settings.nonFinite),
      'options of groups': step ? hashOf(new Uint8Array(step.hyper.slice().buffer)) : 0,
      gradients: hashOf(mask),
    };
    await agree(this.#comm, 'a step of Sharded', facts, failed, (name) => this.#explain(name, mask));
    return this.#run(step!, active, mask);
  }

  /** Words on facts that are told by their hashes. */
  async #explain(name: string, mask: Uint8Array): Promise<string | undefined> {
    if (name === 'gradients') {
      const all = await gatherAll(this.#comm, mask);
      for (const [i, { slot }] of this.#shares.list.entries()) {
        const other = all.findIndex((one) => one[i] !== all[0]![i]);
        if (other < 0) continue;
        const words = (code: number): string => (code === 0 ? 'none' : 'one');
        const [a, b] = [all[0]![i]!, all[other]![i]!];
        return a && b
          ? `those of "${slot.name}" have other dtypes on rank 0 and rank ${other}`
          : `rank 0 has ${words(a)} of "${slot.name}" and rank ${other} has ${words(b)}`;
      }
    }
    return ['parameters', 'options of groups', 'reduce', 'nonFinite'].includes(name)
      ? 'they differ between rank 0 and another'
      : undefined;
  }

  async #run(step: StepInParts, active: readonly Active[], mask: Uint8Array): Promise<StepResult> {
    const shares = this.#shares;
    const stage = this.#stage;
    const op = this.#reduce;
    const { measures } = this.#inner.settings;
    const reduce = (i: number): Promise<void> =>
      op === 'none' ? Promise.resolve() : shares.reduce(active[i]!, i % (depth + 1), op, stage);
    const order = this.#inner.order;
    const waits = (i: number): boolean => order[shares.buckets[i]!.first]!.isLast;
    const last = active.length - 1;
    const gathers: Promise<void>[] = [];
    const gather = async (i: number): Promise<void> => {
      // In a loop of its own order: every rank calls the same collectives one after the other.
      if (gathers.length >= depth) await gathers.at(-depth);
      gathers.push(observed(shares.gather(active[i]!, gathers.length % depth)));
    };
    const update = async (i: number): Promise<void> => {
      step.part(shares.buckets[i]!.end, i === last);
      if (!waits(i)) await gather(i);
    };
    if (measures) {
      await inTurn(active.length, reduce, () => Promise.resolve());
      if (!step.begin(await this.#measure(step, mask))) return step.finish();
    } else if (!step.begin()) {
      return step.finish();
    }
    this.#broken = 'a step ended before all ranks had its updates';
    if (measures) for (let i = 0; i < active.length; ++i) await update(i);
    else await inTurn(active.length, reduce, update);
    for (let i = 0; i < active.length; ++i) if (waits(i)) await gather(i);
    await Promise.all(gathers);
    this.#broken = undefined;
    return step.finish();
  }

  /** The norm of all ranks' gradients, in the order of sums of one process, and the first tensor that is not finite. */
  async #measure(
    step: StepInParts,
    mask: Uint8Array,
  ): Promise<{ readonly norm: number; readonly bad: number }> {
    const { size } = this.#comm;
    const shares = this.#shares;
    const blocks = Array.from({ length: size }, (_, rank) => shares.blocks(mask, rank, cutElements));
    const counts = blocks.map((list) => list.reduce((sum, count) => sum + count, 0));
    const own = step.squares();
    if (own.length !== counts[this.#comm.rank])
      throw new Error('Expected memory for the sums of gradients of Sharded but there is none.');
    const all = new Float64Array(counts.reduce((sum, count) => sum + count, 0));
    await this.#comm.allGather(own, all, { counts });
    let start = 0;
    const at = counts.map((count) => (start += count) - count);
    let [sum, bad] = [0, -1];
    shares.list.forEach((_, tensor) => {
      if (!mask[tensor]) return;
      let one = 0;
      for (let rank = 0; rank < size; ++rank)
        for (let i = blocks[rank]![tensor]!; i > 0; --i) one += all[at[rank]!++]!;
      if (!Number.isFinite(one) && bad < 0) bad = tensor;
      sum += one;
    });
    return { norm: Math.sqrt(sum), bad };
  }

  /** Sends the parameters of a rank to all others, which is how ranks begin alike. @param root default 0 */
  async broadcast(root = 0): Promise<void> {
    this.#begin('broadcast()');
    try {
      await this.#shares.broadcast(root);
    } finally {
      this.#busy = undefined;
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

  #begin(method: string): void {
    if (this.#broken !== undefined)
      throw new Error(`Sharded cannot go on, for ${this.#broken}: load a checkpoint in a new one.`);
    if (this.#busy !== undefined)
      throw new Error(`${this.#busy} of Sharded is in flight: await it before ${method}.`);
    this.#busy = method;
  }
}

/** A promise whose rejection somebody will see, later. */
function observed<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Starts work a few ahead, and continues with each in order once it is done. */
async function inTurn(
  count: number,
  start: (i: number) => Promise<void>,
  then: (i: number) => Promise<void>,
): Promise<void> {
  const started: Promise<void>[] = [];
  for (let i = 0; i < count + depth; ++i) {
    if (i < count) started.push(observed(start(i)));
    if (i < depth) continue;
    await started[i - depth];
    await then(i - depth);
  }
}

function innerOf(made: unknown, params: readonly Parameter[], what: string): Optimizer {
  const inner = made instanceof Lookahead ? (made.inner as Optimizer) : made;
  if (!(inner instanceof Optimizer))
    throw expectedType('what the function of Sharded makes', 'an optimizer of this package', made);
  const known = new Set<Parameter>(inner.order.map(({ parameter }) => parameter));
  const missing = params.findIndex((parameter) => !known.has(parameter));
  if (missing < 0 && known.size === params.length) return inner;
  const why = missing >= 0 ? `number ${missing} is missing` : 'it has others';
  inner.dispose();
  throw new RangeError(
    `Expected the function of Sharded to make an optimizer of all of ${what} it is given but ${why}.`,
  );
}
