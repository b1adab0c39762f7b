/** One rank of bench/sharded.ts: the first prints what was measured, as one line of JSON. */
import {
  AdamW,
  DistributedData,
  LAMB,
  mpi,
  Muon,
  Sharded,
  type Optimizer,
  type Parameter,
} from 'fused-optim';
import { interleave, type Contender } from './interleave';
import { makeTensors, workloads } from './workloads';

/** What the starting process asks for. */
export interface Task {
  readonly set: string;
  readonly optimizers: readonly string[];
  readonly rounds: number;
  readonly visitSeconds: number;
  /** Of one process alone, and of each rank. */
  readonly threads: { readonly alone: number; readonly rank: number };
}

export interface Cell {
  readonly optimizer: string;
  readonly ranks: number;
  readonly aloneStateBytes: number;
  /** By rank. */
  readonly stateBytes: readonly number[];
  /** Of the largest rank. */
  readonly sentBytes: { readonly stage1: number; readonly stage2: number; readonly replicated: number };
  /** Seconds of a step, a number a round. */
  readonly alone: readonly number[];
  readonly stage1: readonly number[];
  readonly stage2: readonly number[];
  readonly replicated: readonly number[];
}

type Make = (params: readonly Parameter[], threads: number) => Optimizer;

export const makes: ReadonlyMap<string, Make> = new Map<string, Make>([
  ['adamw', (params, threads) => new AdamW(params, { threads })],
  ['lamb', (params, threads) => new LAMB(params, { threads })],
  ['muon', (params, threads) => new Muon(params, { threads })],
]);

/** A matrix that is much longer than wide is a table of tokens, which Muon leaves to its AdamW. */
function paramsOf(set: string): Parameter[] {
  return makeTensors(workloads.get(set)!).map((tensor) => {
    const [rows = 1, columns = 1] = tensor.shape;
    const isTable = tensor.shape.length === 2 && rows > 8 * columns;
    return { ...tensor, ...(isTable && { role: 'embedding' as const }) };
  });
}

async function measure(name: string, task: Task): Promise<Cell> {
  const comm = mpi();
  const { rank, size } = comm;
  const make = makes.get(name)!;
  const { threads } = task;

  const alone = rank === 0 ? make(paramsOf(task.set), threads.alone) : undefined;
  const sharded = ([1, 2] as const).map(
    (stage) =>
      new Sharded(comm, (params) => make(params, threads.rank), { params: paramsOf(task.set), stage }),
  );
  const whole = paramsOf(task.set);
  const replicated = make(whole, threads.rank);
  const data = new DistributedData(comm, whole);

  // Every rank has to take as many steps as the first, which alone has a clock.
  const order = new Float64Array(2);
  const work = [
    () => Promise.resolve(alone?.step()),
    () => sharded[0]!.step(),
    () => sharded[1]!.step(),
    async () => {
      await data.average();
      replicated.step();
    },
  ];
  const visit = async (index: number, steps: number): Promise<number> => {
    await comm.broadcast(order);
    const start = performance.now();
    for (let i = 0; i < steps; ++i) await work[index]!();
    const seconds = (performance.now() - start) / 1000;
    await comm.barrier();
    return seconds;
  };
  let series: readonly (readonly number[])[] = [];
  if (rank === 0) {
    const contenders = ['alone', 'stage1', 'stage2', 'replicated'].map((each, index): Contender => ({
      name: each,
      run(steps) {
        order.set([index, steps]);
        return visit(index, steps);
      },
    }));
    series = (await interleave(contenders, task)).map(({ seconds }) => seconds);
    order.fill(-1);
    await comm.broadcast(order);
  } else {
    // The order is known once it has come, so the first exchange of a visit is here.
    for (;;) {
      await comm.broadcast(order);
      const [index = -1, steps = 0] = order;
      if (index < 0) break;
      for (let i = 0; i < steps; ++i) await work[index]!();
      await comm.barrier();
    }
  }

  const stateBytes = new Float64Array(size);
  await comm.allGather(Float64Array.of(sharded[0]!.stateBytes()), stateBytes);
  const own = sharded[0]!.plan.ranks.map(({ elements }) => elements);
  const elements = own.reduce((sum, count) => sum + count, 0);
  const most = (of: (own: number) => number): number => 4 * Math.max(...own.map(of));
  const reduced = (2 * (size - 1) * elements) / size;
  const result: Cell = {
    optimizer: name,
    ranks: size,
    aloneStateBytes: replicated.stateBytes(),
    stateBytes: [...stateBytes],
    sentBytes: {
      stage1: most((mine) => reduced + (size - 1) * mine),
      stage2: most((mine) => elements - mine + (size - 1) * mine),
      replicated: 4 * reduced,
    },
    alone: series[0] ?? [],
    stage1: series[1] ?? [],
    stage2: series[2] ?? [],
    replicated: series[3] ?? [],
  };
  for (const each of [alone, ...sharded, replicated]) each?.dispose();
  return result;
}

async function main(): Promise<void> {
  const task = JSON.parse(process.argv[2] ?? '{}') as Task;
  for (const name of task.optimizers) {
    const cell = await measure(name, task);
    if (mpi().rank === 0) process.stdout.write(`${JSON.stringify(cell)}\n`);
  }
  await mpi().close();
}

if (require.main === module) void main();
