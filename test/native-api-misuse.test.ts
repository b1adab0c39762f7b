/** Misuse of the C interface is an error in words, and changes nothing. */
import * as library from 'fused-optim';
import { Code, describeNativeApi, NativeOptimizer, refusal, Status } from './helpers/native-api';
import { numbersOf } from './helpers/native-options';
import type { Options } from './helpers/registry';

const lengthOf = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);

describeNativeApi('misuse of the C interface', () => {
  const make = (): NativeOptimizer => {
    const native = new NativeOptimizer();
    native.addGroup('AdamW');
    native.addTensor({ name: 'w', shape: [2] });
    return native;
  };

  test('NULL is an error of every function', () => {
    const native = make();
    const statuses = native.driver.nulls(native.api, native.handle);
    expect(statuses.length).toBeGreaterThan(30);
    expect(statuses.filter((status) => status !== Status.invalid)).toEqual([]);
    native.destroy();
  });

  test('so is a handle that is none any more, or never was', () => {
    const native = make();
    native.destroy();
    const gone = { message: 'Expected an optimizer but this one was destroyed, or never was one.', code: 1 };
    for (const act of [
      () => native.step(),
      () => native.destroy(),
      () => native.bind(0, null, null),
      () => native.driver.step(native.api, 0x7f001234n),
    ])
      expect(refusal(act)).toEqual(gone);
  });

  test.each<[string, (native: NativeOptimizer) => unknown]>([
    ['Expected an optimizer to be one of AdaGrad, Adam, AdamW,', (native) => native.addGroup('Adafactor')],
    [
      'Unknown option "learningRate" for AdamW, group 1: its options are maximize, lr, beta1, beta2, eps,',
      (native) => native.addGroup('AdamW', { learningRate: 1 }),
    ],
    ['Unknown option "amsgrad" for AMSGrad, group 1', (native) => native.addGroup('AMSGrad', { amsgrad: 0 })],
    [
      'Expected weight_decay of AdamW, group 1 to be a finite number >= 0 but received -0.1.',
      (native) => native.addGroup('AdamW', { weight_decay: -0.1 }),
    ],
    [
      'Expected beta1 of AdamW to be a number in [0, 1) but received 1.',
      (native) => native.setOption(0, 'beta1', 1),
    ],
    [
      'Expected lr of AdamW to be a finite number >= 0 but received NaN.',
      (native) => native.setOption(0, 'lr', NaN),
    ],
    [
      'Expected amsgrad of AdamW to be 0 or 1 but received 0.5.',
      (native) => native.setOption(0, 'amsgrad', 0.5),
    ],
    [
      'Expected nsSteps of Muon, group 1 to be an integer in [1, 99] but received 0.',
      (native) => native.addGroup('Muon', { nsSteps: 0 }),
    ],
    ['Expected a group to be one of 1 but received 1.', (native) => native.setOption(1, 'lr', 1)],
    ['Expected a group to be one of 1 but received -1.', (native) => native.addTensor({ group: -1 })],
    ['Expected unique names of tensors but received "w" twice.', (native) => native.addTensor({ name: 'w' })],
    ['Expected the name of a tensor to have a letter.', (native) => native.addTensor({ name: '' })],
    ['Expected sizes of "x" to be >= 0', (native) => native.addTensor({ name: 'x', shape: [2, -1] })],
    [
      'Expected shape of "x" to be of a number of elements that can be counted.',
      (native) => native.addTensor({ name: 'x', shape: [2 ** 40, 2 ** 40] }),
    ],
    [
      'Expected dtype of "x" to be an enum fused_optim_dtype but received 6.',
      (native) => native.addTensor({ name: 'x', dtype: 6 }),
    ],
    [
      'Expected "x" to have a format that there is for AdamW but received float64 with bfloat16 states and rounding nearest.',
      (native) => native.addTensor({ name: 'x', dtype: Code.float64, stateDtype: Code.bfloat16 }),
    ],
    ['Expected rounding of "x" to be an enum', (native) => native.addTensor({ name: 'x', rounding: 6 })],
    ['Expected layout of "x" to be an enum', (native) => native.addTensor({ name: 'x', layout: 2 })],
    [
      'Expected size of struct fused_optim_tensor to be sizeof(struct fused_optim_tensor) but received 4.',
      (native) => native.addTensor({ size: 4 }),
    ],
    ['Expected a tensor to be one of 1 but received 1.', (native) => native.bind(1, null, null)],
    [
      'Expected data of "w" to be an address but received NULL.',
      (native) => native.bind(0, null, new Float32Array(2)),
    ],
    [
      'Expected data of "w" to be aligned to 4 bytes.',
      (native) => native.bind(0, new Uint8Array(64).subarray(1), null),
    ],
    [
      'Expected grad of "w" to be of a dtype that goes with float32 but received float64.',
      (native) => native.bind(0, new Float32Array(2), new Float64Array(2), Code.float64),
    ],
    [
      'Expected grad_dtype of "w" to be an enum fused_optim_dtype but received -1.',
      (native) => native.bind(0, new Float32Array(2), new Float32Array(2), -1),
    ],
    [
      'Expected "momentum_buffer" to be a state of AdamW but it has none of that name.',
      (native) => native.state(0, 'momentum_buffer'),
    ],
    ['Expected non_finite of step() to be 0, 1 or 2.', (native) => native.step({ nonFinite: 3 })],
    [
      'Expected grad_scale of step() to be a finite number > 0 but received -1.',
      (native) => native.step({ gradScale: -1 }),
    ],
    [
      'Expected max_grad_norm of step() to be a finite number >= 0 but received Infinity.',
      (native) => native.step({ maxGradNorm: Infinity }),
    ],
    ['Expected cuda_graph of step() to be 0 on the CPU.', (native) => native.step({ cudaGraph: 1 })],
    ['Expected "w" to be bound before restore().', (native) => native.restore(0, 1)],
    ['Expected step of restore() to be >= 0.', (native) => native.restore(0, -1)],
    ['Expected scalars of restore() to be 0 for AdamW', (native) => native.restore(0, 1, [1])],
  ])('%s', (message, act) => {
    const native = make();
    const before = native.stateBytes();
    const { message: received, code } = refusal(() => act(native));
    expect(received).toContain(message);
    expect(code).toBe(Status.invalid);
    // Nothing was left behind.
    expect(native.stateBytes()).toBe(before);
    expect(native.addTensor({})).toBe(1);
    expect(native.addGroup('SGD')).toBe(1);
    native.destroy();
  });

  test.each([
    [{ threads: 1025 }, 'Expected threads of create() to be an integer in [1, 1024], or 0 for the default,'],
    [{ threads: -1 }, 'but received -1.'],
    [{ device: 1 }, 'Expected stream and device of create() to be 0 on the CPU.'],
  ])('create(%j) is refused', (config, message) => {
    expect(refusal(() => new NativeOptimizer('cpu', config)).message).toContain(message);
  });

  test('memory that overlaps is found before anything is written', () => {
    const native = make();
    native.addTensor({ name: 'v', shape: [2] });
    const buffer = new Float32Array(8).fill(1);
    native.bind(0, buffer.subarray(0, 2), buffer.subarray(4, 6));
    native.bind(1, buffer.subarray(1, 3), buffer.subarray(4, 6));
    expect(refusal(() => native.step()).message).toBe(
      'Expected data of "w" and "v" to be apart but they share memory: both would be updated twice.',
    );
    native.bind(1, buffer.subarray(2, 4), buffer.subarray(0, 2));
    expect(refusal(() => native.step()).message).toBe(
      'Expected grad of "v" to be apart from data of "w" but they share memory.',
    );
    expect(buffer).toEqual(new Float32Array(8).fill(1));
    native.bind(1, buffer.subarray(2, 4), buffer.subarray(4, 6));
    expect(native.step().applied).toBe(true);
    native.destroy();
  });

  // native/c/relations.cpp holds once more what classes check as functions.
  test.each<[string, Options, readonly [number, ...number[]], number]>([
    ['LAMB', { trustRatioMin: 2, trustRatioMax: 1 }, [2], 0],
    ['LARS', { nesterov: true, momentum: 0 }, [2], 0],
    ['LARS', { nesterov: true, dampening: 0.5 }, [2], 0],
    ['LARS', { lrInMomentum: true, dampening: 0.5 }, [2], 0],
    ['Momentum', { lrInMomentum: true, dampening: 0.5 }, [2], 0],
    ['Muon', { split: 3 }, [4, 2], 0],
    ['Ranger', {}, [2, 2], 1],
  ])('%s refuses %j as its class does', (name, options, shape, layout) => {
    const Class = (library as unknown as Record<string, new (params: object[], options: object) => object>)[
      name
    ]!;
    const parameter = { name: 'w', data: new Float32Array(lengthOf(shape)), shape };
    const said = { ...parameter, layout: layout === 1 ? 'in-out' : 'out-in' };
    expect(() => new Class([said], options)).toThrow();
    let expected = '';
    try {
      new Class([said], options);
    } catch (error) {
      expected = (error as Error).message;
    }
    const native = new NativeOptimizer();
    const { message } = refusal(() => {
      native.addGroup(name, numbersOf(options));
      native.addTensor({ name: 'w', shape, layout });
    });
    // The words of a choice are numbers here.
    expect(message).toBe(expected.replace(/ "all" of/, ' of'));
    native.destroy();
  });

  test('a change that does not go with the others is found by the next step', () => {
    const native = new NativeOptimizer();
    native.addGroup('Muon');
    native.addTensor({ name: 'w', shape: [4, 2] });
    native.bind(0, new Float32Array(8), new Float32Array(8));
    native.setOption(0, 'split', 3);
    expect(refusal(() => native.step()).message).toContain('to divide the 4 outputs of "w"');
    native.setOption(0, 'split', 2);
    expect(native.step().applied).toBe(true);
    const matrix = 'to be a matrix in Muon but it has';
    expect(refusal(() => native.addTensor({ shape: [4] })).message).toContain(`${matrix} 1 axes.`);
    expect(refusal(() => native.addTensor({ shape: [0, 4] })).message).toContain(`${matrix} no elements.`);
    expect(refusal(() => native.addTensor({ shape: [2, 2], dtype: Code.float64 })).message).toContain(
      'to be float32, bfloat16 or float16 in Muon but received float64.',
    );
    native.destroy();
  });
});
