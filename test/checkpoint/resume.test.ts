import fs from 'node:fs';
import path from 'node:path';
import { Adam, NAdam, readCheckpointInfo, SGD, type StateDict } from 'fused-optim';
import { readStateDict, writeStateDict } from '../../lib/checkpoint/checkpoint';
import { expectSameBits, expectSameState } from '../helpers/bits';
import { values } from '../helpers/random';
import {
  optionsOf,
  registered,
  setOptions,
  switches,
  variantsOf,
  type AnyOptimizer,
} from '../helpers/registry';
import { lrAt } from '../helpers/runs';
import { scratchDirectory } from '../house/scratch';

const directory = scratchDirectory();
const file = path.join(directory, 'optimizer.safetensors');

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  data: Float32Array;
  grad: Float32Array | null;
}

const shapes = [[4, 3], [7], [], [2, 1, 10]];
const tensors = (): Tensor[] =>
  shapes.map((shape, i) => {
    const length = shape.reduce((product, size) => product * size, 1);
    return { name: `layer.${i}`, shape, data: values(length, i), grad: null };
  });

/** Steps with a schedule. Tensor 1 joins at step 3; tensor 3 never has a gradient. */
function steps(optimizer: AnyOptimizer, params: readonly Tensor[], from: number, to: number): void {
  for (let step = from; step <= to; ++step) {
    params.forEach((param, i) => {
      param.grad = i === 3 || (i === 1 && step < 3) ? null : values(param.data.length, 100 * i + step);
    });
    setOptions(optimizer, { lr: lrAt(step) });
    optimizer.step();
  }
}

describe.each(registered)('$name', (entry) => {
  const { Class } = entry;

  test('goes on from a file as if it had never stopped', async () => {
    const all = variantsOf(entry);
    // With no switch, with one, and with all of them.
    const most = Math.max(...all.map((options) => switches(entry, options)));
    const chosen = all.filter((options) => [0, 1, most].includes(switches(entry, options)));
    for (const [index, options] of chosen.entries()) {
      const [whole, halted, resumed] = [tensors(), tensors(), tensors()];
      const straight = new Class(whole, options);
      steps(straight, whole, 1, 6);

      const stop = 1 + (index % 5);
      const first = new Class(halted, options);
      steps(first, halted, 1, stop);
      await first.save(file);
      const second = new Class(resumed);
      if (index % 2 === 0) steps(second, resumed, 1, 2); // a past of its own, which must go
      resumed.forEach((param, i) => (param.data = halted[i]!.data.slice()));
      await second.load(file);
      expect(second.stateDict()).toEqual(first.stateDict());
      expect(optionsOf(second)).toEqual(optionsOf(first));
      steps(second, resumed, stop + 1, 6);
      whole.forEach((param, i) => {
        expectSameBits(resumed[i]!.data, param.data, `${param.name}, stopped after ${stop}`);
        expectSameState(second.state(resumed[i]!), straight.state(param), param.name);
      });
    }
  });

  test("keeps states under torch's names, in the shapes of their parameters", async () => {
    const params = tensors();
    const optimizer = new Class(params);
    steps(optimizer, params, 1, 3);
    await optimizer.save(file);
    const info = await readCheckpointInfo(file);
    expect(info).toMatchObject({ algorithm: entry.name, step: 3 });
    const expected = params.flatMap((param) =>
      Object.entries(optimizer.state(param)).flatMap(([state, value]) => {
        if (typeof value === 'number') return [];
        const name = state.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
        return [[`${param.name}.${name}`, { dtype: 'F32', shape: param.shape, bytes: 4 * value.length }]];
      }),
    );
    expect(info.tensors).toEqual(Object.fromEntries(expected));
  });
});

/** A dict through a file. */
async function through(dict: unknown): Promise<StateDict> {
  await writeStateDict(file, dict as StateDict);
  return readStateDict(file);
}

describe('a checkpoint', () => {
  const trained = (names: readonly string[]): { optimizer: NAdam; params: Tensor[] } => {
    const params = names.map((name, i) => ({ name, shape: [3], data: values(3, i), grad: values(3, 9 + i) }));
    const optimizer = new NAdam(params);
    optimizer.step();
    return { optimizer, params };
  };

  test.each<[string, string[]]>([
    [
      'names of states in names of parameters',
      ['a', 'a.exp_avg', 'a.exp_avg.exp_avg', 'exp_avg', 'a.expAvg', '.'],
    ],
    ['names that objects have', ['__proto__', 'constructor', 'toString', '__metadata__', 'shape', 'step']],
    ['marks of the format', ['$tensor', '$value', '$entries', '$', 'state', 'schema', 'w#2', 'w']],
    [
      'numbers, quotes, spaces and other writing',
      ['1', '0', ' ', '"', '\\', '\n', '\0', '重み', '\u{1f600}'],
    ],
    ['halves of surrogate pairs', ['\ud800', '\udc00', '\ufffd', 'x\ud801y']],
  ])('takes %s', async (_, names) => {
    const { optimizer, params } = trained(names);
    await optimizer.save(file);
    const { optimizer: other, params: theirs } = trained([...names].reverse());
    other.step();
    await other.load(file);
    params.forEach((param, i) => {
      expectSameState(other.state(theirs[names.length - 1 - i]!), optimizer.state(param), param.name);
    });
  });

  test('keeps the exact bits of every number', async () => {
    const numbers = [NaN, Infinity, -Infinity, -0, 0, 5e-324, Number.MAX_VALUE, 0.1 + 0.2, 2 ** 53, 1 / 3];
    const dict = await through({ state: {}, paramGroups: [{ params: [], numbers }], step: 1e21 });
    const read = (dict.paramGroups[0] as unknown as { numbers: number[] }).numbers;
    expect(read).toHaveLength(numbers.length);
    for (const [i, value] of numbers.entries()) expect(Object.is(read[i], value)).toBe(true);
    expect(dict.step).toBe(1e21);
  });

  test('keeps fields that this version does not know, and typed arrays in them', async () => {
    const dict = {
      version: 1,
      algorithm: 'SGD',
      step: 0,
      state: { w: { shape: [2, 2], step: 0, slow: Float32Array.of(1, 2, 3, 4), odd: Float32Array.of(5) } },
      paramGroups: [],
      schedule: { lr: { kind: 'cosine', step: 7, restart: null, none: undefined } },
      scaler: { scale: 65536, growthTracker: 3, $scale: [true, { $a: { $b: -0 } }] },
      routing: [['w', 'muon', 'by shape']],
      ema: { 'state.w': { slowWeights: Float64Array.of(NaN, -0) }, slow: Int32Array.of(-1) },
      'state.w': { slow: BigInt64Array.of(1n) },
    };
    const read = await through(dict);
    expect(read).toStrictEqual(dict);
    const { tensors } = await readCheckpointInfo(file);
    expect(Object.entries(tensors).map(([key, { dtype, shape }]) => [key, dtype, shape])).toEqual(
      expect.arrayContaining([
        ['w.slow', 'F32', [2, 2]],
        ['w.odd', 'F32', [1]],
        ['ema.state.w.slow_weights', 'F64', [2]],
        ['ema.slow', 'I32', [1]],
        ['state.w.slow', 'I64', [1]],
      ]),
    );
  });

  test('keeps arrays apart whose names would be the same', async () => {
    const head = { algorithm: 'SGD', step: 0, paramGroups: [], state: {} };
    const dict = { ...head, a: { 'b.c': Float32Array.of(1) }, 'a.b': { c: Float32Array.of(2) } };
    expect(await through(dict)).toStrictEqual(dict);
    expect(Object.keys((await readCheckpointInfo(file)).tensors)).toEqual(['a.b.c', 'a.b.c#2']);
  });

  test.each<[string, unknown, string]>([
    [
      'a function',
      () => 1,
      'Expected extra.deep of the state dict to be plain data but received a function.',
    ],
    ['a Map', new Map(), 'Expected extra.deep of the state dict to be plain data but received a Map.'],
    ['a bigint', 1n, 'Expected extra.deep of the state dict to be plain data but received 1 of type bigint.'],
    [
      'a DataView',
      new DataView(new ArrayBuffer(1)),
      'Expected extra.deep of the state dict to be numbers but received a DataView.',
    ],
  ])('refuses to save %s', async (_, deep, message) => {
    fs.rmSync(file, { force: true });
    await expect(through({ state: {}, extra: { deep } })).rejects.toThrow(message);
    expect(fs.existsSync(file)).toBe(false);
  });

  test('refuses to save a cycle', async () => {
    const extra: Record<string, unknown> = {};
    extra.extra = extra;
    await expect(through({ state: {}, extra })).rejects.toThrow('at most 64 levels deep');
  });

  test('of an optimizer without states and of a new one has no tensors', async () => {
    for (const optimizer of [new SGD(tensors()), new Adam(tensors())]) {
      await optimizer.save(file);
      expect((await readCheckpointInfo(file)).tensors).toEqual({});
      await optimizer.load(file);
    }
  });

  test('restores groups with their own options', async () => {
    const make = (options: readonly object[]): Adam => {
      const params = tensors();
      return new Adam(options.map((given, i) => ({ params: [params[i]!], ...given })));
    };
    const optimizer = make([{ lr: 0.5 }, { betas: [0.1, 0.2], weightDecay: 0.1 }, { maximize: true }]);
    await optimizer.save(file);
    const other = make([{}, {}, {}]);
    await other.load(file);
    for (const i of [0, 1, 2]) expect(optionsOf(other, i)).toEqual(optionsOf(optimizer, i));
  });
});
