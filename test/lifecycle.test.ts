import { Adam, AdamW, Momentum, Optimizer, SGD, type Parameter } from 'fused-optim';
import { expectSameBits } from './helpers/bits';
import { values } from './helpers/random';

interface Tensor {
  readonly data: Float32Array;
  grad: Float32Array | null | undefined;
}
const tensor = (length = 6): Tensor => ({ data: values(length, 1), grad: values(length, 2) });

describe('steps', () => {
  test('are counted, also when no tensor has a gradient', () => {
    const param = tensor();
    const optimizer = new Adam([param]);
    expect(optimizer.step()).toEqual({ applied: true, step: 1 });
    param.grad = null;
    expect(optimizer.step()).toEqual({ applied: true, step: 2 });
    expect(optimizer.state(param).step).toBe(1);
    expect(optimizer.stateDict().step).toBe(2);
  });

  test('of two optimizers have nothing to do with each other', () => {
    const [a, b, alone] = [tensor(), tensor(), tensor()];
    const [first, second, third] = [new Momentum([a]), new Momentum([b]), new Momentum([alone])];
    for (let step = 0; step < 3; ++step) {
      first.step();
      if (step > 0) second.step();
      third.step();
    }
    expectSameBits(a.data, alone.data, 'data');
    expect(second.state(b).step).toBe(2);
  });
});

describe('zeroGrad()', () => {
  test('sets every gradient to null and writes none', () => {
    const params = [tensor(), tensor(3), { data: values(2, 1), grad: undefined }];
    const grads = params.map(({ grad }) => grad);
    const optimizer = new Adam(params);
    optimizer.step();
    const data = params.map((param) => param.data.slice());
    optimizer.zeroGrad();
    expect(params.map(({ grad }) => grad)).toEqual([null, null, null]);
    expectSameBits(grads[0]!, values(6, 2), 'the gradient');
    optimizer.step();
    params.forEach((param, i) => expectSameBits(param.data, data[i]!, 'data'));
    params[0]!.grad = grads[0]!;
    optimizer.step();
    expect(params.map((param) => optimizer.state(param).step)).toEqual([2, 1, 0]);
  });
});

describe('state()', () => {
  test('gives live views, which stay the same objects', () => {
    const param = tensor();
    const optimizer = new Momentum([param]);
    expect(optimizer.state(param)).toEqual({ step: 0 });
    optimizer.step();
    const { momentumBuffer } = optimizer.state(param) as unknown as { momentumBuffer: Float32Array };
    expectSameBits(momentumBuffer, param.grad!, 'the buffer after one step');
    momentumBuffer.fill(0); // what a user may do to restart the momentum
    param.grad = new Float32Array(6).fill(1);
    optimizer.step();
    expect([...momentumBuffer]).toEqual([1, 1, 1, 1, 1, 1]);
    expect(optimizer.state(param).momentumBuffer).toBe(momentumBuffer);
  });

  test('does not know parameters of others', () => {
    const optimizer = new SGD([tensor()]);
    const message = 'Expected a parameter of this SGD but received another object.';
    for (const other of [tensor(), undefined, null, 0]) {
      expect(() => optimizer.state(other as Parameter)).toThrow(new RangeError(message));
    }
  });

  test('survives the optimizer', () => {
    const param = tensor(10_000);
    const optimizer = new Momentum([param]);
    optimizer.step();
    const { momentumBuffer } = optimizer.state(param) as unknown as { momentumBuffer: Float32Array };
    optimizer.dispose();
    for (let i = 0; i < 50; ++i) new Momentum([{ data: new Float32Array(10_000), grad: param.data }]).step(); // would take the memory if it were free
    expectSameBits(momentumBuffer, param.grad!, 'the buffer');
  });

  test('has its bytes counted', () => {
    const params = [tensor(6), { ...tensor(100), grad: null }];
    const optimizer = new AdamW(params);
    expect(optimizer.stateBytes()).toBe(0);
    optimizer.step();
    expect(optimizer.stateBytes()).toBe(6 * 4 * 2);
  });
});

describe('dispose()', () => {
  const methods: Record<string, (optimizer: Adam, param: Tensor) => unknown> = {
    step: (optimizer) => optimizer.step(),
    zeroGrad: (optimizer) => optimizer.zeroGrad(),
    state: (optimizer, param) => optimizer.state(param),
    stateDict: (optimizer) => optimizer.stateDict(),
    loadStateDict: (optimizer) => optimizer.loadStateDict(new Adam([tensor()]).stateDict()),
    stateBytes: (optimizer) => optimizer.stateBytes(),
    addParamGroup: (optimizer) => optimizer.addParamGroup({ params: [tensor()] }),
  };

  test.each(Object.entries(methods))('ends %s()', (name, call) => {
    const param = tensor();
    const optimizer = new Adam([param]);
    optimizer.step();
    optimizer.dispose();
    const data = param.data.slice();
    const { grad } = param;
    expect(() => call(optimizer, param)).toThrow(
      new Error(`Adam was disposed: ${name}() is no longer possible.`),
    );
    expectSameBits(param.data, data, 'data');
    expect(param.grad).toBe(grad);
  });

  test('ends stepAsync()', async () => {
    const optimizer = new Adam([tensor()]);
    optimizer.dispose();
    await expect(optimizer.stepAsync()).rejects.toThrow(
      'Adam was disposed: stepAsync() is no longer possible.',
    );
  });

  test('may be called again', () => {
    const optimizer = new Adam([tensor()]);
    optimizer.dispose();
    expect(() => optimizer.dispose()).not.toThrow();
  });

  test('is what `using` calls', () => {
    let kept: Adam;
    {
      using optimizer = new Adam([tensor()]);
      optimizer.step();
      kept = optimizer;
    }
    expect(() => kept.step()).toThrow(/disposed/);
    expect(typeof kept[Symbol.dispose]).toBe('function');
  });

  // Elsewhere the C library may keep freed memory for later.
  (process.platform === 'linux' ? test : test.skip)('gives the memory back to the system', () => {
    const [data, grad] = [new Float32Array(4_000_000), new Float32Array(4_000_000)];
    const optimizer = new Adam([{ data, grad }]);
    optimizer.step();
    const during = process.memoryUsage().rss;
    optimizer.dispose();
    expect(during - process.memoryUsage().rss).toBeGreaterThan(16_000_000);
  });
});

test('Optimizer is the class of all', () => {
  expect(new Adam([tensor()])).toBeInstanceOf(Optimizer);
});
