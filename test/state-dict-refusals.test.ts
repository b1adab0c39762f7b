import { NAdam, SGD, type StateDict } from 'fused-optim';
import { values } from './helpers/random';
import { expectUnchanged, snapshot } from './helpers/unchanged';

/** A state dict that a test may spoil. */
interface Loose {
  version: unknown;
  algorithm: unknown;
  step: unknown;
  state: Record<string, Record<string, unknown>>;
  paramGroups: Record<string, unknown>[];
}

const tensors = () => [
  { name: 'w', data: values(6, 1), grad: values(6, 2), shape: [2, 3] },
  { name: 'b', data: values(3, 3), grad: values(3, 4) },
  { name: 'idle', data: values(4, 5), grad: null },
];

/** Two groups after two steps. The third tensor never had a gradient. */
function trained() {
  const params = tensors();
  const optimizer = new NAdam([{ params: params.slice(0, 2) }, { params: params.slice(2), lr: 0.5 }]);
  optimizer.step();
  optimizer.step();
  return { optimizer, params };
}

type Spoil = (dict: Loose) => unknown;

const differs = (what: string) =>
  new RangeError(`Expected a state dict with the tensors of this NAdam but it differs: ${what}.`);
const type = (what: string, expected: string, received: string) =>
  new TypeError(`Expected ${what} to be ${expected} but received ${received}.`);
const f32 = (received: string) => type('expAvg of "w"', 'a Float32Array', received);
const names = 'the state dict';

const spoils: (readonly [what: string, spoil: Spoil, error: Error | RegExp])[] = [
  [
    'of another version',
    (d) => (d.version = 2),
    new RangeError('Expected a state dict of version 1 but received 2 of type number.'),
  ],
  [
    'of another algorithm',
    (d) => (d.algorithm = 'Adam'),
    new TypeError('Expected a state dict of NAdam but received one of "Adam".'),
  ],
  ['without steps', (d) => delete d.step, type('step of the state dict', 'an integer >= 0', 'undefined')],
  [
    'of half a step',
    (d) => (d.step = 1.5),
    type('step of the state dict', 'an integer >= 0', '1.5 of type number'),
  ],
  [
    'without states',
    (d) => Object.assign(d, { state: undefined }),
    type(`state of ${names}`, 'an object by name', 'undefined'),
  ],
  [
    'with a list of states',
    (d) => Object.assign(d, { state: [] }),
    type(`state of ${names}`, 'an object by name', '[]'),
  ],
  ['without a tensor', (d) => delete d.state.w, differs('missing "w"')],
  ['with a tensor too many', (d) => (d.state.head = d.state.b!), differs('extra "head"')],
  [
    'with a tensor of another name',
    (d) => {
      d.state.v = d.state.w!;
      delete d.state.w;
    },
    differs('missing "w"; extra "v"'),
  ],
  [
    'with another shape of the same size',
    (d) => (d.state.w!.shape = [3, 2]),
    differs('"w" has shape [3, 2], expected [2, 3]'),
  ],
  [
    'with a shape of another rank',
    (d) => (d.state.b!.shape = [3, 1]),
    differs('"b" has shape [3, 1], expected [3]'),
  ],
  ['without a shape', (d) => delete d.state.b!.shape, differs('"b" has shape undefined, expected [3]')],
  [
    'with all of it wrong',
    (d) => {
      delete d.state.w;
      d.state.x = d.state.b!;
      d.state.b = { shape: [4] };
    },
    differs('missing "w"; extra "x"; "b" has shape [4], expected [3]'),
  ],
  [
    'with a tensor that is null',
    (d) => Object.assign(d.state, { b: null }),
    /"b" has shape undefined, expected \[3\]/,
  ],
  [
    'with a tensor that is inherited',
    (d) => (d.state = Object.create(d.state) as Loose['state']),
    /missing "w", "b", "idle"/,
  ],
  [
    'with a step of -1',
    (d) => (d.state.w!.step = -1),
    type('step of "w"', 'an integer >= 0', '-1 of type number'),
  ],
  ['with a step of 2⁵³', (d) => (d.state.w!.step = 2 ** 53), /^Expected step of "w" to be an integer >= 0/],
  [
    'with a missing state',
    (d) => delete d.state.w!.expAvgSq,
    new TypeError('Expected expAvgSq of "w" in the state dict but it is missing.'),
  ],
  [
    'with a missing scalar',
    (d) => delete d.state.w!.muProduct,
    new TypeError('Expected muProduct of "w" in the state dict but it is missing.'),
  ],
  [
    'with a state of another optimizer',
    (d) => (d.state.w!.momentumBuffer = new Float32Array(6)),
    new TypeError('Expected the states expAvg, expAvgSq for "w" but received "momentumBuffer".'),
  ],
  ['with doubles', (d) => (d.state.w!.expAvg = new Float64Array(6)), f32('a Float64Array')],
  ['with integers', (d) => (d.state.w!.expAvg = new Uint32Array(6)), f32('a Uint32Array')],
  ['with a plain array', (d) => (d.state.w!.expAvg = [1, 2, 3]), f32('[1, 2, 3]')],
  ['with a state of undefined', (d) => (d.state.w!.expAvg = undefined), f32('undefined')],
  [
    'with a state of another length',
    (d) => (d.state.w!.expAvg = new Float32Array(5)),
    new RangeError('Expected expAvg of "w" to have 6 elements but received 5.'),
  ],
  [
    'with a scalar that is an array',
    (d) => (d.state.w!.muProduct = new Float32Array(1)),
    type('muProduct of "w"', 'a number', 'a Float32Array'),
  ],
  [
    'that came through JSON',
    (d) => Object.assign(d, JSON.parse(JSON.stringify(d)) as object),
    f32('an object'),
  ],
  [
    'without groups',
    (d) => Object.assign(d, { paramGroups: undefined }),
    type(`paramGroups of ${names}`, 'an array', 'undefined'),
  ],
  [
    'with a group less',
    (d) => d.paramGroups.pop(),
    new RangeError('Expected 2 parameter groups in the state dict but received 1.'),
  ],
  [
    'with a group of other parameters',
    (d) => (d.paramGroups[0]!.params = ['w']),
    new RangeError('Expected group 0 of the state dict to hold "w", "b" but received "w".'),
  ],
  [
    'with groups that changed places',
    (d) => d.paramGroups.reverse(),
    /^Expected group 0 of the state dict to hold "w", "b" but received "idle"\.$/,
  ],
  [
    'with a group without parameters',
    (d) => delete d.paramGroups[0]!.params,
    /^Expected params of group 0 of the state dict to be an array of names/,
  ],
  [
    'with a bad learning rate',
    (d) => (d.paramGroups[1]!.lr = -1),
    new RangeError('Expected lr of NAdam, group 1 to be a finite number >= 0 but received -1.'),
  ],
  [
    'with a learning rate of NaN',
    (d) => (d.paramGroups[1]!.lr = NaN),
    /^Expected lr of NAdam, group 1 .* NaN\.$/,
  ],
  ['with a learning rate of null', (d) => (d.paramGroups[0]!.lr = null), /^Expected lr of NAdam .* null\.$/],
  [
    'with an unknown option',
    (d) => (d.paramGroups[1]!.momentum = 0.9),
    /^Unknown option "momentum" for group 1 of the state dict/,
  ],
];

function error(action: () => void): unknown {
  try {
    action();
  } catch (thrown) {
    return thrown;
  }
  return undefined;
}

describe('loadStateDict() refuses, and changes nothing for, a dict', () => {
  test.each(spoils)('%s', (_, spoil, expected) => {
    const { optimizer, params } = trained();
    const donor = trained();
    donor.optimizer.step();
    const dict = donor.optimizer.stateDict() as unknown as Loose;
    spoil(dict);
    const before = snapshot(optimizer, params);
    const received = error(() => optimizer.loadStateDict(dict as unknown as StateDict));
    if (expected instanceof RegExp)
      expect(received).toHaveProperty('message', expect.stringMatching(expected));
    else expect(received).toEqual(expected);
    expectUnchanged(optimizer, before);
    // Neither the optimizer nor what it had of the dict is spoilt for good.
    optimizer.loadStateDict(trained().optimizer.stateDict());
    expectUnchanged(optimizer, before);
  });

  test.each([undefined, null, 'dict', [], new Float32Array(3)])('%p', (dict) => {
    const { optimizer, params } = trained();
    const before = snapshot(optimizer, params);
    expect(() => optimizer.loadStateDict(dict as unknown as StateDict)).toThrow(
      /^Expected the state dict to be an object made by stateDict\(\) but received .+\.$/,
    );
    expectUnchanged(optimizer, before);
  });
});

test('a dict without arrays may come through JSON', () => {
  const params = [{ data: values(3, 1), grad: values(3, 2) }];
  const optimizer = new SGD(params, { lr: 0.5 });
  optimizer.step();
  const dict = JSON.parse(JSON.stringify(optimizer.stateDict())) as StateDict;
  const other = new SGD(params);
  other.loadStateDict(dict);
  expect(other.stateDict()).toEqual(optimizer.stateDict());
});
