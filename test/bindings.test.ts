import { AdamW, SGD } from 'fused-optim';
import v8 from 'node:v8';
import vm from 'node:vm';
import { transfer } from './helpers/memory';
import type { LooseParameter } from './helpers/unchanged';

const filled = (length: number, value: number): Float32Array => new Float32Array(length).fill(value);
const half = { lr: 0.5 };

/** A parameter whose data and gradient are read through getters, which are counted and say that they were called. */
function watched(name: string, data: Float32Array, grad: Float32Array, onRead: (what: string) => void) {
  return {
    name,
    get data(): Float32Array {
      onRead(`${name}.data`);
      return data;
    },
    get grad(): Float32Array {
      onRead(`${name}.grad`);
      return grad;
    },
  };
}

describe('what a step reads of parameters', () => {
  test('is each data and gradient once, in order, and no step less', () => {
    const reads: string[] = [];
    const param = (name: string) => watched(name, filled(3, 1), filled(3, 1), (what) => reads.push(what));
    const optimizer = new SGD([param('a'), param('b')], half);
    for (let step = 0; step < 3; ++step) {
      reads.length = 0;
      optimizer.step();
      expect(reads).toEqual(['a.data', 'a.grad', 'b.data', 'b.grad']);
    }
  });

  test('holds when a getter forgets gradients that were read before', () => {
    const first: LooseParameter = { name: 'first', data: filled(3, 1), grad: filled(3, 1) };
    let forgets = false;
    const grad = filled(3, 1);
    const second = {
      name: 'second',
      data: filled(3, 1),
      get grad(): Float32Array {
        if (forgets) optimizer.zeroGrad();
        return grad;
      },
      set grad(_: unknown) {
        forgets = false;
      },
    };
    const optimizer = new SGD([first, second], half);
    optimizer.step();
    forgets = true;
    optimizer.step();
    expect([first.data[0], second.data[0]]).toEqual([0.5, 0]);
  });

  test('holds when an array forgets gradients as it is asked for its kind', () => {
    const params: LooseParameter[] = ['a', 'b'].map((name) => ({
      name,
      data: filled(3, 1),
      grad: filled(3, 1),
    }));
    const [a, b] = params as [LooseParameter, LooseParameter];
    const optimizer = new SGD(params, half);
    optimizer.step();
    const grad = filled(3, 1);
    Object.defineProperty(grad, Symbol.toStringTag, {
      get() {
        optimizer.zeroGrad();
        return 'Float32Array';
      },
    });
    b.grad = grad;
    optimizer.step();
    expect([a.data[0], b.data[0], a.grad, b.grad]).toEqual([0.5, 0.5, null, null]);
  });

  test('goes on after a getter that threw in the midst of changes', () => {
    const first: LooseParameter = { name: 'first', data: filled(3, 1), grad: filled(3, 1) };
    const old = first.data;
    let fails = false;
    const second = watched('second', filled(3, 1), filled(3, 1), () => {
      if (fails) throw new EvalError('not today');
    });
    const optimizer = new SGD([first, second], half);
    optimizer.step();
    fails = true;
    first.data = filled(3, 7);
    expect(() => optimizer.step()).toThrow(EvalError);
    fails = false;
    optimizer.step();
    expect([old[0], first.data[0], second.data[0]]).toEqual([0.5, 6.5, 0]);
  });

  test('is not what it refused: the next step takes what was there before', () => {
    const param: LooseParameter = { name: 'w', data: filled(3, 1), grad: filled(3, 1) };
    const { grad } = param;
    const optimizer = new SGD([param], half);
    optimizer.step();
    param.grad = filled(2, 1);
    for (let i = 0; i < 2; ++i) expect(() => optimizer.step()).toThrow('to have 3 elements but received 2.');
    param.grad = grad;
    optimizer.step();
    expect(param.data[0]).toBe(0);
  });

  test('may be gradients that change places at every step', () => {
    const [one, two] = [filled(3, 1), filled(3, 2)];
    const param: LooseParameter = { name: 'w', data: filled(3, 0), grad: null };
    const optimizer = new SGD([param], { lr: 1 });
    const seen = [one, two, one, one, null, two, null, one].map((grad) => {
      param.grad = grad;
      optimizer.step();
      return param.data[0];
    });
    expect(seen).toEqual([-1, -3, -4, -5, -5, -7, -7, -8]);
  });

  test('may be a gradient that was forgotten and given again', () => {
    const grad = filled(3, 1);
    const param: LooseParameter = { name: 'w', data: filled(3, 0), grad };
    const optimizer = new SGD([param], { lr: 1 });
    optimizer.step();
    optimizer.zeroGrad();
    optimizer.step();
    expect(param.data[0]).toBe(-1);
    param.grad = grad;
    optimizer.step();
    expect(param.data[0]).toBe(-2);
  });

  test('is refused at every step while it is gone, in the order of tensors', () => {
    const params = ['a', 'b', 'c'].map((name) => ({ name, data: filled(3, 1), grad: filled(3, 1) }));
    const optimizer = new SGD(params, half);
    optimizer.step();
    transfer(params[1]!.data);
    params[2]!.grad = filled(2, 1);
    const message = 'Expected data of "b" to have 3 elements but received 0 ';
    for (let i = 0; i < 2; ++i) expect(() => optimizer.step()).toThrow(message);
    params[1]!.data = filled(3, 4);
    params[2]!.grad = filled(3, 1);
    optimizer.step();
    expect(params.map(({ data }) => data[0])).toEqual([0, 3.5, 0]);
  });

  test('includes groups that were added after steps', () => {
    const [first, second] = ['a', 'b'].map((name) => ({ name, data: filled(3, 1), grad: filled(3, 1) }));
    const optimizer = new SGD([first!], half);
    optimizer.step();
    optimizer.addParamGroup({ params: [second!] });
    optimizer.step();
    expect([first!.data[0], second!.data[0]]).toEqual([0, 0.5]);
  });
});

test('all parameters of an optimizer are kept in objects of one hidden class', () => {
  class Open extends AdamW {
    get slots(): object[] {
      return this.parameters().map(([, slot]) => slot);
    }
  }
  v8.setFlagsFromString('--allow-natives-syntax');
  try {
    type Compare = (a: object, b: object) => boolean;
    const haveSameMap = vm.runInThisContext('(a, b) => %HaveSameMap(a, b)') as Compare;
    const { slots } = new Open(Array.from({ length: 20 }, () => ({ data: filled(3, 1) })));
    expect(slots.filter((slot) => haveSameMap(slot, slots[0]!))).toHaveLength(20);
  } finally {
    v8.setFlagsFromString('--no-allow-natives-syntax');
  }
});
