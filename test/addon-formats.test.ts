// The addon's half of the formats: which arrays it takes, what it refuses, and the memory of states.
import type { Rounding, StoredDType } from '../lib/dtypes';
import { native, type Stepper } from '../lib/native';

const { addon } = native();
const dtype = (name: string): number => addon.dtypes.indexOf(name as StoredDType);
const [f32, f64, bf16, f16, blocks8] = ['float32', 'float64', 'bfloat16', 'float16', '8bit'].map(dtype) as [
  number,
  number,
  number,
  number,
  number,
];
const rounding = (name: string): number => addon.roundings.indexOf(name as Rounding);
const length = 300;

const row = Float64Array.from(
  addon.rules.adamw!.hyper,
  (name) => ({ lr: 0.25, beta1: 0.5, beta2: 0.5 })[name] ?? 0,
);

function stepperOf(rule: string, ...formats: (readonly [number, number, number])[]): Stepper {
  const stepper = new addon.Stepper([rule], 'scalar', 1);
  stepper.addGroup(0);
  formats.forEach((format, i) => stepper.add(length, [1, length, 1, false], 0, format, i, 0));
  return stepper;
}

/** All memory of a state. */
const memoryOf = (stepper: Stepper, tensor: number, state: number): ArrayBuffer | undefined =>
  stepper.stateBuffer(tensor, state, 0, 0) as ArrayBuffer | undefined;

function step(stepper: Stepper): void {
  const outcome = new Float64Array(5);
  stepper.step(row, Float64Array.of(1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, -1, -1), outcome);
  expect(outcome[0]).toBe(1);
}

test('every format that is listed is taken, and no other', () => {
  const listed = new Set(addon.formats.map(([p, , s, r]) => `${p},${s},${r}`));
  addon.dtypes.forEach((_, p) =>
    addon.dtypes.forEach((_, s) =>
      addon.roundings.forEach((_, r) => {
        const add = (): Stepper => stepperOf('adamw', [p, s, r]);
        if (listed.has(`${p},${s},${r}`)) add();
        else expect(add).toThrow('no such format');
      }),
    ),
  );
  expect(() => stepperOf('sgd', [f32, blocks8, rounding('nearest')])).toThrow('no such format');
  expect(() => stepperOf('adamw', [f32, 9, 0])).toThrow('no such format');
  const blocks = Object.entries(addon.rules).filter(([, rule]) => rule.blocks8);
  expect(blocks.map(([name]) => name)).toEqual(['nadam', 'adam', 'adamw', 'radam', 'lion']);
  expect(addon.extraStates).toEqual({ master: 'master', kahan: 'compensation', split: 'remainder' });
});

test('arrays of every kind take a step, and lie in memory as they should', () => {
  const formats = [
    [f64, f64, rounding('nearest')],
    [bf16, f32, rounding('master')],
    [f16, bf16, rounding('master')],
    [bf16, blocks8, rounding('kahan')],
    [bf16, f32, rounding('split')],
  ] as const;
  const stepper = stepperOf('adamw', ...formats);
  const params = [new Float64Array(length), ...Array.from({ length: 4 }, () => new Uint16Array(length))];
  const grads = [
    new Float64Array(length).fill(2),
    new Float32Array(length).fill(2),
    new Uint16Array(length).fill(0x4000),
    new Uint16Array(length).fill(0x4000),
    new Float32Array(length).fill(2),
  ];
  const dtypes = [f64, f32, f16, bf16, f32];
  expect(stepper.bind(params.flatMap((data, i) => [i, data, grads[i]!, dtypes[i]!]))).toBeUndefined();
  step(stepper);
  expect(params.map((data) => data[length - 1])).toEqual([-0.25, 0xbe80, 0xb400, 0xbe80, 0xbe80]);

  const bytes = (i: number): (number | undefined)[] =>
    [0, 1, 2, 3, 4, 5].map((k) => memoryOf(stepper, i, k)?.byteLength);
  const none = undefined;
  expect(bytes(0)).toEqual([2400, 2400, none, none, none, none]);
  expect(bytes(1)).toEqual([1200, 1200, none, none, 1200, none]);
  expect(bytes(2)).toEqual([600, 600, none, none, 1200, none]);
  expect(bytes(3)).toEqual([320 + 8, 320 + 8, none, none, 600, none]);
  expect(bytes(4)).toEqual([1200, 1200, none, none, 600, none]);
  expect(stepper.stateBytes()).toBe(4800 + 3600 + 2400 + 2 * 328 + 600 + 3000);
  expect(new Float32Array(memoryOf(stepper, 1, 4)!)[0]).toBeCloseTo(-0.25, 6);
  expect([...new Float32Array(memoryOf(stepper, 3, 0)!, 320)]).toEqual([1, 1]);
  expect(formats.map((_, i) => stepper.usedStates(i, row))).toEqual([3, 19, 19, 19, 19]);
});

test('arrays of another kind or length are refused', () => {
  const nearest = rounding('nearest');
  const stepper = stepperOf('adamw', [f32, f32, nearest], [bf16, f32, nearest], [f64, f64, nearest]);
  const refused: [number, unknown, unknown, number][] = [
    [0, new Float64Array(length), null, f32],
    [0, new Uint16Array(length), null, f32],
    [0, new Float32Array(length - 1), null, f32],
    [0, new Float32Array(length), new Float32Array(length), bf16],
    [0, new Float32Array(length), new Uint16Array(length), f32],
    [1, new Float32Array(length), null, bf16],
    [1, new Int16Array(length), null, bf16],
    [1, new DataView(new ArrayBuffer(2 * length)), null, bf16],
    [2, new Float32Array(length), null, f64],
    [2, new BigInt64Array(length), null, f64],
  ];
  for (const change of refused)
    expect(() => stepper.bind(change as never)).toThrow("of the tensor's dtype and length");
  for (const grad of [f64, f16, blocks8, 7, undefined])
    expect(() => stepper.bind([1, new Uint16Array(length), null, grad as number])).toThrow('no such format');
});

test('memory is shared by bytes, not by elements', () => {
  const nearest = rounding('nearest');
  const stepper = stepperOf('adamw', [bf16, f32, nearest], [bf16, f32, nearest]);
  const buffer = new ArrayBuffer(4 * length);
  const at = (offset: number): Uint16Array => new Uint16Array(buffer, offset, length);
  expect(stepper.bind([0, at(0), null, bf16, 1, at(2 * length), null, bf16])).toBeUndefined();
  expect(stepper.bind([1, at(2 * length - 2), null, bf16])).toEqual([0, 1, false]);
});
