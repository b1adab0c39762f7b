import { spawnSync } from 'node:child_process';
import { AdamW, EMA } from 'fused-optim';
import { values } from './helpers/random';

/** Runs a Python program on JSON; undefined where it did not end well. */
function python(program: string, input: unknown): unknown {
  const { status, stdout } = spawnSync('python3', ['-c', program], {
    input: JSON.stringify(input),
    encoding: 'utf8',
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  return status === 0 ? JSON.parse(stdout) : undefined;
}

const program = `
import json, sys, torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
given = json.load(sys.stdin)
model = torch.nn.ParameterList([torch.nn.Parameter(torch.tensor(d)) for d in given['data']])
optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8))
norms = []
for grads in given['grads']:
    for p, g in zip(model, grads):
        p.grad = torch.tensor(g)
    norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.7).item())
    optimizer.step()
    ema.update_parameters(model)
lists = lambda m: [p.tolist() for p in m.parameters()]
print(json.dumps({'norms': norms, 'data': lists(model), 'ema': lists(ema.module)}))
`;

const lengths = [7, 33, 100];
const data = lengths.map((length, i) => values(length, i + 1));
const grads = Array.from({ length: 5 }, (_, step) =>
  lengths.map((length, i) => values(length, 10 * step + i)),
);
const lists = (arrays: readonly Float32Array[]): number[][] => arrays.map((array) => [...array]);

const torch = python(program, { data: lists(data), grads: grads.map(lists) }) as
  { norms: number[]; data: number[][]; ema: number[][] } | undefined;

(torch ? test : test.skip)(
  `clipping, AdamW and EMA are torch's${torch ? '' : ' (skipped: no Python with torch here)'}`,
  () => {
    const params = data.map((array) => ({ data: array.slice(), grad: new Float32Array(array.length) }));
    const optimizer = new AdamW(params, { lr: 0.05, maxGradNorm: 0.7 });
    const ema = new EMA(params, { decay: 0.8 });
    const expectClose = (received: ArrayLike<number>, expected: readonly number[]): void =>
      expected.forEach((value, i) =>
        expect(Math.abs(received[i]! - value)).toBeLessThanOrEqual(1e-6 + 2e-6 * Math.abs(value)),
      );
    const norms = grads.map((step) => {
      step.forEach((grad, i) => params[i]!.grad.set(grad));
      const { gradNorm } = optimizer.step();
      ema.update();
      return gradNorm!;
    });
    expectClose(norms, torch!.norms);
    params.forEach((param, i) => {
      expectClose(param.data, torch!.data[i]!);
      expectClose(ema.average(param), torch!.ema[i]!);
    });
  },
);
