/** Measures one case: ours, then everybody it is compared with, in turn. */
import { rules } from '../rules';
import { quantile } from '../statistics';
import { elements, type Workload } from '../workloads';
import { torchNames, type Case, type TorchMode } from './cases';
import {
  floorBytes,
  gradientBytes,
  muonElementwiseBytes,
  newtonSchulzFlops,
  residentBytes,
  type Format,
} from './floors';
import { openOurs } from './ours';
import { gpuSets, sharedAbove } from './sets';
import {
  compare,
  planFor,
  rotating,
  time,
  type Effort,
  type Plan,
  type Timed,
  type TimeResult,
} from './timing';
import type { Torch } from './torch';

export interface Skipped {
  readonly what: string;
  readonly reason: string;
}

export interface PeerCell {
  readonly mode: TorchMode;
  readonly name: string;
  readonly time: TimeResult;
  /** How many times as fast ours is. */
  readonly ratio: number;
  readonly hostUs: number | null;
}

export interface Cell {
  readonly id: string;
  readonly title: string;
  readonly set: string;
  readonly tensors: number;
  readonly parameters: number;
  readonly format: Format;
  /** Copies of the set that the steps rotate over, so that caches hold none. */
  readonly rotated: number;
  readonly graph: boolean;
  readonly time: TimeResult;
  readonly bytesPerParameter: number;
  readonly gbPerSecond: number;
  /** Muon's: operations of the plain iteration; null for the others. */
  readonly flops: number | null;
  /** Microseconds of the host in a call of step(), medians; null where not asked for. */
  readonly hostUs: { readonly graph: number; readonly eager: number } | null;
  readonly peers: readonly PeerCell[];
}

export interface Context {
  readonly memory: number;
  readonly l2Bytes: number;
  readonly standIn: boolean;
  readonly effort: Effort;
  readonly torch: Torch;
  /** Milliseconds since the epoch after which nothing new is begun. */
  readonly deadline: number;
  skip(what: string, reason: string): undefined;
}

/** What is left to others, to the allocator and to workspaces. */
const usableShare = 0.85;

/** Bytes that a set takes with its optimizer. */
export function bytesOf(given: Case, { shapes, parameters }: Workload): number {
  const rule = rules.get(given.rule)!;
  const whole = residentBytes(rule, given.format) * parameters;
  if (parameters <= sharedAbove) return whole;
  const distinct = new Map(shapes.map((shape) => [shape.join(), elements(shape)]));
  const grads = [...distinct.values()].reduce((sum, size) => sum + size, 0);
  return whole - (parameters - grads) * gradientBytes(given.format);
}

/** The first of the case's sets that fits, or why none does. */
function chooseSet(given: Case, { memory, standIn }: Context): Workload | string {
  const sets = given.sets.map((name) => gpuSets(standIn).get(name)!);
  const fitting = sets.find((set) => bytesOf(given, set) < usableShare * memory);
  if (fitting) return fitting;
  const needed = Math.min(...sets.map((set) => bytesOf(given, set)));
  return `it takes ${Math.ceil(needed / 2 ** 30)} GiB and this GPU has ${Math.floor(memory / 2 ** 30)}`;
}

const message = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Ours in a graph, or without one where that fails, which is told. */
function openBest(given: Case, set: Workload, rotated: number, context: Context) {
  try {
    return { ours: openOurs(given, set, rotated, true), graph: true };
  } catch (error) {
    context.skip(`${given.id}, in a graph`, message(error));
    return { ours: openOurs(given, set, rotated, false), graph: false };
  }
}

async function hostTimes(given: Case, set: Workload, { hostSteps, hostWarmUp }: Effort) {
  const median = async (graph: boolean) => {
    const timed = openOurs(given, set, 1, graph);
    try {
      await timed.host(hostWarmUp);
      return quantile(await timed.host(hostSteps), 0.5);
    } finally {
      await timed.close();
    }
  };
  return { graph: await median(true), eager: await median(false) };
}

interface Ours {
  readonly timed: Timed;
  readonly plan: Plan;
  readonly result: TimeResult;
  /** Whether torch's tensors fit beside ours. */
  readonly together: boolean;
}

async function measurePeer(
  given: Case,
  set: Workload,
  mode: TorchMode,
  rotated: number,
  ours: Ours,
  { torch, effort }: Context,
): Promise<PeerCell> {
  const theirs = await torch.open(given, set, rotated, mode);
  try {
    const plan = await planFor(theirs, effort, rotated);
    const host = given.host ? quantile(await theirs.host(effort.hostSteps), 0.5) : null;
    const base = { mode, name: torchNames[mode], hostUs: host };
    if (ours.together) {
      const { b, ratio } = await compare(ours.timed, ours.plan, theirs, plan);
      return { ...base, time: b, ratio };
    }
    const result = await time(theirs, plan);
    return { ...base, time: result, ratio: result.ms.median / ours.result.ms.median };
  } finally {
    await theirs.close();
  }
}

async function measurePeers(given: Case, set: Workload, rotated: number, ours: Ours, context: Context) {
  const peers: PeerCell[] = [];
  for (const mode of given.torch) {
    const what = `${given.id}, ${torchNames[mode]}`;
    const reason = context.torch.refusal(given, mode);
    if (reason !== undefined) context.skip(what, reason);
    else if (Date.now() > context.deadline) context.skip(what, 'the time is used up');
    else {
      try {
        peers.push(await measurePeer(given, set, mode, rotated, ours, context));
      } catch (error) {
        context.skip(what, message(error));
      }
    }
  }
  return peers;
}

/** Undefined where nothing could be measured, after saying why. */
export async function measureCase(given: Case, context: Context): Promise<Cell | undefined> {
  const { effort, memory, l2Bytes } = context;
  if (Date.now() > context.deadline) {
    context.skip(given.id, 'the time is used up');
    return;
  }
  const set = chooseSet(given, context);
  if (typeof set === 'string') {
    context.skip(given.id, set);
    return;
  }
  const rule = rules.get(given.rule)!;
  const bytes = bytesOf(given, set);
  // The sets of a stand-in are so small that they would be copied by the thousand.
  const rotated = context.standIn ? 3 : rotating(bytes, l2Bytes);
  const matrices = set.matrices === true;
  const bytesPerParameter = matrices ? muonElementwiseBytes : floorBytes(rule, given.format);
  try {
    const { ours: timed, graph } = openBest(given, set, rotated, context);
    let open = true;
    const close = async () => {
      if (open) await timed.close();
      open = false;
    };
    try {
      const plan = await planFor(timed, effort, rotated);
      const result = await time(timed, plan);
      // torch's foreach keeps copies of what it works on.
      const together = (2.5 * bytes + bytes) * rotated < usableShare * memory;
      if (!together) await close();
      const ours = { timed, plan, result, together };
      const peers = await measurePeers(given, set, rotated, ours, context);
      await close();
      return {
        id: given.id,
        title: given.title,
        set: set.name,
        tensors: set.shapes.length,
        parameters: set.parameters,
        format: given.format,
        rotated,
        graph,
        time: result,
        bytesPerParameter,
        gbPerSecond: (bytesPerParameter * set.parameters) / result.ms.median / 1e6,
        flops: matrices ? newtonSchulzFlops(set.shapes) : null,
        hostUs: given.host ? await hostTimes(given, set, effort) : null,
        peers,
      };
    } finally {
      await close();
    }
  } catch (error) {
    context.skip(given.id, message(error));
    return;
  }
}
