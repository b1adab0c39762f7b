import { cuda, SGD, type CudaTensor, type Parameter } from 'fused-optim';
import { describeCuda, describeStandIn, hostOf, standIn } from '../helpers/cuda';

const filled = (value: number): CudaTensor => cuda.from(new Float32Array(3).fill(value));
const first = (tensor: CudaTensor): number => (hostOf(tensor) as unknown as Float32Array)[0]!;
const gone = (what: string): string => `Expected ${what} to have memory on device 0 but it was freed.`;

interface OnDevice extends Parameter {
  data: CudaTensor;
  grad: CudaTensor | null;
}
const make = (...names: string[]): OnDevice[] =>
  names.map((name) => ({ name, data: filled(1), grad: filled(1) }));
const firsts = (params: readonly OnDevice[]): number[] => params.map(({ data }) => first(data));

describeCuda('what a step binds of tensors in CUDA memory', () => {
  describe.each([false, true])('cudaGraph: %p', (cudaGraph) => {
    const sgd = (params: OnDevice[], lr = 0.5): SGD => new SGD(params, { lr, cudaGraph });

    test.each(['data', 'grad'] as const)(
      '%s that was freed is refused at every step until it is replaced',
      (what) => {
        const params = make('a', 'b', 'c');
        const optimizer = sgd(params);
        for (let step = 0; step < 3; ++step) optimizer.step();
        params[1]![what]!.free();
        for (let i = 0; i < 3; ++i) expect(() => optimizer.step()).toThrow(gone(`${what} of "b"`));
        params[1]![what] = filled(1);
        optimizer.step();
        expect(firsts(params)).toEqual([-1, what === 'data' ? 0.5 : -1, -1]);
      },
    );

    test('a tensor that was freed is noticed by every optimizer that has it', () => {
      const shared = filled(1);
      const sets = ['a', 'b'].map((name) => [{ name, data: filled(1), grad: shared }]);
      const optimizers = sets.map((params) => sgd(params));
      for (const optimizer of optimizers) optimizer.step();
      shared.free();
      for (let i = 0; i < 2; ++i)
        optimizers.forEach((optimizer, k) =>
          expect(() => optimizer.step()).toThrow(gone(`grad of "${'ab'[k]}"`)),
        );
      expect(sets.map(firsts)).toEqual([[0.5], [0.5]]);
    });

    test('tensors of nobody may be freed between steps', () => {
      const params = make('a', 'b');
      const optimizer = sgd(params);
      for (let step = 0; step < 3; ++step) {
        filled(0).free();
        optimizer.step();
      }
      expect(firsts(params)).toEqual([-0.5, -0.5]);
    });

    test('gradients may be freed and made anew at every step', () => {
      const params = make('a', 'b');
      const optimizer = sgd(params);
      for (let step = 0; step < 4; ++step) {
        optimizer.step();
        for (const param of params) {
          param.grad!.free();
          param.grad = filled(step);
        }
      }
      expect(firsts(params)).toEqual([-1, -1]);
    });

    test('gradients may change places at every step', () => {
      const [one, two] = [filled(1), filled(2)];
      const [param] = make('w') as [OnDevice];
      const optimizer = sgd([param], 1);
      const seen = [one, two, one, one, null, two, null, one].map((grad) => {
        param.grad = grad;
        optimizer.step();
        return first(param.data);
      });
      expect(seen).toEqual([0, -2, -3, -4, -4, -6, -6, -7]);
    });

    test('a getter that frees what was read before it is found out, and nothing is written', () => {
      const params = make('a', 'b');
      const [a, b] = params as [OnDevice, OnDevice];
      const { grad } = b;
      let frees = false;
      Object.defineProperty(b, 'grad', {
        get() {
          if (frees) a.grad!.free();
          return grad;
        },
      });
      const optimizer = sgd(params);
      optimizer.step();
      frees = true;
      expect(() => optimizer.step()).toThrow(gone('grad of "a"'));
      expect(firsts(params)).toEqual([0.5, 0.5]);
    });
  });
});

describeStandIn('a step for which nothing has moved', () => {
  test('tells the device nothing, whatever else is freed', () => {
    const params = make('a', 'b');
    const optimizer = new SGD(params);
    for (let step = 0; step < 3; ++step) optimizer.step();
    filled(0).free();
    cuda.synchronize();
    standIn.resetCounters();
    optimizer.step();
    expect(standIn.counters()).toMatchObject({ allocations: 0, copies: 0, synchronizations: 0 });
  });
});
