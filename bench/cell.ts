import type { Floor, FloorKind } from './floor';
import { interleave, type Contender, type Schedule, type Series } from './interleave';
import type { Peer, Task } from './peers/peer';
import { bytesPerParameter, rules, type BenchRule } from './rules';
import { median, ratioByRound, type Spread } from './statistics';
import { watchOthers } from './machine';

/** A time of one step, in the units people compare. */
export interface StepTime {
  readonly medianUs: number;
  readonly minUs: number;
  readonly nsPerParameter: number;
  /** The traffic the rule requires, reads and writes, over the time. */
  readonly gbPerSecond: number;
}

/** A floor's time, and ours as a multiple of it. */
export interface FloorResult extends StepTime {
  readonly ratio: Spread;
}

/** Another implementation's time, and ours as a multiple of it: below 1, ours is faster. */
export interface PeerResult extends StepTime {
  readonly name: string;
  readonly ratio: Spread;
}

export interface PlainResult extends StepTime {
  readonly rule: string;
  readonly ratio: Spread;
}

/** One rule on one set of tensors with one number of threads. */
export interface CellResult extends StepTime {
  readonly rule: string;
  readonly set: string;
  readonly threads: number;
  readonly tensors: number;
  readonly parameters: number;
  readonly bytesPerParameter: number;
  readonly rounds: number;
  readonly stepsPerRound: number;
  readonly floors: { readonly traffic: FloorResult; readonly divider?: FloorResult };
  /**
   * The floor that cannot be beaten here: the divider's, where roots and divisions take longer than the memory. Products of
   * matrices take longer than either, and have no floor: `ratio` is over the traffic then.
   */
  readonly bound: FloorKind | 'products';
  /** Ours as a multiple of the floor that bounds; 1 is as fast as the machine allows. */
  readonly ratio: Spread;
  /** Share of the machine's streaming rate with the same reads and writes: 1 / floors.traffic.ratio.median. */
  readonly share: number;
  /** Share of all processors that other processes and guests used meanwhile; null where the system does not say. */
  readonly othersBusy: number | null;
  /** The same rule without what this one adds, taking turns with it: `ratio` is what the addition costs. */
  readonly plain?: PlainResult;
  readonly peers: readonly PeerResult[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

/** A divider this much slower than the traffic alone is what bounds; less is noise. */
const dividerBounds = 1.1;

/** Sets whose floor and peers together would take more memory than a shared machine should give. */
const largeSet = 50_000_000;

function timeOf(series: Series, { set, rule }: Task): StepTime {
  const seconds = median(series.seconds);
  return {
    medianUs: seconds * 1e6,
    minUs: Math.min(...series.seconds) * 1e6,
    nsPerParameter: (seconds * 1e9) / set.parameters,
    gbPerSecond: (set.parameters * bytesPerParameter(rule)) / seconds / 1e9,
  };
}

/** Our own optimizer as somebody who takes steps. */
function contender({ tensors, threads }: Task, rule: BenchRule): Contender & { close(): void } {
  const optimizer = rule.create([...tensors], threads);
  return {
    name: rule.name,
    run(steps) {
      const start = performance.now();
      for (let i = 0; i < steps; ++i) optimizer.step();
      return (performance.now() - start) / 1000;
    },
    close: () => optimizer.dispose(),
  };
}

export async function measureCell(
  task: Task,
  floor: Floor,
  peers: readonly Peer[],
  given: Schedule,
): Promise<CellResult> {
  const { rule, set, threads } = task;
  const period = Math.max(...rule.passes.map(({ every }) => every));
  const schedule = { ...given, period };
  const plain = rule.plain === undefined ? undefined : rules.get(rule.plain);
  const ours = contender(task, rule);
  const base = plain && contender(task, plain);
  try {
    const divides = rule.passes.some((pass) => pass.divides);
    const kinds: readonly FloorKind[] = divides ? ['traffic', 'divider'] : ['traffic'];
    const floors = kinds.map((kind) => floor.contender(kind, set.parameters, rule.passes, threads));
    const others = watchOthers();
    const all = await interleave([ours, ...floors, ...(base ? [base] : [])], schedule);
    const othersBusy = others();
    const [mine, traffic] = all as [Series, Series];
    const divider = divides ? all[2] : undefined;
    const without = base && all.at(-1);

    const against = (series: Series): FloorResult => ({
      ...timeOf(series, task),
      ratio: ratioByRound(mine.seconds, series.seconds),
    });
    const slow = divider && ratioByRound(divider.seconds, traffic.seconds).median > dividerBounds;
    const result = {
      rule: rule.name,
      set: set.name,
      threads,
      tensors: set.shapes.length,
      parameters: set.parameters,
      bytesPerParameter: bytesPerParameter(rule),
      rounds: schedule.rounds,
      stepsPerRound: mine.stepsPerRound,
      ...timeOf(mine, task),
      floors: { traffic: against(traffic), ...(divider && { divider: against(divider) }) },
      bound: rule.products ? ('products' as const) : slow ? ('divider' as const) : ('traffic' as const),
      ratio: against(slow ? divider : traffic).ratio,
      share: 1 / against(traffic).ratio.median,
      othersBusy,
      ...(plain &&
        without && {
          plain: {
            rule: plain.name,
            ...timeOf(without, { ...task, rule: plain }),
            ratio: against(without).ratio,
          },
        }),
    };
    if (peers.length > 0 && set.parameters > largeSet) floor.release();
    return { ...result, ...(await measurePeers(task, ours, peers, schedule)) };
  } finally {
    ours.close();
    base?.close();
  }
}

/** Each peer alone against ours: together they would hold several times a model's memory. */
async function measurePeers(
  task: Task,
  ours: Contender,
  peers: readonly Peer[],
  schedule: Schedule,
): Promise<Pick<CellResult, 'peers' | 'skipped'>> {
  const results: PeerResult[] = [];
  const skipped: { name: string; reason: string }[] = [];
  for (const peer of peers) {
    const opened = await peer.open(task);
    if (typeof opened === 'string') {
      skipped.push({ name: peer.name, reason: opened });
      continue;
    }
    try {
      const [mine, theirs] = (await interleave([ours, opened], schedule)) as [Series, Series];
      const ratio = ratioByRound(mine.seconds, theirs.seconds);
      results.push({ name: peer.name, ...timeOf(theirs, task), ratio });
    } finally {
      await opened.close();
    }
  }
  return { peers: results, skipped };
}
