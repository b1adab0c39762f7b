import { Lookahead, Muon, type Optimizer, type Parameter } from 'fused-optim';
import { Binary, readJson, sizeOf } from './helpers/golden';
import { registered, type Options, type Trainer } from './helpers/registry';
import { tasks, type Arrays, type Evaluation } from './helpers/tasks';

interface Named {
  readonly name: string;
  readonly shape: readonly number[];
}

interface Task {
  readonly steps: number;
  readonly checkpoints: readonly number[];
  readonly params: readonly (Named & { readonly init: number })[];
  readonly data: readonly (Named & { readonly offset: number })[];
  readonly initialLoss: number;
}

interface Run {
  readonly id: string;
  readonly task: string;
  readonly algorithm: string;
  readonly hyperparameters: Options;
  readonly loss: Readonly<Record<string, number>>;
  readonly lossAtol: Readonly<Record<string, number>>;
  readonly finalLossMustBeBelow: number;
  readonly signSensitive: boolean;
}

const file = readJson('e2e/e2e.json') as { tasks: Record<string, Task>; runs: Run[] };
const numbers = new Binary('e2e/e2e.bin');
const classes = new Map(registered.map(({ name, Class }) => [name.toLowerCase(), Class]));
const runs = file.runs.filter(
  ({ algorithm }) => algorithm === 'lookahead' || algorithm === 'muon' || classes.has(algorithm),
);

interface Inner {
  readonly algorithm: string;
  readonly hyperparameters: Options;
}

function create(params: Parameter[], { algorithm, hyperparameters }: Inner): Trainer {
  if (algorithm === 'muon') {
    const { useMuon, aux, ...options } = hyperparameters as { useMuon: string[]; aux: Options };
    const { algorithm: _, ...adamw } = aux;
    const routed = params.map((param) =>
      Object.assign(param, {
        role: useMuon.includes(param.name!) ? ('hidden' as const) : ('vector' as const),
      }),
    );
    return new Muon(routed, { ...options, adamw });
  }
  if (algorithm !== 'lookahead') return new (classes.get(algorithm)!)(params, hyperparameters);
  const { inner, ...options } = hyperparameters as { inner: Inner };
  return new Lookahead(create(params, inner) as Optimizer, options);
}

/** A task with its numbers: evaluates at parameters, which may be float32. */
function load(name: string): {
  task: Task;
  evaluate: (params: readonly Parameter[], step: number | undefined) => Evaluation;
} {
  const task = file.tasks[name]!;
  const shapes = Object.fromEntries([...task.params, ...task.data].map(({ name, shape }) => [name, shape]));
  const arrays = task.data.map(({ name, shape, offset }) => {
    return [name, Float64Array.from(numbers.f32(offset, sizeOf(shape)))];
  });
  const data = Object.fromEntries(arrays) as Arrays;
  const evaluate = (given: readonly Parameter[], step: number | undefined): Evaluation => {
    const params = Object.fromEntries(
      given.map(({ name, data }) => [name!, Float64Array.from(data as Float32Array)]),
    );
    return tasks[name]!({ params, data, shapes, step });
  };
  return { task, evaluate };
}

/** Trains and returns the loss at every checkpoint. */
function train(run: Run): Record<string, number> {
  const { task, evaluate } = load(run.task);
  const params = task.params.map(({ name, shape, init }): Parameter => {
    return {
      name,
      shape,
      data: numbers.f32(init, sizeOf(shape)).slice(),
      grad: new Float32Array(sizeOf(shape)),
    };
  });
  expect(Math.abs(evaluate(params, undefined).loss / task.initialLoss - 1)).toBeLessThan(1e-6);
  const optimizer = create(params, run);
  const losses: Record<string, number> = {};
  for (let step = 0; step < task.steps; ++step) {
    const { grads } = evaluate(params, step);
    for (const { name, grad } of params) (grad as Float32Array).set(grads[name!]!);
    optimizer.step();
    if (task.checkpoints.includes(step + 1)) losses[step + 1] = evaluate(params, undefined).loss;
  }
  return losses;
}

describe('training with every optimizer ends where the reference ends', () => {
  test('seven tasks', () => {
    expect(Object.keys(file.tasks).sort()).toEqual(Object.keys(tasks).sort());
    expect(runs).toHaveLength(118);
  });

  test.each(runs)('$id', (run) => {
    const losses = train(run);
    const { steps, checkpoints } = file.tasks[run.task]!;
    expect(losses[steps]).toBeLessThanOrEqual(run.finalLossMustBeBelow);
    expect(Object.keys(losses)).toHaveLength(checkpoints.length);
    if (run.signSensitive) return; // a sign that rounding decides may change the path
    for (const [step, loss] of Object.entries(losses)) {
      const error = Math.abs(loss - run.loss[step]!);
      if (error <= run.lossAtol[step]!) continue;
      throw new Error(
        `after step ${step} the loss is ${loss}, expected ${run.loss[step]} ± ${run.lossAtol[step]}`,
      );
    }
  });
});
