/** Steps by the C interface have the bits of those by the classes, and misuse is an error. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import * as library from 'fused-optim';
import { difference } from './helpers/bits';
import { numbersOf } from './helpers/native-options';
import { combinationsOf, formatOptions, saysDtype, text, type Combination } from './helpers/formats';
import {
  Code,
  describeNativeApi,
  loadDriver,
  NativeOptimizer,
  noCompiler,
  refusal,
  RoundingCode,
  Status,
} from './helpers/native-api';
import { forVariants, registered } from './helpers/registry';

const shapes = [[6, 5], [7], [3, 2, 4]];
const lengthOf = (shape: readonly number[]): number => shape.reduce((all, size) => all * size, 1);
const wave = (length: number, phase: number): number[] =>
  Array.from({ length }, (_, i) => Math.sin(1 + i * 1.7 + phase) * 0.7);

/** Arrays of the dtypes that a format says; a Uint16Array gets the upper half of a float32, or that of ones. */
function array(dtype: library.DType, values: readonly number[]): library.HostArray {
  if (dtype === 'float32') return Float32Array.from(values);
  if (dtype === 'float64') return Float64Array.from(values);
  if (dtype === 'bfloat16')
    return Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16);
  // Sign, exponents about 1, and some bits.
  return Uint16Array.from(values, (v, i) => (v < 0 ? 0x8000 : 0) | 0x3400 | ((i * 37) & 0x3ff));
}

interface Twin {
  readonly names: readonly string[];
  readonly parameters: library.Parameter[];
  readonly data: library.HostArray[];
  readonly grads: library.HostArray[];
}

const float32: Combination = {
  dtype: 'float32',
  grad: 'float32',
  stateDtype: 'float32',
  rounding: undefined,
};

function twins(format: Combination, list = shapes): Twin {
  const names = list.map((_, k) => (k === 0 ? 'héad 🤖' : `p${k}`));
  const make = (k: number) => array(format.dtype, wave(lengthOf(list[k]!), k));
  const grads = list.map((shape) => array(format.grad, wave(lengthOf(shape), 9)));
  const parameters = list.map((shape, k) => ({
    name: names[k]!,
    data: make(k),
    grad: grads[k]!,
    shape,
    dtype: saysDtype(format),
  }));
  return { names, parameters, data: list.map((_, k) => make(k)), grads };
}

/** Both take `steps` steps; expects equal parameters and states. */
function compare(
  optimizer: Pick<library.Optimizer, 'step' | 'state' | 'stateBytes' | 'dispose'>,
  native: NativeOptimizer,
  { names, parameters, data, grads }: Twin,
  steps: number,
  settings = {},
): void {
  for (let step = 0; step < steps; ++step) {
    grads.forEach((grad, k) => {
      const dtype = parameters[k]!.dtype!;
      const own = grad instanceof Uint16Array ? (dtype === 'float16' ? 'float16' : 'bfloat16') : undefined;
      grad.set(
        array(own ?? (grad instanceof Float64Array ? 'float64' : 'float32'), wave(grad.length, step + k)),
      );
    });
    optimizer.step();
    native.step(settings, step === 1);
    parameters.forEach(({ data: expected }, k) =>
      expect([names[k], step, difference(data[k]!, expected as library.HostArray)]).toEqual([
        names[k],
        step,
        undefined,
      ]),
    );
  }
  expect(native.stateBytes()).toBe(optimizer.stateBytes());
  parameters.forEach((parameter, k) => {
    const { step, ...states } = optimizer.state(parameter);
    expect(native.progress(k)).toEqual([step]);
    for (const [name, view] of Object.entries(states)) {
      if (typeof view === 'number') {
        expect(native.progress(k, 1)).toEqual([step, view]);
        continue;
      }
      if (name.endsWith('Scale')) continue; // behind the codes
      const { copy, bytes } = native.state(k, name);
      const array = view as Float32Array;
      const Kind = array.constructor as Float32ArrayConstructor;
      expect(bytes).toBeGreaterThanOrEqual(array.byteLength);
      expect([name, difference(new Kind(copy!, 0, array.length), array)]).toEqual([name, undefined]);
    }
  });
  optimizer.dispose();
  native.destroy();
}

function addTensors(native: NativeOptimizer, twin: Twin, format: Combination, list = shapes): void {
  const { dtype, grad, stateDtype, rounding } = format;
  twin.names.forEach((name, k) => {
    // Embeddings by name would keep float32 in JavaScript; these have none of 8 bits that is too small for it.
    const small = stateDtype === '8bit' && lengthOf(list[k]!) < 4096;
    const states = dtype === 'float64' || small ? 0 : Code[stateDtype];
    const tensor = { name, shape: list[k]!, dtype: Code[dtype], stateDtype: states };
    const index = native.addTensor({ ...tensor, rounding: rounding ? RoundingCode[rounding] : 0 });
    native.bind(index, twin.data[k]!, twin.grads[k]!, Code[grad]);
  });
}

describeNativeApi('the C interface', () => {
  test('says what it is', () => {
    const driver = loadDriver();
    const { size, sizeHere, ...facts } = driver.facts(library.nativeApi());
    expect(facts).toEqual({ version: 1, backend: 'cpu', hasRestore: true });
    expect(size).toBe(sizeHere);
    expect(() => library.nativeApi('gpu' as never)).toThrow(
      'Expected backend of nativeApi() to be "cpu" or "cuda" but received "gpu"',
    );
  });

  test.each(registered)('has the bits of $name with every option', (entry) => {
    forVariants(entry, (options) => {
      const twin = twins(float32);
      const optimizer = new entry.Class(twin.parameters, options);
      const native = new NativeOptimizer();
      native.addGroup(entry.name, numbersOf(options));
      addTensors(native, twin, float32);
      compare(optimizer, native, twin, 3);
    });
  });

  test.each(registered)('has the defaults and the bits of $name in every format', (entry) => {
    for (const format of combinationsOf(entry)) {
      try {
        const list = format.stateDtype === '8bit' ? [[64, 70], [9]] : shapes;
        const twin = twins(format, list);
        const optimizer = new entry.Class(twin.parameters, { ...formatOptions(format), seed: 5 } as object);
        const native = new NativeOptimizer();
        native.addGroup(entry.name.toUpperCase());
        addTensors(native, twin, format, list);
        compare(optimizer, native, twin, 3, { seed: 5 });
      } catch (error) {
        if (error instanceof Error) error.message = `${text(format)}: ${error.message}`;
        throw error;
      }
    }
  });

  test('keeps a master copy of 16-bit parameters unless told otherwise', () => {
    const format: Combination = { ...float32, dtype: 'bfloat16', grad: 'bfloat16' };
    const twin = twins(format);
    const native = new NativeOptimizer();
    native.addGroup('AdamW');
    addTensors(native, twin, format);
    compare(new library.AdamW(twin.parameters), native, twin, 2);
  });

  test('has the bits of Muon, matrices in one group and the rest in Muon.adamw', () => {
    const options = { lr: 0.03, nsCoefficients: [3, -4, 2] as const, nsDtype: 'bfloat16', split: 2 } as const;
    const twin = twins(float32, [[8, 6], [5]]);
    const optimizer = new library.Muon(twin.parameters, { ...options, adamw: { maxLr: 0.1 } });
    const native = new NativeOptimizer('cpu', { threads: 2 });
    const triples = Array.from({ length: 16 }, (_, i) =>
      ['a', 'b', 'c'].map((letter, k) => [`nsCoefficients.${i}.${letter}`, options.nsCoefficients[k]!]),
    ).flat() as [string, number][];
    const { nsCoefficients: _, ...rest } = options;
    native.addGroup('Muon', { ...numbersOf(rest), ...Object.fromEntries(triples) });
    native.addGroup('Muon.adamw', { max_lr: 0.1 });
    native.addTensor({ name: twin.names[0]!, shape: [8, 6] });
    native.addTensor({ name: 'p1', shape: [5], group: 1 });
    twin.data.forEach((data, k) => native.bind(k, data, twin.grads[k]!));
    compare(optimizer, native, twin, 3);
  });

  test('clips, unscales, follows options and layouts as the classes do', () => {
    const twin = twins(float32, [[4, 6]]);
    const parameter = { ...twin.parameters[0]!, layout: 'in-out' as const };
    const optimizer = new library.Muon([parameter], { maxGradNorm: 0.5, gradScale: 8 });
    const native = new NativeOptimizer();
    native.addGroup('Muon');
    native.addTensor({ name: twin.names[0]!, shape: [4, 6], layout: 1 });
    native.bind(0, twin.data[0]!, twin.grads[0]!);
    for (const lr of [0.1, 0.01]) {
      optimizer.paramGroups[0]!.lr = lr;
      native.setOption(0, 'lr', lr);
      expect(native.getOption(0, 'lr')).toBe(lr);
      const { gradNorm } = optimizer.step();
      const result = native.step({ maxGradNorm: 0.5, gradScale: 8 });
      expect(result.gradNorm).toBe(gradNorm);
      expect(difference(twin.data[0]!, parameter.data as Float32Array)).toBeUndefined();
    }
    optimizer.dispose();
    native.destroy();
  });

  test('has the defaults, ranges and states of the classes', () => {
    const all = loadDriver().optimizers(library.nativeApi());
    const names = registered.map(({ name }) => name);
    expect(Object.keys(all).sort()).toEqual([...names, 'Muon', 'Muon.adamw'].sort());
    for (const { name, defaults } of registered) {
      const { options, states } = all[name]!;
      const camel = (snake: string) => snake.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
      const found = Object.fromEntries(
        Object.entries(options).map(([option, { value }]) => [
          camel(option),
          Number.isNaN(value) ? defaults.lr : value,
        ]),
      );
      expect([name, found]).toEqual([name, numbersOf(defaults)]);
      expect(states.every((state) => /^[a-z_]+$/.test(state))).toBe(true);
    }
    expect(all.AdamW!.options.beta2).toEqual({ value: 0.999, expected: 'a number in [0, 1)', whole: false });
    expect(all.LAMB!.states).toEqual(['exp_avg', 'exp_avg_sq']);
  });

  test('skips, throws at and goes on with gradients that are not finite', () => {
    const data = Float32Array.of(1, 2);
    const native = new NativeOptimizer();
    native.addGroup('SGD');
    native.addTensor({ name: 'w', shape: [2] });
    native.bind(0, data, Float32Array.of(NaN, 1));
    expect(native.step({ nonFinite: 1 })).toMatchObject({ applied: false, step: 0, badTensor: 0 });
    expect(refusal(() => native.step({ nonFinite: 2 }))).toEqual({
      message: 'Expected grad of "w" to be finite but it holds NaN or infinity.',
      code: Status.notFinite,
    });
    expect(data).toEqual(Float32Array.of(1, 2));
    expect(native.step()).toEqual({ applied: true, step: 1, gradNorm: -1, badTensor: -1, pending: false });
    expect(data[0]).toBeNaN();
    native.destroy();
  });

  test('leaves tensors without a gradient alone, and empty ones', () => {
    const data = Float32Array.of(1);
    const native = new NativeOptimizer();
    native.addGroup('AdamW');
    native.addTensor({});
    native.addTensor({ shape: [0, 3] });
    native.addTensor({ name: 'never bound' });
    native.bind(0, data, null);
    native.bind(1, null, null);
    expect(native.step()).toMatchObject({ applied: true, step: 1 });
    expect(data[0]).toBe(1);
    expect(native.state(0, 'exp_avg')).toMatchObject({ bytes: 0, pointer: 0n });
    expect(native.wait()).toMatchObject({ step: 1 });
    native.destroy();
  });

  test('goes on from a checkpoint with the same bits', () => {
    const run = (native: NativeOptimizer, data: Float32Array, from: number, to: number) => {
      const grad = new Float32Array(5);
      native.bind(0, data, grad);
      for (let i = from; i < to; ++i) {
        grad.set(wave(5, i));
        native.step();
      }
    };
    const make = () => {
      const native = new NativeOptimizer();
      native.addGroup('NAdam', { lr: 0.1 });
      native.addTensor({ shape: [5] });
      return native;
    };
    const whole = Float32Array.from(wave(5, 3));
    const first = make();
    const data = whole.slice();
    run(make(), whole, 0, 6);
    run(first, data, 0, 3);
    const next = make();
    next.bind(0, data, null);
    const [step, ...scalars] = first.progress(0, 1);
    next.restore(0, step!, scalars);
    for (const name of ['exp_avg', 'expAvgSq'])
      next.driver.write(next.state(0, name).pointer, new Float32Array(first.state(0, name).copy!));
    run(next, data, 3, 6);
    expect(difference(data, whole)).toBeUndefined();
    expect(next.progress(0, 1)[0]).toBe(6);
    next.restore(0, 0);
    expect(next.state(0, 'exp_avg').pointer).toBe(0n);
  });
});

describe('the header', () => {
  test('is where include says, as an absolute path', () => {
    expect(path.isAbsolute(library.include)).toBe(true);
    expect(fs.existsSync(path.join(library.include, 'fused_optim.h'))).toBe(true);
  });

  const compiles = noCompiler ? test.skip : test;
  compiles.each([
    ['c', 'c99'],
    ['c', 'c11'],
    ['c++', 'c++11'],
    ['c++', 'c++20'],
  ])('is %s of %s without a warning', (language, standard) => {
    const source = '#include <fused_optim.h>\nint main(void) { return FUSED_OPTIM_OK; }\n';
    const flags = ['-x', language, `-std=${standard}`, '-Wall', '-Wextra', '-Wpedantic', '-Werror'];
    const args = [...flags, '-fsyntax-only', '-I', library.include, '-'];
    expect(execFileSync(process.env.CXX ?? 'c++', args, { input: source, encoding: 'utf8' })).toBe('');
  });

  test('tells no other numbers than the library has', () => {
    const text = fs.readFileSync(path.join(library.include, 'fused_optim.h'), 'utf8');
    const value = (name: string) => Number(new RegExp(`FUSED_OPTIM_${name} = (\\d+)`).exec(text)?.[1]);
    for (const [name, code] of Object.entries({ ...Code, ...RoundingCode }))
      expect([name, value(name.toUpperCase())]).toEqual([name, code]);
  });
});
