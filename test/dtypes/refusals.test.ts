/** Combinations without kernels, and arrays that do not say what they hold: one sentence each, and nothing changed. */
import {
  Adam,
  AdamW,
  clipGradAdaptive,
  clipGradNorm,
  clipGradValue,
  EMA,
  Muon,
  SGD,
  SWA,
  type CommonOptions,
  type DType,
  type HostArray,
  type Parameter,
  type Rounding,
  type StateDType,
} from 'fused-optim';
import { with8bit } from '../../lib/formats';
import { combinations, has8bit, type Combination } from '../helpers/formats';
import { store } from '../helpers/lowp';
import { values } from '../helpers/random';
import { registered } from '../helpers/registry';
import { expectUnchanged, snapshot, type LooseParameter } from '../helpers/unchanged';

const dtypes: readonly DType[] = ['float32', 'float64', 'bfloat16', 'float16'];
const stateDtypes: readonly StateDType[] = ['float32', 'bfloat16', '8bit'];
const roundings: readonly Rounding[] = ['master', 'stochastic', 'kahan', 'split', 'nearest'];

const param = (dtype: DType | undefined, data: HostArray, grad: HostArray | null = null): Parameter => ({
  name: 'w',
  data,
  grad,
  dtype,
});
const numbers = values(5, 1);

const supportedTexts: Readonly<Record<DType, string>> = {
  float32:
    'float32 parameters take float32, bfloat16 or float16 gradients and float32, bfloat16 or 8bit states',
  float64: 'float64 parameters take float64 gradients and float64 states',
  bfloat16:
    'bfloat16 parameters take bfloat16 or float32 gradients, float32, bfloat16 or 8bit states and the rounding ' +
    'master, stochastic, kahan, split or nearest',
  float16:
    'float16 parameters take float16 or float32 gradients, float32, bfloat16 or 8bit states and the rounding ' +
    'master or nearest',
};

describe('every combination that is not supported is refused, and every other one is not', () => {
  const known = (wanted: Partial<Combination>): boolean =>
    combinations.some((one) =>
      Object.entries(wanted).every(([key, value]) => one[key as keyof Combination] === value),
    );
  const error = (action: () => unknown): Error | undefined => {
    try {
      action();
      return undefined;
    } catch (thrown) {
      return thrown as Error;
    }
  };

  test.each(dtypes.flatMap((dtype) => dtypes.map((grad) => [dtype, grad] as const)))(
    '%s with %s gradients',
    (dtype, grad) => {
      const bits = dtype === 'float32' ? grad : dtype;
      const w = param(bits === 'float64' && dtype === 'float32' ? undefined : bits, store(numbers, dtype));
      const optimizer = new SGD([w], { lr: 1 });
      const copy = (w.data as HostArray).slice();
      w.grad = store(numbers, grad);
      const isHalf = dtype.endsWith('16') && grad.endsWith('16') && dtype !== grad;
      if (known({ dtype, grad })) {
        optimizer.step();
        expect(w.data).not.toEqual(copy);
      } else if (isHalf) {
        // Its Uint16Arrays are all of one dtype: the other cannot even be said.
        expect(
          error(() => new SGD([{ ...w, dtype: grad, data: Float64Array.from(numbers) }])),
        ).toBeInstanceOf(TypeError);
      } else {
        const refused = error(() => optimizer.step());
        expect(refused).toBeInstanceOf(TypeError);
        expect(refused!.message).toMatch(/^Expected (grad|dtype) of "w" to be /);
        if (refused!.message.includes('grad of "w" to be'))
          expect(refused!.message).toContain(supportedTexts[dtype]);
        expect(w.data).toEqual(copy);
      }
      optimizer.dispose();
    },
  );

  test.each(dtypes.flatMap((dtype) => stateDtypes.map((stateDtype) => [dtype, stateDtype] as const)))(
    '%s with stateDtype %s',
    (dtype, stateDtype) => {
      const refused = error(() => new AdamW([param(dtype, store(numbers, dtype))], { stateDtype }));
      if (known({ dtype, stateDtype })) {
        expect(refused).toBeUndefined();
        return;
      }
      expect(refused).toEqual(
        new TypeError(
          `Expected stateDtype of AdamW for "w" to be left out (${supportedTexts[dtype]}) but received "${stateDtype}".`,
        ),
      );
    },
  );

  test.each(dtypes.flatMap((dtype) => roundings.map((rounding) => [dtype, rounding] as const)))(
    '%s with rounding %s',
    (dtype, rounding) => {
      const refused = error(() => new AdamW([param(dtype, store(numbers, dtype))], { rounding }));
      // Models have float32 parameters among their 16-bit ones, which lose nothing.
      if (!dtype.endsWith('16') || known({ dtype, rounding })) {
        expect(refused).toBeUndefined();
        return;
      }
      expect(refused).toEqual(
        new TypeError(
          `Expected rounding of AdamW for "w" to be "master" or "nearest" (${supportedTexts[dtype]}) ` +
            `but received "${rounding}".`,
        ),
      );
    },
  );
});

describe('8-bit states', () => {
  test.each(registered)('of $name are as the registry has it', (entry) => {
    const make = () => new entry.Class([param('float32', numbers.slice())], { stateDtype: '8bit' } as object);
    expect(with8bit.includes(entry.name)).toBe(has8bit(entry));
    if (has8bit(entry)) {
      expect(make).not.toThrow();
      return;
    }
    expect(make).toThrow(
      new TypeError(
        `Expected stateDtype of ${entry.name} to be "float32" or "bfloat16" but received "8bit", which only Adam, ` +
          'AdamW, AMSGrad, NAdam, RAdam, Lion and the AdamW part of Muon have.',
      ),
    );
  });
});

const half = new Uint16Array(5);
const type = (message: string): TypeError => new TypeError(message);

describe('parameters', () => {
  test.each<[string, Parameter, TypeError]>([
    [
      'bits of unknown kind',
      param(undefined, half),
      type(
        'Expected dtype of "w" to be "bfloat16" or "float16" for the Uint16Array that is its data but received undefined.',
      ),
    ],
    [
      'bits that are said to be float32',
      param('float32', half),
      type(
        'Expected dtype of "w" to be "bfloat16" or "float16" for the Uint16Array that is its data but received "float32".',
      ),
    ],
    [
      'integers',
      param(undefined, new Int32Array(5) as never),
      type(
        'Expected data of "w" to be a Float32Array, a Float64Array, or a Uint16Array with dtype "bfloat16" or "float16" ' +
          'but received a Int32Array.',
      ),
    ],
    [
      'a Float32Array of float64',
      param('float64', numbers),
      type('Expected data of "w" to be a Float64Array for its dtype "float64" but received a Float32Array.'),
    ],
    [
      'a Float64Array of bfloat16',
      param('bfloat16', new Float64Array(5)),
      type('Expected data of "w" to be a Uint16Array for its dtype "bfloat16" but received a Float64Array.'),
    ],
  ])('are refused with %s', (_, w, error) => {
    expect(() => new AdamW([w])).toThrow(error);
  });

  test('keep their dtype, and may change that of their gradients', () => {
    const w: Parameter = param('bfloat16', store(numbers, 'bfloat16'), store(numbers, 'bfloat16'));
    const optimizer = new AdamW([w]);
    optimizer.step();
    w.grad = numbers;
    optimizer.step();
    w.grad = store(numbers, 'bfloat16');
    expect(optimizer.step()).toEqual({ applied: true, step: 3 });
    const before = snapshot(optimizer, [w as unknown as LooseParameter]);
    const { data } = w;
    w.data = numbers.slice();
    expect(() => optimizer.step()).toThrow(
      type('Expected data of "w" to be a Uint16Array (its dtype is bfloat16) but received a Float32Array.'),
    );
    w.data = data;
    w.grad = new Uint16Array(4);
    expect(() => optimizer.step()).toThrow('Expected grad of "w" to have 5 elements but received 4.');
    w.grad = new Float64Array(5);
    expect(() => optimizer.step()).toThrow(
      type(
        `Expected grad of "w" to be a Uint16Array of bfloat16 or a Float32Array (${supportedTexts.bfloat16}) ` +
          'but received a Float64Array.',
      ),
    );
    w.grad = before.arrays[0]!.grad;
    expectUnchanged(optimizer, before);
  });

  test('say what bits their gradients hold', () => {
    const w = param(undefined, numbers.slice(), half);
    const optimizer = new SGD([w]);
    expect(() => optimizer.step()).toThrow(
      type(
        'Expected dtype of "w" to be "bfloat16" or "float16" for the Uint16Array that is its grad but received undefined.',
      ),
    );
  });

  test('of views over one buffer may not overlap, whatever they hold', () => {
    const buffer = new ArrayBuffer(64);
    const a: Parameter = { name: 'a', data: new Uint16Array(buffer, 0, 8), dtype: 'bfloat16' };
    const b: Parameter = { name: 'b', data: new Float32Array(buffer, 12, 4) };
    expect(() => new SGD([a, b])).toThrow('Expected data of "a" and "b" to be apart but they share memory');
    b.data = new Float32Array(buffer, 16, 4);
    a.grad = new Uint16Array(buffer, 32, 8);
    b.grad = new Float32Array(buffer, 40, 4);
    expect(new SGD([a, b]).step().applied).toBe(true);
    a.grad = new Uint16Array(buffer, 14, 8);
    expect(() => new SGD([a, b]).step()).toThrow('Expected grad of "a" to be apart from data of');
  });
});

test('a Float16Array is float16, where there are such arrays', () => {
  // Node 20 has none: this is one as far as its name goes, and holds the bits a real one would.
  class Float16Array extends Uint16Array {
    override get [Symbol.toStringTag](): 'Uint16Array' {
      return 'Float16Array' as 'Uint16Array';
    }
  }
  const run = (wrap: (bits: Uint16Array) => HostArray): [HostArray, Parameter] => {
    const w = param(
      'float16',
      wrap(store(numbers, 'float16') as Uint16Array),
      wrap(store(numbers, 'float16') as Uint16Array),
    );
    const optimizer = new Adam([w], { lr: 0.1 });
    optimizer.step();
    optimizer.step();
    return [Uint16Array.from(w.data as Uint16Array), w];
  };
  const [expected] = run((bits) => bits);
  const [received, w] = run((bits) => new Float16Array(bits));
  expect(received).toEqual(expected);
  expect(() => new SGD([{ ...w, dtype: 'bfloat16' }])).toThrow(
    type('Expected data of "w" to be a Uint16Array for its dtype "bfloat16" but received a Float16Array.'),
  );
  return expect(new Adam([{ ...w, dtype: undefined }]).stepAsync()).resolves.toMatchObject({ applied: true });
});

describe('options', () => {
  const bad: [CommonOptions, Error][] = [
    [
      { rounding: 'kahn' as 'kahan' },
      /^Expected rounding of AdamW to be .*; did you mean "kahan"\?$/ as never,
    ],
    [
      { stateDtype: '8bits' as '8bit' },
      /^Expected stateDtype of AdamW to be .*; did you mean "8bit"\?$/ as never,
    ],
    [
      { stateDtype: 8 as never },
      /^Expected stateDtype of AdamW to be .* received 8 of type number\.$/ as never,
    ],
    [
      { seed: -1 },
      new RangeError('Expected seed of AdamW to be an integer in [0, 4294967295] but received -1.'),
    ],
    [{ seed: 2 ** 32 }, /received 4294967296/ as never],
    [{ seed: '1' as never }, /^Expected seed of AdamW to be an integer/ as never],
  ];
  test.each(bad)('%j', (options, error) => {
    expect(() => new AdamW([param('float32', numbers)], options)).toThrow(error);
  });

  test('are of the whole optimizer, not of a group', () => {
    for (const name of ['rounding', 'stateDtype', 'seed'])
      expect(() => new AdamW([{ params: [param('float32', numbers)], [name]: 'x' }])).toThrow(
        `Unknown option "${name}" for AdamW: it is an option of the whole optimizer, not of a group.`,
      );
  });
});

describe('float32 alone', () => {
  const bf16 = (): Parameter => param('bfloat16', store(numbers, 'bfloat16'), store(numbers, 'bfloat16'));
  test.each<[string, () => unknown, string]>([
    ['EMA', () => new EMA([bf16()]), 'data of "w" to be a Float32Array, the only kind that EMA averages,'],
    ['SWA', () => new SWA([bf16()]), 'data of "w" to be a Float32Array, the only kind that SWA averages,'],
    [
      'clipGradNorm',
      () => clipGradNorm([bf16()], 1),
      'grad of "w" to be a Float32Array, the only kind that clipGradNorm() works on,',
    ],
    [
      'clipGradValue',
      () => clipGradValue([bf16()], 1),
      'grad of "w" to be a Float32Array, the only kind that clipGradValue() works on,',
    ],
    [
      'clipGradAdaptive',
      () => clipGradAdaptive([{ ...bf16(), grad: numbers.slice() }]),
      'data of "w" to be a Float32Array, the only kind that clipGradAdaptive() works on,',
    ],
  ])('is what %s takes', (_, action, message) => {
    expect(action).toThrow(type(`Expected ${message} but received a Uint16Array.`));
  });

  test('but EMA averages the master weights', () => {
    const w = bf16();
    const optimizer = new AdamW([w], { lr: 0.1 });
    optimizer.step();
    const master = optimizer.state(w).master as Float32Array;
    const ema = new EMA([{ name: 'w', data: master }], { decay: 0.5 });
    ema.update();
    expect(ema.stateDict().averages.w!.average).toEqual(master);
  });
});

test('Muon refuses matrices of float64, and takes the other dtypes', () => {
  const matrix = (dtype: DType): Parameter => ({
    ...param(dtype, store(values(6, 1), dtype)),
    shape: [2, 3],
  });
  expect(() => new Muon([matrix('float64')])).toThrow(
    type('Expected "w" to be float32, bfloat16 or float16 in Muon but received float64.'),
  );
  for (const dtype of ['float32', 'bfloat16', 'float16'] as const)
    expect(() => new Muon([matrix(dtype)])).not.toThrow();
});

test('a bad gradient in 16 bits is named with its element', () => {
  for (const [dtype, bits, text] of [
    ['bfloat16', 0x7fc0, 'NaN'],
    ['bfloat16', 0xff80, '-Infinity'],
    ['float16', 0x7c00, 'Infinity'],
    ['float16', 0xfe00, 'NaN'],
  ] as const) {
    const grad = new Uint16Array(5);
    grad[3] = bits;
    const w = param(dtype, numbers.slice(), grad);
    const optimizer = new SGD([w], { nonFinite: 'throw' });
    expect(() => optimizer.step()).toThrow(
      new RangeError(
        `Expected grad of "w" to be finite but received ${text} at element 3; nothing was changed.`,
      ),
    );
  }
});
