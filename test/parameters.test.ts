import { AdamW, SGD, type Parameter } from 'fused-optim';
import { values } from './helpers/random';
import { expectUnchanged, snapshot } from './helpers/unchanged';

const one = (more: object = {}): Parameter => ({ data: new Float32Array(6), ...more });
const shape = (...sizes: readonly unknown[]): Parameter[] => [one({ shape: sizes })];
const empty = (...sizes: number[]): Parameter[] => [{ data: new Float32Array(0), shape: sizes }];

const type = (what: string, expected: string, received: string) =>
  new TypeError(`Expected ${what} to be ${expected} but received ${received}.`);
const iterable = (received: string, what = 'params of SGD') =>
  type(what, 'an iterable of parameters', received);
const object = (index: number, received: string) =>
  type(`parameter ${index}`, 'an object with data and grad', received);
const atLeastOne = (what: string) =>
  new RangeError(`Expected ${what} to hold at least one parameter but received none.`);
const mixture = new TypeError(
  'Expected params of SGD to be all parameters or all groups but received a mixture.',
);
const unique = (name: string) =>
  new RangeError(`Expected unique parameter names but received "${name}" twice.`);
const product = (size: number, sizes: string, received = '6.') =>
  new RangeError(
    `Expected data of "param.0" to have ${size} elements for shape [${sizes}] but received ${received}`,
  );
const integers = (sizes: string) =>
  new RangeError(`Expected shape of "param.0" to be an array of integers >= 0 but received [${sizes}].`);
const sizesOf = (received: string) => type('shape of "param.0"', 'an array of sizes', received);

const bad: (readonly [what: string, params: unknown, error: Error | RegExp])[] = [
  ['nothing', undefined, iterable('undefined')],
  ['null', null, iterable('null')],
  ['one parameter', one(), iterable('an object')],
  ['an array of numbers', new Float32Array(6), iterable('a Float32Array')],
  ['a string', 'w', iterable('"w"')],
  ['an empty list', [], atLeastOne('params of SGD')],
  ['an empty group', [{ params: [] }], atLeastOne('params of group 0 of SGD')],
  ['a group without a list', [{ params: one() }], iterable('an object', 'params of group 0 of SGD')],
  ['groups and parameters', [{ params: [one()] }, one()], mixture],
  ['a null among them', [one(), null], object(1, 'null')],
  ['bare arrays', [new Float32Array(6)], object(0, 'a Float32Array')],
  [
    'no data',
    [{ grad: new Float32Array(6) }],
    /^Expected data of "param\.0" to be a Float32Array.* undefined\.$/,
  ],
  ['an array of integers', [{ data: new Int32Array(6) }], /^Expected data of "param\.0" .* a Int32Array\.$/],
  [
    'a name that is no string',
    [one({ name: 7 })],
    type('name of parameter 0', 'a string', '7 of type number'),
  ],
  ['an empty name', [one({ name: '' })], /^Expected name of parameter 0 to be a .*string/],
  ['a name used twice', [one({ name: 'w' }), one({ name: 'w' })], unique('w')],
  ['a name that another has by default', [one({ name: 'param.1' }), one()], unique('param.1')],
  ['an unknown dtype', [one({ dtype: 'float3' })], /^Expected dtype of "param\.0" .*mean "float32"\?$/],
  ['an unknown role', [one({ role: 'hiden' })], /^Expected role of "param\.0" .*mean "hidden"\?$/],
  [
    'an unknown layout',
    [one({ layout: 'out' })],
    /^Expected layout of "param\.0" to be "out-in" or "in-out"/,
  ],
  ['a shape of another size', shape(2, 2), product(4, '2, 2')],
  ['a shape for a scalar', shape(), product(1, '')],
  ['a shape that is no array', [one({ shape: 6 })], sizesOf('6 of type number')],
  ['a shape of strings', shape('6'), sizesOf('[6]')],
  ['a negative size', shape(-2, -3), integers('-2, -3')],
  ['half a row', shape(1.5, 4), integers('1.5, 4')],
  ['a size of NaN', shape(NaN), integers('NaN')],
  ['sizes that wrap to 6 at 32 bits', shape(2 ** 31 + 3, 2), product(2 ** 32 + 6, '2147483651, 2')],
  ['sizes that wrap to 0 at 32 bits', empty(65536, 65536), /to have 4294967296 elements for .* received 0/],
  ['sizes beyond every number', shape(...Array<number>(30).fill(2 ** 52)), /^Expected .*"param\.0"/],
];

describe('parameters are refused when they are', () => {
  test.each(bad)('%s', (_, params, error) => {
    const make = () => new SGD(params as Parameter[]);
    expect(make).toThrow(error);
    if (error instanceof Error) expect(make).toThrow(error.constructor as new () => Error);
  });

  test('one object given twice', () => {
    const param = one({ name: 'w' });
    const twice = new RangeError('Expected parameter "w" once but it was given twice.');
    expect(() => new SGD([param, param])).toThrow(twice);
    expect(() => new SGD([{ params: [param] }, { params: [param] }])).toThrow(twice);
  });

  test('views that overlap', () => {
    const buffer = new ArrayBuffer(40);
    const view = (begin: number, length: number): Parameter => ({
      data: new Float32Array(buffer, begin, length),
    });
    expect(() => new SGD([view(0, 6), view(20, 5)])).toThrow(RangeError);
    expect(() => new SGD([view(20, 5), one(), view(0, 6)])).toThrow(
      'Expected data of "param.2" and "param.0" to be apart but they share memory: both would be updated twice.',
    );
    expect(() => new SGD([view(0, 6), view(24, 4)])).not.toThrow();
  });
});

test('addParamGroup() refuses the same, and leaves the optimizer as it was', () => {
  const params = [5, 7].map((length, i) => ({ data: values(length, i), grad: values(length, 10 + i) }));
  const optimizer = new AdamW(params);
  optimizer.step();
  const before = snapshot(optimizer, params);
  const overlapping = { data: params[0]!.data.subarray(2) };
  const groups: (readonly [unknown, string | RegExp])[] = [
    [undefined, 'Expected group of AdamW to be an object but received undefined.'],
    [{}, /^Expected params of group 1 of AdamW to be an iterable/],
    [{ params: [] }, /at least one parameter/],
    [{ params: [one(), one({ name: 'param.1' })] }, unique('param.1').message],
    [{ params: [one(), params[0]] }, /once but it was given twice/],
    [{ params: [one(), overlapping] }, /share memory/],
    [{ params: [one(), { data: [1] }] }, /^Expected data of "param\.3" to be a Float32Array/],
    [
      { params: [one()], lr: -1 },
      'Expected lr of AdamW, group 1 to be a finite number >= 0 but received -1.',
    ],
    [
      { params: [one()], learningRate: 1 },
      /^Unknown option "learningRate" for AdamW, group 1: did you mean "lr"\?$/,
    ],
    [{ params: [one()], threads: 1 }, /^Unknown option "threads" for AdamW, group 1/],
  ];
  for (const [group, message] of groups) {
    expect(() => optimizer.addParamGroup(group as { params: Parameter[] })).toThrow(message);
    expectUnchanged(optimizer, before);
  }
  // None of them left a name, an object or a piece of memory behind.
  optimizer.addParamGroup({ params: [one({ name: 'param.3' }), one()].slice(0, 1) });
  expect(optimizer.step().step).toBe(2);
});
