/** bfloat16 against other people's numbers: Kahan's summation, master weights, and casts. */
import { Adam, type HostArray, type ParameterState } from 'fused-optim';
import { Binary, readJson } from '../helpers/golden';
import { describeIsas, withIsa } from '../helpers/isas';
import { expectSameBits } from '../helpers/bits';
import { floatOf, load, store, toBf16, toF16 } from '../helpers/lowp';
import { registered, type Options, type OptimizerClass } from '../helpers/registry';

interface Case {
  readonly id: string;
  readonly algorithm: string;
  readonly hyperparameters: Options;
}
interface KahanCase extends Case {
  readonly accept: {
    readonly effectiveRelErrMax: number;
    readonly weightRelErrMax: number;
    readonly targetEffectiveRelErr?: number;
  };
  readonly ideal_f64: Readonly<Record<string, number>>;
}
interface MasterCase extends Case {
  readonly tolerance: { readonly rtol: number; readonly atol: Readonly<Record<string, number>> };
  readonly master_f64: Readonly<Record<string, number>>;
}
interface Lowp {
  readonly steps: number;
  readonly checkpoints: readonly number[];
  readonly n: number;
  readonly problem: { readonly init: number; readonly grads: number };
  readonly kahan: readonly KahanCase[];
  readonly master: readonly MasterCase[];
  readonly casts: Readonly<Record<'f32bits' | 'bf16bits' | 'fp16bits', readonly number[]>>;
}

const { steps, checkpoints, n, problem, kahan, master, casts } = readJson('lowp/lowp.json') as Lowp;
const numbers = new Binary('lowp/lowp.bin');
const init = numbers.f32(problem.init, n);
const gradAt = (step: number): Float32Array => numbers.f32(problem.grads + 4 * n * (step - 1), n);

const classOf = (algorithm: string): OptimizerClass =>
  registered.find(({ name }) => name.toLowerCase() === algorithm)!.Class;

/** The reference's weight decay is decoupled where the optimizer has the choice. */
const optionsFor = ({ algorithm, hyperparameters }: Case): Options =>
  algorithm === 'radam' ? { ...hyperparameters, decoupledWeightDecay: true } : hyperparameters;

/** Trains from bfloat16 parameters and gradients; `look` is called after every checkpoint. */
function run(
  golden: Case,
  rounding: 'kahan' | 'master' | 'nearest',
  look: (step: number, data: HostArray, state: ParameterState) => void,
): void {
  const param = { data: store(init, 'bfloat16'), grad: null as HostArray | null, dtype: 'bfloat16' as const };
  const optimizer = new (classOf(golden.algorithm))([param], { ...optionsFor(golden), rounding } as object);
  for (let step = 1; step <= steps; ++step) {
    param.grad = store(gradAt(step), 'bfloat16');
    optimizer.step();
    if (checkpoints.includes(step)) look(step, param.data, optimizer.state(param));
  }
  optimizer.dispose();
}

/** ‖x − ideal‖ / ‖ideal − x₀‖ */
function relativeError(x: ArrayLike<number>, ideal: Float64Array): number {
  const norm = (of: (i: number) => number): number => Math.hypot(...Array.from(ideal, (_, i) => of(i)));
  return norm((i) => x[i]! - ideal[i]!) / norm((i) => ideal[i]! - init[i]!);
}

test('the golden inputs are bfloat16 numbers, and all cases are there', () => {
  for (const array of [init, gradAt(1), gradAt(steps)])
    expectSameBits(load(store(array, 'bfloat16'), 'bfloat16'), array, 'the rounded input');
  expect(kahan).toHaveLength(6);
  expect(master).toHaveLength(4);
});

describeIsas((isa) => {
  test.each(kahan)("Kahan's summation: $id", (golden) => {
    withIsa(isa, () => {
      const ideal = numbers.f64(golden.ideal_f64[steps]!, n);
      const { effectiveRelErrMax, weightRelErrMax, targetEffectiveRelErr = Infinity } = golden.accept;
      run(golden, 'kahan', (step, data, { compensation }) => {
        if (step < steps) return;
        const weights = load(data, 'bfloat16');
        const rest = load(compensation as Uint16Array, 'bfloat16');
        const whole = Float64Array.from(weights, (weight, i) => weight + rest[i]!);
        expect(relativeError(whole, ideal)).toBeLessThan(Math.min(effectiveRelErrMax, targetEffectiveRelErr));
        expect(relativeError(weights, ideal)).toBeLessThan(weightRelErrMax);
      });
      // What it is for: rounding to nearest loses most of the motion.
      run(golden, 'nearest', (step, data) => {
        if (step === steps) expect(relativeError(load(data, 'bfloat16'), ideal)).toBeGreaterThan(0.5);
      });
    });
  });

  test.each(master)('master weights: $id', (golden) => {
    withIsa(isa, () => {
      let compared = 0;
      run(golden, 'master', (step, data, state) => {
        const own = state.master as Float32Array;
        expect([...data]).toEqual(Array.from(own, toBf16));
        const atol = golden.tolerance.atol[step]!;
        numbers.f64(golden.master_f64[step]!, n).forEach((reference, i) => {
          const limit = atol + golden.tolerance.rtol * Math.abs(reference);
          if (!(Math.abs(own[i]! - reference) <= limit))
            throw new Error(`master[${i}] after step ${step} is ${own[i]}, expected ${reference} ± ${limit}`);
          ++compared;
        });
      });
      expect(compared).toBe(n * checkpoints.length);
    });
  });

  test('casts to bfloat16 and float16', () => {
    const floats = Float32Array.from(casts.f32bits, floatOf);
    for (const [dtype, bits, encode] of [
      ['bfloat16', casts.bf16bits, toBf16],
      ['float16', casts.fp16bits, toF16],
    ] as const) {
      expect(Array.from(floats, encode)).toEqual(bits); // of the tests' own definition
      // Of the library: a step that changes nothing rounds the master it has been given.
      const param = { data: new Uint16Array(floats.length), grad: new Float32Array(floats.length), dtype };
      const optimizer = withIsa(isa, () => new Adam([param], { lr: 0 }));
      optimizer.step();
      (optimizer.state(param).master as Float32Array).set(floats);
      optimizer.step();
      // Adam's step of 0 turns -0 into 0.
      const same = (given: number, i: number): boolean =>
        given === bits[i] || (floats[i] === 0 && given === 0);
      const wrong = [...param.data].findIndex((given, i) => !same(given, i));
      expect({ dtype, wrong: floats[wrong], got: param.data[wrong] }).toEqual({ dtype });
    }
  });
});
