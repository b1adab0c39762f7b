import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { AdamW, CudaTensor, cuda, Lion, type Parameter } from 'fused-optim';
import { describeCuda, describeStandIn, expectSameBits, hostOf, standIn } from '../helpers/cuda';
import { collectTensors } from '../helpers/garbage';
import { values } from '../helpers/random';
import * as lowp from '../helpers/lowp';
import type { Options } from '../helpers/registry';

const size = 5000;

function params(onGpu: boolean, is16 = false): Parameter[] {
  return [1, 2].map((seed) => {
    const array = is16 ? lowp.store(values(size, seed), 'bfloat16') : values(size, seed);
    const place = (numbers: typeof array) =>
      onGpu
        ? is16
          ? cuda.from(numbers as Uint16Array, { dtype: 'bfloat16' })
          : cuda.from(numbers as Float32Array)
        : numbers;
    const grad = is16 ? lowp.store(values(size, seed + 9), 'bfloat16') : values(size, seed + 9);
    return {
      name: `w.${seed}`,
      data: place(array),
      grad: place(grad),
      ...(is16 && !onGpu && { dtype: 'bfloat16' as const }),
    };
  });
}

describeCuda('checkpoints between host and CUDA memory', () => {
  test.each<[string, Options, boolean]>([
    ['float32', {}, false],
    ['bfloat16 with master weights', {}, true],
    ['bfloat16 by Kahan, bfloat16 states', { rounding: 'kahan', stateDtype: 'bfloat16' }, true],
    ['bfloat16 split', { rounding: 'split' }, true],
    ['bfloat16 by chance', { rounding: 'stochastic', seed: 7 }, true],
  ])('%s: dicts and files go both ways, and training on gives the same bits', async (_, options, is16) => {
    for (const [from, to] of [
      [false, true],
      [true, false],
    ] as const) {
      const [first, second] = [params(from, is16), params(to, is16)];
      const before = new AdamW(first, { lr: 0.05, ...options });
      for (let step = 0; step < 3; ++step) before.step();
      second.forEach((param, i) => {
        const data = hostOf(first[i]!.data as Float32Array);
        if (param.data instanceof CudaTensor) param.data.upload(data);
        else param.data.set(data);
      });
      const after = new AdamW(second, { lr: 0.05, ...options });
      const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'cuda-')), 'state.safetensors');
      await before.save(file);
      await after.load(file);
      expect(after.stateDict()).toEqual(before.stateDict());
      for (let step = 0; step < 2; ++step) {
        before.step();
        after.step();
      }
      first.forEach(({ data }, i) =>
        expectSameBits(hostOf(second[i]!.data as Float32Array), hostOf(data as Float32Array)),
      );
      expect(after.stateDict()).toEqual(before.stateDict());
    }
  });

  test('states are tensors that outlive the optimizer', () => {
    const [param] = params(true) as [Parameter];
    const optimizer = new Lion([param]);
    optimizer.step();
    const { expAvg } = optimizer.state(param) as unknown as { expAvg: CudaTensor };
    expect(expAvg).toBeInstanceOf(CudaTensor);
    expect(optimizer.stateBytes()).toBe(size * 4);
    optimizer.dispose();
    expect((expAvg.download() as Float32Array).some((value) => value !== 0)).toBe(true);
  });
});

describeStandIn('a lack of memory', () => {
  beforeAll(collectTensors);
  test('at any allocation leaves the optimizer as it was', () => {
    const make = () => {
      const list = params(true);
      return { list, optimizer: new AdamW(list, { lr: 0.05, maxGradNorm: 1, nonFinite: 'skip' }) };
    };
    const reference = make();
    reference.optimizer.step();
    for (const call of ['cudaMalloc', 'cudaHostAlloc']) {
      let failures = 0;
      for (let k = 1; ; ++k) {
        const { list, optimizer } = make();
        standIn.fail(`${call}:${k}`);
        let failed = false;
        try {
          optimizer.step();
        } catch (error) {
          failed = true;
          expect(String(error)).toMatch(/bytes of memory for the state of AdamW|CudaError/);
        }
        standIn.fail('');
        if (!failed) break;
        ++failures;
        expectSameBits(hostOf(list[0]!.data as Float32Array), values(size, 1));
        expect(optimizer.stateDict().step).toBe(0);
        expect(optimizer.step().applied).toBe(true);
        expectSameBits(
          hostOf(list[1]!.data as Float32Array),
          hostOf(reference.list[1]!.data as Float32Array),
        );
      }
      if (call === 'cudaMalloc') expect(failures).toBeGreaterThan(1);
    }
  });

  test('an event that is not done yet is asked again', () => {
    const list = params(true);
    const optimizer = new AdamW(list, { nonFinite: 'skip' });
    standIn.fail('notready:5');
    for (let step = 0; step < 6; ++step) optimizer.step();
    standIn.fail('');
    expect(optimizer.stateDict().step).toBe(6);
  });

  test('a kernel that faults is an error that names it, at the next call that sees it', () => {
    const list = params(true);
    const optimizer = new AdamW(list, { lr: 0.1 });
    optimizer.step();
    cuda.synchronize();
    standIn.fail('sticky:1');
    const act = () => {
      optimizer.step();
      cuda.synchronize();
      optimizer.step();
    };
    try {
      expect(act).toThrow(
        expect.objectContaining({
          name: 'CudaError',
          kernel: expect.stringContaining('adamw') as string,
        }) as Error,
      );
    } finally {
      standIn.revive();
    }
  });
});
