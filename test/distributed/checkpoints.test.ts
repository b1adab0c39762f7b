import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Adam, AdamW, LAMB, Lookahead, Muon, type StateDict } from 'fused-optim';
import {
  alone,
  expectSameAsAlone,
  shardedRun,
  together,
  type Make,
  type ShardedRun,
} from '../helpers/sharded';

let directory: string;
beforeEach(() => (directory = fs.mkdtempSync(path.join(os.tmpdir(), 'shards-'))));
afterEach(() => fs.rmSync(directory, { recursive: true }));

const makes: [string, Make][] = [
  ['AdamW', (params) => new AdamW(params, { lr: 0.05, maxGradNorm: 5 })],
  ['AdamW of 8-bit states', (params) => new AdamW(params, { lr: 0.05, stateDtype: '8bit' })],
  ['LAMB', (params) => new LAMB(params, { lr: 0.05 })],
  ['Muon', (params) => new Muon(params, { lr: 0.05 })],
  ['Lookahead', (params) => new Lookahead(new Adam(params, { lr: 0.05 }), { k: 3 })],
];

type One = ReturnType<typeof alone>;

async function train(run: ShardedRun, one: One, from: number, to: number): Promise<void> {
  for (let step = from; step < to; ++step) {
    one.model.give(step);
    one.optimizer.step();
    await together(run, async ({ model, optimizer }, rank) => {
      model.give(step, rank, run.ranks.length);
      await optimizer.step();
    });
  }
}

/** New ranks that go on from the weights of one process. */
function resumed(size: number, make: Make, one: One): ShardedRun {
  const run = shardedRun(size, make, { bucketBytes: 60_000 });
  for (const { model } of run.ranks)
    model.params.forEach((param, i) =>
      (param.data as Float32Array).set(one.model.params[i]!.data as Float32Array),
    );
  return run;
}

describe.each(makes)('%s', (_, make) => {
  test.each(['state.safetensors', 'state.index.json'])('goes on from %s on 4, 2, 3 ranks', async (name) => {
    const file = path.join(directory, name);
    const one = alone(make);
    let run = shardedRun(4, make);
    await train(run, one, 0, 3);
    for (const [turn, size] of [2, 3].entries()) {
      await together(run, ({ optimizer }) => optimizer.save(file));
      const files = fs.readdirSync(directory).length;
      expect(files).toBe(name.endsWith('.json') ? 1 + run.ranks.length : 1);
      run = resumed(size, make, one);
      await together(run, ({ optimizer }) => optimizer.load(file));
      expectSameAsAlone(run, one);
      await train(run, one, 3 + 2 * turn, 5 + 2 * turn);
      expectSameAsAlone(run, one);
    }
  });

  test('and one process read each other', async () => {
    const file = path.join(directory, 'state.safetensors');
    const one = alone(make);
    const run = shardedRun(3, make);
    await train(run, one, 0, 3);
    await together(run, ({ optimizer }) => optimizer.save(file));
    const bytes = fs.readFileSync(file);
    const optimizer = one.optimizer as unknown as {
      save(path: string): Promise<void>;
      load(path: string): Promise<void>;
    };
    await optimizer.save(file);
    expect(fs.readFileSync(file).equals(bytes)).toBe(true);
    await optimizer.load(file);
    const dicts = await together(run, ({ optimizer: mine }) => mine.stateDict());
    for (const dict of dicts)
      expect(Object.keys(dict.state)).toEqual(Object.keys(one.optimizer.stateDict().state));
    const other = resumed(2, make, one);
    await together(other, ({ optimizer: mine }) => mine.loadStateDict(dicts[0]!));
    expectSameAsAlone(other, one);
  });
});

describe('refusals', () => {
  const make: Make = (params) => new AdamW(params, { lr: 0.05 });
  const failures = (run: ShardedRun, work: Parameters<typeof together<void>>[1]): Promise<string[]> =>
    together(run, async (rank, i) => {
      try {
        await work(rank, i);
        return 'nothing';
      } catch (error) {
        return (error as Error).message;
      }
    });

  test('a file that only one rank has not is an error on all, and changes nothing', async () => {
    const file = path.join(directory, 'state.index.json');
    const one = alone(make);
    const run = shardedRun(2, make);
    await train(run, one, 0, 2);
    await together(run, ({ optimizer }) => optimizer.save(file));
    fs.rmSync(
      path.join(
        directory,
        fs.readdirSync(directory).find((name) => name.includes('00002-of'))!,
      ),
    );
    const messages = await failures(run, ({ optimizer }) => optimizer.load(file));
    expect(messages[0]).toMatch(/^Loading failed on rank 1: Could not read ".*": there is no such file/);
    expect(messages[1]).toMatch(/^Could not read ".*": there is no such file/);
    expectSameAsAlone(run, one);
    await train(run, one, 2, 3);
    expectSameAsAlone(run, one);
  });

  test('another optimizer, and a dict with other tensors', async () => {
    const other = alone((params) => new Adam(params));
    const dict = other.optimizer.stateDict();
    const run = shardedRun(2, make);
    for (const message of await failures(run, ({ optimizer }) => optimizer.loadStateDict(dict)))
      expect(message).toMatch(/Expected a state dict of AdamW but received one of "Adam"\.$/);
    const mine = alone(make).optimizer.stateDict();
    const { 'tensor.2': _, ...rest } = mine.state;
    for (const [state, words] of [
      [rest, 'missing "tensor.2"'],
      [{ ...mine.state, more: mine.state['tensor.2'] }, 'extra "more"'],
    ] as const)
      for (const message of await failures(run, ({ optimizer }) =>
        optimizer.loadStateDict({ ...mine, state } as StateDict),
      ))
        expect(message).toContain(words);
  });

  test('a folder that is not there, and an index that is none', async () => {
    const run = shardedRun(2, make);
    const nowhere = path.join(directory, 'none', 'state.safetensors');
    const [first, second] = await failures(run, ({ optimizer }) => optimizer.save(nowhere));
    expect(first).toMatch(/^Could not write ".*": there is no such file or folder/);
    expect(second).toMatch(/^Saving failed on rank 0: Could not write/);
    const file = path.join(directory, 'state.index.json');
    fs.writeFileSync(file, '{}');
    for (const message of await failures(run, ({ optimizer }) => optimizer.load(file)))
      expect(message).toMatch(
        /Expected ".*" to be an index of a checkpoint of fused-optim but it is not one\.$/,
      );
  });
});
