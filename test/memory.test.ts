import { AdamW, SGD } from 'fused-optim';
import { resizable, wasmMemory } from './helpers/memory';
import type { LooseParameter } from './helpers/unchanged';

const ones = (length: number): Float32Array => new Float32Array(length).fill(1);

/** One step of 0.5 down a slope of 1. */
const halfStep = (...params: LooseParameter[]) => new SGD(params, { lr: 0.5 }).step();

describe('memory', () => {
  test('may be shared between threads', () => {
    const data = new Float32Array(new SharedArrayBuffer(40));
    const grad = new Float32Array(new SharedArrayBuffer(40)).fill(1);
    halfStep({ data, grad });
    expect([...data]).toEqual(Array(10).fill(-0.5));
  });

  test('may be replaced between steps', () => {
    const first = ones(4);
    const param = { data: first, grad: ones(4) };
    const optimizer = new SGD([param], { lr: 0.5 });
    optimizer.step();
    param.data = ones(4);
    param.grad = new Float32Array(4).fill(2);
    optimizer.step();
    expect([...first, ...param.data]).toEqual([0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0]);
  });

  test('of two parameters may change places', () => {
    const [a, b] = [ones(4), new Float32Array(4)];
    const first: LooseParameter = { data: a, grad: ones(4) };
    const second: LooseParameter = { data: b, grad: ones(4).fill(3) };
    const optimizer = new SGD([first, second], { lr: 0.5 });
    optimizer.step();
    [first.data, second.data] = [b, a];
    optimizer.step();
    expect([a[0], b[0]]).toEqual([1 - 0.5 - 1.5, 0 - 1.5 - 0.5]);
  });

  test.each([false, true])(
    'of WebAssembly that has grown is taken through a new view (shared: %p)',
    (shared) => {
      const memory = wasmMemory({ initial: 1, maximum: 4, shared });
      const view = (): Float32Array => new Float32Array(memory.buffer, 8, 5);
      const param = { data: view(), grad: ones(5) };
      const optimizer = new SGD([param], { lr: 0.5 });
      optimizer.step();
      memory.grow(1);
      if (!shared) {
        // The old view has lost its memory.
        expect(() => optimizer.step()).toThrow(
          /^Expected data of "param\.0" to have 5 elements but received 0 /,
        );
      }
      expect([...view()]).toEqual(Array(5).fill(-0.5));
      param.data = view();
      expect(optimizer.step().step).toBe(2);
      expect([...view()]).toEqual(Array(5).fill(-1));
    },
  );

  test('that was resized is refused while the view does not fit', () => {
    const buffer = resizable(40, 80);
    const fixed = new SGD([{ data: new Float32Array(buffer, 4, 5), grad: ones(5) }]);
    const tracking = new SGD([{ data: ones(10), grad: new Float32Array(buffer) }]);
    fixed.step();
    tracking.step();
    buffer.resize(20);
    expect(() => fixed.step()).toThrow('received 0 (was its ArrayBuffer detached or resized?).');
    expect(() => tracking.step()).toThrow('Expected grad of "param.0" to have 10 elements but received 5.');
    buffer.resize(44);
    expect(() => tracking.step()).toThrow('Expected grad of "param.0" to have 10 elements but received 11.');
    expect(fixed.step().step).toBe(2);
    buffer.resize(40);
    expect(tracking.step().step).toBe(2);
  });

  test('of gradients may be shared by parameters of the same and of another length', () => {
    const grad = ones(8);
    const params = [
      { data: ones(8), grad },
      { data: ones(8), grad },
      { data: ones(3), grad: grad.subarray(5) },
    ];
    halfStep(...params);
    for (const { data } of params) expect(data).toEqual(new Float32Array(data.length).fill(0.5));
    expect(grad).toEqual(ones(8));
  });

  test('may lie side by side in one buffer, gradients between data', () => {
    const all = ones(12);
    const [a, b, c, d] = [0, 3, 6, 9].map((begin) => all.subarray(begin, begin + 3));
    halfStep({ data: a!, grad: b! }, { data: c!, grad: d! });
    expect([...all]).toEqual([0.5, 0.5, 0.5, 1, 1, 1, 0.5, 0.5, 0.5, 1, 1, 1]);
  });

  test('may be empty, a scalar, or all zeros', () => {
    const params = [
      { data: new Float32Array(0), grad: new Float32Array(0), shape: [0, 3] },
      { data: ones(1), grad: ones(1), shape: [] },
      { data: new Float32Array(4), grad: new Float32Array(4), shape: [2, 2] },
    ];
    const optimizer = new AdamW(params, { lr: 0.5, weightDecay: 0 });
    expect(optimizer.step()).toEqual({ applied: true, step: 1 });
    const nothing = new Float32Array(0);
    expect(optimizer.state(params[0]!)).toEqual({ step: 1, expAvg: nothing, expAvgSq: nothing });
    expect(params[1]!.data[0]).toBeCloseTo(0.5, 5);
    expect(params[2]!.data).toEqual(new Float32Array(4));
    const copy = new AdamW(params.map((param) => ({ ...param, data: param.data.slice() })));
    copy.loadStateDict(optimizer.stateDict());
    expect(copy.stateDict()).toEqual(optimizer.stateDict());
  });

  test('of more than 2³¹ elements is counted in full', () => {
    const length = 2 ** 31 + 5;
    let data: Float32Array;
    try {
      data = new Float32Array(length); // the system gives pages only to what is touched
    } catch (error) {
      process.stderr.write(`Not tested: an array of 2³¹ elements (${(error as Error).message}).\n`);
      return;
    }
    const param: LooseParameter = { data, grad: null, shape: [length] };
    const optimizer = new SGD([param]);
    expect(optimizer.step().step).toBe(1);
    param.grad = new Float32Array(5); // what the length would be at 31 bits
    expect(() => optimizer.step()).toThrow(
      `Expected grad of "param.0" to have ${length} elements but received 5.`,
    );
  });
});
