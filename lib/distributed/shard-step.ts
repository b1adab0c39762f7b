import type { Optimizer } from '../optimizer';
import type { StepInParts } from '../step-in-parts';
import type { StepResult } from '../step-result';
import { gatherAll } from './agreement';
import type { Gathering } from './gathering';
import { sum } from './owners';
import { cudaCutElements, cutElements } from './partition';
import type { Active, Shares } from './shares';

/** How many buckets are under way at once: one is reduced while another is updated and a third is gathered. */
const depth = 2;

/** Words on facts of a step that are told by their hashes. */
export async function explain(
  name: string,
  { comm, list }: Shares,
  mask: Uint8Array,
): Promise<string | undefined> {
  if (name === 'gradients') {
    const all = await gatherAll(comm, mask);
    for (const [i, { slot }] of list.entries()) {
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

/** The norm of all ranks' gradients, in the order of sums of one process, and the first tensor that is not finite. */
async function measure(
  step: StepInParts,
  { isOnHost }: Optimizer,
  shares: Shares,
  mask: Uint8Array,
): Promise<{ readonly norm: number; readonly bad: number }> {
  const { comm, list } = shares;
  const { size } = comm;
  const block = isOnHost ? cutElements : cudaCutElements;
  const blocks = Array.from({ length: size }, (_, rank) => shares.blocks(mask, rank, block));
  const counts = blocks.map(sum);
  const own = step.squares();
  if (own.length !== counts[comm.rank])
    throw new Error('Expected memory for the sums of gradients of Sharded but there is none.');
  const all = new Float64Array(sum(counts));
  await comm.allGather(own, all, { counts });
  let start = 0;
  const at = counts.map((count) => (start += count) - count);
  const ordered = new Float64Array(all.length);
  let [next, total, bad] = [0, 0, -1];
  list.forEach((_, tensor) => {
    if (!mask[tensor]) return;
    let one = 0;
    for (let rank = 0; rank < size; ++rank)
      for (let i = blocks[rank]![tensor]!; i > 0; --i) one += ordered[next++] = all[at[rank]!++]!;
    if (!Number.isFinite(one) && bad < 0) bad = tensor;
    total += one;
  });
  return { norm: isOnHost ? Math.sqrt(total) : step.norm(ordered), bad };
}

/**
 * A step that all ranks have agreed on: gradients are reduced, updated and gathered bucket by bucket. With a measurement of
 * gradients all of them are reduced first, and Muon's matrices are updated last.
 *
 * @param writes told true before the first parameter is written, and false when all ranks have all updates
 */
export async function runStep(
  step: StepInParts,
  inner: Optimizer,
  shares: Shares,
  { stage, reduce: op }: { readonly stage: 1 | 2; readonly reduce: 'mean' | 'sum' | 'none' },
  {
    active,
    mask,
    gathering,
  }: {
    readonly active: readonly Active[];
    readonly mask: Uint8Array;
    readonly gathering: Gathering;
  },
  writes: (isWriting: boolean) => void,
): Promise<StepResult> {
  const { measures } = inner.settings;
  const reduce = (i: number): Promise<void> =>
    op === 'none' ? Promise.resolve() : shares.reduce(active[i]!, i % (depth + 1), op, stage);
  const order = inner.order;
  const waits = (i: number): boolean => !inner.isOnHost || order[shares.buckets[i]!.first]!.isLast;
  const last = active.length - 1;
  const gathers: Promise<void>[] = [];
  const gather = async (i: number): Promise<void> => {
    // In a loop of its own order: every rank calls the same collectives one after the other.
    if (gathers.length >= depth) await gathers.at(-depth);
    gathers.push(observed(gathering.gather(active[i]!, gathers.length % depth, step.hyper)));
  };
  const update = async (i: number): Promise<void> => {
    step.part(shares.buckets[i]!.end, i === last);
    if (!waits(i)) await gather(i);
  };
  if (measures) {
    await inTurn(active.length, reduce, () => Promise.resolve());
    if (!step.begin(await measure(step, inner, shares, mask))) return step.finish();
  } else if (!step.begin()) {
    return step.finish();
  }
  writes(true);
  if (measures) for (let i = 0; i < active.length; ++i) await update(i);
  else await inTurn(active.length, reduce, update);
  for (let i = 0; i < active.length; ++i) if (waits(i)) await gather(i);
  await Promise.all(gathers);
  writes(false);
  return step.finish();
}
