import v8 from 'node:v8';
import { Adam, AdamW, NAdam, SGD, type StateDict } from 'fused-optim';
import { expectSameBits, expectSameState } from './helpers/bits';
import { values } from './helpers/random';
import { forVariants, optionsOf, registered, setOptions, type AnyOptimizer } from './helpers/registry';
import { lrAt } from './helpers/runs';

interface Tensor {
  readonly name: string;
  data: Float32Array;
  grad: Float32Array | null;
}

const total = 9;
const tensors = (): Tensor[] =>
  [33, 7, 1, 20].map((length, i) => ({ name: `t${i}`, data: values(length, i), grad: null }));

/** Steps with a schedule. Tensor 1 joins at step 3 and has a break at step 6; tensor 3 never has a gradient. */
function steps(optimizer: AnyOptimizer, params: readonly Tensor[], from: number, to: number): void {
  for (let step = from; step <= to; ++step) {
    params.forEach((param, i) => {
      const none = i === 3 || (i === 1 && (step < 3 || step === 6));
      param.grad = none ? null : values(param.data.length, 100 * i + step);
    });
    setOptions(optimizer, { lr: lrAt(step) });
    optimizer.step();
  }
}

const ways: readonly (readonly [string, (dict: StateDict) => StateDict])[] = [
  ['as it is', (dict) => dict],
  ['through v8.serialize', (dict) => v8.deserialize(v8.serialize(dict)) as StateDict],
  ['through structuredClone', (dict) => structuredClone(dict)],
];

describe.each(registered)('$name', (entry) => {
  const { Class } = entry;

  test('goes on from a state dict as if it had never stopped', () => {
    forVariants(entry, (options, index) => {
      const [way, copy] = ways[index % ways.length]!;
      const [whole, halted] = [tensors(), tensors()];
      const straight = new Class(whole, options);
      steps(straight, whole, 1, total);

      const stop = 1 + (index % (total - 1));
      const first = new Class(halted, options);
      steps(first, halted, 1, stop);
      const dict = copy(first.stateDict());
      const resumed = tensors();
      const second = new Class(resumed);
      if (index % 2 === 0) steps(second, resumed, 1, 2); // a past of its own, which must go
      resumed.forEach((param, i) => (param.data = halted[i]!.data.slice()));
      second.loadStateDict(dict);
      expect(second.stateDict()).toEqual(dict);
      expect(optionsOf(second)).toEqual(optionsOf(first));
      // The first goes on too: the dict was a copy, and so is what was read from it.
      steps(first, halted, stop + 1, total);
      steps(second, resumed, stop + 1, total);
      whole.forEach((param, i) => {
        const what = `${param.name}, stopped after ${stop}, ${way}`;
        expectSameBits(resumed[i]!.data, param.data, what);
        expectSameBits(halted[i]!.data, param.data, what);
        expectSameState(second.state(resumed[i]!), straight.state(param), what);
      });
      expect(second.stateDict()).toEqual(straight.stateDict());
    });
  });
});

describe('a state dict', () => {
  const trained = (): { optimizer: AdamW; params: Tensor[] } => {
    const params = tensors();
    const optimizer = new AdamW(params, { amsgrad: true });
    steps(optimizer, params, 1, 3);
    return { optimizer, params };
  };

  test('has the documented form', () => {
    const { optimizer, params } = trained();
    const { expAvg, expAvgSq, maxExpAvgSq } = optimizer.state(params[0]!) as unknown as Record<
      string,
      Float32Array
    >;
    const dict = optimizer.stateDict();
    expect(dict).toMatchObject({ version: 1, algorithm: 'AdamW', step: 3 });
    expect(Object.keys(dict.state)).toEqual(['t0', 't1', 't2', 't3']);
    expect(dict.state.t0).toEqual({ shape: [33], step: 3, expAvg, expAvgSq, maxExpAvgSq });
    expect(dict.state.t3).toEqual({ shape: [20], step: 0 });
    expect(dict.paramGroups).toEqual([{ ...optionsOf(optimizer), params: ['t0', 't1', 't2', 't3'] }]);
  });

  test('is a copy: neither side sees what the other writes', () => {
    const { optimizer, params } = trained();
    const dict = optimizer.stateDict();
    const kept = structuredClone(dict);
    steps(optimizer, params, 4, 5);
    optimizer.paramGroups[0]!.betas = [0, 0];
    expect(dict).toEqual(kept);
    const current = optimizer.stateDict();
    (dict.state.t0!.expAvg as Float32Array).fill(7);
    (dict.paramGroups[0]!.betas as number[])[0] = 0.1;
    expect(optimizer.stateDict()).toEqual(current);
    optimizer.loadStateDict(kept);
    (kept.state.t0!.expAvg as Float32Array).fill(7);
    expect(optimizer.state(params[0]!).expAvg).not.toContain(7);
  });

  test('loads into its own optimizer, from the live views of its own states too', () => {
    const { optimizer, params } = trained();
    const before = optimizer.stateDict();
    const view = optimizer.state(params[0]!).expAvg;
    optimizer.loadStateDict(optimizer.stateDict());
    expect(optimizer.stateDict()).toEqual(before);
    expect(optimizer.state(params[0]!).expAvg).toBe(view); // live views stay live
  });

  test('takes states away that its writer did not have', () => {
    const { optimizer, params } = trained();
    const fresh = tensors();
    optimizer.loadStateDict(new AdamW(fresh).stateDict());
    expect(optimizer.state(params[0]!)).toEqual({ step: 0 });
    expect(optimizer.stateBytes()).toBe(0);
    steps(optimizer, params, 1, 1);
    expect(Object.keys(optimizer.state(params[0]!))).toEqual(['step', 'expAvg', 'expAvgSq']);
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'shape', 'a.b["c"]', '0', ' ', '×'])(
    'takes a parameter of the name "%s"',
    (name) => {
      const make = (): Tensor[] => [
        { name, data: values(5, 1), grad: values(5, 2) },
        { name: 'other', data: values(3, 1), grad: values(3, 2) },
      ];
      const params = make();
      const optimizer = new NAdam(params);
      optimizer.step();
      for (const [, copy] of ways) {
        const dict = copy(optimizer.stateDict());
        expect(Object.keys(dict.state).sort()).toEqual([name, 'other'].sort());
        const again = make();
        const loaded = new NAdam(again);
        loaded.loadStateDict(dict);
        expectSameState(loaded.state(again[0]!), optimizer.state(params[0]!), name);
      }
    },
  );

  test('matches parameters by name, not by place', () => {
    const params = tensors();
    const optimizer = new Adam(params);
    steps(optimizer, params, 1, 3);
    const turned = tensors().reverse();
    const other = new Adam(turned);
    other.loadStateDict(optimizer.stateDict());
    params.forEach((param, i) => {
      expectSameState(other.state(turned[3 - i]!), optimizer.state(param), param.name);
    });
  });

  test('restores groups with their own options', () => {
    const make = (options: readonly object[]) => {
      const params = tensors();
      return new SGD(options.map((given, i) => ({ params: [params[i]!], ...given })));
    };
    const optimizer = make([{ lr: 0.5 }, { lr: 0.25, weightDecay: 0.1 }, { maximize: true }]);
    const other = make([{}, {}, {}]);
    other.loadStateDict(optimizer.stateDict());
    for (const i of [0, 1, 2]) expect(optionsOf(other, i)).toEqual(optionsOf(optimizer, i));
  });
});
