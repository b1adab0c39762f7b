import fs from 'node:fs';
import path from 'node:path';
import * as library from 'fused-optim';
import { python, runPython, testWithPython } from '../helpers/files';
import { values } from '../helpers/random';
import type { AnyOptimizer, OptimizerClass } from '../helpers/registry';
import { root, run, scratchDirectory } from '../house/scratch';

const directory = scratchDirectory();
const inside = (name: string): string => path.join(directory, name);
const script = path.join(root, 'examples', 'torch-interop', 'fused_optim_torch.py');
const worker = path.join(__dirname, 'torch_interop_worker.py');

/** "late" gets its first gradient at step 3, "never" at step 6. */
const shapes: Readonly<Record<string, readonly number[]>> = {
  weight: [4, 3],
  late: [5],
  scale: [],
  never: [2, 2],
};
const names = Object.keys(shapes);
const sizeOf = (name: string): number => shapes[name]!.reduce((product, size) => product * size, 1);
const half = 4;
const steps = 8;
const gradients = Array.from({ length: steps }, (_, i) =>
  names.filter((name) => (name !== 'never' || i >= 5) && (name !== 'late' || i >= 2)),
);

interface Case {
  readonly id: string;
  readonly torch: string;
  readonly options?: object;
  /** Of the second group, which has "late" and "never"; no second group without. */
  readonly second?: object;
  readonly class: string;
  /** What does not come back, because it has no effect. */
  readonly lost?: string;
}

const cases: readonly Case[] = [
  { id: 'sgd', torch: 'SGD', options: { lr: 0.1, weight_decay: 0.01, maximize: true }, class: 'SGD' },
  { id: 'momentum', torch: 'SGD', options: { lr: 0.1, momentum: 0.8, dampening: 0.3 }, class: 'Momentum' },
  { id: 'some momentum', torch: 'SGD', options: { lr: 0.1, momentum: 0.8 }, second: { momentum: 0, dampening: 0.5 }, class: 'Momentum', lost: 'state dict.param_groups[1].dampening: 0.5 and 0' },
  { id: 'nag', torch: 'SGD', options: { lr: 0.1, momentum: 0.7, nesterov: true, weight_decay: 0.1 }, class: 'NAG' },
  { id: 'adam', torch: 'Adam', options: { lr: 0.01, betas: [0.8, 0.95], weight_decay: 0.1 }, class: 'Adam' },
  { id: 'adam amsgrad', torch: 'Adam', options: { lr: 0.01, amsgrad: true }, class: 'Adam' },
  { id: 'amsgrad', torch: 'Adam', options: { lr: 0.01, amsgrad: true }, class: 'AMSGrad' },
  { id: 'adamw', torch: 'AdamW', options: { lr: 0.01, weight_decay: 0.1 }, second: { lr: 0.001, eps: 1e-3 }, class: 'AdamW' },
  { id: 'adamw some amsgrad', torch: 'AdamW', options: { lr: 0.01, amsgrad: true }, second: { amsgrad: false }, class: 'AdamW' },
  { id: 'nadam', torch: 'NAdam', options: { momentum_decay: 0.01, weight_decay: 0.1, decoupled_weight_decay: true }, class: 'NAdam' },
  { id: 'radam', torch: 'RAdam', options: { lr: 0.05, betas: [0.9, 0.99] }, class: 'RAdam' },
  { id: 'rmsprop', torch: 'RMSprop', options: { weight_decay: 0.1 }, class: 'RMSprop' },
  { id: 'rmsprop all', torch: 'RMSprop', options: { momentum: 0.9, centered: true, alpha: 0.8 }, class: 'RMSprop' },
  { id: 'adagrad', torch: 'Adagrad', options: { lr: 0.1, lr_decay: 0.1, initial_accumulator_value: 0.2 }, class: 'AdaGrad' },
]; // prettier-ignore

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  grad: Float32Array | null;
}

function readFloats(file: string): Float32Array {
  return new Float32Array(new Uint8Array(fs.readFileSync(inside(file))).buffer);
}

function writeFloats(file: string, arrays: readonly Float32Array[]): void {
  fs.writeFileSync(inside(file), Buffer.concat(arrays.map((array) => Buffer.from(array.slice().buffer))));
}

function tensors(weights: string): Tensor[] {
  const flat = readFloats(weights);
  let begin = 0;
  return names.map((name) => {
    const data = flat.slice(begin, (begin += sizeOf(name)));
    return { name, shape: shapes[name]!, data, grad: null };
  });
}

function train(optimizer: AnyOptimizer, params: readonly Tensor[], first: number, last: number): void {
  for (let step = first; step <= last; ++step) {
    const flat = readFloats(`gradients${step}`);
    let begin = 0;
    for (const param of params) {
      const has = gradients[step - 1]!.includes(param.name);
      param.grad = has ? flat.slice(begin, (begin += param.data.length)) : null;
    }
    optimizer.step();
  }
}

const groupsOf = ({ options = {}, second }: Case): (object & { params: string[] })[] =>
  second
    ? [
        { ...options, params: names.slice(0, 1).concat('scale') },
        { ...options, ...second, params: ['late', 'never'] },
      ]
    : [{ ...options, params: names }];

function make(golden: Case, params: readonly Tensor[], options: readonly object[] = []): AnyOptimizer {
  const Class = (library as unknown as Record<string, OptimizerClass>)[golden.class]!;
  return new Class(
    groupsOf(golden).map((group, i) => ({
      ...options[i],
      params: group.params.map((name) => params.find((param) => param.name === name)!),
    })),
  );
}

/** Within what float32 may differ by in a few steps; the states were equal at the start. */
function expectClose(received: readonly Tensor[], file: string): void {
  const expected = readFloats(file);
  let i = 0;
  for (const { name, data } of received) {
    for (const value of data) {
      const error = Math.abs(value - expected[i]!);
      const limit = 1e-6 + 3e-6 * Math.abs(expected[i]!);
      if (!(error <= limit)) throw new Error(`${name}: ${value}, torch has ${expected[i]}, off by ${error}`);
      ++i;
    }
  }
  expect(i).toBe(expected.length);
}

const withTorch = testWithPython('torch, numpy');
const isThere = withTorch !== test.skip;

describe('optimizer state', () => {
  let differences: Record<string, unknown>;
  const phase = (name: string): unknown => JSON.parse(runPython([worker, name, directory]));

  if (isThere)
    beforeAll(() => {
      writeFloats('weights', [
        values(
          names.reduce((sum, name) => sum + sizeOf(name), 0),
          1,
        ),
      ]);
      gradients.forEach((present, i) => {
        writeFloats(
          `gradients${i + 1}`,
          present.map((name, k) => values(sizeOf(name), 10 * i + k)),
        );
      });
      const elements = names.reduce((sum, name) => sum + sizeOf(name), 0);
      const listed = cases.map((golden) => ({ ...golden, groups: groupsOf(golden) }));
      fs.writeFileSync(
        inside('cases.json'),
        JSON.stringify({ shapes, gradients, elements, half, steps, cases: listed }),
      );
      differences = phase('begin') as Record<string, unknown>;
    }, 120_000);

  withTorch.each(cases)('of torch ($id) goes on in $class', async (golden) => {
    const params = tensors(`${golden.id}.theirs.half`);
    const optimizer = make(golden, params);
    await optimizer.load(inside(`${golden.id}.theirs`));
    train(optimizer, params, half + 1, steps);
    expectClose(params, `${golden.id}.theirs.end`);
  });

  withTorch.each(cases)('of torch ($id) comes back with the same bits', ({ id, lost }) => {
    expect(differences[id]).toEqual(lost === undefined ? [] : [lost]);
  });

  withTorch(
    'of ours goes on in torch',
    async () => {
      const ends: [string, Tensor[]][] = [];
      for (const golden of cases) {
        // The options are torch's, so they come from its own file.
        const params = tensors('weights');
        const source = make(golden, params);
        await source.load(inside(`${golden.id}.theirs`));
        const options = source.paramGroups.map(({ params: _, ...group }) => group);
        const optimizer = make(golden, params, options);
        train(optimizer, params, 1, half);
        await optimizer.save(inside(`${golden.id}.ours`));
        writeFloats(
          `${golden.id}.ours.half`,
          params.map(({ data }) => data),
        );
        train(optimizer, params, half + 1, steps);
        ends.push([golden.id, params]);
      }
      phase('continue');
      for (const [id, params] of ends) expectClose(params, `${id}.ours.end`);
    },
    120_000,
  );

  withTorch(
    'is moved by the program as its help says',
    async () => {
      const listed = ['weight', 'scale', 'late', 'never'].map((name) => [name, shapes[name]]);
      fs.writeFileSync(inside('names.json'), JSON.stringify(Object.fromEntries(listed)));
      const args = ['to-node', 'adamw.pt', 'moved', '--names', 'names.json'];
      expect(run(python, [script, ...args], directory)).toEqual({ status: 0, output: '' });
      const files = ['moved', 'adamw.theirs'].map((file) => library.readSafetensors(inside(file)));
      const [ours, theirs] = await Promise.all(files);
      expect(ours).toEqual(theirs);
    },
    60_000,
  );

  const refusals: readonly (readonly [string[], string])[] = [
    [['to-node', 'adamw.pt', 'x', '--key', 'model'], 'Expected "model" in adamw.pt but it is not there.'],
    [
      ['to-node', 'adamw.pt', 'x', '--class', 'Lion'],
      'Expected the state dict of Lion but its options are those of AdamW.',
    ],
    [
      ['to-node', 'names.pt', 'x'],
      'Expected names.pt to hold the state dict of an optimizer but it holds something else; it has weight: choose one with --key.',
    ],
    [
      ['to-node', 'fresh.pt', 'x'],
      'Expected the shape of "w": it has no state yet, so give --names as a JSON object of names and shapes.',
    ],
    [
      ['to-node', 'nameless.pt', 'x'],
      'Expected the names of the parameters: the state dict has none (torch 2.6 and later keep them when the optimizer was made of model.named_parameters()), so give --names.',
    ],
    [
      ['to-node', 'half.pt', 'x'],
      'Expected exp_avg of "w" to be float32 but it is torch.bfloat16; states of another type are not moved.',
    ],
    [
      ['to-node', 'weights', 'x'],
      'Expected weights to be a file of torch.save but it is not, or holds more than tensors.',
    ],
    [['to-torch', 'short', 'x'], 'Expected short to be a safetensors file but it is cut short.'],
    [
      ['to-torch', 'weights', 'x'],
      'Expected weights to be a checkpoint of fused-optim of schema 1 but it is not.',
    ],
    [['to-torch', 'lion', 'x'], 'torch.optim has no Lion.'],
    [
      ['to-torch', 'radam.other', 'x'],
      'Expected rhoThreshold of group 0 to be 5 but it is 4: torch.optim.RAdam has no such option.',
    ],
  ];

  withTorch(
    'that cannot be moved is refused in one sentence',
    async () => {
      const data = new Float32Array(4);
      await library.writeSafetensors(inside('weights'), { w: { shape: [4], data } }, { format: 'pt' });
      fs.writeFileSync(inside('short'), fs.readFileSync(inside('weights')).subarray(0, 20));
      await new library.Lion([{ data }]).save(inside('lion'));
      await new library.RAdam([{ data }], { rhoThreshold: 4 }).save(inside('radam.other'));
      fs.writeFileSync(inside('calls.json'), JSON.stringify(refusals.map(([args]) => args)));
      expect(phase('calls')).toEqual(refusals.map(([, message]) => message));
      expect(fs.existsSync(inside('x'))).toBe(false);
    },
    60_000,
  );

  withTorch(
    'of Muon and the AdamW beside it comes back from one file with the same bits',
    () => {
      expect(phase('muon')).toEqual([[], []]);
    },
    60_000,
  );

  withTorch(
    'of Muon is loaded by ours',
    async () => {
      phase('muon');
      const muonShapes: Record<string, number[]> = { a: [3, 5], b: [3, 5], c: [4], d: [4] };
      const params = Object.entries(muonShapes).map(([name, shape]) => {
        return { name, shape, data: new Float32Array(shape.length === 2 ? 15 : 4) };
      });
      const optimizer = new library.Muon(params, { adamw: { amsgrad: true } });
      await optimizer.load(inside('muon'));
      const { tensors } = await library.readSafetensors(inside('muon'));
      for (const [i, name] of ['momentum_buffer', 'momentum_buffer', 'exp_avg', 'exp_avg'].entries()) {
        const state = optimizer.state(params[i]!);
        const key = i < 2 ? 'momentumBuffer' : 'expAvg';
        expect(state[key]).toEqual(tensors.get(`${params[i]!.name}.${name}`)!.data);
        expect(state.step).toBe(3);
      }
    },
    60_000,
  );
});
