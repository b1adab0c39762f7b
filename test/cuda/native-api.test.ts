/** The C interface over CUDA memory. */
import { AdamW, cuda, Muon, type CudaTensor } from 'fused-optim';
import { describeCuda, expectSameBits } from '../helpers/cuda';
import { loadDriver, NativeOptimizer, noCompiler, refusal, Status } from '../helpers/native-api';

const wave = (length: number, phase: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(1 + i * 1.7 + phase) * 0.7);

describeCuda('the C interface', () => {
  if (noCompiler) return test.skip(`skipped: ${noCompiler}`, () => undefined);

  interface Pair {
    readonly ours: { name: string; data: CudaTensor; grad: CudaTensor };
    readonly data: CudaTensor<'float32'>;
  }
  const pair = (name: string, shape: readonly number[]): Pair => {
    const length = shape.reduce((all, size) => all * size, 1);
    const numbers = wave(length, 3);
    const grad = cuda.tensor(shape);
    return {
      ours: { name, data: cuda.from(numbers, { shape }), grad },
      data: cuda.from(numbers, { shape }),
    };
  };
  const device = { device: 0 };
  const make = (stream?: bigint): NativeOptimizer => new NativeOptimizer('cuda', device, stream);
  const add = (native: NativeOptimizer, { ours, data }: Pair, group = 0): void => {
    const index = native.addTensor({ name: ours.name, shape: data.shape, group });
    native.bind(index, data.pointer, ours.grad.pointer);
  };
  const fill = ({ ours: { grad } }: Pair, phase: number): void => void grad.upload(wave(grad.length, phase));

  test('says that it is', () => {
    const { backend, version } = loadDriver().facts(make().api);
    expect({ backend, version }).toEqual({ backend: 'cuda', version: 1 });
  });

  test.each([{}, { cudaGraph: 1 }, { nonFinite: 1 }, { maxGradNorm: 0.5, gradScale: 4 }])(
    'has the bits of AdamW, asked for %j',
    (settings: { cudaGraph?: number; nonFinite?: number; maxGradNorm?: number; gradScale?: number }) => {
      const pairs = [pair('w', [33, 65]), pair('b', [7])];
      using stream = cuda.stream();
      const { maxGradNorm, gradScale } = settings;
      const optimizer = new AdamW(
        pairs.map(({ ours }) => ours),
        {
          weightDecay: 0.1,
          cudaGraph: settings.cudaGraph === 1,
          nonFinite: settings.nonFinite === 1 ? 'skip' : 'propagate',
          ...(maxGradNorm !== undefined && { maxGradNorm, gradScale: gradScale! }),
        },
      );
      const native = make(stream.handle);
      native.addGroup('AdamW', { weight_decay: 0.1 });
      for (const one of pairs) add(native, one);
      for (let step = 0; step < 60; ++step) {
        for (const one of pairs) fill(one, step);
        if (settings.nonFinite === 1 && step % 7 === 3)
          pairs[1]!.ours.grad.upload(new Float32Array(7).fill(Infinity));
        optimizer.step();
        const { applied } = native.step(settings);
        cuda.synchronize(); // gradients are written next, and the optimizers have streams of their own
        expect(applied).toBe(true);
        if (step < 3 || step > 57) {
          for (const { ours, data } of pairs) expectSameBits(data.download(), ours.data.download());
        }
      }
      const { step: taken } = optimizer.state(pairs[0]!.ours);
      expect(native.wait()).toMatchObject({ step: taken, pending: false });
      expect(native.progress(0)).toEqual([taken]);
      expect(native.stateBytes()).toBe(optimizer.stateBytes());
      const { pointer, bytes } = native.state(0, 'exp_avg');
      using view = cuda.fromPointer(pointer, { shape: [bytes / 4] });
      expectSameBits(
        view.download(),
        (optimizer.state(pairs[0]!.ours).expAvg as CudaTensor<'float32'>).download(),
      );
      native.destroy();
      optimizer.dispose();
    },
  );

  test('has the bits of Muon', () => {
    const one = pair('w', [24, 16]);
    const optimizer = new Muon([one.ours]);
    const native = make();
    native.addGroup('Muon');
    add(native, one);
    for (let step = 0; step < 3; ++step) {
      fill(one, step);
      optimizer.step();
      native.step();
      cuda.synchronize();
    }
    expectSameBits(one.data.download(), one.ours.data.download());
    native.destroy();
    optimizer.dispose();
  });

  test('tells of a step that was skipped, and throws at one', () => {
    const one = pair('w', [4]);
    one.ours.grad.upload(Float32Array.of(1, NaN, 1, 1));
    const native = make();
    native.addGroup('SGD');
    add(native, one);
    const before = one.data.download();
    expect(native.step({ nonFinite: 1 })).toMatchObject({ pending: true });
    expect(native.wait()).toMatchObject({ applied: false, step: 0, badTensor: 0, pending: false });
    expect(refusal(() => native.step({ nonFinite: 2 }))).toEqual({
      message: 'Expected grad of "w" to be finite but it holds NaN or infinity.',
      code: Status.notFinite,
    });
    expectSameBits(one.data.download(), before);
    native.destroy();
  });

  test('looks at pointers once they are bound', () => {
    const one = pair('w', [4]);
    const native = make();
    native.addGroup('SGD');
    native.addTensor({ name: 'w', shape: [8] });
    const { pointer } = one.data;
    const large = cuda.tensor([64]);
    expect(refusal(() => native.bind(0, new Float32Array(8), null)).message).toBe(
      'Expected data of "w" to be device memory of this process but it is not.',
    );
    expect(refusal(() => native.bind(0, large.pointer + 240n, null)).message).toMatch(
      /^Expected data of "w" to have 32 bytes but its allocation has \d+ from there on\.$/,
    );
    expect(refusal(() => native.bind(0, large.pointer + 2n, null)).message).toContain('aligned to 4 bytes');
    expect(refusal(() => native.bind(0, large.pointer, pointer + 0x100000000000n)).code).toBe(Status.invalid);
    native.bind(0, large.pointer, null);
    native.destroy();
  });

  test.each([
    [{ device: 99 }, 'Expected device of create() to be one of'],
    [{ threads: 2 }, 'Expected threads of create() to be 0 on CUDA.'],
  ])('refuses create(%j)', (config, message) => {
    expect(refusal(() => new NativeOptimizer('cuda', config)).message).toContain(message);
  });
});
