import { AdamW, SGD, type Parameter } from 'fused-optim';
import { expectSameBits, expectSameState } from './helpers/bits';
import { values } from './helpers/random';
import {
  forVariants,
  optionsOf,
  registered,
  setOptions,
  variantsOf,
  type AnyOptimizer,
  type Options,
} from './helpers/registry';

interface Tensor {
  readonly data: Float32Array;
  grad: Float32Array | null;
}

const steps = 6;
const tensor = (length: number, seed: number): Tensor => ({ data: values(length, seed), grad: null });

/** The gradient of a step; never zeros alone, so that every step moves something. */
const gradient = (length: number, step: number, seed: number): Float32Array =>
  values(length, 1000 * seed + step);

/** Runs steps; at each, a tensor has a gradient when `active` says so. */
function run(
  optimizer: AnyOptimizer,
  tensors: readonly Tensor[],
  active: (index: number, step: number) => boolean = () => true,
): void {
  for (let step = 1; step <= steps; ++step) {
    tensors.forEach((param, i) => {
      param.grad = active(i, step) ? gradient(param.data.length, step, i) : null;
    });
    optimizer.step();
  }
}

describe.each(registered)('$name', (entry) => {
  const { Class } = entry;

  test('gives each group what an optimizer of its own would', () => {
    const variants = variantsOf(entry);
    const picks = Array.from({ length: Math.ceil(variants.length / 3) }, (_, i) =>
      [0, 1, 2].map((k) => variants[(3 * i + k * 7) % variants.length]!),
    );
    for (const chosen of picks) {
      const make = () => chosen.map((_, i) => tensor(20 + i, i));
      const together = make();
      const groups = chosen.map((options, i) => ({ params: [together[i]!], ...options }));
      const optimizer = new Class(groups);
      run(optimizer, together);
      make().forEach((param, i) => {
        const alone = new Class([param], chosen[i]);
        for (let step = 1; step <= steps; ++step) {
          param.grad = gradient(param.data.length, step, i);
          alone.step();
        }
        expect(optionsOf(optimizer, i)).toEqual(optionsOf(alone));
        expectSameBits(together[i]!.data, param.data, `group ${i} with ${JSON.stringify(chosen[i])}`);
        expectSameState(optimizer.state(together[i]!), alone.state(param), `group ${i}`);
      });
    }
  });

  test('counts the steps of every tensor on its own: one that joins late is as in a new optimizer', () => {
    // Always, from step 3 on, with a break in the middle, only in the break.
    const active = (index: number, step: number): boolean =>
      [true, step >= 3, step < 3 || step > 4, step === 3 || step === 4][index]!;
    forVariants(entry, (options) => {
      const make = () => [0, 1, 2, 3].map((i) => tensor(19, i));
      const together = make();
      const optimizer = new Class(together, options);
      run(optimizer, together, active);
      make().forEach((param, i) => {
        const alone = new Class([param], options);
        let count = 0;
        for (let step = 1; step <= steps; ++step) {
          if (!active(i, step)) continue;
          param.grad = gradient(19, step, i);
          alone.step();
          ++count;
        }
        expectSameBits(together[i]!.data, param.data, `tensor ${i}`);
        expectSameState(optimizer.state(together[i]!), alone.state(param), `tensor ${i}`);
        expect(optimizer.state(together[i]!).step).toBe(count);
      });
    });
  });

  test('leaves a tensor without a gradient alone: no decay, no state, no step', () => {
    forVariants(entry, (options) => {
      const [moving, resting] = [tensor(19, 1), tensor(19, 2)];
      const optimizer = new Class([moving, resting], options);
      moving.grad = gradient(19, 1, 1);
      resting.grad = gradient(19, 1, 2);
      optimizer.step();
      const before = optimizer.stateDict();
      const data = resting.data.slice();
      for (const nothing of [null, undefined]) {
        Object.assign(resting, { grad: nothing });
        optimizer.step();
      }
      expectSameBits(resting.data, data, 'the data');
      expect(optimizer.stateDict().state['param.1']).toEqual(before.state['param.1']);
      expect(optimizer.state(moving).step).toBe(3);
    });
  });

  test('takes a group added later as one that was there, with its own options', () => {
    const options = variantsOf(entry).at(-1)!;
    const [first, second] = [tensor(9, 1), tensor(9, 2)];
    const optimizer = new Class([first]);
    optimizer.addParamGroup({ params: [second], ...options });
    expect(optionsOf(optimizer, 1)).toEqual(optionsOf(new Class([tensor(9, 2)], options)));
    run(optimizer, [first, second]);
    const [alone, same] = [tensor(9, 1), tensor(9, 2)];
    const groups = [{ params: [alone] }, { params: [same], ...options }];
    run(new Class(groups), [alone, same]);
    expectSameBits(first.data, alone.data, 'the first group');
    expectSameBits(second.data, same.data, 'the added group');
  });

  test('takes every live option at the next step', () => {
    for (const options of variantsOf(entry)) {
      const [live, fixed] = [tensor(9, 1), tensor(9, 1)];
      const optimizer = new Class([live]);
      const { lr } = options;
      setOptions(optimizer, { ...options, ...('maxLr' in entry.defaults ? { maxLr: lr } : {}) });
      run(optimizer, [live]);
      run(new Class([fixed], options), [fixed]);
      expectSameBits(live.data, fixed.data, JSON.stringify(options));
    }
  });
});

describe('groups', () => {
  const group = (options: Options = {}) => ({ params: [tensor(2, 1)], ...options });

  test('inherit the options of the optimizer, and override them one by one', () => {
    const groups = [
      group(),
      group({ weightDecay: 0 }),
      group({ lr: 1, maximize: true }),
      group({ lr: undefined }),
    ];
    const optimizer = new AdamW(groups, { lr: 0.5, weightDecay: 0.25 });
    const seen = optimizer.paramGroups.map(({ lr, weightDecay, maximize }) => [lr, weightDecay, maximize]);
    expect(seen).toEqual([
      [0.5, 0.25, false],
      [0.5, 0, false],
      [1, 0.25, true],
      [0.5, 0.25, false],
    ]);
  });

  test('may come from a generator, and their parameters too', () => {
    const params = [tensor(1, 1), tensor(2, 2), tensor(3, 3)];
    function* list(): Generator<Parameter> {
      yield* params;
    }
    function* groups(): Generator<{ params: Iterable<Parameter> }> {
      yield { params: list() };
      yield { params: new Set([tensor(4, 4)]) };
    }
    expect(new SGD(list()).paramGroups[0]!.params).toEqual(params);
    const optimizer = new SGD(groups());
    expect(optimizer.paramGroups.map(({ params }) => params.length)).toEqual([3, 1]);
    expect(Object.keys(optimizer.stateDict().state)).toEqual(['param.0', 'param.1', 'param.2', 'param.3']);
  });

  test('are live: neither the list nor their parameters can be changed behind the optimizer', () => {
    const optimizer = new SGD([group()]);
    const live = optimizer.paramGroups as unknown[];
    expect(() => live.push({})).toThrow(TypeError);
    const [first] = optimizer.paramGroups;
    expect(() => (first!.params as Parameter[]).push(tensor(1, 1))).toThrow(TypeError);
    expect(() => Object.assign(first!, { params: [] })).toThrow(TypeError);
    expect(() => Object.assign(first!, { learningRate: 1 })).toThrow(TypeError);
    optimizer.addParamGroup(group());
    expect(optimizer.paramGroups[0]).toBe(first);
    expect(optimizer.paramGroups).toHaveLength(2);
  });
});
