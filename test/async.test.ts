import { Adam, AdamW, Momentum, SGD, type Parameter } from 'fused-optim';
import { native } from '../lib/native';
import { expectSameBits, expectSameState } from './helpers/bits';
import { runnableIsas, withIsa } from './helpers/isas';
import { resizable, transfer, wasmMemory } from './helpers/memory';
import { values } from './helpers/random';
import { registered, setOptions, variantsOf } from './helpers/registry';
import { lrAt } from './helpers/runs';
import { expectUnchanged, snapshot } from './helpers/unchanged';

// Where buffers cannot be kept in place, stepAsync() steps on the calling thread.
const inFlight = native().addon.pinsBuffers ? test : test.skip;

interface Tensor {
  data: Float32Array;
  grad: Float32Array | null;
}
const tensor = (length: number, seed = 1): Tensor => ({
  data: values(length, seed),
  grad: values(length, seed + 1),
});

/** A step that takes a while: many elements, the slowest kernels, one thread. */
function slow(): { optimizer: AdamW; param: Tensor } {
  const length = 1 << 21;
  const param = { data: new Float32Array(length).fill(1), grad: new Float32Array(length).fill(1) };
  const optimizer = withIsa('scalar', () => new AdamW([param], { lr: 0.125, weightDecay: 0, threads: 1 }));
  return { optimizer, param };
}

const several = [1000, 7, 90_001].map((length, i) => tensor(length, i));

describe.each(registered)('$name', (entry) => {
  test('gives the bits of step()', async () => {
    const variants = variantsOf(entry);
    for (const options of [variants[0]!, variants.at(-1)!]) {
      for (const isa of runnableIsas) {
        const make = () => several.map(({ data, grad }) => ({ data: data.slice(), grad }));
        const [params, others] = [make(), make()];
        const [a, b] = withIsa(isa, () => [
          new entry.Class(params, options),
          new entry.Class(others, options),
        ]);
        for (let step = 1; step <= 4; ++step) {
          for (const optimizer of [a, b]) setOptions(optimizer, { lr: lrAt(step) });
          expect(await a.stepAsync()).toEqual(b.step());
        }
        params.forEach((param, i) => {
          expectSameBits(param.data, others[i]!.data, `tensor ${i}`);
          expectSameState(a.state(param), b.state(others[i]!), `tensor ${i}`);
        });
      }
    }
  });
});

describe('stepAsync()', () => {
  inFlight('leaves the event loop free', async () => {
    const { optimizer } = slow();
    await optimizer.stepAsync(); // the states' pages are there from here on
    const duration = (action: () => unknown): number => {
      const start = performance.now();
      action();
      return performance.now() - start;
    };
    const direct = Math.min(...[1, 2, 3].map(() => duration(() => optimizer.step())));
    let called = Infinity;
    let turns = 0;
    for (let i = 0; i < 3; ++i) {
      let promise: Promise<unknown> = Promise.resolve();
      called = Math.min(
        called,
        duration(() => (promise = optimizer.stepAsync())),
      );
      let done = false;
      void promise.then(() => (done = true));
      while (!done) {
        await new Promise(setImmediate);
        if (!done) ++turns;
      }
    }
    expect(called).toBeLessThan(direct / 2);
    expect(turns).toBeGreaterThan(2);
  });

  inFlight.each([
    ['step', (o: AdamW) => o.step()],
    ['state', (o: AdamW, param: Parameter) => o.state(param)],
    ['stateDict', (o: AdamW) => o.stateDict()],
    ['loadStateDict', (o: AdamW) => o.loadStateDict(new AdamW([tensor(1)]).stateDict())],
    ['stateBytes', (o: AdamW) => o.stateBytes()],
    ['addParamGroup', (o: AdamW) => o.addParamGroup({ params: [tensor(1)] })],
    ['zeroGrad', (o: AdamW) => o.zeroGrad()],
    ['dispose', (o: AdamW) => o.dispose()],
  ] as const)('allows no %s() until it resolves', async (name, call) => {
    const { optimizer, param } = slow();
    const { grad } = param;
    const promise = optimizer.stepAsync();
    expect(() => call(optimizer, param)).toThrow(
      new Error(`stepAsync() of AdamW is in flight: await it before ${name}().`),
    );
    expect(param.grad).toBe(grad);
    expect(await promise).toEqual({ applied: true, step: 1 });
    expect(optimizer.state(param).step).toBe(1);
    expect(optimizer.step().step).toBe(2);
  });

  inFlight('allows no second stepAsync() until it resolves', async () => {
    const { optimizer, param } = slow();
    const promise = optimizer.stepAsync();
    await expect(optimizer.stepAsync()).rejects.toThrow(
      'stepAsync() of AdamW is in flight: await it before stepAsync().',
    );
    await promise;
    expect(param.data[0]).toBeCloseTo(0.875, 5);
    expect((await optimizer.stepAsync()).step).toBe(2);
  });

  test('works with what it was called with, whatever changes before it resolves', async () => {
    const { optimizer, param } = slow();
    const { data } = param;
    const promise = optimizer.stepAsync();
    setOptions(optimizer, { lr: 1, weightDecay: 0.5, maximize: true });
    param.data = new Float32Array(data.length);
    param.grad = null;
    await promise;
    expect(data[0]).toBeCloseTo(0.875, 5);
    expect(param.data[0]).toBe(0);
    expect(optimizer.step().step).toBe(2); // no gradient: nothing moves
    param.grad = new Float32Array(data.length).fill(1);
    optimizer.step();
    expect(param.data[0]).toBeCloseTo((0.1 - 0.09) / (1 - 0.9 ** 2), 5); // the new learning rate, upwards
  });

  test('of several optimizers may run at once', async () => {
    const make = () => Array.from({ length: 6 }, (_, i) => tensor(120_000, i));
    const [params, others] = [make(), make()];
    const optimizers = params.map((param) => new Adam([param], { threads: 2 }));
    for (let step = 1; step <= 3; ++step) {
      const results = await Promise.all(optimizers.map((optimizer) => optimizer.stepAsync()));
      expect(results).toEqual(Array(6).fill({ applied: true, step }));
    }
    others.forEach((param, i) => {
      const optimizer = new Adam([param]);
      for (let step = 1; step <= 3; ++step) optimizer.step();
      expectSameBits(params[i]!.data, param.data, `tensor ${i}`);
    });
  });

  test('takes memory of every fixed kind, and none at all', async () => {
    const wasm = wasmMemory({ initial: 1, maximum: 1 });
    const kinds = [new ArrayBuffer(48), new SharedArrayBuffer(48), wasm.buffer];
    const params = kinds.map((buffer) => ({
      data: new Float32Array(buffer, 4, 5),
      grad: new Float32Array(buffer, 24, 5).fill(1),
    }));
    expect(await new SGD(params, { lr: 0.5 }).stepAsync()).toEqual({ applied: true, step: 1 });
    for (const { data } of params) expect([...data]).toEqual(Array(5).fill(-0.5));
    const idle = new SGD([
      { data: new Float32Array(3) },
      { data: new Float32Array(0), grad: new Float32Array(0) },
    ]);
    expect(await idle.stepAsync()).toEqual({ applied: true, step: 1 });
  });

  inFlight.each(['data', 'grad'] as const)(
    'refuses %s over a resizable buffer, and changes nothing',
    async (key) => {
      const params = [tensor(5), { ...tensor(5), [key]: new Float32Array(resizable(20, 40)) }];
      const optimizer = new Momentum(params);
      optimizer.step();
      const before = snapshot(optimizer, params);
      await expect(optimizer.stepAsync()).rejects.toThrow(
        new TypeError(
          `Expected ${key} of "param.1" to be over a buffer of fixed size for stepAsync() but received a resizable one.`,
        ),
      );
      expectUnchanged(optimizer, before);
      expect(optimizer.step().step).toBe(2);
    },
  );

  inFlight.each(['data', 'grad'] as const)('says that %s was taken away meanwhile', async (key) => {
    const { optimizer, param } = slow();
    const array = param[key]!;
    const promise = optimizer.stepAsync();
    const kept = structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
    await expect(promise).rejects.toThrow(
      `Expected ${key} of "param.0" to stay in place until stepAsync() resolved but its buffer was detached; ` +
        'the step was done on the memory it had.',
    );
    const data = key === 'data' ? new Float32Array(kept) : param.data;
    expect(data[0]).toBeCloseTo(0.875, 5);
    expect(data.at(-1)).toBe(data[0]);
    expect(() => optimizer.step()).toThrow(
      `Expected ${key} of "param.0" to have ${array.length || 1 << 21} elements`,
    );
    param[key] = new Float32Array(kept);
    expect(optimizer.step().step).toBe(2);
  });

  inFlight('survives WebAssembly memory that grows meanwhile', async () => {
    const memory = wasmMemory({ initial: 256, maximum: 1024 });
    const length = 1 << 21;
    const data = new Float32Array(memory.buffer, 0, length);
    const optimizer = withIsa(
      'scalar',
      () => new Adam([{ data, grad: new Float32Array(length).fill(1) }], { threads: 1 }),
    );
    const promise = optimizer.stepAsync();
    memory.grow(256);
    await expect(promise).rejects.toThrow(/to stay in place until stepAsync\(\) resolved/);
  });

  test('rejects and goes on after a gradient was wrong', async () => {
    const param = tensor(4);
    const optimizer = new SGD([param], { lr: 0.5 });
    const before = snapshot(optimizer, [param]);
    transfer(param.grad!);
    await expect(optimizer.stepAsync()).rejects.toThrow(RangeError);
    expectUnchanged(optimizer, before);
    param.grad = new Float32Array(4).fill(1);
    expect((await optimizer.stepAsync()).step).toBe(1);
  });
});
