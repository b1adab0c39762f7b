import { AdamW } from 'fused-optim';
import { expectSameBits } from './helpers/bits';
import { transfer } from './helpers/memory';
import { values } from './helpers/random';
import { expectUnchanged, mend, snapshot, type LooseParameter } from './helpers/unchanged';

/** Tensors a, b and c of 5, 7 and 3 elements that have had two steps. */
function running(): { optimizer: AdamW; params: LooseParameter[] } {
  const params = [5, 7, 3].map((length, i) => {
    return { name: 'abc'[i]!, data: values(length, i), grad: values(length, 10 + i) };
  });
  const optimizer = new AdamW(params, { lr: 0.1 });
  optimizer.step();
  optimizer.step();
  return { optimizer, params };
}

interface Any {
  data: unknown;
  grad?: unknown;
}
type Damage = (a: Any & LooseParameter, b: Any & LooseParameter, c: Any & LooseParameter) => void;
type Expectation = readonly [new (message: string) => Error, string | RegExp];

const type = (what: string, received: string): Expectation => [
  TypeError,
  new RegExp(`^Expected ${what} to be a Float32Array.* but received ${received}\\.$`),
];
const length = (what: string, expected: number, received: number): Expectation => [
  RangeError,
  `Expected ${what} to have ${expected} elements but received ${received}.`,
];
const gone = (what: string, expected: number): Expectation => [
  RangeError,
  `Expected ${what} to have ${expected} elements but received 0 (was its ArrayBuffer detached or resized?).`,
];
const shared = (a: string, b: string): Expectation => [
  RangeError,
  `Expected data of "${a}" and "${b}" to be apart but they share memory: both would be updated twice.`,
];
const gradOver = (a: string, b: string): Expectation => [
  RangeError,
  `Expected grad of "${a}" to be apart from data of "${b}" but they share memory.`,
];

const set = (param: Any, key: 'data' | 'grad', value: unknown): void => void (param[key] = value);
const only =
  (key: 'data' | 'grad', value: unknown): Damage =>
  (_, b) =>
    set(b, key, value);

function overlap(a: Any, b: Any): void {
  const buffer = new ArrayBuffer(64);
  b.data = new Float32Array(buffer, 0, 7);
  a.data = new Float32Array(buffer, 24, 5); // its first element is the last of b
}

function sameSharedMemory(a: Any, b: Any): void {
  const buffer = new SharedArrayBuffer(64);
  a.data = new Float32Array(buffer, 0, 5);
  b.data = new Float32Array(structuredClone(buffer), 16, 7); // another object over the same memory
}

function gradOverUnused(a: Any, b: Any & LooseParameter): void {
  a.grad = b.data.subarray(0, 5);
  b.grad = null;
}

const getter = (param: Any, get: () => unknown): unknown =>
  Object.defineProperty(param, 'grad', { configurable: true, get });

function throwing(_a: Any, _b: Any, c: Any): void {
  getter(c, () => {
    throw new EvalError('not today');
  });
}

/** Reading c takes away the data of a, which was read before. */
function detaching(a: LooseParameter, _: Any, c: Any): void {
  const { grad } = c;
  const { data } = a;
  getter(c, () => {
    if (data.length > 0) transfer(data);
    return grad;
  });
}

const fake = { length: 7, [Symbol.toStringTag]: 'Float32Array' };

const refusals: (readonly [what: string, damage: Damage, expectation: Expectation])[] = [
  ['data of another length', only('data', new Float32Array(6)), length('data of "b"', 7, 6)],
  ['data without elements', only('data', new Float32Array(0)), gone('data of "b"', 7)],
  ['grad of another length', (_a, _b, c) => set(c, 'grad', new Float32Array(4)), length('grad of "c"', 3, 4)],
  ['grad without elements', only('grad', new Float32Array(0)), gone('grad of "b"', 7)],
  ['a Float64Array', only('grad', new Float64Array(7)), type('grad of "b"', 'a Float64Array')],
  ['a Uint16Array', only('data', new Uint16Array(7)), type('data of "b"', 'a Uint16Array')],
  ['a plain array', only('grad', [1, 2, 3, 4, 5, 6, 7]), type('grad of "b"', 'an array')],
  ['a DataView', only('grad', new DataView(new ArrayBuffer(28))), type('grad of "b"', 'a DataView')],
  ['a Buffer', only('data', Buffer.alloc(28)), type('data of "b"', 'a Uint8Array')],
  ['an ArrayBuffer', only('grad', new ArrayBuffer(28)), type('grad of "b"', 'a ArrayBuffer')],
  ['a number', only('grad', 7), type('grad of "b"', '7 of type number')],
  ['false', only('grad', false), type('grad of "b"', 'false of type boolean')],
  ['no data', only('data', undefined), type('data of "b"', 'undefined')],
  ['data of null', only('data', null), type('data of "b"', 'null')],
  ['what only says it is a Float32Array', only('grad', fake), type('grad of "b"', 'a Float32Array')],
  ['transferred data', (_, b) => transfer(b.data), gone('data of "b"', 7)],
  ['a transferred gradient', (_a, _b, c) => transfer(c.grad!), gone('grad of "c"', 3)],
  ['the data of another', (a, _, c) => set(c, 'data', a.data.subarray(1, 4)), shared('a', 'c')],
  ['data that overlap by one element', overlap, shared('a', 'b')],
  ['one SharedArrayBuffer that came two ways', sameSharedMemory, shared('a', 'b')],
  ['a gradient that is its own data', (a) => set(a, 'grad', a.data), gradOver('a', 'a')],
  ['a gradient over the end of another', (_, b, c) => set(c, 'grad', b.data.subarray(4)), gradOver('c', 'b')],
  ['a gradient over a parameter that has none', gradOverUnused, gradOver('a', 'b')],
  ['a getter that throws', throwing, [EvalError, 'not today']],
  ['a getter that detaches what was read before it', detaching, gone('data of "a"', 5)],
];

/** Does the damage, expects the refusal, and that afterwards all goes on as if nothing had been tried. */
async function expectRefused(
  damage: Damage,
  [error, message]: Expectation,
  attempt: (optimizer: AdamW) => unknown,
): Promise<void> {
  const { optimizer, params } = running();
  const control = running();
  const before = snapshot(optimizer, params);
  damage(params[0]!, params[1]!, params[2]!);
  const received: unknown = await Promise.resolve()
    .then(() => attempt(optimizer))
    .catch((thrown: unknown) => thrown);
  expect(received).toBeInstanceOf(error);
  expect(received).toHaveProperty(
    'message',
    typeof message === 'string' ? message : expect.stringMatching(message),
  );
  expectUnchanged(optimizer, before);
  mend(params, before);
  expect(optimizer.step()).toEqual(control.optimizer.step());
  params.forEach((param, i) => expectSameBits(param.data, control.params[i]!.data, param.name!));
  expect(optimizer.stateDict()).toEqual(control.optimizer.stateDict());
}

describe('a step is refused, and changes nothing, for', () => {
  test.each(refusals)('%s', (_, damage, expectation) =>
    expectRefused(damage, expectation, (optimizer) => optimizer.step()),
  );
});

describe('stepAsync() rejects, and changes nothing, for', () => {
  test.each(refusals)('%s', async (_, damage, expectation) => {
    let promised = false;
    await expectRefused(damage, expectation, (optimizer) => {
      const promise = optimizer.stepAsync();
      promised = true; // it did not throw at once
      return promise;
    });
    expect(promised).toBe(true);
  });
});
