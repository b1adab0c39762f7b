// One rank of `mpirun -n <any> node -r ts-node/register/transpile-only sharded.ts <folder> <from>`: every optimizer sharded, and
// beside it one process over the same gradients, on problems of odd shapes and the golden ones. With `from` it goes on
// after so many steps, from what a job of another number of ranks left in the folder. The last line of a rank is
// "rank <r>: <n> same" or what differs.
import path from 'node:path';
import { AdamW, Lookahead, Muon, mpi, Sharded, type HostArray, type StateDict } from 'fused-optim';
import { difference } from '../bits';
import { registered, testLr } from '../registry';
import { goldenProblems } from '../golden';
import { alone, modelOf, type Make } from '../sharded';

const [folder = '.', from = '0'] = process.argv.slice(2);
const first = Number(from);
const steps = 2;
const comm = mpi({ timeout: 60 });
const { rank, size } = comm;

const makes: [string, Make][] = [
  ...registered.map(({ name, Class }): [string, Make] => [
    name,
    (params) => new Class(params, { lr: testLr } as object),
  ]),
  ['AdamW, clipped', (params) => new AdamW(params, { lr: testLr, maxGradNorm: 2, nonFinite: 'skip' })],
  ['Muon', (params) => new Muon(params, { lr: testLr, maxGradNorm: 2 })],
  [
    'Muon of directions',
    (params) => new Muon(params, { lr: testLr, weightDecay: 0.1, nsDtype: 'bfloat16', maxGradNorm: 2 }),
  ],
  ['Lookahead', (params) => new Lookahead(new AdamW(params, { lr: testLr }), { k: 2 })],
];

function compare(what: string, received: HostArray, expected: HostArray): void {
  const where = difference(received, expected);
  if (where !== undefined) throw new Error(`${what} differs at ${where}`);
}

function compareDicts(name: string, received: StateDict, expected: StateDict): void {
  for (const [tensor, state] of Object.entries(expected.state))
    for (const [field, value] of Object.entries(state)) {
      const mine = received.state[tensor]![field]!;
      const what = `${name}: ${field} of ${tensor}`;
      if (ArrayBuffer.isView(value)) compare(what, mine as HostArray, value as HostArray);
      else if (JSON.stringify(mine) !== JSON.stringify(value))
        throw new Error(`${what} is ${JSON.stringify(mine)}, not ${JSON.stringify(value)}`);
    }
}

async function check(name: string, make: Make, stage: 1 | 2): Promise<void> {
  const file = path.join(folder, `${name}.index.json`);
  const one = alone(make);
  const model = modelOf();
  const options = { params: model.params, stage, bucketBytes: 50_000 };
  const optimizer = new Sharded(comm, make as never, options);
  const step = async (i: number): Promise<void> => {
    one.model.give(i);
    model.give(i, rank, size);
    const expected = one.optimizer.step();
    const received = await optimizer.step();
    if (received.gradNorm !== expected.gradNorm)
      throw new Error(`${name}: the norm is ${received.gradNorm}, not ${expected.gradNorm}`);
    one.model.params.forEach((param, k) => {
      compare(
        `${name}: ${param.name!} after step ${i}`,
        model.params[k]!.data as HostArray,
        param.data as HostArray,
      );
    });
  };
  for (let i = 0; i < first; ++i) {
    one.model.give(i);
    one.optimizer.step();
  }
  if (first > 0) {
    one.model.params.forEach(({ data }, k) => {
      (model.params[k]!.data as Float32Array).set(data as Float32Array);
    });
    await optimizer.load(file);
  }
  for (let i = first; i < first + steps; ++i) await step(i);
  compareDicts(name, await optimizer.stateDict(), one.optimizer.stateDict());
  await optimizer.save(file);
  const share = optimizer.stateBytes();
  optimizer.dispose();
  const next = new Sharded(comm, make as never, options);
  await next.load(file);
  compareDicts(name, await next.stateDict(), one.optimizer.stateDict());
  if (name === 'AdamW' && rank === 0)
    console.log(`rank 0 keeps ${share} of ${one.optimizer.stateBytes()} bytes of state`);
  next.dispose();
  one.optimizer.dispose();
}

/** All ranks have the gradients of a golden problem, whose mean is exact where a power of two ranks has them. */
async function checkGolden(name: string, make: Make, stage: 1 | 2): Promise<void> {
  for (const { name: problem, make: makeModel } of goldenProblems) {
    const one = makeModel();
    const mine = makeModel();
    const alone = make(one.params);
    const isExact = Number.isInteger(Math.log2(size));
    const optimizer = new Sharded(comm, make as never, {
      params: mine.params,
      stage,
      reduce: isExact ? 'mean' : 'none',
    });
    for (let i = 0; i < 4; ++i) {
      one.give(i);
      mine.give(i);
      alone.step();
      await optimizer.step();
      one.params.forEach((param, k) => {
        const what = `${name} on ${problem}: ${param.name!} after step ${i}`;
        compare(what, mine.params[k]!.data as HostArray, param.data as HostArray);
      });
    }
    optimizer.dispose();
    alone.dispose();
  }
}

async function main(): Promise<void> {
  let count = 0;
  for (const [i, [name, make]] of makes.entries()) {
    await check(name, make, i % 2 === 0 ? 1 : 2);
    if (first === 0) await checkGolden(name, make, i % 2 === 0 ? 2 : 1);
    ++count;
  }
  console.log(`rank ${rank}: ${count} same`);
  await comm.close();
}

main().catch((error: unknown) => {
  console.log(`rank ${rank}: ${(error as Error).stack ?? String(error)}`);
  process.exitCode = 1;
});
